"""A check in GitHub Actions: an annotation of the model's file, the run's summary, and the step's output `verdict`."""

import os
from pathlib import Path

from pipeline.check.printout import told
from pipeline.check.record import CheckReport
from pipeline.records.gates import Verdict
from pipeline.records.words import VERDICTS
from pipeline.system import workflow_commands
from pipeline.system.console import escape_markdown
from pipeline.system.errors import shown
from pipeline.system.workflow_commands import Level

LEVELS: dict[Verdict, Level] = {"fail": "error", "not_measured": "warning"}


def tell(report: CheckReport, printout: str, model: Path) -> None:
    """Tell the runner, where there is one. A check that does not pass is one annotation, whatever it fails by."""
    if level := LEVELS.get(report.verdict):
        title = f"{report.model.path} on {report.target}: {VERDICTS[report.verdict]}"
        not_kept = told(check for check in report.checks if check.verdict != "pass")
        message = f"{'; '.join(not_kept)}\n{report.advice}"
        workflow_commands.annotate(level, message, file=_in_repository(model), title=title)
    workflow_commands.summarize(markdown(report, printout))
    workflow_commands.output("verdict", report.verdict)


def markdown(report: CheckReport, printout: str) -> str:
    """The verdict in the first line, what it follows from, and the whole printout to unfold."""
    head = f"## {VERDICTS[report.verdict]}: {escape_markdown(report.model.path)} on {report.target}"
    reasons = "\n".join(f"- {escape_markdown(words)}" for words in told(report.checks))
    # Indented by four it is code, whatever stands in a name.
    code = "\n".join(f"    {line}" for line in printout.splitlines())
    details = f"<details>\n<summary>The whole check</summary>\n\n{code}\n\n</details>\n"
    return "\n\n".join([head, reasons, escape_markdown(report.advice), details])


def _in_repository(model: Path) -> str:
    """The model as the repository's pages name it; one that is outside as the user does."""
    path = os.path.relpath(model, os.environ.get("GITHUB_WORKSPACE", "."))
    return shown(model if path.startswith("..") else path)
