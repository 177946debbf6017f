"""The summary as Markdown, for the run summary of GitHub Actions and for a pull request's comment.

Every value that the template prints is escaped, whoever wrote it: names and reasons can break no table, open no tag
and mention nobody.
"""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.report import table
from pipeline.report.answer import answer
from pipeline.report.collect import Collected
from pipeline.report.words import GRADES, VERDICTS, broken, one_line

ENTITIES = re.compile(r"[&<>|@]|(?<=:)//")
SYNTAX = re.compile(r"([\\`*_\[\]~$#!^])")


def render(collected: Collected) -> str:
    """The whole file."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    words = table.build(collected)
    return templates.get_template("report.md.j2").render(
        words=words,
        columns=table.COLUMNS,
        answer=answer(collected),
        broken=broken,
        grades=GRADES,
        layers=[layers for section in words.sections for layers in section.layers],
        verdicts=VERDICTS,
    )


def escape(value: object) -> str:
    """A value as text of one line, without any meaning to Markdown or HTML."""
    text = SYNTAX.sub(r"\\\1", one_line(str(value)))
    return ENTITIES.sub(lambda found: "".join(f"&#{ord(character)};" for character in found.group()), text)
