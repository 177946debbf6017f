"""What a search came to: for the terminal, as Markdown and as JSON, all from the same rows."""

from pathlib import Path
from textwrap import indent
from typing import Any

import yaml
from rich.table import Table

from pipeline.project import layout
from pipeline.records.gates import Judgement, Verdict
from pipeline.records.paired import CONFIDENCE, Paired
from pipeline.records.words import STYLES, VERDICTS, broken, give_or_take, number, rate
from pipeline.search.halving import Entry, rank
from pipeline.search.run import DOES, Outcome
from pipeline.search.space import best_precision
from pipeline.system import files
from pipeline.system.console import Page, escape_markdown

HEADS = ("trial", "model", "recipe", "rung", "frames/s", "accuracy %", "drop points", "download MB", "seconds")
NONE = "–"


def write(outcome: Outcome) -> None:
    """Write report.md and report.json of the search."""
    files.write_bytes(path(outcome), markdown(outcome).encode())
    files.write_json(path(outcome).with_suffix(".json"), as_json(outcome))


def path(outcome: Outcome) -> Path:
    """Where the Markdown goes."""
    return layout.search(outcome.target.name) / "report.md"


def verdict(outcome: Outcome) -> Verdict:
    """The winner's; without a winner nothing was measured."""
    return outcome.winner[1].verdict if outcome.winner else "not_measured"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """All of it for machines. `trials` come in the order of the report, each with its record of the highest rung."""
    judged = outcome.winner[1] if outcome.winner else None
    return {
        "target": outcome.target.name,
        "verdict": verdict(outcome),
        "wall_s": round(outcome.wall_s, 1),
        "seconds_by_rung": _costs(outcome),
        "winner": outcome.winner
        and {
            "trial": outcome.winner[0].trial.method,
            "model": outcome.winner[0].trial.model,
            "recipe": outcome.winner[0].trial.recipe.as_yaml(),
            "result": outcome.winner[1].result.model_dump(mode="json"),
        },
        "checks": [vars(check) for check in judged.checks] if judged else [],
        "second": outcome.second
        and {"trial": outcome.second[0].trial.method, "behind": outcome.second[1].model_dump(mode="json")},
        "trials": [
            {
                "trial": entry.trial.method,
                "rung": entry.rung,
                "model": entry.trial.model,
                "recipe": entry.trial.recipe.as_yaml(),
                "value": entry.value,
                "record": entry.record and entry.record.model_dump(mode="json"),
            }
            for entry in _standings(outcome)
        ],
    }


def markdown(outcome: Outcome) -> str:
    """The file report.md, which is the run summary on GitHub as well."""
    lines = [f"## edgeproof search: {escape_markdown(outcome.target.name)}: {VERDICTS[verdict(outcome)]}", ""]
    lines += [escape_markdown(line) + "  " for line in _answer(outcome)]
    if outcome.winner:
        lines += ["", "```yaml", _yaml(outcome.winner[0]), "```"]
    lines += ["", f"| {' | '.join(HEADS)} |", f"|{'---|' * 4}{'---:|' * 5}"]
    lines += [f"| {' | '.join(escape_markdown(cell) for cell in _row(entry))} |" for entry in _standings(outcome)]
    lines += ["", *(f"- {escape_markdown(line)}" for line in _failures(outcome))]
    lines += ["", *(escape_markdown(line) + "  " for line in _notes(outcome)), ""]
    return "\n".join(lines)


def text(outcome: Outcome) -> str:
    """The same for the terminal."""
    page = Page()
    console = page.console
    shown = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for head in HEADS:
        shown.add_column(head.replace(" ", "\n"), justify="left" if HEADS.index(head) < 3 else "right")
    for entry in _standings(outcome):
        shown.add_row(*_row(entry))
    console.print(shown)
    console.print()
    for line in [*_failures(outcome), *_notes(outcome)]:
        console.print(line, style="dim")
    console.print()
    for line in _answer(outcome):
        console.print(line, style=STYLES[verdict(outcome)])
    ready = ["", _yaml(outcome.winner[0])] if outcome.winner else []  # to be copied: it must not be wrapped
    return "\n".join([*page.lines, *ready])


def _standings(outcome: Outcome) -> list[Entry]:
    """Each proposal on the highest rung that it was evaluated on, the best first, those without a measurement last."""
    highest = {entry.number: entry for entries in outcome.bracket.rounds for entry in entries}
    by_rung: dict[int, list[Entry]] = {}
    for entry in highest.values():
        by_rung.setdefault(entry.rung, []).append(entry)
    ranked = [entry for rung in sorted(by_rung, reverse=True) for entry in rank(by_rung[rung])]
    numbers = {entry.number for entry in ranked}
    return ranked + [entry for number, entry in sorted(highest.items()) if number not in numbers]


def _row(entry: Entry) -> tuple[str, ...]:
    record, point = entry.record, entry.point
    result = record.result if record else None
    accuracy = result.accuracy.target if result else None
    drop = result.accuracy_drop_points if result else None
    around = result.paired.interval() if result and result.paired else None
    download = record.result.download_bytes if record and record.result else None
    budget = f"{point.speed:g}x speed" if point.speed else f"{point.macs:.0%} MACs"
    words = [f"{point.size} pixels"] if point.size else []
    words += [budget, f"lr {point.learning_rate:.2g}", f"distill {point.distill:g}"]
    words += ["aware"] if point.aware else []
    words += [f"{point.cluster_bits} bits"] if point.cluster_bits else []
    return (
        entry.trial.method,
        entry.trial.model,
        ", ".join(words),
        str(entry.rung),
        rate(result.predicted.frames_per_s) if result and result.predicted and result.predicted.frames_per_s else NONE,
        number(accuracy.percent) if accuracy else NONE,
        NONE if drop is None else give_or_take(drop, around),
        NONE if download is None else number(download / 1e6),
        number(sum(record.seconds.values()), 0) if record else NONE,
    )


def _answer(outcome: Outcome) -> list[str]:
    if outcome.winner is None:
        return ["No trial came to a measurement: there is no winner."]
    entry, judged = outcome.winner
    reasons = f" by {', '.join(broken(judged.checks))}" if broken(judged.checks) else ""
    return [
        f"Winner: {entry.trial.model}, trial {entry.trial.method}, re-tested on the test split: "
        f"{VERDICTS[judged.verdict]}{reasons}. {'; '.join(_limits(judged))}.",
        *_sure(outcome, judged),
    ]


def _sure(outcome: Outcome, judged: Judgement) -> list[str]:
    """How far the test samples, and those that it was chosen by, bear the winner out."""
    found, limit = [], outcome.params.gates.accuracy_drop_points
    if judged.result.paired:
        found.append(
            f"By its test samples it loses at most {limit:g} points with {_chance(judged.result.paired, limit)}."
        )
    if outcome.second:
        entry, lost = outcome.second
        found.append(
            f"Its lead over the next, trial {entry.trial.method}: {give_or_take(lost.drop_points, lost.interval())} "
            f"points on the validation split ({CONFIDENCE:.0%} confidence)."
        )
    return found


def _chance(found: Paired, limit: float) -> str:
    share = found.certainty(limit)
    return "a certainty of " + (
        f"{share:.0%}" if 0.005 < share < 0.995 else "over 99 %" if share > 0.5 else "under 1 %"
    )


def _limits(judged: Judgement) -> list[str]:
    found = []
    for check in judged.checks:
        value = "not measured" if check.value is None else give_or_take(check.value, check.interval)
        found.append(f"{check.name} {value}{' predicted' if check.predicted else ''} (limit {check.limit:g})")
    return found


def _failures(outcome: Outcome) -> list[str]:
    """What could not be carried out or measured, each reason once."""
    found: dict[str, str] = {}
    for entry in _standings(outcome):
        record = entry.record
        reason = record.failed if record else None
        if record and record.result and record.result.accuracy.target is None:
            reason = record.result.not_measured.get("accuracy.target", "accuracy on target was not measured")
        if reason:
            found.setdefault(entry.trial.method, f"{entry.trial.method}: {reason}")
    return list(found.values())


def _notes(outcome: Outcome) -> list[str]:
    costs = [
        f"rung {rung} ({DOES[int(rung)]}): {sum(parts.values()):.0f} s"
        + "".join(f", {name} {seconds:.0f} s" for name, seconds in sorted(parts.items()))
        for rung, parts in _costs(outcome).items()
    ]
    return [
        "Trials are chosen by the validation split, which no training sees; the verdict is that of the test split.",
        f"Calculated in {best_precision(outcome.target)}. Speed is predicted. Time on all machines:",
        *costs,
        f"This run took {outcome.wall_s:.0f} s.",
    ]


def _costs(outcome: Outcome) -> dict[str, dict[str, float]]:
    """Seconds by rung and part of the work, summed over machines and earlier runs; each trial counts once."""
    records = {
        entry.trial.method: (entry.rung, entry.record)
        for entries in outcome.bracket.rounds
        for entry in entries
        if entry.record
    }
    costs: dict[str, dict[str, float]] = {}
    for rung, record in records.values():
        for name, seconds in record.seconds.items():
            parts = costs.setdefault(str(rung), {})
            parts[name] = round(parts.get(name, 0) + seconds, 3)
    return costs


def _yaml(entry: Entry) -> str:
    """The winner's recipe as it goes below `recipes:` in params.yaml, under a name to be changed."""
    recipes = {f"searched-{entry.trial.method[:4]}": entry.trial.recipe.as_yaml()}
    return indent(yaml.safe_dump(recipes, default_flow_style=None, sort_keys=False, width=10_000).rstrip(), "  ")
