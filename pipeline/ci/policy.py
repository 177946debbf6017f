"""What a verdict does to a job: pass and fail are green and red, and not_measured is a warning on a green job.

A job that were red for want of a board would teach people to merge what is red. The verdict itself stays what it is:
the summary, the comment and every record say that nothing was passed.
"""

from pipeline.ci.board_outcome import Outcome
from pipeline.records.gates import EXIT_CODES, Verdict
from pipeline.records.words import VERDICTS
from pipeline.system import workflow_commands
from pipeline.system.workflow_commands import Level


def exit_code(verdict: Verdict) -> int:
    """The exit code of a job with this verdict; tells the runner where it is none of pass and fail."""
    if verdict != "not_measured":
        return EXIT_CODES[verdict]
    message = "This is no pass. Limits without a measurement: see the run summary."
    workflow_commands.annotate("warning", message, title="Verdict: not measured")
    return 0


def tell(outcome: Outcome) -> str:
    """What became of a board, in a line; to the runner too where it passed nothing. An advisory one is never red."""
    if outcome.verdict != "pass":
        level: Level = "error" if outcome.verdict == "fail" and outcome.required else "warning"
        workflow_commands.annotate(level, outcome.line, title=f"Board: {VERDICTS[outcome.verdict]}")
    return outcome.line
