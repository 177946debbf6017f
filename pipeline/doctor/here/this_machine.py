"""Whether this machine can calculate as the targets do."""

import platform
import sys
from collections.abc import Iterator

from pipeline.doctor.examined import Subject
from pipeline.doctor.finding import Finding, well, wrong
from pipeline.processes import host


def look(subject: Subject) -> Iterator[Finding]:
    """Its system, cores, free memory and instruction set."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        yield wrong(
            f"this is {platform.system()} on {platform.machine()}",
            "the targets' arithmetic is calculated by x86-64 kernels, and their processors are emulated on Linux",
            "take a machine with Linux on x86-64; GitHub's hosted ones are such",
        )
        return
    free = host.free_memory_mib()
    memory = "" if free is None else f", {free:,} MiB of memory free"
    cloud = "" if not host.saturates() else "; no VNNI, so that the column `cloud` is simulated in floating point"
    yield well(f"{host.CORES} cores{memory}, {host.isa()}{cloud}")
