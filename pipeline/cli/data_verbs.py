"""edgeproof data: the default clip, or the user's own images, and what is wrong with them."""

from pathlib import Path

import click

from pipeline.cli import leaks
from pipeline.cli.counts import print_counts, print_notes
from pipeline.cli.group import Group


@click.group(cls=Group)
def data() -> None:
    """Get data, the default clip or your own images, and check it."""


@data.command("fetch")
def fetch() -> None:
    """Make data/ hold what data.dvc names: from the DVC remote, or else the public default clip."""
    from pipeline.data import fetch
    from pipeline.project import layout

    origin = fetch.fetch(layout.DATA)
    click.echo(f"data/: {origin}")


@data.command("import")
@click.argument("source", type=click.Path(path_type=Path))
def import_(source: Path) -> None:
    """Fill data/ with your own images, in place of the default data or an earlier import.

    SOURCE is a folder with one folder per class (train/, val/ and test/ above them are optional), or a manifest CSV
    (or a folder with a manifest.csv) with the columns file,class and optionally split and group (a person, a camera:
    what has one group is held out together). Files that are no images are left out and listed in data/quarantine.csv.
    """
    from pipeline.data import fetch, importing
    from pipeline.project import layout

    imported = importing.import_data(source, layout.DATA)
    fetch.track(layout.DATA, new=True)
    print_counts(imported.samples, imported.quarantined)
    print_notes(imported.notes)


@data.command("check")
@click.argument("source", type=click.Path(path_type=Path), required=False)
@click.option(
    "--output", type=click.Path(path_type=Path), help="Write a manifest with mended splits here, to import from."
)
@click.option("--labels/--no-labels", default=True, help="Look for wrong labels too, which takes longest.")
@click.option("--json", "as_json", is_flag=True, help="Print all findings as JSON.")
def check(source: Path | None, output: Path | None, labels: bool, as_json: bool) -> None:
    """Look for leaks between splits, unreadable files and doubtful labels, before training on them.

    SOURCE is what `data import` takes; by default data/. Reported are the images of each class, files that are no
    images, the same picture in two splits (also re-encoded, resized, slightly cropped, brighter or darker), groups in
    two splits, classes that a split lacks, and labels that the most alike pictures contradict, for a person to judge.

    Exit codes: 0 no leaks, 1 leaks, 2 bad input.
    """
    import tempfile

    from pipeline.data import cutting, inspection
    from pipeline.project import layout, params
    from pipeline.system import files
    from pipeline.system.errors import InputError

    with tempfile.TemporaryDirectory() as folder:
        place = source or layout.DATA
        if source is None and not (layout.DATA / "manifest.csv").exists():
            if output:
                raise InputError("the clip is split by time, in params.yaml; name a folder or a manifest to mend")
            place = Path(folder) / "dataset"
            cutting.build(layout.DATA, place, params.load_params().split)
            place /= "samples.csv"
        if output:
            files.check_writable(output, "manifest", place, place / "manifest.csv")
        inspected = inspection.inspect(place, labels)
        found = inspected.findings
        click.echo(found.model_dump_json(indent=2) if as_json else "\n".join(leaks.lines(found)))
        if output:
            sizes = inspection.write_mended(inspected, place, output)
            words = ", ".join(f"{split} {count:,}" for split, count in sizes.items())
            click.echo(f"{output}: mended splits ({words}); `edgeproof data import` takes them", err=True)
    if found.leaks:
        raise SystemExit(1)


@data.command("sheets")
@click.argument("out", type=click.Path(path_type=Path), default="artifacts/sheets")
def sheets(out: Path) -> None:
    """Draw contact sheets of the clip's tracked regions, for labelling by eye."""
    from pipeline.data import clip, sheets
    from pipeline.project import layout

    count = sheets.make_sheets(layout.DATA / clip.CLIP_NAME, out)
    click.echo(f"{count} sheets in {out}/")


COMMANDS = [data]
