"""One job after the other on a board: registered, held still, given back, wiped, whatever happens."""

import fcntl
import json
import subprocess
from pathlib import Path

import pytest

from tests.provision import machine
from tests.provision.machine import REPOSITORY, TOKEN, Machine

CPUS = "sys/devices/system/cpu"
AT_REST = {"intel_pstate/no_turbo": "0"} | {
    f"cpufreq/policy{policy}/scaling_{name}": value
    for policy in range(2)
    for name, value in (("governor", "schedutil"), ("min_freq", "800000"), ("max_freq", "1800000"))
}
HELD = {"intel_pstate/no_turbo": "1"} | {
    f"cpufreq/policy{policy}/scaling_{name}": value
    for policy in range(2)
    for name, value in (("governor", "performance"), ("min_freq", "1600000"), ("max_freq", "1600000"))
}
SHOW = f"cat ../../../../../{CPUS}/{{intel_pstate/no_turbo,cpufreq/policy1/scaling_*}}"


def clocks(atom: Machine) -> dict[str, str]:
    return {name: atom.read(f"{CPUS}/{name}") for name in AT_REST}


def test_a_job_finds_the_atom_held_still_and_leaves_it_as_it_was(atom: Machine) -> None:
    atom.write("sys/class/thermal/thermal_zone0/temp", "72000\n")
    atom.run_runner(f"{SHOW}; cat ../.runner; ls ../home")
    assert atom.recall("hook").splitlines()[-1] == "the board is held still"
    *held, registered = atom.recall("job").splitlines()
    assert held == ["1", "performance", "1600000", "1600000"]
    asked = json.loads(registered)
    assert asked["labels"] == ["self-hosted", "atom-x5-e3940"]
    assert asked["name"].startswith("lab-1-")
    assert int(atom.read("sys/class/thermal/thermal_zone0/temp")) <= 55000
    assert clocks(atom) == AT_REST
    assert not (atom.root / "var/lib/edgeproof/job").exists()
    assert not (atom.root / "run/edgeproof/jitconfig").exists()
    assert atom.recall("begun") + atom.recall("ended") == ""


def test_nothing_of_a_job_is_left_for_the_next(atom: Machine) -> None:
    left = {name: atom.root / name for name in ("tmp/left", "var/tmp/left", "dev/shm/left")}
    for name, path in left.items():
        path.write_text("left")
        (atom.state / "owners" / f"/{name}".replace("/", "%")).write_text("edgeproof:edgeproof\n")
    others = atom.write("tmp/roots", "kept")
    atom.run_runner(
        "echo evil > ../bin/new; mv ../bin ../old; mkdir ../bin; echo evil > ../bin/Runner.Listener; touch ../home/x"
    )
    assert "pkill -KILL -u edgeproof" in atom.is_written_to()
    assert [path for path in left.values() if path.exists()] == []
    assert others.exists()
    runner = atom.root / "var/lib/edgeproof/runner/current/bin"
    assert [path.name for path in runner.iterdir()] == ["Runner.Listener"]
    atom.run_runner("ls ../bin ../home")
    assert atom.recall("job") == "../bin:\nRunner.Listener\n\n../home:\n"


def test_a_fork_never_gets_to_the_board(atom: Machine) -> None:
    before = clocks(atom)
    atom.run_runner(
        "touch ../../ran", {"GITHUB_EVENT_NAME": "pull_request"}, repository={"full_name": "mallory/vision"}
    )
    assert "this board does not run this job" in atom.recall("hook")
    assert not (atom.root / "var/lib/edgeproof/ran").exists()
    assert clocks(atom) == before


def knob(atom: Machine) -> None:
    """A knob that takes whatever is written, and stays what it is."""
    path = atom.root / CPUS / "cpufreq/policy1/scaling_governor"
    path.unlink()
    path.symlink_to("/dev/null")


def hot(atom: Machine) -> None:
    (atom.state / "cools").unlink()
    atom.write("sys/class/thermal/thermal_zone0/temp", "80000\n")


def blind(atom: Machine) -> None:
    atom.write("sys/class/thermal/thermal_zone0/temp", "-256000\n")


def no_turbo(atom: Machine) -> None:
    (atom.root / CPUS / "intel_pstate/no_turbo").unlink()


def nameless(atom: Machine) -> None:
    atom.write("proc/cpuinfo", "model name\t: Intel(R) Atom(TM) Processor E3940\n")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (knob, "policy1/scaling_governor to performance: it stays"),
        (hot, "not cool: 80 C after 600 s, and 55 C is asked for"),
        (blind, "no temperature can be read"), (no_turbo, "cannot read"), (nameless, "no base clock"),
    ],
)  # fmt: skip
def test_a_board_that_cannot_be_held_still_runs_no_job_and_says_why(atom: Machine, fault, words: str) -> None:
    fault(atom)
    atom.run_runner("touch ../../ran")
    last = atom.recall("hook").splitlines()[-1]
    assert last.startswith("::error title=not_measured::")
    assert words in last
    assert not (atom.root / "var/lib/edgeproof/ran").exists()
    if fault not in (knob, no_turbo):
        assert clocks(atom) == AT_REST
    assert not (atom.root / "run/edgeproof/held").exists()


def test_what_a_cut_off_run_held_is_given_back_before_the_next(atom: Machine) -> None:
    assert atom.device("board", "prepare").stdout == "ready\n"
    assert clocks(atom) == HELD  # and now the power fails: nobody restores
    assert atom.device("board", "prepare").returncode == 0
    assert atom.device("board", "restore").returncode == 0
    assert clocks(atom) == AT_REST


def test_a_person_who_holds_the_lock_keeps_jobs_away(atom: Machine) -> None:
    board = atom.root / "usr/lib/edgeproof/board"
    board.write_text(board.read_text().replace("lock_wait_s=600", "lock_wait_s=0"))
    with (atom.root / "run/edgeproof/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        atom.run_runner("true")
        assert "somebody else has held the board" in atom.recall("hook")
    atom.run_runner("flock --nonblock ../../../../../run/edgeproof/lock true || echo mine")
    assert atom.recall("job") == "mine\n"


def test_what_could_be_made_anothers_is_not_run_as_root(atom: Machine) -> None:
    (atom.root / "usr/lib/edgeproof/board").chmod(0o775)
    assert "/usr/lib/edgeproof/board can be written by others than root" in atom.device("runner", "begin").stderr
    (atom.root / "usr/lib/edgeproof/board").chmod(0o755)
    (atom.state / "owners/%etc%edgeproof%settings").write_text("edgeproof:edgeproof\n")
    assert "/etc/edgeproof/settings is not root's" in atom.device("runner", "begin").stderr
    assert not (atom.root / "var/lib/edgeproof/job").exists()


def test_failures_to_register_wait_longer_and_longer_and_a_success_ends_that(atom: Machine) -> None:
    atom.remember(forbidden="")
    for _ in range(3):
        said = atom.device("runner", "begin").stderr
    assert "GitHub registers no runner for acme/vision (curl: (22)" in said
    assert "Administration: write" in said
    assert TOKEN not in said
    assert atom.recall("slept").splitlines() == ["sleep 10", "sleep 20"]
    (atom.state / "forbidden").unlink()
    atom.run_runner("echo ran", exits=1)  # a runner that breaks down is a failure too
    assert (atom.root / "run/edgeproof/failures").exists()
    atom.run_runner("echo ran")
    assert atom.recall("job") == "ran\n"
    assert not (atom.root / "run/edgeproof/failures").exists()


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (None, "no "), ("ghp_everything", "is a classic token"), ("two words", "something else than one token"),
        ('x"\nurl = "https://mallory.io', "something else than one token"), ("", "something else than one token"),
    ],
)  # fmt: skip
def test_a_token_that_is_none_goes_nowhere(atom: Machine, token: str | None, words: str) -> None:
    asked = len(atom.is_written_to())
    atom.write("etc/edgeproof/token", token or "")
    if token is None:
        (atom.root / "etc/edgeproof/token").unlink()
    done = atom.device("jitconfig", "atom-1", "atom-x5-e3940")
    assert (done.returncode, words in done.stderr) == (1, True)
    assert len(atom.is_written_to()) == asked


def test_a_board_without_a_token_asks_a_machine_that_has_one(atom: Machine) -> None:
    config = atom.device("jitconfig", "atom-1", "lab").stdout.strip()
    (atom.root / "etc/edgeproof/token").unlink()
    atom.write("etc/edgeproof/jit-command", f"#!/bin/sh\necho {config}\n", 0o700)
    assert atom.provision("--check").returncode == 0
    atom.run_runner("cat ../.runner")
    assert '"labels":["self-hosted","lab"]' in atom.recall("job")
    for said in ("", "x LD_PRELOAD=/tmp/x", f"{config}\nLD_PRELOAD=/tmp/x"):
        atom.write("etc/edgeproof/jit-command", f"#!/bin/sh\ncat << 'END'\n{said}\nEND\n", 0o700)
        assert "what should be a JIT configuration is none" in atom.device("runner", "begin").stderr
        assert not (atom.root / "run/edgeproof/jitconfig").exists()


def test_a_runner_that_github_finds_too_old_is_replaced_before_the_next_job(atom: Machine) -> None:
    machine.publish(atom, "2.340.0")
    atom.run_runner(exits=7)
    assert (atom.root / "var/lib/edgeproof/runner/current").resolve().name == "2.335.1"
    atom.run_runner("cat ../run.sh")
    assert atom.recall("job") == "# 2.340.0\n"
    assert not (atom.root / "run/edgeproof/outdated").exists()


def test_a_job_on_an_orin_runs_in_its_power_mode(orin: Machine) -> None:
    assert (orin.root / "sys/class/hwmon/hwmon1/in1_input").stat().st_mode & 0o777 == 0o440
    policy = "sys/devices/system/cpu/cpufreq/policy0"
    orin.run_runner(f"cat ../../../../../{policy}/scaling_min_freq; cat ../../../../../../machine.state/nvpmodel")
    assert orin.recall("job").split() == ["1510400", "2"]
    assert (orin.recall("nvpmodel"), orin.read(f"{policy}/scaling_min_freq")) == ("0\n", "115200")


def test_a_power_mode_that_wants_a_reboot_is_no_measurement(orin: Machine) -> None:
    orin.remember(reboots="")
    orin.run_runner()
    assert orin.recall("hook").splitlines()[-1].endswith("without a reboot: run nvpmodel -m 2 on the board once")
    orin.remember(nvpmodel="2\n")  # somebody did
    orin.run_runner("echo ran")
    assert orin.recall("job") == "ran\n"
    (orin.state / "nvpmodel").unlink()
    orin.run_runner()
    assert "nvpmodel -q fails: its service must have run" in orin.recall("hook")


def test_a_tx2_is_used_by_its_gateway(tmp_path: Path) -> None:
    tx2 = machine.tx2(tmp_path / "tx2")
    gateway = machine.gateway(tmp_path / "gateway", tx2)
    machine.lay_token(gateway)
    arguments = ["gateway", "--repository", REPOSITORY, "--labels", "jetson-tx2-maxp", "--board", "tx2.lab"]
    first = gateway.provision(*arguments)
    assert first.returncode == 3
    assert "Permission denied (publickey).; on the board: sudo runners/provision/provision jetson" in first.stdout
    keys = tmp_path / "keys"
    keys.write_text("".join(gateway.read(f"etc/edgeproof/{key}-key.pub") + "\n" for key in ("board", "power")))

    tx2.write("root/.ssh/authorized_keys", "ssh-ed25519 AAAA a-person\n")
    done = tx2.provision("jetson", "--gateway-keys", str(keys))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert not list((tx2.root / "etc").glob("systemd/system/*"))
    assert (tx2.root / "sys/bus/iio/devices/iio:device1/in_power0_input").stat().st_mode & 0o777 == 0o440
    logins = tx2.read("root/.ssh/authorized_keys").splitlines()
    assert logins[0] == "ssh-ed25519 AAAA a-person"
    assert logins[1].startswith('restrict,command="')
    assert tx2.read("var/lib/edgeproof/home/.ssh/authorized_keys").startswith("restrict ssh-ed25519 ")
    before = tx2.snapshot()
    assert tx2.provision().returncode == 0
    assert tx2.snapshot() == before

    assert gateway.provision().returncode == 0
    work = tx2.write("var/lib/edgeproof/home/work/of/an/earlier/job").parents[3]
    gateway.run_runner(f"cat ../../../../../../tx2.state/nvpmodel; ls {work}; touch {work}/mine")
    assert gateway.recall("job") == "3\n"
    assert tx2.recall("nvpmodel") == "0\n"
    assert list(work.iterdir()) == []
    assert tx2.is_written_to().count("pkill -KILL -u edgeproof") == 2

    (tx2.state / "cools").unlink()
    tx2.write("sys/class/thermal/thermal_zone0/temp", "90000\n")
    said = "tx2.lab: not cool: 90 C after 600 s, and 45 C is asked for"
    assert said in gateway.device("board", "prepare").stderr
    assert gateway.read("run/edgeproof/answer").startswith(said)
    assert gateway.device("board", "restore").returncode == 0
    assert tx2.recall("nvpmodel") == "0\n"

    board, environment = tx2.root / "usr/lib/edgeproof/board", {"PATH": "/usr/bin:/bin"}
    for said in ("", "hold", "hold; reboot", "sh", "prepare --now", "/bin/sh"):
        before = tx2.snapshot()
        done = subprocess.run([board, "asked"], env={**environment, "SSH_ORIGINAL_COMMAND": said}, capture_output=True)
        assert done.returncode == 2
        assert tx2.snapshot() == before
