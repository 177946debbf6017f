"""The record of a candidate on a board, and what it comes to.

A real board's record is of the lane `device`. On an emulated board nothing of speed and watts is measured: the record
is that of the re-test, with what this board answered in its place, and speed is predicted.
"""

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from pipeline.device.session import Session
from pipeline.project import layout
from pipeline.project.params import load_params
from pipeline.records.board import Fingerprint, Health, Measured, Watts
from pipeline.records.gates import Check, Gates, Verdict, judge_change, judge_result, worst
from pipeline.records.paired import paired
from pipeline.records.predictions import Prediction
from pipeline.records.results import Accuracies, Result
from pipeline.records.words import LIMITS, NOT_MEASURED, UNITS, VERDICTS, number
from pipeline.retest.score import accuracy, agreement_percent, classes
from pipeline.system.errors import InputError
from pipeline.system.versions import git_commit
from runners.contract import loop_figures


@dataclass(frozen=True)
class Judged:
    """A record with its checks, as gates.py judges them; with a base, those of speed as a change is judged."""

    result: Result
    checks: tuple[Check, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def verdict(self) -> Verdict:
        """Fail if any limit is broken, else not_measured if any value is missing, else pass."""
        return worst(self.verdicts)


def judged(session: Session, gates: Gates) -> Judged:
    """Hold what a session found against the limits."""
    record = result(session)
    checks = judge_result(record, session.target.objective, gates).checks
    if session.subject.labels is None:  # nobody said what is right
        checks = tuple(check for check in checks if check.name != "accuracy_drop_points")
    verdicts = [check.verdict for check in checks]
    if session.base is not None:
        rounds = session.found.speed.rounds if session.found.speed else []
        verdicts = [judge_change(c, rounds) if c.name == "frames_per_s" else c.verdict for c in checks]
    return Judged(record, checks, tuple(verdicts))


def gates_of(session: Session) -> Gates:
    """The limits of params.yaml; of a stranger's file no more than the target's own."""
    return load_params().gates if session.subject.method else Gates(accuracy_drop_points=0)


def write(session: Session, record: Result) -> None:
    """Keep a record of a required board's as its target's, beside that of the emulated lane."""
    board, subject = session.on.board, session.subject
    if board.measures and subject.method:
        name = session.target.name if board.required else f"{session.target.name}@{board.name}"
        record.write(layout.result("device", subject.model, subject.method, name))


def result(session: Session) -> Result:
    """The record."""
    found, subject, target, board = session.found, session.subject, session.target, session.on.board
    not_measured = dict(found.not_measured)
    fields: dict[str, Any] = {"grade": "fails" if found.fails else None}
    if found.agreement is not None:
        fields |= {"grade": found.agreement.grade, "audit": found.agreement.audit}
        if found.agreement.audit.reason:
            not_measured["agreement"] = found.agreement.audit.reason
    if found.answers is not None and subject.labels is not None:
        fields |= _accuracy(session, found.answers.logits)
    elif subject.labels is not None:
        not_measured.setdefault("accuracy", not_measured.get("health") or _first(not_measured))
    if board.measures:
        measured, reasons = _measured(session)
        fields["measured"] = measured
        not_measured |= reasons
    else:
        fields |= _of_emulation(session)
        if fields["grade"] == "unaudited":
            not_measured["proof"] = "no re-test has proven the emulation for this file; `edgeproof check` does"
        not_measured["measured"] = "speed and power are measured on a board, never in the cloud"
    return Result.model_validate(
        {
            "model": subject.model,
            "method": subject.method,
            "target": target.name,
            "lane": "device" if board.measures else "emulated",
            "precision": subject.precision,
            "input_size": subject.wanted.size,
            "classes": subject.wanted.classes,
            "size_bytes": sum(path.stat().st_size for path in subject.folder.glob("model.*")),
            "download_bytes": subject.download.stat().st_size,
            "model_sha256": subject.model_sha256,
            "data_sha256": subject.data_sha256,
            "git_commit": git_commit(),
            "versions": (found.fingerprint or {}).get("versions", {}),
            **fields,
            "not_measured": not_measured,
        }
    )


def predicted(session: Session) -> tuple[Prediction | None, str | None]:
    """What the target is expected to do with a session's candidate, or why that is not known."""
    from pipeline.predict import predict

    subject, target = session.subject, session.target
    if subject.emulated is not None and subject.emulated.predicted is not None:
        return subject.emulated.predicted, None
    try:
        found = predict(subject.file, target, subject.precision, batch=target.objective.regions_per_frame)
    except InputError as error:
        return None, str(error)
    return found.model_copy(update={"layers": []}), None


def _accuracy(session: Session, logits: Any) -> dict[str, Any]:
    subject, labels = session.subject, session.subject.labels
    assert labels is not None
    answers, parent = classes(logits), subject.parent
    count = len(subject.wanted.classes)
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (labels[answers >= 0], answers[answers >= 0]), 1)
    found: dict[str, Any] = {
        "accuracy": Accuracies(
            fp32=None if parent is None else accuracy(parent, labels), target=accuracy(logits, labels)
        ),
        "predictions": answers.tolist(),
        "confusion": confusion.tolist(),
    }
    if parent is not None:
        found["agreement_percent"] = agreement_percent(logits, parent)
        found["paired"] = paired(classes(parent) == labels, answers == labels, subject.groups)
    return found


def _measured(session: Session) -> tuple[Measured | None, dict[str, str]]:
    found, target = session.found, session.target
    if found.speed is None or found.answers is None or found.fingerprint is None:
        why = found.not_measured.get("speed") or _first(found.not_measured)
        return None, {"measured": why}
    full = target.objective.regions_per_frame
    loop = found.speed.loops[full]
    if loop.fps is None:
        return None, {"measured": "the program counted no frames"}
    latency_ms = found.answers.latency_ms[1:] or found.answers.latency_ms  # the first one warms up
    per_s = {n: one.fps for n, one in found.speed.loops.items() if one.fps}
    dropped = [camera.get("dropped", 0) for camera in loop.cameras.values()]
    health = {moment: Health(**seen) for moment, seen in found.speed.health.items() if seen}
    measured = Measured(
        fingerprint=Fingerprint(**found.fingerprint),
        regions_per_frame=full,
        latency_ms=latency_ms,
        regions_per_s=loop.regions_per_second or 1000 * full / median(latency_ms),
        frames_per_s=per_s,
        frames_dropped=sum(dropped),
        load_ms=1000 * loop.start_seconds or None,
        peak_memory_mib=round(loop.peak_memory_mib) if loop.peak_memory_mib else None,
        power=Watts(**found.power) if found.power else None,
        **health,  # type: ignore[arg-type]
    )
    reasons = {} if found.power else {"power": found.not_measured.get("power", "no power was read")}
    return measured, reasons


def _of_emulation(session: Session) -> dict[str, Any]:
    """What holds of an emulated board: the re-test's proof where its answers are the same, and what is predicted."""
    found, emulated = session.found, session.subject.emulated
    fields: dict[str, Any] = {"predicted": predicted(session)[0]}
    if emulated is not None and found.agreement is not None and found.agreement.grade != "fails":
        fields |= {"grade": emulated.grade, "audit": emulated.audit}
    elif found.agreement is not None and found.agreement.grade == "exact":
        fields["grade"] = "unaudited"  # equal to the emulation, which nobody has proven for this file
    return fields


def _first(reasons: dict[str, str]) -> str:
    return next(iter(reasons.values()), "nobody asked")


def as_json(session: Session, found: Judged) -> dict[str, Any]:
    """A session with its raw numbers, as JSON."""
    speed = session.found.speed
    return {
        "board": session.on.board.name,
        "of_the_target": session.on.board.measures,
        "verdict": found.verdict,
        "checks": [{**asdict(check), "verdict": own} for check, own in zip(found.checks, found.verdicts, strict=True)],
        "loop": {} if speed is None else {n: loop_figures.as_json(one) for n, one in speed.loops.items()},
        "base_and_head": [] if speed is None else speed.rounds,
        "infrastructure": session.found.infrastructure,
        "result": found.result.model_dump(mode="json"),
    }


def told(check: Check) -> str:
    """A limit and what was found, in words."""
    name, unit = LIMITS.get(check.name, check.name), UNITS.get(check.name, "%")
    value = NOT_MEASURED if check.value is None else f"{number(check.value)} {unit}"
    if check.name == "proof":  # there is one, or there is none
        return f"{name} {NOT_MEASURED}" if check.value is None else name
    how = " (predicted)" if check.predicted else ""
    return f"{name} {value}{how}, limit {check.limit:g} {unit}"


def lines(session: Session, found: Judged) -> list[str]:
    """What a candidate came to, for a terminal."""
    board, record = session.on.board, found.result
    text = [f"{session.subject.name} on {board.name} ({session.target.name}): {VERDICTS[found.verdict]}"]
    for check, verdict in zip(found.checks, found.verdicts, strict=True):
        text.append(f"  {VERDICTS[verdict]:13} {told(check)}")
    if session.found.agreement is not None:
        same = session.found.agreement
        text.append(
            f"  agreement     {same.same_percent:.1f} % equal classes with the emulated lane on {same.audit.samples} "
            f"regions, largest difference {same.audit.largest_difference:g}"
        )
    if session.found.speed is not None:
        text += _speed_lines(session)
    if session.found.speed and session.found.speed.rounds:
        rounds = (f"{base:.2f} and {head:.2f}" for base, head in session.found.speed.rounds)
        text.append(f"  base and head {', '.join(rounds)} frames/s, by turns")
    if session.found.power:
        states = session.found.power["by_state_w"].items()
        text.append(f"  power         {', '.join(f'{state} {watts:.2f} W' for state, watts in sorted(states))}")
    if not board.measures and record.predicted is not None:
        power = (
            f", {record.predicted.power_w:.1f} W ({record.predicted.power_basis})" if record.predicted.power_w else ""
        )
        text.append(
            f"  predicted     {record.predicted.inferences_per_s:.0f} regions/s by the network alone, ± "
            f"{record.predicted.error_percent:.0f} %{power}"
        )
    text += [f"  tried again   {note}" for note in session.found.infrastructure]
    of_reason: dict[str, list[str]] = {}  # what is missing, by what it is missing for
    for what, why in sorted(record.not_measured.items()):
        of_reason.setdefault(why, []).append(what)
    text += [f"  not measured: {', '.join(missing)}: {why}" for why, missing in of_reason.items()]
    return text


def _speed_lines(session: Session) -> list[str]:
    assert session.found.speed is not None
    loops = session.found.speed.loops
    where = "" if session.on.board.measures else " of this machine, which tells nothing of the target"
    rates = ", ".join(f"{n}: {one.fps:.1f}" for n, one in sorted(loops.items()) if one.fps)
    text = [f"  frames/s      by regions {rates}{where}"]
    full = loops[max(loops)]
    if full.classifier_p50_ms is not None:
        text.append(
            f"  network       {full.classifier_p50_ms:.2f} ms a batch of {max(loops)}, p99 "
            f"{full.classifier_p99_ms:.2f} ms; {full.peak_memory_mib:.0f} MiB; first answer after "
            f"{full.start_seconds:.1f} s{where}"
        )
    return text
