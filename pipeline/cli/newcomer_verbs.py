"""What somebody new begins with: a project of one's own, and what is still wrong with it."""

import json
import shlex
import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="A file with a token that may read the repository's settings; by default GITHUB_TOKEN is taken.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all findings as JSON.")
def doctor(token_file: Path | None, as_json: bool) -> None:
    """Say what keeps this project from working, here and on GitHub, and how to mend it.

    On GitHub it reads settings through the REST API, for the repository that GITHUB_REPOSITORY or the remote `origin`
    names: a fine-grained token needs Administration: read and Actions: read, and for an organization's runner groups
    Self-hosted runners: read. It changes nothing. GITHUB_API_URL names the API of another server than github.com.

    What could not be looked at is not measured, and says which permission it takes. Exit codes: 0 all is well, 1
    something is wrong, 2 bad input, 3 something could not be looked at.
    """
    from pipeline.doctor import diagnosis, examination, examined
    from pipeline.records.gates import EXIT_CODES

    found = examination.examine(examined.here(token_file))
    click.echo(json.dumps(diagnosis.as_json(found), indent=2) if as_json else diagnosis.text(found))
    sys.exit(EXIT_CODES[examination.verdict(found)])


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option("--data", "photos", type=click.Path(path_type=Path), help="Your images, as `data import` takes them.")
@click.option("--target", "targets", multiple=True, help="A device that you have; `edgeproof targets` lists them.")
@click.option("--keep", is_flag=True, help="Where FOLDER holds other files of the same names, leave those as they are.")
def init(folder: Path, photos: Path | None, targets: tuple[str, ...], keep: bool) -> None:
    """Make FOLDER, new or with a Git repository of yours in it, a project of your own.

    It gets all files of this version of edgeproof: workflows, stages, code, and params.yaml for your targets. Your
    images become its data. Nothing of yours is changed: files that differ are named, and nothing is written. Lines are
    added to .gitignore only. Done again, it does nothing.

    \b
    edgeproof init my-model --data photos/ --target atom-x5-e3940
    """
    from pipeline.cli.counts import print_counts, print_notes
    from pipeline.init import founding

    done = founding.found(folder, photos, targets, keep)
    if done.imported:
        tests = sum(sample.split == "test" for sample in done.imported.samples)
        print_counts(done.imported.samples, done.imported.quarantined)
        print_notes(done.imported.notes)
        if done.limit_points:
            click.echo(
                f"note: {tests} test images cannot tell a small loss from luck, so params.yaml allows "
                f"{done.limit_points:g} points of accuracy (docs/certainty.md)",
                err=True,
            )
    click.echo(f"{folder}: {len(done.written)} files written, {done.same} there already")
    if done.kept:
        click.echo(
            f"kept as they were: {', '.join(done.kept)}; `edgeproof init ELSEWHERE` shows what edgeproof has of these"
        )
    place = None if folder.resolve() == Path.cwd() else shlex.quote(str(folder))
    click.echo("next:")
    click.echo(f"  make -C {place} demo" if place else "  make demo")
    click.echo(f"  {f'cd {place} && ' if place else ''}.venv/bin/edgeproof doctor")


COMMANDS = [init, doctor]
