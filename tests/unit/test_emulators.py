"""Installing emulators with stand-ins for apt-get, pip and QEMU: whole or not at all, and one clear line when not."""

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline import emulators
from pipeline.cli import cli
from pipeline.emulators import cortex_a57, parts, qemu
from pipeline.records.targets import load_target, target_names
from pipeline.system import cache, debian
from pipeline.system.errors import InputError

QEMU = """#!/bin/sh
if [ "$1" = --version ]; then echo "qemu-any version {version} (stand-in)"; exit; fi
{run}
"""
RUNS = f"echo {cortex_a57.NUMPY} {cortex_a57.ONNXRUNTIME}"
APT_GET = """#!/bin/sh
echo "$@" >> {folder}/apt-get.log
for argument in "$@"; do
  case "$argument" in
    Dir::Cache::archives=*) archives="${{argument#*=}}" ;;
    APT::Architecture=*) architecture="${{argument#*=}}" ;;
    update) {update}; exit ;;
  esac
done
{install}
"""
BRING = 'cp {folder}/debs/*_"$architecture".deb "$archives"'
PIP = """
import sys, zipfile
if {failure!r}:
    sys.exit({failure!r})
with zipfile.ZipFile(sys.argv[sys.argv.index("--dest") + 1] + "/package.whl", "w") as wheel:
    wheel.writestr("module.py", "")
"""
TOOLS = ("sh", "cp", "sleep", "dpkg-deb", "tar")


class Machine:
    """A machine whose PATH has nothing but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.cache = folder / "cache" / "emulators"
        for name in ("bin", "debs", "pip"):
            (folder / name).mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.programs / tool).symlink_to(found)
        self.apt_get()
        self.pip()
        self.qemu_package()
        self.python_package("3.11")

    def script(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def apt_get(self, install: str = BRING, update: str = ":") -> None:
        self.script(
            "apt-get",
            APT_GET.format(folder=self.folder, install=install.format(folder=self.folder), update=update),
        )

    def pip(self, failure: str = "") -> None:
        (self.folder / "pip" / "pip.py").write_text(PIP.format(failure=failure))

    def qemu_on_path(self, version: str, name: str = "qemu-x86_64") -> None:
        self.script(name, QEMU.format(version=version, run=RUNS))

    def qemu_package(
        self, version: str = "8.2.1", run: str = RUNS, suffix: str = "-static", package: str = "qemu-user-static"
    ) -> None:
        script = QEMU.format(version=version, run=run)
        self.package(package, "amd64", {f"usr/bin/qemu-{guest}{suffix}": script for guest in qemu.GUESTS})

    def python_package(self, version: str) -> None:
        links = {"usr/bin/python3": f"python{version}"}
        self.package("python3-minimal", "arm64", {f"usr/bin/python{version}": "", "lib/libc.so.6": ""}, links)

    def package(
        self, name: str, architecture: str, contents: dict[str, str], links: dict[str, str] | None = None
    ) -> Path:
        tree = self.folder / "tree"
        fields = f"Package: {name}\nVersion: 1\nArchitecture: {architecture}\nMaintainer: a <a@b.c>\nDescription: d\n"
        for file, text in {"DEBIAN/control": fields, **contents}.items():
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            (tree / file).write_text(text)
        for file, target in (links or {}).items():
            (tree / file).symlink_to(target)
        package = self.folder / "debs" / f"{name}_1_{architecture}.deb"
        subprocess.run(["dpkg-deb", "--build", "-Znone", tree, package], check=True, capture_output=True)
        shutil.rmtree(tree)
        return package

    def downloads(self) -> int:
        """How often apt-get was asked for packages."""
        log = self.folder / "apt-get.log"
        return log.read_text().count("--download-only") if log.exists() else 0

    def kept(self) -> list[str]:
        """What lies in the cache, but for the locks."""
        return sorted(path.name for path in self.cache.iterdir() if path.suffix != ".lock")


@pytest.fixture
def machine(project: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    built = Machine(project)
    monkeypatch.setenv("PATH", str(built.programs))
    monkeypatch.setenv("PYTHONPATH", str(project / "pip"))
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return built


def refused(name: str, *words: str) -> str:
    """Installing it is refused with one line that has all `words`."""
    with pytest.raises(InputError) as caught:
        emulators.install(name)
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line
    return line


class TestDenverton:
    def test_is_fetched_once_and_runs_this_python(self, machine: Machine) -> None:
        assert not emulators.installed("denverton")
        for _ in range(2):
            emulators.install("denverton")
        assert machine.downloads() == 1
        assert machine.kept() == ["qemu"]
        assert emulators.installed("denverton")
        program, *_, cpu, python = emulators.launcher("denverton")
        assert program == str(machine.cache / "qemu" / "qemu-x86_64")
        assert cpu.split(",")[0] == "Denverton"
        assert python == sys.executable
        assert emulators.qemu_version("denverton") == "8.2.1 (stand-in)"

    @pytest.mark.parametrize("name", ["qemu-x86_64", "qemu-x86_64-static"])
    def test_one_on_the_path_will_do(self, machine: Machine, name: str) -> None:
        machine.qemu_on_path("7.2.0", name)
        emulators.install("denverton")
        assert emulators.launcher("denverton")[0] == str(machine.programs / name)
        assert machine.downloads() == 0

    @pytest.mark.parametrize("version", ["7.1.9", "6.2.0", "unknown"])
    def test_one_on_the_path_that_is_too_old_will_not(self, machine: Machine, version: str) -> None:
        machine.qemu_on_path(version)
        emulators.install("denverton")
        assert emulators.launcher("denverton")[0] == str(machine.cache / "qemu" / "qemu-x86_64")

    def test_newer_releases_have_the_programs_in_another_package(self, machine: Machine) -> None:
        machine.package("qemu-user-static", "amd64", {"usr/share/doc/qemu-user-static/NEWS": ""})
        machine.qemu_package(suffix="", package="qemu-user")
        emulators.install("denverton")
        assert emulators.installed("denverton")

    def test_a_source_that_does_not_answer_is_no_matter_if_another_has_the_packages(self, machine: Machine) -> None:
        machine.apt_get(update="echo 'E: Failed to fetch some third source' >&2; exit 100")
        emulators.install("denverton")

    @pytest.mark.parametrize(
        ("install", "words"),
        [
            ("echo 'E: Unable to locate package qemu-user-static' >&2; exit 100", "Unable to locate package"),
            ("echo 'E: Failed to fetch x  Hash Sum mismatch' >&2; exit 100", "Hash Sum mismatch"),
            ("echo 'E: Write error - write (28: No space left on device)' >&2; exit 100", "no space left"),
            ("echo >&2; exit 1", "no message"),
            ("kill -9 $$", "crashed with signal 9"),
            (":", "has no qemu-x86_64"),
            ('echo damaged > "$archives/qemu-user-static_1_amd64.deb"', "damaged"),
        ],
    )
    def test_what_cannot_be_fetched_leaves_nothing(self, machine: Machine, install: str, words: str) -> None:
        machine.apt_get(install)
        refused("denverton", words)
        assert machine.kept() == []

    def test_no_network_names_what_failed_first(self, machine: Machine) -> None:
        machine.apt_get(
            update="echo 'E: Failed to fetch lists  Temporary failure resolving' >&2; exit 100",
            install="echo 'E: Unable to locate package' >&2; exit 100",
        )
        refused("denverton", "Temporary failure resolving", "check the network")

    def test_a_package_that_ends_early(self, machine: Machine) -> None:
        package = machine.folder / "debs" / "qemu-user-static_1_amd64.deb"
        package.write_bytes(package.read_bytes()[:1500])
        refused("denverton", "qemu-user-static_1_amd64.deb is damaged")
        assert machine.kept() == []

    def test_a_package_that_is_too_old(self, machine: Machine) -> None:
        machine.qemu_package(version="6.2.0")
        refused("denverton", "bring QEMU 6.2.0", "7.2 or newer")
        assert machine.kept() == []

    def test_a_program_that_does_not_run_here(self, machine: Machine) -> None:
        machine.package(
            "qemu-user-static", "amd64", {f"usr/bin/qemu-{guest}-static": "\x7fELF" for guest in qemu.GUESTS}
        )
        refused("denverton", "does not run here")

    def test_apt_get_that_hangs_is_stopped(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.apt_get("exec sleep 60")
        monkeypatch.setattr(debian, "FETCH_S", 0.5)
        refused("denverton", "took more than 0.5 s")
        assert machine.kept() == []

    def test_no_apt_get(self, machine: Machine) -> None:
        (machine.programs / "apt-get").unlink()
        refused("denverton", "no apt-get here", "install QEMU 7.2 or newer by hand", "qemu-user-static")
        with pytest.raises(InputError, match=r"no apt-get here: install QEMU .* by hand"):
            emulators.launcher("denverton")


class TestCortexA57:
    def test_is_fetched_once_with_its_qemu(self, machine: Machine) -> None:
        for _ in range(2):
            emulators.install("cortex-a57")
        assert machine.downloads() == 2, "once QEMU, once Python"
        root = machine.cache / cortex_a57.PART.name
        program, _, shown, _, cpu, python, *_ = emulators.launcher("cortex-a57")
        assert (program, shown) == (str(machine.cache / "qemu" / "qemu-aarch64"), str(root))
        assert (cpu, python) == ("cortex-a57", str(root / "usr" / "bin" / "python3.11"))
        assert (root / "usr/lib/python3/dist-packages/module.py").exists()
        assert (root / "usr/lib/libc.so.6").exists(), "what a package puts into /lib"
        assert sorted(path.name for path in root.iterdir()) == ["lib", "usr"], "no downloads are left"

    def test_needs_its_python_and_not_only_qemu(self, machine: Machine) -> None:
        emulators.install("denverton")
        assert not emulators.installed("cortex-a57")
        with pytest.raises(InputError, match="run `edgeproof emulators install cortex-a57`"):
            emulators.launcher("cortex-a57")

    @pytest.mark.parametrize(
        ("failure", "words"),
        [
            ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "SHA-256 is not the pinned"),
            ("WARNING: Retrying\nERROR: No matching distribution found\n", "No matching distribution"),
            ("ERROR: [Errno 28] No space left on device", "no space left"),
        ],
    )
    def test_what_pip_cannot_fetch_leaves_nothing(self, machine: Machine, failure: str, words: str) -> None:
        machine.pip(failure)
        refused("cortex-a57", f"numpy=={cortex_a57.NUMPY}", words)
        assert machine.kept() == ["qemu"]

    def test_a_python_without_pinned_wheels(self, machine: Machine) -> None:
        machine.python_package("3.14")
        refused("cortex-a57", "have Python 3.14", "3.10, 3.11, 3.12, 3.13")

    def test_packages_without_python(self, machine: Machine) -> None:
        machine.package("python3-minimal", "arm64", {"usr/share/nothing": ""})
        refused("cortex-a57", "brought no Python")

    def test_a_damaged_package(self, machine: Machine) -> None:
        (machine.folder / "debs" / "python3-minimal_1_arm64.deb").write_bytes(b"damaged")
        refused("cortex-a57", "cannot unpack python3-minimal_1_arm64.deb")
        assert machine.kept() == ["qemu"]

    @pytest.mark.parametrize(
        ("run", "words"),
        [("kill -SEGV $$", "crashed with signal 11"), ("echo 2.0.0 1.20.1", "found 2.0.0 and 1.20.1")],
    )
    def test_what_does_not_start_is_not_kept(self, machine: Machine, run: str, words: str) -> None:
        machine.qemu_package(run=run)
        refused("cortex-a57", words)
        assert machine.kept() == ["qemu"]

    def test_no_dpkg_deb(self, machine: Machine) -> None:
        emulators.install("denverton")
        (machine.programs / "dpkg-deb").unlink()
        refused("cortex-a57", "no dpkg-deb here", "packages apt and dpkg")


class TestTheCache:
    def test_parallel_installations_fetch_once(self, machine: Machine) -> None:
        machine.apt_get("sleep 0.3; " + BRING)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(emulators.install, ["denverton", "cortex-a57"] * 3))
        assert machine.downloads() == 2
        assert machine.kept() == [cortex_a57.PART.name, "qemu"]
        assert all(map(emulators.installed, emulators.names()))

    def test_an_interrupted_installation_leaves_nothing(self, machine: Machine) -> None:
        child = installing(machine)
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait() == 130
        assert machine.kept() == []

    def test_what_a_killed_installation_left_is_cleared_away(self, machine: Machine) -> None:
        child = installing(machine)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert machine.kept() != []
        assert not emulators.installed("denverton")
        machine.apt_get()
        emulators.install("denverton")
        assert machine.kept() == ["qemu"]

    def test_a_disk_without_enough_space(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6))
        refused("denverton", "needs 130 MB, but 1 MB are free", "EDGEPROOF_CACHE")
        assert machine.downloads() == 0

    def test_a_disk_that_fills_up(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(shutil, "copyfileobj", full)
        refused("denverton", "No space left", "EDGEPROOF_CACHE")
        assert machine.kept() == []

    @pytest.mark.parametrize("do", [emulators.installed, emulators.install, emulators.launcher])
    def test_a_cache_that_cannot_be_written(self, machine: Machine, do: Callable[[str], object]) -> None:
        (machine.folder / "cache").write_text("a file where the folder should be")
        with pytest.raises(InputError, match=r"cache/emulators: cannot be made .*EDGEPROOF_CACHE"):
            do("denverton")

    def test_progress_is_the_size_of_what_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_bytes(bytes(1000))
        (tmp_path / "file").write_bytes(bytes(10))
        assert parts._size(tmp_path) == 1010
        assert parts._size(tmp_path / "gone") == 0


def installing(machine: Machine) -> subprocess.Popen[bytes]:
    """A process group that is amid installing."""
    machine.apt_get("exec sleep 60")
    command = [sys.executable, "-m", "pipeline", "emulators", "install", "denverton"]
    child = subprocess.Popen(
        command,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        # What a shell starts in the background ignores interrupts, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while machine.downloads() == 0:
        assert child.poll() is None
        time.sleep(0.02)
    return child


@pytest.mark.parametrize(("system", "processor"), [("Linux", "aarch64"), ("Darwin", "arm64"), ("Windows", "AMD64")])
def test_other_machines_are_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, system: str, processor: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: processor)
    for name in emulators.names():
        assert not emulators.installed(name)
        refused(name, "need Linux on x86-64", f"{system} on {processor}")
        with pytest.raises(InputError, match="need Linux on x86-64"):
            emulators.launcher(name)


def test_targets_name_emulators_that_exist_with_their_runtime() -> None:
    profiles = [load_target(name) for name in target_names()]
    named = {profile.emulation.emulator for profile in profiles} - {None}
    assert named == set(emulators.names())
    [runtime] = {profile.runtime.version for profile in profiles if profile.emulation.emulator == "cortex-a57"}
    assert runtime == emulators.runtime_version()


class TestTheCommand:
    def test_lists(self, machine: Machine) -> None:
        emulators.install("denverton")
        result = CliRunner().invoke(cli, ["emulators"])
        first, second = result.output.splitlines()
        assert first.startswith("cortex-a57           not installed: Cortex-A57 cores")
        assert second.startswith("denverton            installed, QEMU 8.2.1 (stand-in): Goldmont cores")
        assert result.exit_code == 0

    def test_installs_all(self, machine: Machine) -> None:
        result = CliRunner().invoke(cli, ["emulators", "install"])
        assert result.exit_code == 0
        assert result.output.count("installed, QEMU 8.2.1") == 2

    def test_installs_what_a_target_needs(self, machine: Machine) -> None:
        result = CliRunner().invoke(cli, ["emulators", "install", "--target", "jetson-tx2-maxq"])
        assert (result.exit_code, result.output, machine.downloads()) == (0, "", 0)
        result = CliRunner().invoke(cli, ["emulators", "install", "--target", "atom-x5-e3940"])
        assert (result.exit_code, result.output) == (0, "denverton            installed, QEMU 8.2.1 (stand-in)\n")
        assert not emulators.installed("cortex-a57")

    def test_refuses_an_unknown_name_before_it_fetches(self, machine: Machine) -> None:
        result = CliRunner().invoke(cli, ["emulators", "install", "denverton", "cortex-a75"])
        assert result.exit_code == 2
        assert "did you mean 'cortex-a57'?" in result.output
        assert machine.downloads() == 0

    def test_says_what_failed_in_one_line(self, machine: Machine) -> None:
        machine.apt_get("echo 'E: no' >&2; exit 1")
        result = CliRunner().invoke(cli, ["emulators", "install", "denverton"])
        assert result.exit_code == 2
        assert result.output.startswith("edgeproof: cannot get qemu-user-static")
        assert result.output.count("\n") == 1
        assert not list(cache.folder("emulators").glob(".*"))
