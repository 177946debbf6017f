"""edgeproof ingest: what devices captured, looked through, labelled by a person, and added to the data."""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from pipeline.cli.counts import print_counts, print_notes
from pipeline.cli.group import Group

PARENT = click.option("--model", help="Whose FP32 parent proposes the classes; by default the first of params.yaml.")
NEIGHBOURS = click.option(
    "--neighbours/--no-neighbours",
    default=True,
    help="Compare each with what is most like it in the data too, which takes longest.",
)


@click.group(cls=Group)
def ingest() -> None:
    """Bring what devices captured into the data: pull, review, apply, and `dvc repro` trains on it."""


@ingest.command()
@click.argument("inbox", envvar="EDGEPROOF_INBOX")
def pull(inbox: str) -> None:
    """Fetch new captures from INBOX, each taken as hostile; artifacts/ingest/quarantine.csv says what was left out.

    INBOX is a folder, or an address: sftp://USER@HOST/FOLDER, https://USER@HOST/FOLDER (WebDAV), s3://BUCKET/FOLDER.
    It may stand in EDGEPROOF_INBOX, and a password in EDGEPROOF_INBOX_PASSWORD. Nothing in the inbox is changed. What
    shows the same as the data set or another capture is left out too.
    """
    from pipeline.ingest import pulled, pulling
    from pipeline.project import layout
    from pipeline.system.inbox import Inbox

    with pulled.claimed(layout.INGEST), Inbox(inbox) as opened:
        outcome = pulling.pull(opened, layout.DATA, layout.DATASET, layout.INGEST)
    counts = {"known already": outcome.known, "decided already": outcome.settled, "still arriving": outcome.waiting}
    counts["for the next pull"] = outcome.left
    rest = "".join(f", {count:,} {what}" for what, count in counts.items() if count)
    click.echo(f"{len(outcome.new):,} new captures{rest}")
    if outcome.quarantined:
        place = layout.INGEST / pulling.QUARANTINE
        click.echo(f"{len(outcome.quarantined):,} files were left out; {place} says why", err=True)


@ingest.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("artifacts/ingest/review.html"), show_default=True)
@PARENT
@NEIGHBOURS
def review(out: Path, model: str | None, neighbours: bool) -> None:
    """Write the page on which a person decides what the captures show: one HTML file that needs no network.

    Those most worth a look come first. The page saves decisions.json for `edgeproof ingest apply`.
    """
    from pipeline.ingest import review_page
    from pipeline.system import files

    files.check_writable(out, "page")
    proposed = _proposed(model, neighbours)
    count = review_page.write(out, proposed)
    more = len(proposed.proposals) - count
    click.echo(f"{out}: {count:,} captures{f', {more:,} more wait for the next page' if more else ''}")


@ingest.command()
@click.argument("decisions", type=click.Path(path_type=Path))
def apply(decisions: Path) -> None:
    """Add to data/ what a person decided, and have data.dvc name it (`dvc add`).

    DECISIONS is the review page's file, label-studio's JSON export, or the folder that `ingest export folder` wrote,
    with its pictures moved to where they belong. All of it is applied, or nothing. A capture goes to one split with
    all that hangs together with it, and stays there.
    """
    from pipeline.data import fetch
    from pipeline.data.captured import shift_points
    from pipeline.ingest import applying, pulled
    from pipeline.project import layout

    samples = _dataset().samples
    with pulled.claimed(layout.INGEST):
        done = applying.apply(decisions, layout.DATA, layout.INGEST, samples)
        fetch.track(layout.DATA, new=True)
    changed = {"added": len(done.added), "relabelled": done.relabelled, "rejected": done.rejected}
    changed |= {"decided so before": done.unchanged}
    click.echo(", ".join(f"{count:,} {what}" for what, count in changed.items() if count) or "nothing was decided")
    print_counts(done.added, [])
    if done.before != done.after:
        click.echo(f"classes before: {_shares(done.before)}")
        click.echo(f"classes now:    {_shares(done.after)}  ({shift_points(done.before, done.after):.1f} points away)")
    if done.torn:
        notes = f"hang together with captures of two splits and were left out ({len(done.torn):,})"
        print_notes([f"{notes}; data/captures/rejected.csv names them"])


@ingest.command("export")
@click.argument("form", type=click.Choice(["label-studio", "folder"]))
@click.argument("out", type=click.Path(path_type=Path))
@PARENT
@NEIGHBOURS
def export(form: str, out: Path, model: str | None, neighbours: bool) -> None:
    """Hand captures and proposals on to label-studio, or as a folder in which pictures are moved by hand.

    The new folder OUT has tasks.json and labels.xml (label-studio's labelling interface), or a folder for each class
    with pictures, and captures.csv. `edgeproof ingest apply` takes back label-studio's JSON export, or the folder.
    """
    from pipeline.ingest import handing_on

    proposed = _proposed(model, neighbours)
    write = handing_on.for_label_studio if form == "label-studio" else handing_on.as_folder
    write(out, proposed)
    click.echo(f"{out}: {len(proposed.proposals):,} captures")


@ingest.command()
@click.argument("inbox")
def clean(inbox: str) -> None:
    """Delete from INBOX the captures that were added to the data or rejected; all others stay.

    Push the data first (`dvc push`): afterwards the inbox no longer has them.
    """
    from pipeline.ingest import pulling
    from pipeline.project import layout
    from pipeline.system.inbox import Inbox

    with Inbox(inbox) as opened:
        click.echo(f"{pulling.clean(opened, layout.DATA):,} captures deleted from the inbox")


def _dataset() -> Any:
    from pipeline.data.dataset import open_dataset
    from pipeline.project import layout
    from pipeline.system.errors import Missing

    if not (layout.DATASET / "samples.csv").is_file():
        raise Missing(f"{layout.DATASET}/ is not there: run `dvc repro dataset` in the folder of the project")
    return open_dataset(layout.DATASET)


def _proposed(model: str | None, neighbours: bool) -> Any:
    from pipeline.ingest import proposals, pulled
    from pipeline.project import layout
    from pipeline.project.params import load_params

    waiting = pulled.waiting(layout.INGEST, layout.DATA)
    proposed = proposals.propose(waiting, _dataset(), load_params(), model, neighbours=neighbours)
    print_notes(proposed.notes)
    return proposed


def _shares(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {100 * count / counts.total():.1f} %" for name, count in sorted(counts.items()))


COMMANDS = [ingest]
