"""The summary as Markdown, for the run summary of GitHub Actions and for a pull request's comment.

Every value that the template prints is escaped, whoever wrote it: names and reasons can break no table, open no tag
and mention nobody.
"""

from pathlib import Path

from pipeline.records.words import GRADES, VERDICTS, broken
from pipeline.report import from_devices, table
from pipeline.report.answer import answer
from pipeline.report.collect import Collected
from pipeline.system.console import escape_markdown
from pipeline.system.templates import template


def render(collected: Collected) -> str:
    """The whole file."""
    words = table.build(collected)
    return template(Path(__file__).with_name("report.md.j2"), finalize=escape_markdown).render(
        words=words,
        columns=table.COLUMNS,
        answer=answer(collected),
        broken=broken,
        captured=from_devices.read(),
        grades=GRADES,
        layers=[layers for section in words.sections for layers in section.layers],
        verdicts=VERDICTS,
    )
