"""The table for the terminal and for logs: at least 100 columns wide, coloured only where somebody is looking."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from pipeline.records.gates import Judgement
from pipeline.records.words import STYLES, VERDICTS, broken
from pipeline.report import table
from pipeline.report.answer import answer
from pipeline.report.collect import Collected
from pipeline.system.console import Page

SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def render(collected: Collected) -> str:
    """The whole summary as text."""
    page, words = Page(), table.build(collected)
    console = page.console
    for section in words.sections:
        _section(console, section)
    for title, lines in (("Refused", words.refused), ("Not measured, or not certain", _numbered(words.notes))):
        _list(console, title, lines)
    for line in words.caption:
        console.print(Text(line, style="dim"))
    console.print()
    console.print(Text(answer(collected).sentence, style="bold"))
    return page.text


def _section(console: Console, section: table.Section) -> None:
    profile, verdict = section.target.profile, section.target.verdict
    console.print(Text.assemble((section.target.name, "bold"), "  ", (VERDICTS[verdict], STYLES[verdict])))
    console.print(Text(profile.description, style="dim"))
    console.print(Text(f"Objective: {section.objective}. Lane: {section.lane}.", style="dim"))
    if section.rows:
        console.print(Padding(_grid(section), (1, 0, 1, 0)))
    else:
        console.print("No candidate fits this target.\n")
    harmful = [layers for layers in section.layers if layers.harmful]
    for layers in harmful:
        console.print(Text.assemble((f"{layers.candidate}: ", "bold"), layers.sentence, style="dim"))
    if harmful:
        console.print()


def _grid(section: table.Section) -> RichTable:
    """Candidates stand below their model: its name once, not in every row. Only the last column may wrap."""
    grid = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column("\n\ncandidate", no_wrap=True)
    for column in table.COLUMNS:
        lines = f"{column.head}\n{column.unit}".replace(" ", "\n")
        grid.add_column("\n" * (2 - lines.count("\n")) + lines, justify="right", no_wrap=True)
    grid.add_column("\n\nverdict")
    model = None
    for row in section.rows:
        result = row.judgement.result
        if result.model != model:
            model = result.model
            grid.add_row(Text(model, style="bold"))
        grid.add_row(Text(f"  {result.method}"), *(_cell(cell) for cell in row.cells), _verdict(row.judgement))
    return grid


def _cell(cell: table.Cell) -> Text:
    words = cell.text if cell.measured else cell.text.replace(" ", "\n")
    return Text(f"{words}{_marks(cell.marks)}", style=STYLES[cell.verdict] if cell.verdict else "")


def _verdict(judgement: Judgement) -> Text:
    reasons = broken(judgement.checks)
    shown = VERDICTS[judgement.verdict] + (f" {', '.join(reasons)}" if reasons else "")
    return Text(shown, style=STYLES[judgement.verdict])


def _marks(marks: table.Marks) -> str:
    return "".join(str(mark).translate(SUPERSCRIPT) for mark in marks)


def _numbered(notes: list[str]) -> list[str]:
    return [f"{_marks((number,))} {note}" for number, note in enumerate(notes, start=1)]


def _list(console: Console, title: str, lines: list[str]) -> None:
    if lines:
        console.print(Text(title, style="bold"))
        for line in lines:
            console.print(Padding(Text(line), (0, 0, 0, 2)))
        console.print()
