"""QEMU's user mode: programs of another CPU run on this one, each instruction as that CPU would."""

import platform
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.emulators.parts import Part
from pipeline.system import debian, programs
from pipeline.system.errors import Missing

Guest = Literal["x86_64", "aarch64"]

GUESTS: tuple[Guest, ...] = ("x86_64", "aarch64")
OLDEST = (7, 2)  # older ones were never compared with anything
PACKAGE = "qemu-user-static"  # statically linked, so that it runs wherever it is put
BY_HAND = f"install QEMU {OLDEST[0]}.{OLDEST[1]} or newer by hand (package {PACKAGE} or qemu-user)"
PART = Part("qemu", size_mb=130)
ANSWER_S = 20


@dataclass(frozen=True)
class Program:
    """A QEMU program and its version as it tells it, the distribution's patch level with it."""

    path: Path
    version: str


def host_refusal() -> str | None:
    """Why this machine cannot emulate, or None if it can."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) == ("Linux", "x86_64"):
        return None
    return f"the emulators need Linux on x86-64; this machine is {system} on {machine}"


def find(guest: Guest) -> Program | None:
    """The program that runs what was built for `guest`: from the PATH if not too old, else the installed one."""
    on_path = [shutil.which(name) for name in (f"qemu-{guest}", f"qemu-{guest}-static")]
    for path in [*(Path(found) for found in on_path if found), PART.folder() / f"qemu-{guest}"]:
        version = _version(path)
        if version is not None and _is_new_enough(version):
            return Program(path, version)
    return None


def install(guest: Guest) -> Program:
    """The program for `guest`, fetched if there is none; with it come those for all `GUESTS`.

    Raises:
        InputError: there is none, and none can be fetched.
    """
    PART.install(lambda: find(guest) is not None, _fetch)
    found = find(guest)
    assert found is not None
    return found


def _fetch(folder: Path) -> None:
    if missing := debian.missing_tools():
        raise Missing(f"no {' and no '.join(missing)} here to fetch QEMU with: {BY_HAND}")
    with tempfile.TemporaryDirectory(dir=folder) as downloads:
        for package in debian.download([PACKAGE], "amd64", Path(downloads)):
            if not package.name.startswith("qemu-user"):
                continue
            # In newer releases the package of this name only asks for `qemu-user`, whose programs have no suffix.
            names = {f"./usr/bin/qemu-{guest}{suffix}": guest for guest in GUESTS for suffix in ("-static", "")}
            debian.extract(package, {name: folder / f"qemu-{guest}" for name, guest in names.items()})
    for guest in GUESTS:
        program = folder / f"qemu-{guest}"
        if not program.exists():
            raise Missing(f"the package {PACKAGE} has no qemu-{guest}: {BY_HAND}")
        program.chmod(0o755)
        version = _version(program)
        if version is None or not _is_new_enough(version):
            brought = f"QEMU {version}" if version else "a QEMU that does not run here"
            raise Missing(f"the machine's package sources bring {brought}: {BY_HAND}")


def _version(program: Path) -> str | None:
    """`7.2.22 (Debian 1:7.2+dfsg-7)`, or None if it is not there or does not answer as QEMU does."""
    try:
        said = programs.run([program, "--version"], ANSWER_S)
    except (programs.Failed, OSError):
        return None
    match = re.match(r"qemu-\S+ version (\d+\.\d+.*)", said)
    return match[1].strip() if match else None


def _is_new_enough(version: str) -> bool:
    major, minor = re.findall(r"\d+", version)[:2]
    return (int(major), int(minor)) >= OLDEST
