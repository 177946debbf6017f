"""From the box to a green check: what is missing is said and mended, and a second run does nothing."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.provision import machine
from tests.provision.machine import REPOSITORY, TOKEN, Machine


def points(output: str, state: str) -> list[str]:
    return re.findall(rf"^{state} +(.*)", output, re.MULTILINE)


def test_from_the_box_to_a_green_check(tmp_path: Path) -> None:
    atom = machine.atom(tmp_path / "atom")
    before = atom.snapshot()
    first = atom.provision("atom", "--repository", REPOSITORY, "--check")
    assert (first.returncode, first.stderr) == (3, "")
    assert len(points(first.stdout, "missing")) == 10
    assert atom.snapshot() == before  # bit for bit, and no program was asked to change anything

    done = atom.provision("atom", "--repository", REPOSITORY)
    assert (done.returncode, done.stderr) == (3, "")
    [missing] = points(done.stdout, "missing")
    assert "put a fine-grained token for acme/vision" in missing  # only a person can
    machine.lay_token(atom)

    for arguments in (["--check"], []):
        before = atom.snapshot()
        again = atom.provision(*arguments)
        assert (again.returncode, again.stderr) == (0, "")
        assert len(points(again.stdout, "ok")) == len(again.stdout.splitlines()) == 12
        assert atom.snapshot() == before


def test_what_a_provisioned_machine_is(finished_atom: Machine) -> None:
    assert finished_atom.recall("users/edgeproof") == "edgeproof render video\n"
    settings = "KIND=atom\nREPOSITORY=acme/vision\nLABELS=atom-x5-e3940\nCOOL_C=55\nPOWER_MODE=\nBOARD="
    assert finished_atom.read("etc/edgeproof/settings") == settings
    energy = finished_atom.root / "sys/class/powercap/intel-rapl:0/energy_uj"
    assert energy.stat().st_mode & 0o777 == 0o440
    assert "root:edgeproof\n" in [path.read_text() for path in (finished_atom.state / "owners").glob("*energy_uj")]
    assert (finished_atom.root / "var/lib/edgeproof/runner/current").resolve().name == "2.335.1"
    assert finished_atom.recall("is-active/edgeproof-runner.service") == ""
    assert {path.name for path in (finished_atom.state / "is-active").iterdir()} == {
        "edgeproof-runner.service", "edgeproof-board.path", "edgeproof-refresh.timer",
    }  # fmt: skip


def test_all_that_was_undone_is_found_and_mended_at_once(atom: Machine) -> None:
    atom.write("usr/lib/edgeproof/board", "#!/bin/bash\n", 0o755)
    atom.write("etc/edgeproof/settings", atom.read("etc/edgeproof/settings") + "\n", 0o666)
    (atom.root / "run/edgeproof/ask").unlink()
    (atom.root / "sys/class/powercap/intel-rapl:0/energy_uj").chmod(0o400)
    (atom.state / "is-enabled/edgeproof-refresh.timer").unlink()
    (atom.state / "packages").write_text("curl\ngit\n")
    (atom.state / "users/edgeproof").write_text("edgeproof docker render sudo video\n")
    os.utime(atom.root / "var/lib/edgeproof/runner/asked", (time.time() - 40 * 86400,) * 2)
    atom.write("etc/sudoers.d/90-lab", "edgeproof ALL=(ALL) NOPASSWD: ALL\n")
    (atom.root / "etc/edgeproof/token").chmod(0o644)
    before = atom.snapshot()
    found = atom.provision("--check")
    assert found.returncode == 3
    assert atom.snapshot() == before
    missing = "\n".join(points(found.stdout, "missing"))
    for words in (
        "not installed: ca-certificates jq", "it is in docker edgeproof render sudo video", "/etc/sudoers.d/90-lab",
        "/etc/edgeproof/settings is root:root 666", "/usr/lib/edgeproof/board differs", "no /run/edgeproof/ask",
        "energy_uj is root:edgeproof 400", "/etc/edgeproof/token is root:root 644, not root:root 600",
        "for a newer one for 30 days", "edgeproof-refresh.timer is not enabled",
    ):  # fmt: skip
        assert words in missing
    mended = atom.provision()
    assert mended.returncode == 3
    assert len(points(mended.stdout, "done")) == 8
    assert len(points(mended.stdout, "missing")) == 2  # a person's sudoers and a person's token


def test_the_token_is_nowhere_but_in_its_file(atom: Machine) -> None:
    atom.run_runner("env")
    assert "the board is held still" in atom.recall("hook")
    holders = [
        path.relative_to(atom.root.parent)
        for top in (atom.root, atom.state)
        for path in top.rglob("*")
        if path.is_file() and TOKEN.encode() in path.read_bytes()
    ]
    assert sorted(map(str, holders)) == ["machine.state/token", "machine/etc/edgeproof/token"]
    assert "JITCONFIG" not in atom.recall("job") + atom.recall("environment")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return machine.atom(tmp_path_factory.mktemp("fresh") / "atom")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which kind of machine is this"), (["tx2"], "no kind tx2: there are atom, jetson and gateway"),
        (["atom"], "whose jobs run here? --repository"), (["jetson", "--repository", "a/b"], "this is no Jetson"),
        (["atom", "--repository", "acme"], "--repository acme: not of the form OWNER/NAME"),
        (["atom", "--repository", "a/b;reboot"], "not of the form"),
        (["atom", "--repository", "a/b\nX=1"], "not of the form"),
        (["atom", "--repository", "a/b", "--labels", "x,$(id)"], "--labels"), (["atom", "--labels"], "wants a value"),
        (["atom", "--repository", "a/b", "--cool-below", "warm"], "--cool-below warm: not two digits"),
        (["gateway", "--repository", "a/b", "--labels", "x"], "--board HOST"),
        (["atom", "--force"], "no option --force"),
        (["gateway", "--board", "-oProxyCommand=reboot"], "not a host's name"), (["atom", "atom"], "one kind"),
        (["gateway", "--repository", "a/b"], "--labels, a target's name for one"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_changes_nothing(fresh: Machine, arguments: list[str], words: str) -> None:
    before = fresh.snapshot()
    done = fresh.provision(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("provision: ")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1 + "".join(arguments).count("\n")
    assert done.stdout == ""
    assert fresh.snapshot() == before


def test_a_system_that_is_too_old_for_a_runner_is_refused(tmp_path: Path) -> None:
    atom = machine.atom(tmp_path / "atom")
    atom.remember(glibc="glibc 2.27\n")
    done = atom.provision("atom", "--repository", REPOSITORY)
    assert (done.returncode, "wants glibc 2.28 or newer, and here is glibc 2.27" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("digest", "words"),
    [(f"sha256:{'0' * 64}", "another SHA-256 than GitHub states"), (None, "states no SHA-256"), ("md5:0", "states no")],
)  # fmt: skip
def test_a_runner_that_is_not_what_github_states_is_thrown_away(atom: Machine, digest: object, words: str) -> None:
    machine.publish(atom, "2.340.0")
    atom.remember(digest=json.dumps(digest))
    done = atom.device("runner", "refresh")
    assert (done.returncode, words in done.stderr) == (1, True)
    assert (atom.root / "var/lib/edgeproof/runner/current").resolve().name == "2.335.1"
    runners = atom.root / "var/lib/edgeproof/runner"
    assert sorted(path.name for path in runners.iterdir()) == ["2.335.1", "asked", "current", "lock"]


def test_a_newer_runner_takes_the_place_of_the_old_one(atom: Machine) -> None:
    machine.publish(atom, "2.340.0")
    assert atom.device("runner", "refresh").returncode == 0
    runners = atom.root / "var/lib/edgeproof/runner"
    assert (runners / "current/run.sh").read_text() == "# 2.340.0\n"
    assert sorted(path.name for path in runners.iterdir()) == ["2.340.0", "asked", "current", "lock"]
    assert atom.is_written_to()[-1] == "systemctl try-restart edgeproof-runner.service"

    (atom.state / "is-active/edgeproof-board.service").touch()  # a job is at work
    assert atom.device("runner", "refresh").returncode == 0
    assert (
        atom.is_written_to().count("systemctl try-restart edgeproof-runner.service") == 2
    )  # provisioning's and the first


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_systemd_understands_every_line_of_the_units(atom: Machine) -> None:
    folder = atom.root / "etc/systemd/system"

    def complaints() -> list[str]:
        command = [
            "systemd-analyze",
            "verify",
            "--man=no",
            f"--root={atom.root}",
            *(path.name for path in folder.iterdir()),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        known = ("sysinit.target not found", "bin/Runner.Listener is not executable")  # no system, no job
        return [line for line in done.stderr.splitlines() if not any(words in line for words in known)]

    assert complaints() == []
    unit = folder / "edgeproof-runner.service"
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHomes=yes"))
    assert "ProtectHomes" in "".join(complaints())
