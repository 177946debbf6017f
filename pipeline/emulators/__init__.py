"""CPU emulators, for audits: they execute the target's own instructions, one by one, and so are exact and slow.

Each is QEMU's user mode with a Python in it. They are installed without root, into the cache (`EDGEPROOF_CACHE`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.emulators import cortex_a57, denverton, qemu
from pipeline.system import debian
from pipeline.system.errors import Missing, unknown


@dataclass(frozen=True)
class _Emulator:
    purpose: str
    guest: qemu.Guest
    by_hand: str
    ready: Callable[[], bool]
    install: Callable[[], None]
    command: Callable[[Path], list[str]]


_EMULATORS = {
    "cortex-a57": _Emulator(
        purpose=cortex_a57.PURPOSE,
        guest=cortex_a57.GUEST,
        by_hand=cortex_a57.BY_HAND,
        ready=cortex_a57.ready,
        install=cortex_a57.install,
        command=cortex_a57.command,
    ),
    "denverton": _Emulator(
        purpose=denverton.PURPOSE,
        guest=denverton.GUEST,
        by_hand=qemu.BY_HAND,
        ready=denverton.ready,
        install=denverton.install,
        command=denverton.command,
    ),
}


def names() -> list[str]:
    """The emulators there are, sorted."""
    return sorted(_EMULATORS)


def purpose(name: str) -> str:
    """What an emulator is for, in one line; InputError if there is none of that name."""
    return _find(name).purpose


def installed(name: str) -> bool:
    """Whether an emulator can start at once; InputError if there is none of that name."""
    found = _find(name)
    return qemu.host_refusal() is None and found.ready()


def install(name: str) -> None:
    """Fetch what an emulator needs, once: seconds when all is there.

    Several processes may do so at once. One that is interrupted or fails leaves nothing half-installed.

    Raises:
        InputError: there is none of that name, this machine cannot emulate, or something cannot be fetched or kept.
    """
    found = _find(name)
    if refusal := qemu.host_refusal():
        raise Missing(refusal)
    found.install()


def launcher(name: str) -> list[str]:
    """The start of a command that runs Python in an emulator; Python's arguments follow.

    Raises:
        InputError: there is none of that name, it is not installed, or this machine cannot emulate.
    """
    found = _find(name)
    return found.command(_program(name).path)


def qemu_version(name: str) -> str:
    """The version of the QEMU that an emulator runs in, with the distribution's patch level.

    Raises:
        InputError: as `launcher`.
    """
    return _program(name).version


def runtime_version() -> str:
    """The version of ONNX Runtime in `cortex-a57`."""
    return cortex_a57.ONNXRUNTIME


def _program(name: str) -> qemu.Program:
    found = _find(name)
    if refusal := qemu.host_refusal():
        raise Missing(refusal)
    program = qemu.find(found.guest)
    if program is None or not found.ready():
        missing = debian.missing_tools()
        here = f"; no {' and no '.join(missing)} here: {found.by_hand}" if missing else ""
        raise Missing(f"the emulator {name} is not installed: run `edgeproof emulators install {name}`{here}")
    return program


def _find(name: str) -> _Emulator:
    if name in _EMULATORS:
        return _EMULATORS[name]
    raise unknown("emulator", name, names())
