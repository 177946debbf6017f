"""What was found, for people and for programs."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table
from rich.text import Text

from pipeline.doctor.examination import Examined, verdict
from pipeline.doctor.finding import Finding
from pipeline.records.words import STYLES, VERDICTS
from pipeline.system.console import Page
from pipeline.system.errors import shown


def text(found: list[Examined]) -> str:
    """By place, a line for each finding, with why it matters and how to mend it below those that did not pass."""
    page = Page()
    for place in dict.fromkeys(each.place for each in found):
        page.console.print(Text(place, style="bold"))
        grid = Table.grid(padding=(0, 2, 0, 0))
        for finding, checks in _same(each for each in found if each.place == place).items():
            lines = [finding.what, *(f"{word}: {said}" for word, said in _more(finding) if said)]
            words = Text(VERDICTS[finding.verdict], style=STYLES[finding.verdict])
            grid.add_row(words, Text("\n".join(checks)), Text("\n".join(map(shown, lines))))
        page.console.print(grid)
        page.console.print()
    numbers = {word: sum(each.finding.verdict == word for each in found) for word in VERDICTS}
    ending = ", ".join(f"{number} {VERDICTS[word]}" for word, number in numbers.items() if number)
    page.console.print(Text(ending, style=STYLES[verdict(found)]))
    return page.text


def as_json(found: list[Examined]) -> dict[str, Any]:
    """The verdict, and all findings in their order."""
    return {
        "verdict": verdict(found),
        "findings": [{"place": each.place, "check": each.check, **vars(each.finding)} for each in found],
    }


def _same(found: Iterable[Examined]) -> dict[Finding, list[str]]:
    """What several checks found alike, such as that there is no token, once, with the names of the checks."""
    checks: dict[Finding, list[str]] = {}
    for each in found:
        checks.setdefault(each.finding, []).append(each.check)
    return checks


def _more(finding: Finding) -> tuple[tuple[str, str], ...]:
    return ("why", finding.why), ("fix", finding.fix)
