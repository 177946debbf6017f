"""Whether data/ is there, and what data.dvc names."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.data import captured
from pipeline.doctor.examined import Subject
from pipeline.doctor.finding import Finding, Unasked, well, wrong
from pipeline.project import layout

POINTER = Path(f"{layout.DATA}.dvc")


def look(subject: Subject) -> Iterator[Finding]:
    """By the hash that DVC gives a folder."""
    if not POINTER.is_file():
        yield wrong(
            f"no {POINTER} here",
            "a commit then does not say which images its numbers come from",
            "edgeproof data import FOLDER (your images) or edgeproof data fetch (the default clip)",
        )
    elif not layout.DATA.is_dir():
        yield wrong(f"{layout.DATA}/ is not there", "there is nothing to train on", "edgeproof data fetch")
    elif _changed():
        yield wrong(
            f"{layout.DATA}/ holds other files than {POINTER} names",
            "numbers made here would come from other images than those that the commit names",
            f"`dvc add {layout.DATA}` keeps what is there, `dvc checkout {POINTER}` what the commit names",
        )
    else:
        what = "your own images" if (layout.DATA / "manifest.csv").exists() else "the default clip"
        more = " and what devices captured" if (layout.DATA / captured.FOLDER).exists() else ""
        yield well(f"{layout.DATA}/ is what {POINTER} names: {what}{more}")


def _changed() -> bool:
    """Whether the files have another hash than the pointer names. `dvc status` says only `not in cache` where DVC's
    cache holds no copy, whether they have or not."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            return any(out.workspace_status() for out in repo.stage.load_one(str(POINTER)).outs)
    except DvcException as error:
        raise Unasked(f"DVC cannot read {POINTER}: {error}", "dvc doctor says more") from error
