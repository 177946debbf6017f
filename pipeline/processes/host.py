"""This machine: its cores, and what its CPU does to 8-bit sums."""

import os
from pathlib import Path

CORES = os.cpu_count() or 1
EMULATORS_THREADS = min(CORES, 4)  # QEMU translates under one lock; more were not tried

# Strongest first: what decides how a CPU multiplies 8-bit numbers.
ISAS = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512bw", "avx2", "sse4_2")
WITHOUT_SATURATION = {"amx_int8", "avx512_vnni", "avx_vnni"}


def isa() -> str:
    """The strongest instruction set of this machine for 8-bit arithmetic, by its Linux name."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return "unknown"
    return next((name for name in ISAS if name in flags), "unknown")


def free_memory_mib() -> int | None:
    """What this machine could give to new processes without swapping; None where it does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("MemAvailable:")), None)


def saturates() -> bool:
    """Whether this machine's own 8-bit sums saturate; an unknown CPU is taken to."""
    return isa() not in WITHOUT_SATURATION
