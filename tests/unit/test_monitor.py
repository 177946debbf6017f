"""The monitor as people use it: a real process beside the program, on recorded boards and on a real lab meter."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.boards import recorded_boards
from pipeline.boards.recorded_boards import ORIN_INA, RANGE_UJ, write
from pipeline.records.board import Fingerprint, Health, Watts
from runners.edge.monitor import __main__ as program
from runners.edge.monitor import cores, energy, monitor
from runners.edge.monitor.energy import watts
from runners.edge.monitor.figures import figures
from runners.edge.monitor.monitor import Monitor
from runners.edge.own_package import REPOSITORY
from runners.edge.procfs import age_s
from tests.waiting import children, has_ended, until

PRINTING = "while True: print(time.monotonic_ns(), 6.5, flush=True); time.sleep(0.01)"
LAB_METER = shlex.join([sys.executable, "-c", f"import time\n{PRINTING}"])
# Goes on when nobody reads what it prints.
STUBBORN = shlex.join([sys.executable, "-c", f"import time\ntry:\n  {PRINTING}\nexcept OSError: time.sleep(60)"])


def let_pass(watching: Monitor, readings: int = 8) -> None:
    """Until the meter was read so many times: a busy machine takes longer."""
    so_far = len(watching._read().samples)
    until(lambda: len(watching._read().samples) >= so_far + readings)


class TestMonitor:
    def test_states_of_a_program_on_an_orin(self, orin: Path) -> None:
        before = children(os.getpid())
        with Monitor("ina3221", ["VDD_IN"], hz=50, root=str(orin)) as watching:
            with watching.state("idle"):
                let_pass(watching)
            write(orin, {f"{ORIN_INA}/curr1_input": 3000})
            with watching.state("regions_4"):
                let_pass(watching, 15)
        assert children(os.getpid()) == before
        found = figures(watching.recording, watching.states, frames=9)
        assert found.power is not None
        # Where the power steps up, a turn is shared by what comes before and after.
        assert found.power["idle_w"] == pytest.approx(4.984 * 1.856, rel=0.1)
        assert found.power["by_state_w"]["regions_4"] == pytest.approx(4.984 * 3, rel=0.1)
        ((start, end),) = watching.states["regions_4"]
        assert found.power["energy_per_frame_j"] == pytest.approx(4.984 * 3 * (end - start) / 1e9 / 9, rel=0.1)
        assert 10 < found.power["sample_hz"] < 60
        assert found.power["mode"] == "a value in 70 ms, mean of 16"
        Watts.model_validate(found.power)
        told = [Health.model_validate(at).throttled for at in (found.before, found.during, found.after)]
        assert told == [None, False, None]  # it has counts, which need two looks, and no cooling device

    def test_a_counter_that_runs_and_wraps(self, tmp_path: Path) -> None:
        root, zone = recorded_boards.atom(tmp_path), "sys/class/powercap/intel-rapl:0"
        start, done = time.monotonic(), threading.Event()

        def count() -> None:
            """8 W, from two joules before the wrap on."""
            while not done.wait(0.001):
                used = RANGE_UJ - 2_000_000 + int((time.monotonic() - start) * 8e6)
                write(root, {f"{zone}/next": used % (RANGE_UJ + 1)})
                (root / zone / "next").replace(root / zone / "energy_uj")

        counter = threading.Thread(target=count)
        counter.start()
        time.sleep(0.05)
        try:
            with Monitor("rapl", ["package-0"], hz=20, root=str(root)) as watching, watching.state("run"):
                let_pass(watching, 20)
        finally:
            done.set()
            counter.join()
        assert int((root / zone / "energy_uj").read_text()) < RANGE_UJ // 2
        assert watts(watching.recording, watching.states["run"]) == pytest.approx(8, rel=0.25)

    def test_a_rail_that_vanishes_and_comes_back(self, orin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(energy, "MOST_GAP_S", 0.8)
        rail, gone = orin / ORIN_INA / "in1_input", orin / "gone"
        with Monitor("ina3221", ["VDD_IN"], hz=50, root=str(orin)) as watching:
            with watching.state("before"):
                let_pass(watching)
            with watching.state("run"):
                let_pass(watching, 1)
                rail.rename(gone)
                time.sleep(1.2)
                gone.rename(rail)
                let_pass(watching, 2)
            with watching.state("after"):
                let_pass(watching)
        found = figures(watching.recording, watching.states)
        assert found.power is not None
        assert found.power["by_state_w"].keys() == {"before", "after"}
        assert re.search(r"no reading for \d", found.not_measured["power.run"])
        assert "in1_input: No such file or directory" in found.not_measured["power.run"]
        assert len(watching.recording.failures) == 1  # said once, not at every turn

    @pytest.mark.parametrize("rails", [["package-0"], []])
    def test_no_meter_is_a_reason_at_once_and_health_is_watched_all_the_same(
        self, orin: Path, rails: list[str]
    ) -> None:
        start = time.monotonic()
        with Monitor("rapl", rails, root=str(orin)) as watching, watching.state("idle"):
            pass
        assert time.monotonic() - start < 5
        found = figures(watching.recording, watching.states)
        assert found.power is None
        assert found.not_measured["power"].endswith(
            "load the module intel_rapl_msr" if rails else "name at least one rail, and each of them once"
        )
        assert found.before["temperatures_c"] == {"cpu-thermal": 63.625}

    def test_a_lab_meter_ends_with_the_monitor(self) -> None:
        with Monitor("command", [LAB_METER], hz=50) as watching:
            sampler = watching._process.pid
            (meter,) = children(sampler)
            with watching.state("now"):
                let_pass(watching)
        assert watts(watching.recording, watching.states["now"]) == pytest.approx(6.5)
        assert has_ended(sampler)
        assert has_ended(meter)

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["is killed", "hangs"])
    def test_a_monitor_that_dies_in_the_run(self, how: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(monitor, "STOP_S", 0.2)
        with Monitor("command", [STUBBORN], hz=50) as watching:
            sampler = watching._process.pid
            (meter,) = children(sampler)
            with watching.state("run"):
                time.sleep(0.1)
                os.kill(sampler, how)
                time.sleep(0.1)
        why = {signal.SIGKILL: "the monitor ended with status -9", signal.SIGSTOP: "the monitor hung"}[how]
        assert figures(watching.recording, watching.states).not_measured["power"] == why
        until(lambda: has_ended(meter) and has_ended(sampler))

    def test_a_program_that_is_killed_leaves_nothing_behind(self, tmp_path: Path) -> None:
        started = tmp_path / "started"
        watcher = f"""
import time
from runners.edge.monitor.monitor import Monitor
from runners.edge.own_package import REPOSITORY
with Monitor("command", [{STUBBORN!r}], hz=50) as watching:
    open({str(started)!r}, "w").write(str(watching._process.pid))
    time.sleep(60)
"""
        victim = subprocess.Popen([sys.executable, "-c", watcher], cwd=REPOSITORY, start_new_session=True)
        until(lambda: started.exists() and started.read_text() != "")
        sampler = int(started.read_text())
        (meter,) = children(sampler)
        victim.kill()
        victim.wait()
        until(lambda: has_ended(sampler) and has_ended(meter))

    def test_a_full_disk_is_said(self, orin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(monitor.tempfile, "TemporaryFile", lambda: open("/dev/full", "r+b", buffering=0))  # noqa: PTH123, SIM115
        monkeypatch.setattr(monitor, "_content", lambda stream: "")  # /dev/full reads as endless zeros
        with Monitor("ina3221", ["VDD_IN"], hz=50, root=str(orin)) as watching, watching.state("run"):
            pass
        assert figures(watching.recording, watching.states).not_measured["power"] == "the monitor ended with status 1"

    def test_the_date_may_jump(self, orin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with Monitor("ina3221", ["VDD_IN"], hz=50, root=str(orin)) as watching, watching.state("run"):
            monkeypatch.setattr(time, "time", lambda: 0.0)
            let_pass(watching)
        assert watts(watching.recording, watching.states["run"]) == pytest.approx(9.250304)

    @pytest.mark.parametrize("hz", [0.0, -1.0, float("nan"), 1e6])
    def test_a_rate_that_makes_no_sense_is_refused(self, hz: float) -> None:
        with pytest.raises(ValueError, match="readings a second"):
            Monitor("rapl", ["package-0"], hz)


class TestCores:
    def test_a_core_that_the_program_leaves_free(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(cores, "ONLINE", str(write(tmp_path, {"online": "0,3-5"}) / "online"))
        assert cores.free_core({0, 3, 4}) == 5
        assert cores.free_core({3, 4, 5}) == 0
        assert cores.free_core(range(8)) is None

    def test_the_monitor_stays_on_it(self, orin: Path) -> None:
        last = max(os.sched_getaffinity(0))
        with Monitor("ina3221", ["VDD_IN"], 50, str(orin), cores=os.sched_getaffinity(0) - {last}) as watching:
            assert os.sched_getaffinity(watching._process.pid) == {last}
        assert watching.recording.core == last

    def test_a_core_that_is_not_for_us_is_none(self) -> None:
        assert cores.move_to(4095) is None


class TestCommandLine:
    """What a newcomer sees on a board."""

    def run(self, capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> tuple[int, str]:
        code = program.main([*words, "--root", str(root)])
        return code, capsys.readouterr().out

    def test_a_board_whose_rail_is_readable(self, capsys: pytest.CaptureFixture[str], orin: Path) -> None:
        code, said = self.run(capsys, orin, "--seconds", "0.3", "--hz", "50")
        assert code == 0
        assert "now         9.25 W on VDD_IN by ina3221 (a value in 70 ms, mean of 16)" in said
        assert "before      cpu-thermal 63.6 C" in said
        assert "throttled   no" in said

    def test_a_board_whose_rail_is_not(self, capsys: pytest.CaptureFixture[str], orin: Path) -> None:
        target = ["--target", "atom-x5-e3940", "--seconds", "0.1", "--json"]
        code, said = self.run(capsys, orin, *target)
        record = json.loads(said)
        assert (code, record["power"]) == (3, None)
        assert record["not_measured"]["power"].endswith("load the module intel_rapl_msr")
        assert record["not_measured"]["fingerprint.soc"]
        Fingerprint.model_validate(record["fingerprint"])
        for moment in ("before", "during", "after"):
            Health.model_validate(record[moment])

    def test_it_may_be_ended_early(self, orin: Path) -> None:
        command = [sys.executable, "-m", "runners.edge.monitor", "--seconds", "60", "--hz", "50", "--root", str(orin)]
        watching = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A shell's background jobs, and all that they start, ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        (sampler,) = until(lambda: children(watching.pid))
        lines = Path(f"/proc/{sampler}/fd/1")
        until(lambda: str(lines.readlink()).endswith("(deleted)"))  # the monitor's file, which has no name
        until(lambda: lines.read_text().count("watts") > 20)
        os.killpg(watching.pid, signal.SIGINT)  # as Ctrl-C does
        said, _ = watching.communicate(timeout=20)
        assert (watching.returncode, "now         9.25 W" in said) == (0, True), said

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (["--meter", "ina3221"], "no INA3221 rail VDD_IN; there are none"),
            (["--meter", "ina2xx"], "no INA2xx chip 1-0040; there are none"),
            ([], "; there are none: "),
        ],
    )
    def test_a_machine_without_any(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], why: str
    ) -> None:
        code, said = self.run(capsys, tmp_path, "--seconds", "0.01", *words)
        assert code == 3
        assert why in said
        assert "during      nothing to be read" in said

    def test_its_rails(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        code, said = self.run(capsys, recorded_boards.tx2(tmp_path), "--list")
        assert code == 0
        assert "ina3221   VDD_IN, VDD_4V0_WIFI, VDD_SYS_CPU" in said
        assert "rapl      none here" in said
        assert json.loads(self.run(capsys, tmp_path, "--list", "--json")[1])["ina3221"][0] == "VDD_IN"

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--target", "atom"], "no target atom: there are atom-x5-e3930, atom-x5-e3940"),
            (["--target", "atom-x5-e3940", "--rail", "core"], "--target names meter and rails"),
            (["--rail", "VDD_IN"], "--rail needs the --meter"),
            (["--meter", "command"], "needs a --rail, which is the command"),
            (["--meter", "watts-up"], "invalid choice"),
            (["--seconds", "0"], "give seconds, above 0"),
            (["--hz", "nan"], "--hz must be above 0"),
            (["--target", "{root}/broken.yaml"], "names no power meter with its rails"),
            (["--target", "{root}/text.yaml"], "names no power meter with its rails"),
        ],
    )
    def test_a_wrong_command_is_one_line(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], said: str
    ) -> None:
        write(tmp_path, {"broken.yaml": "power: [rapl", "text.yaml": "power: {sampler: rapl, rails: package-0}"})
        with pytest.raises(SystemExit) as caught:
            program.main([word.format(root=tmp_path) for word in words])
        assert caught.value.code == 2
        assert said in capsys.readouterr().err


def test_what_a_start_costs_counts_from_the_process_s_own() -> None:
    code = "import time; time.sleep(0.3); from runners.edge.procfs import age_s; print(age_s())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert 0.28 < float(done.stdout) < 30
    assert age_s() > float(done.stdout)
