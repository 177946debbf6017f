"""Whether the disk has room for a run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.doctor.examined import Subject
from pipeline.doctor.finding import Finding, well, wrong
from pipeline.system import cache

RUN_GB = 2.0  # candidates, exports and DVC's cache of a few models
PACKAGES_GB = 6.0  # .venv with PyTorch and its CUDA libraries, as the default index has it


def look(subject: Subject) -> Iterator[Finding]:
    """Here, where .venv, artifacts and DVC's cache lie, and where downloads are kept."""
    needed = RUN_GB if Path(".venv").exists() else RUN_GB + PACKAGES_GB
    places = {Path.cwd(): needed, cache.folder("downloads"): 1.0}
    short = {place: free for place, least in places.items() if (free := shutil.disk_usage(place).free / 1e9) < least}
    for place, free in short.items():
        yield wrong(
            f"{free:.1f} GB free in {place}, where a run takes up to {places[place]:.0f} GB",
            "a stage that finds the disk full ends half-way",
            "free some space; `dvc gc -w` deletes what no present stage needs from DVC's cache",
        )
    if not short:
        yield well(f"{shutil.disk_usage(Path.cwd()).free / 1e9:.0f} GB free")
