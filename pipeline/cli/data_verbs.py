"""edgeproof data: the default clip, or the user's own images."""

from pathlib import Path

import click

from pipeline.cli.counts import print_counts, print_notes
from pipeline.cli.group import Group


@click.group(cls=Group)
def data() -> None:
    """Get data: the default clip, or your own images."""


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
    (or a folder with a manifest.csv) with the columns file,class and optionally split. Files that are no images are
    left out and listed in data/quarantine.csv.
    """
    from pipeline.data import fetch, importing
    from pipeline.project import layout

    imported = importing.import_data(source, layout.DATA)
    fetch.track(layout.DATA, new=True)
    print_counts(imported.samples, imported.quarantined)
    print_notes(imported.notes)


@data.command("sheets")
@click.argument("out", type=click.Path(path_type=Path), default="artifacts/sheets")
def sheets(out: Path) -> None:
    """Draw contact sheets of the clip's tracked regions, for labelling by eye."""
    from pipeline.data import clip, sheets
    from pipeline.project import layout

    count = sheets.make_sheets(layout.DATA / clip.CLIP_NAME, out)
    click.echo(f"{count} sheets in {out}/")


COMMANDS = [data]
