"""edgeproof ci: what the jobs of GitHub Actions run, and anybody else can."""

import sys
from pathlib import Path

import click

from pipeline.cli.group import Group


@click.group(cls=Group)
def ci() -> None:
    """What the workflows run: plans, cache, verdict, summary, comment, history, nights."""


@ci.command()
@click.option("--base", help="Plan only what the change since this commit needs.")
def plan(base: str | None) -> None:
    """Print the jobs to run, as JSON matrices for GitHub Actions; in a job they are its step's output `jobs`.

    Without a base everything is planned; so it is for one that this repository does not have, which is what a forced
    push leaves.
    """
    from pipeline.ci.plan import plan
    from pipeline.system import workflow_commands
    from pipeline.system.errors import Missing

    try:
        found = plan(base)
    except Missing as error:
        click.echo(f"everything is planned: {error}", err=True)
        found = plan(None)
    click.echo(found.as_json())
    workflow_commands.output("jobs", found.as_json())


@ci.command("take-over")
def take_over() -> None:
    """Add to DVC's cache what earlier jobs handed on (.dvc/tmp/handed_on), and note what a job was given."""
    from pipeline.ci import handover

    click.echo(f"taken over: {handover.take_over()} archives")


@ci.command("hand-on")
@click.argument("name")
def hand_on(name: str) -> None:
    """Pack what this job added to DVC's cache as .dvc/tmp/cache-NAME.tar, for the jobs after it."""
    from pipeline.ci import handover

    click.echo(handover.hand_on(name))


@ci.command()
def gate() -> None:
    """Print every candidate's verdict, and annotate the limits that are not kept where they are set.

    Required boards have a say in it, where `edgeproof ci boards` has taken in what became of them. The exit code is a
    job's: 0 pass or not measured, which is a warning, 1 fail, 2 bad input.
    """
    from pipeline.ci import board_outcome, policy
    from pipeline.ci.annotations import annotations
    from pipeline.project.params import load_params
    from pipeline.records.gates import worst
    from pipeline.report import terminal
    from pipeline.report.collect import collect
    from pipeline.system import workflow_commands

    workflow_commands.stop()
    collected = collect(load_params())
    click.echo(terminal.render(collected))
    for annotation in annotations(collected):
        annotation.tell()
    boards = list(board_outcome.kept())
    for outcome in boards:
        click.echo(outcome.line)
    sys.exit(policy.exit_code(worst([collected.verdict, *(board.verdict for board in boards if board.required)])))


@ci.command()
def preflight() -> None:
    """Which boards are asked, and what for: the jobs that are started for boards, and the parcel that they are given.

    Boards whose file in runners/boards/ names labels are to be asked, where a candidate passes in the emulated lane.
    With LAB_TOKEN, which may read the repository's runners, one whose runner is off is not waited for; GITHUB_TOKEN
    with `actions: read` tells since when it was not seen. In a job, its step has the outputs `boards` (a matrix),
    `told` (all boards, for `edgeproof ci boards`) and `candidates` (the SHA-256 of artifacts/ci/candidates.tar).
    """
    import os

    from pipeline.ci import parcel, policy, preflight
    from pipeline.system import workflow_commands
    from pipeline.system.github_api import GitHub

    workflow_commands.stop()
    found = preflight.look(
        GitHub.of_environment() if os.environ.get("GITHUB_TOKEN") else None,
        GitHub.of_environment("LAB_TOKEN") if os.environ.get("LAB_TOKEN") else None,
    )
    if not found.outcomes:
        click.echo("no board is asked: no file in runners/boards/ names labels")
    for outcome in found.outcomes:
        click.echo("asked: " + outcome.board if outcome.state == "unanswered" else policy.tell(outcome))
    workflow_commands.output("boards", found.matrix)
    workflow_commands.output("told", found.told)
    if found.asked:
        sha256, said = parcel.pack(found.asked)
        click.echo(f"{parcel.FILE}: {sha256}\n{said}")
        workflow_commands.output("candidates", sha256)


@ci.command()
@click.argument("board")
@click.option("--sha256", required=True, help="Of artifacts/ci/candidates.tar, as `edgeproof ci preflight` said it.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True, envvar="MINUTES",
              help="After which the board hangs.")  # fmt: skip
@click.option("--power-seconds", type=click.FloatRange(0, 3600, min_open=True), envvar="POWER_SECONDS",
              help="Of full work under the power meter; the suite's own default else.")  # fmt: skip
def board(board: str, sha256: str, minutes: float, power_seconds: float | None) -> None:
    """Ask BOARD: verify and unpack what is to be measured, go through the suite, and keep what it came to.

    What it came to lies in artifacts/boards/BOARD. The exit code is 0 whatever the verdict, which `edgeproof ci gate`
    turns into red and green; 2 is bad input.
    """
    from pipeline.boards.board_file import load_board
    from pipeline.ci import board_job, parcel, policy
    from pipeline.system import workflow_commands

    workflow_commands.stop()
    found = load_board(board)
    click.echo(f"unpacked: {parcel.unpack(parcel.FILE, sha256)} files")
    options = [] if power_seconds is None else ["--power-seconds", f"{power_seconds:g}"]
    click.echo(policy.tell(board_job.run(found, minutes, options)))


@ci.command()
def boards() -> None:
    """Take in what the boards' jobs left in artifacts/boards: their records, and what became of each.

    BOARDS is what `edgeproof ci preflight` told; without it boards were not asked, as for a change of a fork.
    """
    import os

    from pipeline.ci import board_answers, policy
    from pipeline.system import workflow_commands

    workflow_commands.stop()
    for outcome in board_answers.take_in(os.environ.get("BOARDS", "")):
        click.echo(policy.tell(outcome))


@ci.command()
@click.option("--target", required=True, help="The device; `edgeproof targets` lists them.")
@click.option("--trials", type=click.IntRange(1), default=12, show_default=True, help="Recipes to begin with.")
def search(target: str, trials: int) -> None:
    """Finish a search from the trials that there are, and put its report into the run's summary.

    The exit code is a job's: 0 pass or not measured, which is a warning, 1 fail, 2 bad input.
    """
    from pipeline.ci import policy
    from pipeline.search import run, summary
    from pipeline.system import workflow_commands

    workflow_commands.stop()
    outcome = run.search(target, trials)
    summary.write(outcome)
    click.echo(summary.text(outcome))
    workflow_commands.summarize(summary.markdown(outcome))
    sys.exit(policy.exit_code(summary.verdict(outcome)))


@ci.command()
@click.option("--base", type=click.Path(path_type=Path), help="The base's record, as this verb wrote it there.")
@click.option("--page", default="", help="The address of the HTML report.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("artifacts/ci/summary.json"), show_default=True)
def summary(base: Path | None, page: str, out: Path) -> None:
    """Print the run's summary as Markdown, put it and the report into the run's own, and write its record.

    The record is what `edgeproof ci comment` and `edgeproof ci history` work from. A base that is not there is no
    error: the first run has none.
    """
    from pipeline.ci import run_summary

    click.echo(run_summary.write(out, base, page))


@ci.command()
def comment() -> None:
    """Bring the one comment on a pull request up to date, in a job that the end of a run starts (`workflow_run`).

    Wants GITHUB_TOKEN with `pull-requests: write` and `actions: read`. The run's artifact is taken for hostile.
    """
    import os

    from pipeline.ci import comment, run_ended
    from pipeline.system import workflow_commands
    from pipeline.system.github_api import GitHub

    workflow_commands.stop()
    server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"
    click.echo(comment.update(GitHub.of_environment(), run_ended.event().workflow_run, server))


@ci.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("artifacts/history"), show_default=True)
def history(file: Path | None, out: Path) -> None:
    """Draw what every commit of the main branch came to as a static page, from a FILE of the branch `history`.

    Without FILE, in a job that the end of a run on the main branch starts (`workflow_run`), the run is added to the
    branch first. Wants GITHUB_TOKEN with `contents: write` and `actions: read`.
    """
    import os

    from pipeline.ci import history_log, history_page, run_ended
    from pipeline.system import workflow_commands
    from pipeline.system.github_api import GitHub

    workflow_commands.stop()
    lines = history_log.lines_of(file) if file else history_log.remember(GitHub.of_environment(), run_ended.event())
    server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"
    repository = os.environ.get("GITHUB_REPOSITORY", "")
    history_page.write(out, lines, f"{server}/{repository}" if repository else "")
    click.echo(f"{len(lines)} commit{'s' if len(lines) != 1 else ''}: {out / 'index.html'}")


@ci.command()
def night() -> None:
    """Have params.yaml ask for as many audited samples as a night has time for."""
    from pipeline.ci.night import ask_for_more

    click.echo(f"{ask_for_more()} samples of each re-test are audited")


@ci.command()
def retry() -> None:
    """Re-test once more what has no answers yet, or none that anybody has proven, and report anew."""
    from pipeline.ci import night

    for judgement in night.retry():
        click.echo(f"re-tested: {judgement.result.candidate} on {judgement.result.target}")


@ci.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--record", type=click.Path(path_type=Path), default=Path("artifacts/ci/summary.json"), show_default=True)
def drift(file: Path | None, record: Path) -> None:
    """Hold a night's record, as `edgeproof ci summary` writes it, against a FILE of the branch `history`.

    Without FILE the branch is read on GitHub, for which it wants GITHUB_TOKEN with `contents: read`. The exit code is
    a job's: 0 no drift, or nothing to compare with, which is a warning, 1 a number that is worse, 2 bad input.
    """
    from pipeline.ci import drift, history_log, policy, run_record
    from pipeline.system import workflow_commands
    from pipeline.system.errors import Missing
    from pipeline.system.github_api import GitHub

    workflow_commands.stop()
    if not record.is_file():
        raise Missing(f"{record}: no such file; `edgeproof ci summary` writes it")
    lines = history_log.lines_of(file) if file else history_log.read(GitHub.of_environment())[1]
    found = drift.compare(lines, run_record.read(record.read_bytes()))
    for one in found:
        if one.worse:
            click.echo(one.words)
            workflow_commands.annotate("error", one.words, title="drift")
    click.echo(f"{len(found)} numbers compared with {len(lines)} commits of the main branch")
    sys.exit(policy.exit_code(drift.verdict(found)))


@ci.command()
def watchdog() -> None:
    """Open one issue for nights that fail or do not come and for silent boards, keep it up to date, close it.

    Wants GITHUB_TOKEN with `issues: write` and `actions: read`, on a hosted machine. The boards are those of
    runners/boards/ that have labels.
    """
    import os
    from datetime import datetime, timezone

    from pipeline.ci import preflight, watchdog
    from pipeline.system import workflow_commands
    from pipeline.system.github_api import GitHub

    workflow_commands.stop()
    server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"
    click.echo(watchdog.watch(GitHub.of_environment(), preflight.declared(), server, datetime.now(timezone.utc)))


@ci.command()
@click.argument("branch")
@click.option("--out", type=click.Path(path_type=Path), default=Path("decisions.json"), show_default=True)
def decisions(branch: str, out: Path) -> None:
    """Fetch decisions.json, which the review page saved, from a BRANCH that nobody checks out.

    Wants GITHUB_TOKEN with `contents: read`. `edgeproof ingest apply` takes the file for hostile.
    """
    from pipeline.ci import data_proposal
    from pipeline.system.github_api import GitHub

    data_proposal.fetch_decisions(GitHub.of_environment(), branch, out)
    click.echo(f"{out}: {out.stat().st_size:,} bytes")


@ci.command("propose-data")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--main", default="main", show_default=True, help="The branch that it is proposed to.")
def propose_data(folder: Path, main: str) -> None:
    """Open a pull request with the data.dvc that is in FOLDER, and start pr.yml on it; applied.txt says what changed.

    Wants GITHUB_TOKEN with `contents`, `pull-requests` and `actions: write`. What is in FOLDER is taken for hostile.
    """
    import os

    from pipeline.ci import data_proposal
    from pipeline.system import workflow_commands
    from pipeline.system.errors import BadData
    from pipeline.system.github_api import GitHub

    workflow_commands.stop()
    try:
        content = (folder / data_proposal.POINTER).read_bytes()
        text = (folder / "applied.txt").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadData(f"{error.filename}: cannot be read ({error.strerror})") from error
    run = f"{os.environ.get('GITHUB_RUN_ID', '0')}-{os.environ.get('GITHUB_RUN_ATTEMPT', '1')}"
    click.echo(data_proposal.propose(GitHub.of_environment(), main, content, text, run))


COMMANDS = [ci]
