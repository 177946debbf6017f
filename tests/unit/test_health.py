"""Health and fingerprint on recorded trees: what a board tells of itself, and what its signs of throttling are."""

import json
from pathlib import Path

import pytest

from pipeline.boards.recorded_boards import CPU, GPU, busy, write
from pipeline.records.board import Fingerprint
from runners.edge.health import fingerprint, snapshot
from runners.edge.health.clocks import Clock, cores_of
from runners.edge.health.snapshot import Board, Snapshot
from runners.edge.health.throttling import signs, tells
from runners.edge.sysfs import Unreadable


def watch(root: Path, *moments: dict[str, object]) -> list[Snapshot]:
    """A snapshot of the board as it is, then one after each change; all cores are busy in between."""
    board = Board(str(root))
    cores = [int(line[3]) for line in (root / "proc/stat").read_text().splitlines()[1:]]
    snapshots = [board.snapshot()]
    for second, files in enumerate(moments):
        busy(root, cores, 11 + second)
        write(root, files)
        snapshots.append(board.snapshot())
    return snapshots


class TestSnapshot:
    def test_a_tx2(self, tx2: Path) -> None:
        before, now = watch(tx2, {f"{GPU}/load": 990})
        assert before.clocks["cpu0"] == Clock(2000.0, 2000.0, None)
        assert now.clocks == {"cpu0": Clock(2000.0, 2000.0, 1.0), "17000000.gp10b": Clock(1120.0, 1120.0, 0.99)}
        assert now.temperatures_c["BCPU-therm"] == 38.0
        assert "PMIC-Die" not in now.temperatures_c  # a constant
        assert (now.fan_percent, now.turbo) == (20.0, None)
        assert now.cooling == {"cooling_device1 (gpu-balanced)": 0}  # a fan that turns slows nothing down

    def test_an_atom(self, atom: Path) -> None:
        now = Board(str(atom)).snapshot()
        assert {name: clock.mhz for name, clock in now.clocks.items()} == {f"cpu{core}": 1600.0 for core in range(4)}
        assert now.temperatures_c == {"acpitz": 37.0, "x86_pkg_temp": 38.0}
        assert (now.fan_percent, now.turbo, now.limits_w) == (None, False, {"package-0": 10.0})
        assert now.cooling == {"cooling_device0 (Processor)": 0}  # nor does a dimmed screen
        assert now.counters["cpu3 package_throttle_count"] == 5

    def test_a_sensor_that_is_absent_or_asleep_is_none(self, orin: Path) -> None:
        zone = "sys/class/thermal/thermal_zone"
        write(orin, {f"{zone}2/type": "gpu-thermal", f"{zone}2/temp": "", f"{zone}3/type": "cpu-thermal"})
        write(orin, {f"{zone}3/temp": 61000, f"{zone}4/type": "tj-thermal", f"{zone}4/temp": 0})
        now = Board(str(orin)).snapshot()
        assert now.temperatures_c == {"cpu-thermal": 63.625, "cpu-thermal-3": 61.0, "tj-thermal": 0.0}

    def test_a_core_that_goes_off_between_two_looks(self, tx2: Path) -> None:
        board = Board(str(tx2))
        board.snapshot()
        busy(tx2, [0, 3], 10, idle=30)
        write(tx2, {f"{CPU}/cpufreq/policy0/affected_cpus": "0 3"})
        assert board.snapshot().clocks["cpu0"].busy == 0.0

    def test_nothing_is_there(self, tmp_path: Path) -> None:
        now = Board(str(tmp_path)).snapshot()
        assert now == Snapshot({}, {}, None, {}, {}, {}, None)
        assert not tells(now)
        assert signs([now, now]) == signs([]) == []

    def test_it_goes_through_json(self, tx2: Path) -> None:
        now = watch(tx2, {})[-1]
        assert snapshot.of_json(json.loads(json.dumps(snapshot.as_json(now)))) == now

    def test_lists_of_cores(self) -> None:
        assert cores_of("0,3-5") == [0, 3, 4, 5]
        assert cores_of("") == []


class TestThrottling:
    def test_a_board_at_work_shows_no_sign(self, atom: Path) -> None:
        snapshots = watch(atom, {}, {}, {})
        assert signs(snapshots, package_w=8.0) == []
        assert tells(snapshots[0])

    def test_a_full_power_limit_alone_is_none(self, atom: Path) -> None:
        assert signs(watch(atom, {}, {}), package_w=9.9) == []

    def test_counts_of_an_atom_rise(self, atom: Path) -> None:
        count = f"{CPU}/cpu2/thermal_throttle/core_throttle_count"
        assert signs(watch(atom, {count: 9}, {count: 12})) == ["cpu2 core_throttle_count rose by 10"]

    @pytest.mark.parametrize(
        ("turbo", "watts", "found"),
        [
            (False, 6.0, ["cpu1 at 1300 of 1600 MHz while busy"]),
            (False, None, ["cpu1 at 1300 of 1600 MHz while busy"]),
            (False, 9.8, ["cpu1 at 1300 of 1600 MHz while busy, the package at its power limit: 9.8 of 10 W"]),
            (True, 9.8, ["cpu1 at 1300 of 1600 MHz while busy, the package at its power limit: 9.8 of 10 W"]),
            (True, 6.0, []),  # turbo gives what it gives
        ],
    )
    def test_a_clock_below_what_is_set(self, atom: Path, turbo: bool, watts: float | None, found: list[str]) -> None:
        write(atom, {f"{CPU}/intel_pstate/no_turbo": int(not turbo)})
        low: dict[str, object] = {f"{CPU}/cpufreq/policy1/scaling_cur_freq": 1300000}
        assert signs(watch(atom, low, low), watts) == found

    def test_a_clock_that_dips_once_or_idles_is_none(self, atom: Path) -> None:
        clock = f"{CPU}/cpufreq/policy1/scaling_cur_freq"
        assert signs(watch(atom, {clock: 1300000}, {clock: 1600000}, {clock: 1300000})) == []
        board, idle = Board(str(atom)), []
        for second in range(3):
            busy(atom, [0, 1, 2, 3], 10, idle=second)
            idle.append(board.snapshot())
        assert signs(idle) == []

    @pytest.mark.parametrize(
        ("files", "found"),
        [
            (
                {"sys/class/thermal/cooling_device1/cur_state": 2},
                "cooling_device1 (gpu-balanced) is at work",
            ),
            (
                {f"{GPU}/load": 1000, f"{GPU}/devfreq/17000000.gp10b/cur_freq": 850000000},
                "17000000.gp10b at 850 of 1120 MHz while busy",
            ),
            (
                {f"{CPU}/cpufreq/policy0/scaling_max_freq": 1400000},
                "cpu0 was set from 2000 to 1400 MHz",
            ),
        ],
    )  # fmt: skip
    def test_a_tx2_counts_nothing_but_shows_it(self, tx2: Path, files: dict[str, object], found: str) -> None:
        snapshots = watch(tx2, files, files)
        assert signs(snapshots) == [found]
        assert tells(snapshots[0])

    def test_an_orin_counts_peaks_on_healthy_boards_too(self, orin: Path) -> None:
        events = "sys/devices/platform/soctherm-oc-event/hwmon/hwmon2"
        assert signs(watch_orin(orin, {f"{events}/oc3_event_cnt": 50000})) == []
        assert signs(watch_orin(orin, {f"{events}/oc1_event_cnt": 1})) == ["oc1_event_cnt rose by 1"]


def watch_orin(root: Path, files: dict[str, object]) -> list[Snapshot]:
    board = Board(str(root))
    before = board.snapshot()
    write(root, files)
    return [before, board.snapshot()]


class TestFingerprint:
    def test_a_tx2(self, tx2: Path) -> None:
        fields, reasons = fingerprint.read(str(tx2), [], lambda: "NV Power Mode: MAXP_CORE_ARM\n3\n")
        versions = fields.pop("versions")
        assert fields == {
            "board": "quill", "serial": "1420921055981", "soc": "nvidia,tegra186", "kernel": "4.9.337-tegra",
            "os_image": "L4T R32.7.6, Ubuntu 18.04.6 LTS", "power_mode": "MAXP_CORE_ARM", "governor": "schedutil",
            "microcode": None,
        }  # fmt: skip
        assert versions.keys() == {"python", "nvidia-jetpack", "libnvinfer8"}
        assert versions["nvidia-jetpack"] == "4.6.6-b24"
        assert reasons == {"microcode": "/proc/cpuinfo tells of none"}

    def test_an_atom(self, atom: Path) -> None:
        packages = [atom / "first", atom / "second"]
        for folder, name in (
            (packages[0], "openvino-2022.3.1.dist-info"), (packages[1], "openvino-2021.4.dist-info"),
            (packages[1], "opencv_python_headless-4.6.0.66.dist-info"), (packages[1], "pip-21.dist-info"),
            (packages[1], "numpy-1.19.5-py3.6.egg-info"),
        ):  # fmt: skip
            (folder / name).mkdir(parents=True)
        fields, reasons = fingerprint.read(str(atom), [str(folder) for folder in packages])
        versions = fields.pop("versions")
        assert fields == {
            "board": "AAEON UP-APL01", "serial": "A0042", "soc": "Intel(R) Atom(TM) Processor E3940 @ 1.60GHz",
            "kernel": "6.8.0-57-generic", "os_image": "Ubuntu 22.04.5 LTS",
            "power_mode": "turbo off, package-0 10 W", "governor": "performance", "microcode": "0x28",
        }  # fmt: skip
        del versions["python"]
        assert versions == {
            "intel-opencl-icd-legacy1": "24.35.30872.36", "openvino": "2022.3.1", "numpy": "1.19.5",
            "opencv-python-headless": "4.6.0.66",
        }  # fmt: skip
        assert reasons == {}

    def test_equal_boards_are_equal_and_a_change_is_seen(self, atom: Path) -> None:
        def read() -> Fingerprint:
            return Fingerprint.model_validate(fingerprint.read(str(atom), [])[0])

        before = read()
        assert read() == before
        write(atom, {"sys/class/powercap/intel-rapl:0/constraint_0_power_limit_uw": 6_000_000})
        assert read() != before

    def test_what_cannot_be_read_is_null_with_a_reason(self, tmp_path: Path) -> None:
        write(tmp_path, {"proc/sys/kernel/hostname": "lab-3", "sys/class/dmi/id/board_serial": "Default string"})
        fields, reasons = fingerprint.read(str(tmp_path), [])
        unknown = {"serial", "soc", "kernel", "os_image", "power_mode", "governor", "microcode"}
        assert {name for name, value in fields.items() if value is None} == unknown
        assert reasons.keys() == unknown | {"board"}
        assert fields["board"] == "lab-3"
        assert Fingerprint.model_validate(fields).serial is None

    @pytest.mark.parametrize("program", ["echo 'Failed to open /var/lib/nvpmodel/conf_file_path'", "exit 1", None])
    def test_nvpmodel_that_does_not_tell(self, tx2: Path, monkeypatch: pytest.MonkeyPatch, program: str | None) -> None:
        monkeypatch.setenv("PATH", str(tx2 / "bin"))
        if program:
            write(tx2, {"bin/nvpmodel": f'#!/bin/sh\n[ "$*" = -q ] || exit 9\n{program}'})
            (tx2 / "bin/nvpmodel").chmod(0o755)
        fields, reasons = fingerprint.read(str(tx2), [])
        assert fields["power_mode"] is None
        expected = {None: "No such file", "exit 1": "printed: nothing"}.get(program, "printed: Failed to open")
        assert expected in reasons["power_mode"]

    def test_nvpmodel_that_tells(self, tx2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said = "#!/bin/sh\necho 'NV Fan Mode:quiet'\necho 'NV Power Mode: 15W'\necho 2"
        write(tx2, {"bin/nvpmodel": said}).joinpath("bin/nvpmodel").chmod(0o755)
        monkeypatch.setenv("PATH", str(tx2 / "bin"))
        assert fingerprint.read(str(tx2), [])[0]["power_mode"] == "15W"

    def test_a_mode_that_cannot_be_asked_is_no_reason_to_stop(self, tx2: Path) -> None:
        def refuse() -> str:
            raise Unreadable("nvpmodel -q: timed out")

        fields, reasons = fingerprint.read(str(tx2), [], refuse)
        assert (fields["power_mode"], reasons["power_mode"]) == (None, "nvpmodel -q: timed out")
