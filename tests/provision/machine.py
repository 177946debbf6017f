"""A machine in a folder: its files, stand-ins for its programs, and as much of systemd as our units use."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROVISION = HERE.parents[1] / "runners/provision/provision"
TOKEN = "github_pat_11AAAAAAA0secret"
REPOSITORY = "acme/vision"
SHELL = [
    "stat", "chown", "chgrp", "find", "getconf", "id", "getent", "useradd", "usermod", "dpkg-query", "apt-get",
    "systemctl", "udevadm", "modprobe", "uname", "hostname", "pkill", "sleep", "nvpmodel", "jetson_clocks",
]  # fmt: skip
PYTHON = ["curl", "udevadm-trigger", "systemd-tmpfiles", "ssh-keygen", "ssh-keyscan", "ssh"]

# What GitHub's runner does with a job: its hook, by itself with GitHub's variables only, then the steps.
LISTENER = r"""#!/bin/bash
set -eu
[ "$*" = run ] || exit 98
job=${0%/bin/Runner.Listener}
machine=${job%/var/lib/edgeproof/job}.state
base64 -d <<< "$ACTIONS_RUNNER_INPUT_JITCONFIG" | jq -r '.[".runner"]' | base64 -d > "$job/.runner"
unset ACTIONS_RUNNER_INPUT_JITCONFIG
env > "$machine/environment"
mkdir -p "$job/_work/_temp/_github_workflow"
cp "$machine/event.json" "$job/_work/_temp/_github_workflow/event.json"
readarray -t github < "$machine/github"
if env -i HOME="$HOME" "${github[@]}" bash -e "$ACTIONS_RUNNER_HOOK_JOB_STARTED" > "$machine/hook" 2>&1; then
  (cd "$job/_work" && env "${github[@]}" bash "$machine/steps" > "$machine/job" 2>&1) || true
fi
exit "$(cat "$machine/exit")"
"""


def event(name: str = "push", **changes: Any) -> dict[str, Any]:
    """The JSON of a harmless event of the repository, with changes at its top level."""
    ours = {"full_name": REPOSITORY, "id": 1}
    if name == "pull_request":
        content: dict[str, Any] = {"repository": ours, "pull_request": {"head": {"repo": ours}, "base": {"repo": ours}}}
    else:
        content = {"repository": ours, "ref": "refs/heads/main"}
    return {**content, **changes}


@dataclass
class Machine:
    root: Path

    @property
    def state(self) -> Path:
        """What the stand-ins remember, beside the machine's own files."""
        return Path(f"{self.root}.state")

    def copy(self, root: Path) -> "Machine":
        """The same machine in another folder, so that a test may break it."""
        shutil.copytree(self.root, root, symlinks=True)
        shutil.copytree(self.state, f"{root}.state")
        return Machine(root)

    def write(self, name: str, content: str = "", mode: int = 0o644) -> Path:
        """A file of the machine."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
        return path

    def read(self, name: str) -> str:
        return (self.root / name).read_text().strip()

    def remember(self, **facts: str) -> None:
        """Files of the stand-ins: what the machine is, what it is asked to do."""
        for name, content in facts.items():
            (self.state / name).write_text(content)

    def recall(self, name: str) -> str:
        path = self.state / name
        return path.read_text() if path.exists() else ""

    def provision(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [PROVISION, "--root", self.root, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.assert_strict()
        return done

    def device(self, program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """One of the installed programs, as root would start it."""
        command = [self.root / "usr/lib/edgeproof" / program, *arguments]
        environment = {"PATH": "/usr/bin:/bin", **environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def hook(self, content: bytes, **github: str | None) -> subprocess.CompletedProcess[str]:
        """The hook alone, on an event and GitHub's variables; the board answers at once."""
        path = self.write("var/lib/edgeproof/job/_work/_temp/_github_workflow/event.json")
        path.write_bytes(content)
        self.write("run/edgeproof/answer", "ready\n")
        variables = {
            "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_EVENT_NAME": "push",
            "GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_PATH": str(path), **github,
        }  # fmt: skip
        command = ["/bin/bash", "-e", self.root / "usr/lib/edgeproof/job-started.sh"]
        environment = {
            "PATH": "/usr/bin:/bin",
            **{name: value for name, value in variables.items() if value is not None},
        }
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    def assert_strict(self) -> None:
        """No program was called in a way that its stand-in does not know."""
        assert "WRONG" not in self.recall("log")

    def is_written_to(self) -> list[str]:
        """What would have changed a real machine, a line each."""
        return self.recall("log").splitlines()

    def snapshot(self) -> dict[str, Any]:
        """Every file with mode, time and content, and all that the stand-ins know."""
        files = {}
        for top in (self.root, self.state):
            for path in sorted(top.rglob("*")):
                about = path.lstat()
                content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
                files[str(path)] = (about.st_mode, about.st_mtime_ns, content)
        return files

    def run_runner(
        self, steps: str = "true", github: dict[str, str] | None = None, exits: int = 0, **changes: Any
    ) -> None:
        """What systemd does with edgeproof-runner.service from its start to its end, with one job."""
        name = (github or {}).get("GITHUB_EVENT_NAME", "push")
        variables = {
            "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_EVENT_NAME": name,
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_EVENT_PATH": f"{self.root}/var/lib/edgeproof/job/_work/_temp/_github_workflow/event.json",
            **(github or {}),
        }  # fmt: skip
        self.remember(
            github="".join(f"{key}={value}\n" for key, value in variables.items()), steps=steps, exit=str(exits),
            **{"event.json": json.dumps(event(name, **changes))},
        )  # fmt: skip
        unit = self.unit("edgeproof-runner.service")
        environment = {"PATH": "/usr/bin:/bin"}
        for line in unit["Environment"]:
            environment |= dict(re.findall(r"(\w+)=(/\S+|\S+)", line))
        for key in ("HOME", "ACTIONS_RUNNER_HOOK_JOB_STARTED"):
            environment[key] = f"{self.root}{environment[key]}"
        with self.path_unit():
            begun = self.start(unit["ExecStartPre"][0], environment)
            status = begun.returncode
            if not status:
                [_, secret] = self.read("run/edgeproof/jitconfig").split("=", 1)
                given = {**environment, "ACTIONS_RUNNER_INPUT_JITCONFIG": secret}
                status = self.start(unit["ExecStart"][0], given).returncode
            ended = self.start(unit["ExecStopPost"][0], {**environment, "EXIT_STATUS": str(status)})
        self.remember(begun=begun.stderr, ended=ended.stderr)
        self.assert_strict()

    def unit(self, name: str) -> dict[str, list[str]]:
        lines = (self.root / "etc/systemd/system" / name).read_text().splitlines()
        pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
        return {key: [value for other, value in pairs if other == key] for key, _ in pairs}

    def start(self, command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.words(command), env=environment, capture_output=True, text=True)

    def words(self, command: str) -> list[str]:
        program, *arguments = command.lstrip("+-").split()
        return [f"{self.root}{program}", *arguments]

    @contextmanager
    def path_unit(self) -> Iterator[None]:
        """edgeproof-board.path: what is written to its file starts the service, unless that runs."""
        asked = Path(f"{self.root}{self.unit('edgeproof-board.path')['PathModified'][0]}")
        service, ended = self.unit("edgeproof-board.service"), threading.Event()
        pid = self.state / "board.pid"

        def watch() -> None:
            seen, running = asked.stat().st_mtime_ns, None
            while not ended.is_set():
                time.sleep(0.01)
                if running is not None and running.poll() is not None:
                    running = None
                    if pid.exists():  # it ended by itself
                        pid.unlink()
                        self.start(service["ExecStopPost"][0], {"PATH": "/usr/bin:/bin"})
                now = asked.stat().st_mtime_ns
                if now != seen and running is None:
                    command, files = self.words(service["ExecStart"][0]), {"stdout": quiet, "stderr": quiet}
                    running = subprocess.Popen(command, env={"PATH": "/usr/bin:/bin"}, **files)
                    pid.write_text(str(running.pid))
                seen = now

        with (self.state / "board.log").open("w") as quiet:
            thread = threading.Thread(target=watch)
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()


def bare(root: Path, glibc: str = "2.35", system: str = "22.04") -> Machine:
    """A machine just out of its box, of no kind."""
    machine = Machine(root)
    for folder in ("usr/bin", "usr/sbin", "tmp", "var/tmp", "dev/shm", "etc/sudoers.d", "run", "proc"):
        (root / folder).mkdir(parents=True)
    for folder in ("owners", "users", "is-enabled", "is-active"):
        (machine.state / folder).mkdir(parents=True)
    shutil.copy(HERE / "programs.sh", root / "usr/bin/stand-ins.sh")
    for name in SHELL:
        (root / "usr/bin" / name).symlink_to("stand-ins.sh")
    python = f"#!{sys.executable} -IS\n" + (HERE / "programs.py").read_text()
    machine.write("usr/bin/stand-ins.py", python, 0o755)
    for name in PYTHON:
        (root / "usr/bin" / name).symlink_to("stand-ins.py")
    (root / "usr/bin/stand-ins.sh").chmod(0o755)
    machine.write("etc/os-release", f'NAME="Ubuntu"\nID=ubuntu\nVERSION_ID="{system}"\n')
    machine.write("etc/sudoers", "root ALL=(ALL:ALL) ALL\n")
    machine.write("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n")
    machine.write("sys/class/thermal/thermal_zone0/temp", "41000\n")
    machine.remember(
        glibc=f"glibc {glibc}\n", arch="x86_64\n", groups="video\nrender\n", packages="curl\ngit\n", newest="2.335.1",
        token=TOKEN, cools="",
    )  # fmt: skip
    publish(machine, "2.335.1")
    return machine


def publish(machine: Machine, version: str) -> None:
    """GitHub's newest runner."""
    machine.remember(newest=version)
    with tarfile.open(machine.state / "runner.tar.gz", "w:gz") as archive:
        for name, content in (("bin/Runner.Listener", LISTENER), ("run.sh", f"# {version}\n")):
            entry = tarfile.TarInfo(f"./{name}")
            entry.mode, entry.size = 0o755, len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))


def atom(root: Path) -> Machine:
    machine = bare(root, "2.39", "24.04")
    name = "Intel(R) Atom(TM) Processor E3940 @ 1.60GHz"
    machine.write("proc/cpuinfo", f"processor\t: 0\nmodel name\t: {name}\n")
    cpus = "sys/devices/system/cpu"
    machine.write(f"{cpus}/intel_pstate/no_turbo", "0\n")
    for policy in range(2):
        for file, value in (("governor", "schedutil"), ("min_freq", "800000"), ("max_freq", "1800000")):
            machine.write(f"{cpus}/cpufreq/policy{policy}/scaling_{file}", f"{value}\n")
    # The module that brings RAPL is not loaded yet: `modprobe` moves this into place.
    zone = machine.root / "sys/devices/virtual/powercap/intel-rapl/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "energy_uj").write_text("1000\n")
    (zone / "energy_uj").chmod(0o400)
    (machine.state / "powercap").mkdir()
    (machine.state / "powercap/intel-rapl:0").symlink_to("../../devices/virtual/powercap/intel-rapl/intel-rapl:0")
    return machine


def jetson(root: Path, glibc: str, system: str) -> Machine:
    machine = bare(root, glibc, system)
    machine.write("etc/nv_tegra_release", "# R36 (release), REVISION: 4.0\n")
    models = "".join(f"< POWER_MODEL ID={number} NAME=MODE_{number} >\nCPU_ONLINE CORE_0 1\n" for number in range(4))
    machine.write("etc/nvpmodel.conf", f"{models}\n< PM_CONFIG DEFAULT=3 >\n")
    policy = "sys/devices/system/cpu/cpufreq/policy0"
    machine.write(f"{policy}/scaling_min_freq", "115200\n")
    machine.write(f"{policy}/scaling_max_freq", "1510400\n")
    machine.write("sys/class/thermal/thermal_zone1/type", "PMIC-Die\n")
    machine.write("sys/class/thermal/thermal_zone1/temp", "100000\n")
    machine.write("sys/class/thermal/thermal_zone2/type", "GPU-therm\n")
    machine.write("sys/class/thermal/thermal_zone2/temp", "-256000\n")
    machine.remember(nvpmodel="0", arch="aarch64\n")
    return machine


def orin(root: Path) -> Machine:
    """JetPack 6: hwmon, volts and amperes."""
    machine = jetson(root, "2.35", "22.04")
    device = "sys/devices/platform/bus@0/c240000.i2c/i2c-1/1-0040/hwmon/hwmon1"
    for name, content in (("name", "ina3221"), ("in1_label", "VDD_IN"), ("in1_input", "4984"), ("curr1_input", "1856")):
        machine.write(f"{device}/{name}", f"{content}\n", 0o400 if name.endswith("input") else 0o444)
    link(machine, "sys/class/hwmon/hwmon1", device)
    link(machine, "sys/bus/i2c/drivers/ina3221/1-0040", str(Path(device).parents[1]))
    return machine


def tx2(root: Path) -> Machine:
    """JetPack 4: industrial I/O, milliwatts, and a glibc that is too old for a runner."""
    machine = jetson(root, "2.27", "18.04")
    device = "sys/devices/3160000.i2c/i2c-0/0-0041/iio:device1"
    for name, content in (("name", "ina3221x"), ("rail_name_0", "VDD_IN"), ("in_power0_input", "3056")):
        machine.write(f"{device}/{name}", f"{content}\n", 0o400 if name.endswith("input") else 0o444)
    link(machine, "sys/bus/iio/devices/iio:device1", device)
    link(machine, "sys/bus/i2c/drivers/ina3221x/0-0041", str(Path(device).parent))
    return machine


def gateway(root: Path, board: Machine) -> Machine:
    machine = bare(root)
    machine.remember(board=str(board.root))
    return machine


def link(machine: Machine, name: str, to: str) -> None:
    path = machine.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(machine.root / to, path.parent))


def lay_token(machine: Machine) -> None:
    """What a person does by hand: `install -m 600` of the token."""
    machine.write("etc/edgeproof/token", f"{TOKEN}\n", 0o600)
