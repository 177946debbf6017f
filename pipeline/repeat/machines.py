"""The machines that a recipe is trained on: this one, and older ones for which it can stand in.

PyTorch and oneDNN choose their kernels by the CPU, and kernels of another instruction set add up in another order. A
training goes another way from there, so that a recipe is only as good as its outcome on all of them.
"""

import os
import subprocess
import sys
from collections.abc import Mapping

from pipeline.system.errors import Refused
from pipeline.train import reproducible

MACHINES: Mapping[str, Mapping[str, str]] = {
    "this": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "sse41": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}


def environment(machine: str) -> dict[str, str]:
    """The variables of a process that trains as on this machine.

    Raises:
        InputError: there is no such machine.
    """
    if machine not in MACHINES:
        raise Refused(f"no machine {machine!r}: there are {', '.join(MACHINES)}")
    return {**os.environ, **MACHINES[machine]}


def arithmetic(machine: str) -> str:
    """What it trains with, which a process reads when its libraries are loaded: for another machine, a new one."""
    if MACHINES.get(machine) == {}:
        return reproducible.arithmetic()
    code = "from pipeline.train.reproducible import arithmetic; print(arithmetic())"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment(machine), check=True, capture_output=True, text=True).stdout.strip()
