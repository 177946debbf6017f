"""What a run says of itself: its record for others, and its summary on GitHub's page of the run."""

from pathlib import Path

from pipeline.ci import board_outcome, run_record, summary_text
from pipeline.ci.summary_text import Base, Links
from pipeline.project import layout
from pipeline.project.params import load_params
from pipeline.report import MARKDOWN
from pipeline.report.collect import collect
from pipeline.system import files, workflow_commands
from pipeline.system.errors import BadData


def write(out: Path, base: Path | None, page: str) -> str:
    """Write the record to `out` and append the summary to the run's own, with the report folded in; the summary.

    Raises:
        InputError: a result is missing or damaged, or `out` cannot be written.
    """
    files.check_writable(out, "JSON", base)
    record = run_record.of(collect(load_params()), list(board_outcome.kept()))
    files.write_bytes(out, record.as_json())
    text = summary_text.markdown(record, record.commit or "", _read(base), Links(page=page))
    report = layout.REPORT / MARKDOWN
    if report.exists():
        workflow_commands.summarize(f"{text}\n{_folded(report.read_text(encoding='utf-8'))}")
    else:
        workflow_commands.summarize(text)
    return text


def _folded(report: str) -> str:
    return f"<details><summary>The whole report</summary>\n\n{report}\n</details>\n"


def _read(base: Path | None) -> Base | None:
    if base is None or not base.exists():
        return None
    files.check_file(base)
    try:
        record = run_record.read(base.read_bytes())
    except BadData:  # of an older version: as good as none
        return None
    return Base(record, record.commit or "")
