"""What is asked of the project as a whole: verdicts, the search, the spread."""

import json
import sys
from pathlib import Path

import click

from pipeline.cli.options import MACHINE
from pipeline.system.errors import InputError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
def gate(as_json: bool) -> None:
    """Print every candidate's verdict; the exit code is that of the worst target.

    A target passes when one of its candidates keeps every limit.
    """
    from pipeline.project.params import load_params
    from pipeline.records.gates import EXIT_CODES, worst
    from pipeline.report import summary

    verdicts, table, record = summary(load_params())
    click.echo(json.dumps(record, indent=2) if as_json else table)
    sys.exit(EXIT_CODES[worst(verdicts.values())])


@click.command()
@click.option("--target", required=True, help="The device; `edgeproof targets` lists them.")
@click.option("--trials", type=click.IntRange(1), default=12, show_default=True, help="Recipes to begin with.")
@click.option(
    "--plan", is_flag=True, help="Only print the trials to evaluate now, as a JSON matrix; a job's output `trials`."
)
@click.option("--trial", metavar="ID", help="Only evaluate this one of them.")
@click.option("--workers", metavar="ADDRESS", help="Evaluate on the workers of this Dask scheduler: tcp://HOST:8786.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the outcome here.")
def search(
    target: str, trials: int, plan: bool, trial: str | None, workers: str | None, json_file: Path | None
) -> None:
    """Find the candidate that keeps the gates of a target best, over all models of params.yaml.

    Varies pruning, re-training, quantization and weight sharing: many recipes without re-training first, the best
    third with a short one, the best third of those in full. It uses all cores, or the workers of a Dask cluster, and
    goes on where it was stopped. Trials are chosen by the validation split; the exit code is the winner's verdict on
    the test split.
    """
    from pipeline.records.gates import EXIT_CODES
    from pipeline.search import run
    from pipeline.system import files, workflow_commands

    if (json_file or workers) and (plan or trial):
        raise InputError(f"{'--json' if json_file else '--workers'} goes with a whole search")
    if plan:
        matrix = json.dumps(run.pending(target, trials), separators=(",", ":"))
        click.echo(matrix)
        workflow_commands.output("trials", matrix)
        return
    if trial:
        record = run.evaluate(target, trials, trial)
        click.echo(f"{trial}: {record.failed or 'evaluated'}")
        return
    from pipeline.search import summary

    if json_file:
        files.check_writable(json_file, "JSON")
    outcome = run.search(target, trials, workers)
    summary.write(outcome)
    if json_file:
        files.write_json(json_file, summary.as_json(outcome))
    click.echo(summary.text(outcome))
    click.echo(f"report: {summary.path(outcome)}")
    sys.exit(EXIT_CODES[summary.verdict(outcome)])


@click.command()
@click.argument("methods", nargs=-1, metavar="[METHOD]...")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="Trainings: seeds 0, 1, ...")
@click.option(
    "--machine",
    "on",
    type=MACHINE,
    multiple=True,
    default=("this",),
    show_default="this",
    help="Train as on this machine, or as on one that has such instructions at most; on all that you name.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all numbers here.")
def repeat(methods: tuple[str, ...], seeds: int, on: tuple[str, ...], json_file: Path | None) -> None:
    """Train METHODS of params.yaml again from other seeds, each from a parent of its own, and say how they spread.

    By default all methods, on this machine. A number from one training is an anecdote: this says what of it is the
    recipe. It goes on where it was stopped, and ends with 0 where every target has a method that passes in every
    training.

    \b
    edgeproof repeat pruned-int8 --seeds 5
    edgeproof repeat pruned-int8 --machine this --machine avx2 --machine sse41
    """
    from pipeline.project import layout
    from pipeline.project.params import load_params
    from pipeline.records.gates import EXIT_CODES
    from pipeline.repeat import spread, trainings
    from pipeline.system import files

    if json_file:
        files.check_writable(json_file, "JSON")
    params = load_params()
    found = trainings.repeat(params, methods or params.methods, seeds, on)
    limit = params.gates.accuracy_drop_points
    files.write_bytes(layout.REPEAT / "report.md", spread.markdown(found, limit).encode())
    if json_file:
        files.write_json(json_file, spread.as_json(found, limit))
    click.echo(spread.text(found, limit))
    click.echo(f"report: {layout.REPEAT / 'report.md'}")
    sys.exit(EXIT_CODES[spread.verdict(spread.spreads(found, limit))])


@click.command("cache-key")
def cache_key() -> None:
    """Print the key under which hosted machines keep downloads: it follows the code that fetches them."""
    from pipeline.project import code

    click.echo(code.content(code.REPOSITORY, code.DOWNLOADS))


COMMANDS = [gate, search, repeat, cache_key]
