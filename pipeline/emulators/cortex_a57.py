"""Cortex-A57, the CPU cores of Tegra Parker, running an aarch64 Python with NumPy and ONNX Runtime.

Python and its libraries are the distribution's arm64 packages, unpacked into a folder that QEMU shows to the program
as its root; NumPy and ONNX Runtime are their aarch64 wheels, pinned.
"""

import shutil
import tempfile
import zipfile
from pathlib import Path

from pipeline.emulators import qemu
from pipeline.emulators.parts import Part
from pipeline.system import debian, programs, wheels
from pipeline.system.errors import Missing

PURPOSE = "Cortex-A57 cores (Tegra Parker) with an aarch64 Python, NumPy and ONNX Runtime"
GUEST: qemu.Guest = "aarch64"
NUMPY = "2.2.6"
ONNXRUNTIME = "1.23.2"  # the newest whose aarch64 wheel runs under QEMU
PART = Part(f"aarch64-numpy-{NUMPY}-onnxruntime-{ONNXRUNTIME}", size_mb=260)
PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
BY_HAND = "install them by hand (packages apt and dpkg) with package sources of Debian or Ubuntu"

# SHA-256 of the wheels by the Python that the distribution has: 3.10 and 3.12 are Ubuntu's, 3.11 and 3.13 Debian's.
# Of the packages that ONNX Runtime asks for, it needs only NumPy to run a model.
WHEELS = {
    "3.10": {
        f"numpy=={NUMPY}": "efd28d4e9cd7d7a8d39074a4d44c63eda73401580c5c76acda2ce969e0a38e83",
        f"onnxruntime=={ONNXRUNTIME}": "8f7d1fe034090a1e371b7f3ca9d3ccae2fabae8c1d8844fb7371d1ea38e8e8d2",
    },
    "3.11": {
        f"numpy=={NUMPY}": "b64d8d4d17135e00c8e346e0a738deb17e754230d7e0810ac5012750bbd85a5a",
        f"onnxruntime=={ONNXRUNTIME}": "bbfd2fca76c855317568c1b36a885ddea2272c13cb0e395002c402f2360429a6",
    },
    "3.12": {
        f"numpy=={NUMPY}": "f2618db89be1b4e05f7a1a847a9c1c0abd63e63a1607d892dd54668dd92faf87",
        f"onnxruntime=={ONNXRUNTIME}": "76ff670550dc23e58ea9bc53b5149b99a44e63b34b524f7b8547469aaa0dcb8c",
    },
    "3.13": {
        f"numpy=={NUMPY}": "f92729c95468a2f4f15e9bb94c432a9229d0d50de67304399627a943201baa2f",
        f"onnxruntime=={ONNXRUNTIME}": "45d127d6e1e9b99d1ebeae9bcd8f98617a812f53f46699eafeb976275744826b",
    },
}
FIRST_RUN_S = 300  # seconds, and it takes a few


def ready() -> bool:
    """Whether it can start."""
    return _is_built() and qemu.find(GUEST) is not None


def install() -> None:
    """Fetch what is missing; InputError if that fails."""
    qemu.install(GUEST)
    PART.install(_is_built, _build)


def command(program: Path) -> list[str]:
    """What starts Python in it, up to Python's own arguments; `program` is QEMU's."""
    return _command(program, PART.folder())


def _command(program: Path, root: Path) -> list[str]:
    # `-E -s`: what is meant for the machine's own Python, PYTHONPATH and packages of the user, is for another CPU.
    return [str(program), "-L", str(root), "-cpu", "cortex-a57", str(_python(root)), "-E", "-s"]


def _is_built() -> bool:
    return (PART.folder() / "usr" / "bin" / "python3").exists()


def _python(root: Path) -> Path:
    """The versioned program that the distribution's `python3` points to."""
    link = root / "usr" / "bin" / "python3"
    return link.with_name(link.readlink().name)


def _build(root: Path) -> None:
    if missing := debian.missing_tools():
        raise Missing(f"no {' and no '.join(missing)} here to fetch an aarch64 Python with: {BY_HAND}")
    with tempfile.TemporaryDirectory(dir=root) as downloads:
        for package in debian.download(PACKAGES, "arm64", Path(downloads)):
            debian.unpack(package, root)
        _merge_lib(root)
        _add_wheels(root, Path(downloads))
    _run_once(root)


def _merge_lib(root: Path) -> None:
    """Make /lib the link to /usr/lib that it is on every system: packages bring files under either name."""
    if (root / "lib").exists():
        shutil.copytree(root / "lib", root / "usr" / "lib", symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(root / "lib")
    (root / "lib").symlink_to("usr/lib")


def _add_wheels(root: Path, downloads: Path) -> None:
    if not (root / "usr" / "bin" / "python3").exists():
        raise Missing(f"the packages {', '.join(PACKAGES)} brought no Python")
    version = _python(root).name.removeprefix("python")
    if version not in WHEELS:
        known = ", ".join(WHEELS)
        raise Missing(f"the machine's package sources have Python {version} for arm64; wheels are known for {known}")
    platform = ["--python-version", version, "--implementation", "cp"]
    for name in ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64"):
        platform += ["--platform", name]
    for package, sha256 in WHEELS[version].items():
        with zipfile.ZipFile(wheels.download(package, sha256, downloads, platform)) as wheel:
            wheel.extractall(root / "usr" / "lib" / "python3" / "dist-packages")


def _run_once(root: Path) -> None:
    """A broken set-up shows here and not in an audit; besides, Python's compiled modules are kept."""
    program = qemu.install(GUEST)
    check = "import numpy, onnxruntime; print(numpy.__version__, onnxruntime.__version__)"
    try:
        said = programs.run([*_command(program.path, root), "-c", check], FIRST_RUN_S)
    except programs.Failed as error:
        raise Missing(f"ONNX Runtime {ONNXRUNTIME} does not start under QEMU {program.version} ({error})") from error
    if said.split() != [NUMPY, ONNXRUNTIME]:
        raise Missing(f"expected NumPy {NUMPY} and ONNX Runtime {ONNXRUNTIME}, but found {' and '.join(said.split())}")
