"""edgeproof ci: what the jobs of GitHub Actions run, and anybody else can."""

import sys
from pathlib import Path

import click

from pipeline.cli.group import Group


@click.group(cls=Group)
def ci() -> None:
    """What the workflows run: plans, cache, verdict, summary, comment, history."""


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

    The exit code is a job's: 0 pass or not measured, which is a warning, 1 fail, 2 bad input.
    """
    from pipeline.ci import policy
    from pipeline.ci.annotations import annotations
    from pipeline.project.params import load_params
    from pipeline.report import terminal
    from pipeline.report.collect import collect
    from pipeline.system import workflow_commands

    workflow_commands.stop()
    collected = collect(load_params())
    click.echo(terminal.render(collected))
    for annotation in annotations(collected):
        annotation.tell()
    sys.exit(policy.exit_code(collected.verdict))


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
    from pipeline.system.errors import Missing
    from pipeline.system.github_api import GitHub

    workflow_commands.stop()
    if file is not None and not file.is_file():
        raise Missing(f"{file}: no such file; `git show origin/history:history.jsonl` prints it")
    if file is None:
        lines = history_log.remember(GitHub.of_environment(), run_ended.event())
    else:
        lines = history_log.parse(file.read_text(encoding="utf-8"))
    server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"
    repository = os.environ.get("GITHUB_REPOSITORY", "")
    history_page.write(out, lines, f"{server}/{repository}" if repository else "")
    click.echo(f"{len(lines)} commit{'s' if len(lines) != 1 else ''}: {out / 'index.html'}")


COMMANDS = [ci]
