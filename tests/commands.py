"""`edgeproof ARGUMENTS` in a process of its own, which a damaged file may crash; and what it leaves behind."""

import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

LIMIT_S = 200.0
MEMORY = 8 << 30  # bytes that a process may take, so that the machine outlives the test; far more than it should need
GONE_S = 3.0  # within which everything that was started has to be gone

# A process for each command is forked from one that has imported what most of them need.
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload([
    "pytest", "hypothesis", "cv2", "onnxruntime", "openvino", "nncf", "torch", "sklearn.model_selection",
    "requests", "pipeline.cli", "pipeline.check.check",
    "pipeline.check.printout", "pipeline.compress.any_file", "pipeline.data.own", "pipeline.data.importing",
])  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """The exit code (None where it had to be stopped), what was said, what still ran later, and the most memory."""

    code: int | None
    said: str
    left: list[str]
    peak_mib: int


def edgeproof(arguments: Sequence[str], directory: Path, scratch: Path) -> Ended:
    """Run a command in `directory` with a cache below `scratch`, where what it says goes too."""
    cache, said = scratch / "cache", scratch / "said"
    process = FORKS.Process(target=_main, args=(list(arguments), str(directory), str(cache), str(said)))
    process.start()
    process.join(LIMIT_S)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
    peak = scratch / "said.peak"
    return Ended(
        code,
        said.read_text(errors="replace"),
        _left(cache),
        json.loads(peak.read_text()) if peak.exists() else 0,
    )


def _main(arguments: list[str], directory: str, cache: str, said: str) -> None:
    os.chdir(directory)
    os.environ.update(EDGEPROOF_CACHE=cache, OMP_NUM_THREADS="1")
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["edgeproof", *arguments]
    from pipeline.cli import main

    try:
        main()
    finally:
        peaks = [resource.getrusage(who).ru_maxrss >> 10 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        Path(f"{said}.peak").write_text(json.dumps(max(peaks)))


def _left(cache: Path) -> list[str]:
    """What still runs of all that had this cache in its environment, after the time in which it has to be gone."""
    deadline = time.monotonic() + GONE_S
    while (found := _running(f"EDGEPROOF_CACHE={cache}".encode())) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def _running(mark: bytes) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # ended meanwhile
            continue
    return found
