"""What the camera program says of itself survives its JSON; what is no such thing is told in one line."""

import json
from typing import Any

import pytest

from runners.contract.loop_figures import PARTS, LoopFigures, Part, as_json, from_json
from runners.edge.program.costs import milliseconds

FIGURES = LoopFigures(
    frames=40,
    seconds=2.0,
    fps=20.0,
    regions=160,
    regions_a_frame=4,
    parts={name: Part(1.5, None, None) if name == "decode" else Part(2.0, 1.0, 3.0) for name in PARTS},
    classifier_p50_ms=30.0,
    classifier_p99_ms=45.0,
    regions_per_second=133.3,
    rounds_fps=[19.0, 21.0],
    rounds_classifier_ms=[30.0, 30.5],
    start_seconds=0.8,
    peak_memory_mib=180.0,
    readers_memory_mib=None,
    threads=2,
    device={"runtime": "OpenVINO 2026.4.1", "computes": ["CPU"]},
    cameras={"door": {"received": 41, "delivered": 40, "dropped": 1, "damaged": 0, "lost": 0}},
)


def test_figures_survive_their_json() -> None:
    assert from_json(json.dumps(as_json(FIGURES), allow_nan=False)) == FIGURES


@pytest.mark.parametrize(
    "change",
    [
        {"fps": "20"}, {"fps": float("nan")}, {"fps": 10**400}, {"seconds": -1.0}, {"frames": True}, {"parts": {}},
        {"device": []}, {"rounds_fps": ["fast"]}, {"watts": 3}, {"parts": {name: {"cpu_ms": 1} for name in PARTS}},
    ],
)  # fmt: skip
def test_what_are_no_figures_is_told_in_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^no figures of the camera program: [^\n]+$"):
        from_json(json.dumps({**as_json(FIGURES), **change}))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 100000])
def test_nor_is_another_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"^no figures of the camera program: [^\n]+$"):
        from_json(text)


def test_a_quantile_is_that_of_the_nearest_rank() -> None:
    hundred = [number / 1000 for number in range(100, 0, -1)]
    assert milliseconds(hundred, 0.99) == 99.0, "99 of 100 take no longer"
    assert [milliseconds(hundred[-count:], 0.5) for count in (1, 2, 3, 4)] == [1.0, 1.0, 2.0, 2.0]
    assert milliseconds([], 0.5) is None
