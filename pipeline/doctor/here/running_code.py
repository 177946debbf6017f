"""Whether the `edgeproof` that runs is this folder's own code."""

import platform
from collections.abc import Iterator
from pathlib import Path

import pipeline
from pipeline.doctor.examined import Subject
from pipeline.doctor.finding import Finding, well, wrong

INSTALL = "make install, and call .venv/bin/edgeproof (or put .venv/bin first in PATH)"


def look(subject: Subject) -> Iterator[Finding]:
    """By where Python found it."""
    code = Path(pipeline.__file__).resolve().parents[1]
    if code == Path.cwd():
        yield well(f"the code of this folder, on Python {platform.python_version()}")
    else:
        yield wrong(
            f"the `edgeproof` that runs is the code in {code}",
            "DVC would keep its results as those of this folder's code, which may be another",
            INSTALL,
        )
