"""Text for people: as wide as the terminal, coloured where somebody is looking, and with names that break no table."""

import io
import re
import shutil
import sys

NARROWEST = 100  # the tables need as much
ENTITIES = re.compile(r"[&<>|@]|(?<=:)//")
SYNTAX = re.compile(r"([\\`*_\[\]~$#!^])")


class Page:
    """What is printed to `console` (Rich's), kept as text."""

    def __init__(self, widest: int = 130) -> None:
        from rich.console import Console

        width = min(max(shutil.get_terminal_size((NARROWEST, 24)).columns, NARROWEST), widest)
        self._out = io.StringIO()
        self.console = Console(
            file=self._out, width=width, force_terminal=sys.stdout.isatty(), highlight=False, markup=False
        )

    @property
    def lines(self) -> list[str]:
        """All that was printed, without blanks at the ends of lines."""
        return [line.rstrip() for line in self._out.getvalue().splitlines()]

    @property
    def text(self) -> str:
        """The same in one piece."""
        return "\n".join(self.lines)


def one_line(text: str) -> str:
    """Reasons come from other programs and may hold line breaks."""
    return " ".join(text.split())


def escape_markdown(value: object) -> str:
    """A value as text of one line, without any meaning to Markdown or HTML."""
    text = SYNTAX.sub(r"\\\1", one_line(str(value)))
    return ENTITIES.sub(lambda found: "".join(f"&#{ord(character)};" for character in found.group()), text)
