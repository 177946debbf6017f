"""A board that holds itself back while the program runs is told once, and once more when it is over."""

from pathlib import Path
from typing import Any

from pipeline.boards.recorded_boards import CPU, write
from runners.edge.health.snapshot import Board
from runners.edge.program.heat import LOOKS, Heat

COOLING = "sys/class/thermal/cooling_device0/cur_state"
COUNT = f"{CPU}/cpu0/thermal_throttle/core_throttle_count"


def test_each_change_is_told_once(atom: Path) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    heat = Heat(lambda event, **facts: told.append((event, facts)), Board(str(atom)))
    for _ in range(3):
        heat.look()
    assert told == []
    write(atom, {COOLING: 3})
    for _ in range(3):
        heat.look()
    assert told == [
        (
            "throttled",
            {"signs": ["cooling_device0 (Processor) is at work"], "temperatures_c": told[0][1]["temperatures_c"]},
        )
    ]
    assert told[0][1]["temperatures_c"]["x86_pkg_temp"] == 38.0
    write(atom, {COOLING: 0})
    for _ in range(LOOKS + 1):
        heat.look()
    assert [event for event, _ in told] == ["throttled", "throttled_no_more"]


def test_a_count_that_rose_counts_for_some_looks_only(atom: Path) -> None:
    told: list[str] = []
    heat = Heat(lambda event, **facts: told.append(event), Board(str(atom)))
    write(atom, {COUNT: 9})
    for _ in range(LOOKS + 2):
        heat.look()
    assert told == ["throttled", "throttled_no_more"]


def test_it_ends_at_once(atom: Path) -> None:
    heat = Heat(lambda event, **facts: None, Board(str(atom))).start()
    heat.close()
    assert not heat._thread.is_alive()
