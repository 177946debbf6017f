"""Power meters on recorded trees of /sys: what a rail reads, and what is said when it cannot be read."""

import time
from pathlib import Path

import pytest

from pipeline.records.targets import load_target, target_names
from runners.edge import meters
from runners.edge.meters import Unreadable, open_meter

RANGE_UJ = 262143328850  # of a Goldmont: 2^32 - 1 steps of 61.035 microjoules


@pytest.fixture
def atom(tmp_path: Path) -> Path:
    for zone, name, energy in (("intel-rapl:0", "package-0", 1000), ("intel-rapl:0:0", "core", 10)):
        folder = tmp_path / "sys/class/powercap" / zone
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{energy}\n")
        (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    return tmp_path


@pytest.fixture
def tx2(tmp_path: Path) -> Path:
    for chip, device, rails in (
        ("0-0040", 0, ("VDD_SYS_GPU", "VDD_SYS_SOC", "VDD_4V0_WIFI")),
        ("0-0041", 1, ("VDD_IN", "VDD_SYS_CPU", "VDD_SYS_DDR")),
    ):
        folder = tmp_path / "sys/bus/i2c/drivers/ina3221x" / chip / f"iio:device{device}"
        folder.mkdir(parents=True)
        for channel, rail in enumerate(rails):
            (folder / f"rail_name_{channel}").write_text(f"{rail}\n")
            (folder / f"in_power{channel}_input").write_text(f"{3056 if rail == 'VDD_IN' else 152}\n")
            (folder / f"in_power{channel}_trigger_input").write_text("0\n")
    return tmp_path


def energy(root: Path, microjoules: int) -> None:
    (root / "sys/class/powercap/intel-rapl:0/energy_uj").write_text(f"{microjoules}\n")


def test_every_target_names_a_meter_that_is_there() -> None:
    assert {load_target(name).power.sampler for name in target_names()} <= set(meters.names())


def test_rapl_gives_the_mean_since_the_last_reading(atom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 102.0, 104.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    meter = open_meter("rapl", ["package-0"], str(atom))
    energy(atom, 1000 + 5_000_000)
    assert meter.watts() == 2.5
    energy(atom, 1000 + 5_000_000 + 18_000_000)
    assert meter.watts() == 9.0


def test_a_counter_that_wraps_is_no_negative_power(atom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    energy(atom, RANGE_UJ - 999_999)
    meter = open_meter("rapl", ["package-0"], str(atom))
    energy(atom, 4_000_000)
    assert meter.watts() == pytest.approx(5.0)


def test_a_counter_that_stands_still_is_no_zero(atom: Path) -> None:
    meter = open_meter("rapl", ["package-0"], str(atom))
    with pytest.raises(Unreadable, match="stand still"):
        meter.watts()


def test_rails_of_a_jetson_are_found_by_name(tx2: Path) -> None:
    assert open_meter("ina3221", ["VDD_IN"], str(tx2)).watts() == 3.056
    assert open_meter("ina3221", ["VDD_SYS_GPU", "VDD_SYS_CPU"], str(tx2)).watts() == pytest.approx(0.304)


@pytest.mark.parametrize("reading", ["0", "-76", "", "nan", "12 W"])
def test_a_reading_that_cannot_be_is_no_watt(tx2: Path, reading: str) -> None:
    (tx2 / "sys/bus/i2c/drivers/ina3221x/0-0041/iio:device1/in_power0_input").write_text(reading)
    with pytest.raises(Unreadable, match="in_power0_input"):
        open_meter("ina3221", ["VDD_IN"], str(tx2)).watts()


@pytest.mark.parametrize(
    ("meter", "rail", "words"),
    [
        ("rapl", "psys", "there are core, package-0"), ("ina3221", "VDD_IN", "no Jetson"),
        ("watts-up", "mains", "no power meter called watts-up: there are ina3221, rapl"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named_with_what_is(atom: Path, meter: str, rail: str, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        open_meter(meter, [rail], str(atom))


def test_no_permission_says_how_to_get_it(atom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(meters, "open", refuse, raising=False)
    with pytest.raises(Unreadable, match="udev rule"):
        meters.read_number("energy_uj", "give the right by a udev rule")


def test_a_meter_dropped_in_as_one_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab_meter.py").write_text(
        "class Meter:\n    def __init__(self, rails, root):\n        pass\n    def watts(self):\n        return 7.5\n"
    )
    monkeypatch.setattr(meters, "__path__", [*meters.__path__, str(tmp_path)])
    assert "lab-meter" in meters.names()
    assert open_meter("lab-meter", ["mains"]).watts() == 7.5
