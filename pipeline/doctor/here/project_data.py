"""Whether data/ is there, and what data.dvc names."""

import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.doctor.finding import Finding, well, wrong
from pipeline.doctor.subject import Subject, dvc
from pipeline.project import layout

POINTER = Path(f"{layout.DATA}.dvc")


def look(subject: Subject) -> Iterator[Finding]:
    """By DVC's own comparison."""
    if not POINTER.is_file():
        yield wrong(
            f"no {POINTER} here",
            "a commit then does not say which images its numbers come from",
            "edgeproof data import FOLDER (your images) or edgeproof data fetch (the default clip)",
        )
    elif not layout.DATA.is_dir():
        yield wrong(f"{layout.DATA}/ is not there", "there is nothing to train on", "edgeproof data fetch")
    elif _changed(json.loads(dvc("status", "--json", str(POINTER)))):
        yield wrong(
            f"{layout.DATA}/ holds other files than {POINTER} names",
            "numbers made here would come from other images than those that the commit names",
            f"`dvc add {layout.DATA}` keeps what is there, `dvc checkout {POINTER}` what the commit names",
        )
    else:
        own = (layout.DATA / "manifest.csv").exists()
        yield well(f"{layout.DATA}/ is what {POINTER} names: {'your own images' if own else 'the default clip'}")


def _changed(status: dict[str, list[dict[str, dict[str, str]] | str]]) -> bool:
    """Whether the files differ; that DVC's cache holds no copy of them (`not in cache`) is another thing."""
    changes = [change for each in status.values() for change in each if isinstance(change, dict)]
    return any(state != "not in cache" for change in changes for outs in change.values() for state in outs.values())
