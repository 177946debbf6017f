"""Denverton, the server part with Goldmont cores (Atom x5-E39xx), running this Python with the packages it has."""

import sys
from pathlib import Path

from pipeline.emulators import qemu

PURPOSE = "Goldmont cores (Atom x5-E3930, x5-E3940) with this Python: SSE4.2, no AVX, no VNNI"
GUEST: qemu.Guest = "x86_64"

# What Denverton has and QEMU lacks, all of it or in some versions. None of it calculates numbers; named here, every
# version shows the same CPU and none warns of it once a thread.
ABSENT = (
    "x2apic",
    "tsc-deadline",
    "rdseed",
    "sha-ni",
    "spec-ctrl",
    "arch-capabilities",
    "ssbd",
    "3dnowprefetch",
    "xsavec",
    "rdctl-no",
    "skip-l1dfl-vmentry",
)


def ready() -> bool:
    """Whether it can start."""
    return qemu.find(GUEST) is not None


def install() -> None:
    """Fetch what is missing; InputError if that fails."""
    qemu.install(GUEST)


def command(program: Path) -> list[str]:
    """What starts Python in it, up to Python's own arguments; `program` is QEMU's."""
    # `-L /`: the libraries are the machine's own, wherever this QEMU was built to look for others.
    return [str(program), "-L", "/", "-cpu", ",-".join(("Denverton", *ABSENT)), sys.executable]
