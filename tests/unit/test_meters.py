"""Power meters on recorded trees of /sys, and a real command: what a rail reads, and what is said when it does not."""

import errno
import io
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.boards.recorded_boards import ORIN_INA, RANGE_UJ, TX2_INA, write
from pipeline.records.targets import load_target, target_names
from runners.edge import meters, sysfs
from runners.edge.meters import PowerMeter, command, open_meter, rapl
from runners.edge.sysfs import Unreadable


def energy(root: Path, microjoules: int, zone: str = "intel-rapl:0") -> None:
    write(root, {f"sys/class/powercap/{zone}/energy_uj": microjoules})


def test_every_target_names_a_meter_that_is_there() -> None:
    assert {load_target(name).power.sampler for name in target_names()} <= set(meters.names())


class TestRapl:
    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def test_it_gives_the_mean_since_the_last_reading(self, atom: Path) -> None:
        meter = open_meter("rapl", ["package-0"], str(atom))
        energy(atom, 1000 + 5_000_000)
        self.now += 2
        assert meter.watts() == 2.5
        energy(atom, 1000 + 5_000_000 + 18_000_000)
        self.now += 2
        assert meter.watts() == 9.0

    @settings(max_examples=12)
    @given(start=st.integers(0, RANGE_UJ), watts=st.floats(0.5, 30), seconds=st.floats(0.01, 200))
    def test_a_counter_that_wraps_is_neither_negative_nor_lost(
        self, tmp_path_factory: pytest.TempPathFactory, start: int, watts: float, seconds: float
    ) -> None:
        root, zone = tmp_path_factory.getbasetemp(), "sys/class/powercap/intel-rapl:0"
        write(root, {f"{zone}/name": "package-0", f"{zone}/max_energy_range_uj": RANGE_UJ})
        energy(root, start)
        meter = open_meter("rapl", ["package-0"], str(root))
        energy(root, (start + int(watts * seconds * 1e6)) % (RANGE_UJ + 1))
        self.now += seconds
        assert meter.watts() == pytest.approx(watts, rel=1e-3)

    def test_each_zone_wraps_for_itself(self, atom: Path) -> None:
        energy(atom, RANGE_UJ - 999_999, "intel-rapl:0:2")
        meter = open_meter("rapl", ["core", "dram"], str(atom))
        energy(atom, 500_000 - 1, "intel-rapl:0:2")
        energy(atom, 1000 + 250_000, "intel-rapl:0:0")
        self.now += 1
        assert meter.watts() == pytest.approx(1.5 + 0.25)

    def test_asked_too_rarely_it_may_have_wrapped_twice(self, atom: Path) -> None:
        meter = open_meter("rapl", ["package-0"], str(atom))
        energy(atom, 3000)
        self.now += 8 * 3600  # at 9.5 W it wraps in 7.7 h
        with pytest.raises(Unreadable, match="not asked for 28800 s: a RAPL counter may have wrapped more than once"):
            meter.watts()
        energy(atom, 3000 + 9_000_000)
        self.now += 1
        assert meter.watts() == 9.0

    def test_a_counter_that_began_again_is_no_wrap(self, atom: Path) -> None:
        energy(atom, 77_000_000)
        meter = open_meter("rapl", ["package-0"], str(atom))
        energy(atom, 0)
        self.now += 1
        with pytest.raises(Unreadable, match="jumped"):
            meter.watts()

    @pytest.mark.parametrize(
        ("seconds", "why"), [(0.0, "ask less often"), (0.001, "ask less often"), (0.1, "this machine does not count")]
    )
    def test_a_counter_that_stands_still_is_no_zero(self, atom: Path, seconds: float, why: str) -> None:
        meter = open_meter("rapl", ["package-0"], str(atom))
        self.now += seconds
        with pytest.raises(Unreadable, match=f"stand still: {why}"):
            meter.watts()

    def test_nothing_is_counted_twice(self, atom: Path) -> None:
        with pytest.raises(Unreadable, match="already holds zones inside it"):
            open_meter("rapl", ["package-0", "core"], str(atom))

    def test_two_packages_have_zones_of_one_name(self, atom: Path) -> None:
        for zone, name in ((":1", "package-1"), (":1:0", "core")):
            folder = f"sys/class/powercap/intel-rapl{zone}"
            write(atom, {f"{folder}/name": name, f"{folder}/energy_uj": 9, f"{folder}/max_energy_range_uj": RANGE_UJ})
        with pytest.raises(Unreadable, match="called core: say intel-rapl:0:0 or intel-rapl:1:0"):
            open_meter("rapl", ["core"], str(atom))
        meter = open_meter("rapl", ["intel-rapl:1:0"], str(atom))
        energy(atom, 9 + 400_000, "intel-rapl:1:0")
        self.now += 1
        assert meter.watts() == 0.4
        assert rapl.Meter.rails(str(atom)) == ["package-0", "package-1", "core", "dram", "uncore"]


class TestIna3221:
    def test_rails_of_jetpack_4_are_found_by_name(self, tx2: Path) -> None:
        assert open_meter("ina3221", ["VDD_IN"], str(tx2)).watts() == 3.056
        assert open_meter("ina3221", ["VDD_SYS_GPU", "VDD_SYS_CPU"], str(tx2)).watts() == pytest.approx(0.304)

    def test_hwmon_is_volts_times_amperes_without_sums_and_unconnected_channels(self, orin: Path) -> None:
        meter = open_meter("ina3221", ["VDD_IN"], str(orin))
        assert meter.watts() == pytest.approx(9.250304)
        assert (meter.mode, meter.averages) == ("a value in 70 ms, mean of 16", False)
        assert meter.rails(str(orin)) == ["VDD_IN", "VDD_CPU_GPU_CV"]

    def test_the_mode_is_told(self, tx2: Path) -> None:
        assert open_meter("ina3221", ["VDD_IN"], str(tx2)).mode == "continuous"
        write(tx2, {f"{TX2_INA}/0-0041/iio:device1/running_mode": 0})
        assert "one unaveraged sample" in str(open_meter("ina3221", ["VDD_IN"], str(tx2)).mode)

    @pytest.mark.parametrize("reading", ["0", "-76", "", "nan", "12 W"])
    def test_a_reading_that_cannot_be_is_no_watt(self, tx2: Path, reading: str) -> None:
        write(tx2, {f"{TX2_INA}/0-0041/iio:device1/in_power0_input": reading})
        with pytest.raises(Unreadable, match=r"VDD_IN reads|in_power0_input: holds no number"):
            open_meter("ina3221", ["VDD_IN"], str(tx2)).watts()

    def test_half_a_reading_is_none(self, orin: Path) -> None:
        meter = open_meter("ina3221", ["VDD_IN"], str(orin))
        write(orin, {f"{ORIN_INA}/curr1_input": 0})
        with pytest.raises(Unreadable, match="VDD_IN reads 0 mW"):
            meter.watts()

    def test_a_total_is_not_added_to_its_parts(self, tx2: Path) -> None:
        with pytest.raises(Unreadable, match="VDD_IN already holds the other rails"):
            open_meter("ina3221", ["VDD_IN", "VDD_SYS_CPU"], str(tx2))

    @pytest.mark.parametrize("times", [1, 2])
    def test_a_busy_rail_is_asked_once_more(self, tx2: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        meter = open_meter("ina3221", ["VDD_IN"], str(tx2))
        asked: list[str] = []

        def reluctant(path: str, **_: object) -> io.StringIO:
            asked.append(Path(path).name)
            if len(asked) <= times:
                raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
            return io.StringIO("3056\n")

        monkeypatch.setattr(sysfs, "open", reluctant, raising=False)
        if times == 1:
            assert meter.watts() == 3.056
        else:
            with pytest.raises(Unreadable, match="busy"):
                meter.watts()
        assert asked == ["in_power0_input", "in_power0_input"]

    def test_a_driver_that_goes_is_said(self, orin: Path) -> None:
        meter = open_meter("ina3221", ["VDD_IN"], str(orin))
        (orin / ORIN_INA / "in1_input").unlink()
        with pytest.raises(Unreadable, match="in1_input: No such file"):
            meter.watts()


def test_an_ina226_gives_microwatts_by_its_place_or_label(tmp_path: Path) -> None:
    bus = "sys/bus/i2c/drivers/ina2xx"
    first, second = f"{bus}/1-0040/hwmon/hwmon3", f"{bus}/1-0041/hwmon/hwmon7"
    write(tmp_path, {f"{first}/power1_input": 7_250_000, f"{first}/shunt_resistor": 10000})
    write(tmp_path, {f"{second}/power1_input": 1_000_000, f"{second}/label": "camera", f"{second}/update_interval": 35})
    assert meters.kind("ina2xx").rails(str(tmp_path)) == ["1-0040", "camera"]
    meter = open_meter("ina2xx", ["1-0040", "camera"], str(tmp_path))
    assert (meter.watts(), meter.mode) == (8.25, "shunt 10000 microohms, a value in unknown ms")
    write(tmp_path, {f"{second}/power1_input": 0})
    with pytest.raises(Unreadable, match="camera reads 0 microwatts"):
        meter.watts()


@pytest.mark.parametrize(
    ("meter", "rails", "words"),
    [
        ("rapl", ["psys"], "there are package-0, core, dram, uncore"),
        ("ina3221", ["VDD_IN"], "none: no driver ina3221 or ina3221x is bound here"),
        ("ina2xx", ["1-0040"], "none: load the module"),
        ("watts-up", ["mains"], "no power meter called watts-up: there are command, ina2xx, ina3221, rapl"),
        ("rapl", [], "name at least one rail"),
        ("rapl", ["dram", "dram"], "each of them once"),
        ("command", ["one", "two"], "one rail"),
        ("command", ["/no/such/meter --fast"], "does not start: .*No such file"),
        ("command", ["meter 'half a quote"], "does not start: No closing quotation"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named_with_what_is(atom: Path, meter: str, rails: list[str], words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        open_meter(meter, rails, str(atom))


def test_no_permission_says_how_to_get_it(atom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sysfs, "open", refuse, raising=False)
    with pytest.raises(Unreadable, match=r"energy_uj: no permission to read it; .*udev rule"):
        sysfs.read_number("energy_uj", rapl.FIX)


def test_a_meter_dropped_in_as_one_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab_meter.py").write_text(
        "from runners.edge.meters import PowerMeter\n\n\n"
        "class Meter(PowerMeter):\n    def watts(self):\n        return 7.5\n"
    )
    monkeypatch.setattr(meters, "__path__", [*meters.__path__, str(tmp_path)])
    assert "lab-meter" in meters.names()
    meter = open_meter("lab-meter", ["mains"])
    assert (meter.watts(), meter.averages, meter.rails()) == (7.5, False, [])


@contextmanager
def running(*words: str) -> Iterator[PowerMeter]:
    """A command meter that runs this."""
    meter = open_meter("command", [shlex.join(words)])
    try:
        yield meter
    finally:
        meter.close()


def python(program: str) -> tuple[str, ...]:
    """The words of a Python program that knows the time."""
    return sys.executable, "-c", f"import time\n{program}"


class TestCommand:
    """A lab meter is a real process here."""

    def test_a_reading_is_the_mean_by_its_own_clock_of_what_came(self) -> None:
        # 4 W for a second, then within another up to 8 W: of the two, (4 + 6) / 2.
        with running("sh", "-c", "printf '0 4\\n1000000000 4\\n2000000000 8\\n'; sleep 60") as meter:
            assert meter.watts() == pytest.approx(5.0)

    def test_faster_or_slower_than_asked_makes_no_difference(self) -> None:
        line = "while True: print(time.monotonic_ns(), 6.5, flush=True); time.sleep"
        with running(*python(f"{line}(0.0005)")) as fast:
            for _ in range(3):
                assert fast.watts() == pytest.approx(6.5)
                time.sleep(0.05)  # some hundred lines
        start = time.monotonic()
        with running(*python(f"{line}(0.15)")) as slow:
            assert [slow.watts() for _ in range(3)] == pytest.approx([6.5] * 3)
            assert time.monotonic() - start > 0.2

    @pytest.mark.parametrize(
        ("program", "words"),
        [
            ("sleep 60", "no reading for 0.3 s$"),
            ("echo 'V;A;W'; sleep 60", "no reading for 0.3 s; it printed 'V;A;W', not `t_ns watts`"),
            ("echo '1 0.0'; echo '2 nan'; echo '3 -1'; sleep 60", "no reading for 0.3 s; it printed '3 -1'"),
            ("tr '\\0' x < /dev/zero", "no reading for 0.3 s$"),
            ("yes", "no reading for 0.3 s; it printed 'y'"),
            ("echo no meter at /dev/ttyUSB0 >&2; exit 1", "ended with status 1; it printed 'no meter at /dev/ttyUSB0'"),
            ("true", "ended with status 0$"),
            ("kill -9 $$", "ended with status -9$"),
            ("exec >&- 2>&-; sleep 60", "ended$"),
            ("printf '5 1.0\\n4 1.0\\n'; sleep 60", "its clock went back$"),
        ],
        ids=[
            "hangs", "garbage", "no power", "one endless line", "a flood", "dies with words", "ends", "is killed",
            "closes", "goes back",
        ],
    )  # fmt: skip
    def test_what_is_no_reading_is_said(self, monkeypatch: pytest.MonkeyPatch, program: str, words: str) -> None:
        monkeypatch.setattr(command, "SILENCE_S", 0.3)
        start = time.monotonic()
        with running("sh", "-c", program) as meter, pytest.raises(Unreadable, match=words):
            meter.watts()
        assert time.monotonic() - start < 30
        assert len(meter._rest) <= command.LINE_BYTES  # type: ignore[attr-defined]

    def test_a_clock_that_jumps_costs_one_reading(self) -> None:
        jump = "print(time.time_ns(), 5, flush=True); time.sleep(0.15)\n"
        jump += "while True: print(time.time_ns() + 3600 * 10**9, 5, flush=True); time.sleep(0.01)"
        with running(*python(jump)) as meter:
            assert meter.watts() == 5
            with pytest.raises(Unreadable, match=r"its clock jumped by 3600\.\d s, or it holds lines back"):
                meter.watts()
            assert meter.watts() == pytest.approx(5)

    def test_closing_ends_it_with_all_that_it_started(self, tmp_path: Path) -> None:
        alive = tmp_path / "alive"
        shell = f"(while true; do date > {alive}; sleep 0.02; done) & echo 1 5.0; wait"
        meter = open_meter("command", [shlex.join(["sh", "-c", shell])])
        assert meter.watts() == 5.0
        while not alive.exists():
            time.sleep(0.01)
        meter.close()
        alive.unlink(missing_ok=True)
        time.sleep(0.1)
        assert not alive.exists()
