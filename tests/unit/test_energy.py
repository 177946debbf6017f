"""Energy between two moments: sums that must hold for any readings, and windows that count as not measured."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.edge.health.clocks import Clock
from runners.edge.health.snapshot import Snapshot
from runners.edge.monitor import energy
from runners.edge.monitor.energy import joules
from runners.edge.monitor.figures import Figures, figures
from runners.edge.monitor.recording import Recording, Sample, read
from runners.edge.sysfs import Unreadable

S = 10**9
EMPTY = Recording("rapl", ["package-0"], 10.0, [], [], [])


def recording(samples: list[Sample], *, averages: bool = False, **fields: object) -> Recording:
    opened = samples[0][0] - S // 10 if samples else 0
    return EMPTY._replace(samples=samples, averages=averages, opened_ns=opened, **fields)  # type: ignore[arg-type]


def steady(watts: float, seconds: float, *, start_s: float = 0.0) -> list[Sample]:
    """Ten readings a second."""
    return [(int((start_s + turn / 10) * S), watts) for turn in range(round(seconds * 10) + 1)]


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    """Twelve to thirty readings, 20 to 900 ms apart."""
    steps = draw(st.lists(st.integers(20_000_000, 900_000_000), min_size=12, max_size=30))
    times = [sum(steps[:index]) for index in range(len(steps))]
    samples = [(t_ns, draw(st.floats(0.1, 40))) for t_ns in times]
    return recording(samples, averages=draw(st.booleans()))


class TestSums:
    @settings(max_examples=25)
    @given(recordings(), st.floats(0, 1))
    def test_a_window_is_the_sum_of_its_parts(self, made: Recording, share: float) -> None:
        times = [t_ns for t_ns, _ in made.samples]
        middle = int(times[5] + share * (times[-6] - times[5]))  # neither part is too short
        parts = joules(made, times[0], middle), joules(made, middle, times[-1])
        assert math.isclose(sum(parts), joules(made, times[0], times[-1]), rel_tol=1e-9)

    @settings(max_examples=25)
    @given(recordings())
    def test_the_mean_lies_between_the_readings(self, made: Recording) -> None:
        values = [watts for _, watts in made.samples]
        mean = energy.watts(made, [(made.samples[0][0], made.samples[-1][0])])
        assert min(values) * (1 - 1e-9) <= mean <= max(values) * (1 + 1e-9)

    @given(st.floats(0.5, 40), st.floats(-0.5, 0.5), st.floats(0.0, 0.9), st.floats(3.0, 9.9))
    def test_a_straight_line_is_exact(self, watts: float, slope: float, start_s: float, end_s: float) -> None:
        made = recording([(t_ns, watts + 5 + slope * t_ns / S) for t_ns, _ in steady(0, 10)])
        start, end = int(start_s * S), int(end_s * S)
        exact = (end - start) / S * (watts + 5 + slope * (start + end) / S / 2)
        assert math.isclose(joules(made, start, end), exact, rel_tol=1e-9)

    @given(st.lists(st.integers(1, 900_000), min_size=8, max_size=40), st.integers(20_000_000, 900_000_000))
    def test_means_add_up_to_the_counter_they_come_from(self, microjoules: list[int], step: int) -> None:
        samples = [((turn + 1) * step, used / 1e6 / (step / S)) for turn, used in enumerate(microjoules)]
        made = recording(samples, averages=True)._replace(opened_ns=0)
        assert math.isclose(joules(made, 0, len(samples) * step), sum(microjoules) / 1e6, rel_tol=1e-9)

    def test_windows_of_one_state_are_one_mean(self) -> None:
        made = recording(steady(4, 10) + [(t_ns, 10.0) for t_ns, _ in steady(0, 5, start_s=10.1)])
        assert energy.watts(made, [(0, 8 * S), (11 * S, 15 * S)]) == pytest.approx((8 * 4 + 4 * 10) / 12)


class TestNotMeasured:
    def test_a_gap_in_it(self) -> None:
        made = recording(steady(4, 3) + steady(4, 3, start_s=4.5), failures=[(3_200_000_000, "VDD_IN: busy")])
        with pytest.raises(Unreadable, match=r"^no reading for 1\.5 s, of at most 1\.0 s: VDD_IN: busy$"):
            joules(made, S, 6 * S)
        assert joules(made, S, 3 * S) == pytest.approx(8)

    def test_a_slow_meter_may_pause_longer(self) -> None:
        made = recording([(t_ns * 20, watts) for t_ns, watts in steady(4, 3)])._replace(hz=0.5)
        assert joules(made, 10 * S, 30 * S) == pytest.approx(80)

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({}, "no reading of package-0 for the whole of it"),
            ({"failures": [(int(3.1 * S), "in1_input: No such device")]}, "^in1_input: No such device$"),
            ({"failures": [(int(2.5 * S), "busy")], "ended": "the monitor hung"}, "^the monitor hung$"),
        ],
        ids=["nothing said", "the meter went", "it was busy before, then killed"],
    )
    def test_a_meter_that_went_before_it_or_in_it(self, fields: dict[str, object], words: str) -> None:
        made = recording(steady(4, 3), **fields)
        for start, end in ((4 * S, 8 * S), (int(2.6 * S), 8 * S)):
            with pytest.raises(Unreadable, match=words):
                joules(made, start, end)

    def test_it_began_before_the_first_reading(self) -> None:
        with pytest.raises(Unreadable, match="no reading of package-0 for the whole of it"):
            joules(recording(steady(4, 3, start_s=1)), 0, 3 * S)

    def test_nothing_was_ever_read(self) -> None:
        with pytest.raises(Unreadable, match="no permission"):
            joules(EMPTY._replace(failures=[(S, "energy_uj: no permission")]), 2 * S, 9 * S)

    def test_it_is_too_short(self) -> None:
        with pytest.raises(Unreadable, match=r"0\.03 s are too short for 10 readings a second"):
            joules(recording(steady(4, 3)), S, S + 33_000_000)  # a model switch


def board(seconds: float, zone: float = 50.0, mhz: float = 1600.0) -> tuple[int, Snapshot]:
    return int(seconds * S), Snapshot({"cpu0": Clock(mhz, 1600.0, 1.0)}, {"soc": zone}, None, {}, {}, {}, False)


class TestFigures:
    def test_a_whole_run(self) -> None:
        samples = steady(3, 10) + steady(8, 60.1, start_s=10.1)
        made = recording(samples, snapshots=[board(second, 40 + 0.01 * second) for second in range(71)])
        states = {"idle": [(0, 10 * S)], "regions_4": [(int(10.1 * S), int(70.2 * S))]}
        found = figures(made, states, frames=1803)
        assert found.power is not None
        assert found.power["idle_w"] == pytest.approx(3)
        assert found.power["by_state_w"] == pytest.approx({"idle": 3, "regions_4": 8})
        assert found.power["sustained_w"] == pytest.approx(8)
        assert found.power["energy_per_frame_j"] == pytest.approx(8 * 60.1 / 1803)
        assert (found.power["sample_hz"], found.power["longest_gap_s"]) == (pytest.approx(10), pytest.approx(0.1))
        assert found.not_measured == {}
        assert found.during == {
            "clocks_mhz": {"cpu0": 1600}, "temperatures_c": {"soc": 40.69}, "fan_percent": None, "throttled": False,
            "signs": [],
        }  # fmt: skip

    def sustained(self, seconds: int, *, hot_s: int) -> tuple[float | None, str]:
        """Full work that takes 9 W for its first five minutes and 7 W then, warming up until `hot_s`."""
        samples = [(t_ns, 9.0 if t_ns < 300 * S else 7.0) for t_ns, _ in steady(0, seconds)]
        warm = [board(second, 40 + 0.1 * min(second, hot_s)) for second in range(0, seconds, 5)]
        found = figures(recording(samples, snapshots=warm), {"regions_4": [(0, seconds * S)]}, frames=1)
        assert found.power is not None
        return found.power["sustained_w"], found.not_measured.get("power.sustained_w", "")

    def test_power_that_lasts_is_of_warm_boards(self) -> None:
        assert self.sustained(600, hot_s=600) == (pytest.approx(7), "")  # minutes 5 to 10, steady or not
        assert self.sustained(400, hot_s=200) == (pytest.approx(7), "")  # the last minute, at a steady temperature
        watts, reason = self.sustained(400, hot_s=400)
        assert watts is None
        assert reason.startswith("400 s of full work: it takes 600 s, or 60 s in which")
        assert self.sustained(50, hot_s=0)[0] is None

    def test_one_state_not_measured_leaves_the_others(self) -> None:
        states = {"idle": [(0, 5 * S)], "model_switch": [(6 * S, 6 * S + 40_000_000)], "regions_4": [(7 * S, 9 * S)]}
        found = figures(recording(steady(4, 8)), states, frames=60)
        assert found.power is not None
        assert found.power["by_state_w"] == {"idle": pytest.approx(4)}
        assert found.power["energy_per_frame_j"] is None
        assert found.not_measured.keys() == {
            "power.model_switch", "power.regions_4", "power.sustained_w", "power.energy_per_frame_j", "health"
        }  # fmt: skip

    def test_nothing_measured_is_null_with_the_reason(self) -> None:
        said = EMPTY._replace(failures=[(1, "no permission; a udev rule")])
        assert figures(said, {"idle": [(2, 9 * S)]}) == Figures(
            None, {}, {}, {}, {"power": "no permission; a udev rule", "health": "the monitor took no look at the board"}
        )

    def test_no_frame_is_no_division_by_zero(self) -> None:
        found = figures(recording(steady(4, 8)), {"regions_4": [(0, 8 * S)]}, frames=0)
        assert found.not_measured["power.energy_per_frame_j"] == "no frame was counted"

    def test_a_throttled_run_says_by_what(self) -> None:
        slow = [board(0)] + [board(second, mhz=800.0) for second in range(1, 5)]
        found = figures(recording(steady(4, 8), snapshots=slow), {"idle": [(0, 8 * S)]})
        assert (found.during["throttled"], found.during["signs"]) == (True, ["cpu0 at 800 of 1600 MHz while busy"])

    def test_a_board_that_cannot_tell_is_not_known(self) -> None:
        blind = [(second * S, Snapshot({}, {}, None, {}, {}, {}, None)) for second in range(3)]
        found = figures(recording(steady(4, 8), snapshots=blind), {"idle": [(0, 8 * S)]})
        assert found.during["throttled"] is None
        assert "no count of throttling" in found.not_measured["throttled"]


def test_a_line_cut_off_by_a_kill_is_left_out() -> None:
    lines = ['{"core": 3, "t_ns": 1}', '{"averages": true, "mode": null, "t_ns": 2}', '{"watts": 4.5, "t_ns": 3}']
    made = read([*lines, '{"watts": 9.'], "rapl", ["package-0"], 10)
    assert (made.core, made.opened_ns, made.averages, made.samples) == (3, 2, True, [(3, 4.5)])
