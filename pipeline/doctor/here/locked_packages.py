"""Whether the packages that are installed are those of requirements.lock."""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.doctor.examined import Subject
from pipeline.doctor.finding import Finding, well, wrong
from pipeline.system.errors import some

LOCK = Path("requirements.lock")
WHY = "numbers are compared between machines, and another version may come to others"
FIX = "rm -f .venv/.installed && make install"


def look(subject: Subject) -> Iterator[Finding]:
    """What the pipeline requires has to be there; of all that is there, the version."""
    if not LOCK.is_file():
        yield wrong(f"no {LOCK} here", WHY, "git checkout requirements.lock")
        return
    locked = {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)$", LOCK.read_text(), re.M)
    }
    there = {canonicalize_name(found.metadata["Name"]): found.version for found in metadata.distributions()}
    missing = sorted(name for name in _required() if name not in there)
    # A CPU build of PyTorch names itself 2.13.0+cpu.
    other = [
        f"{name} {there[name]} instead of {version}"
        for name, version in sorted(locked.items())
        if name in there and there[name].split("+")[0] != version.split("+")[0]
    ]
    if missing:
        yield wrong(f"not installed: {some(missing)}", "the pipeline does not run without", FIX)
    if other:
        yield wrong(f"other versions than in {LOCK}: {some(other)}", WHY, FIX)
    if not missing and not other:
        yield well(f"as in {LOCK}")


def _required() -> set[str]:
    try:
        listed = [Requirement(line) for line in metadata.requires("edgeproof") or ()]
    except metadata.PackageNotFoundError:
        return {"edgeproof"}
    return {
        canonicalize_name(each.name) for each in listed if not each.marker or each.marker.evaluate({"extra": "cloud"})
    }
