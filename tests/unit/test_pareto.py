"""The chart of a comment: what it says, and that GitHub's drawing program takes it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.ci import pareto
from pipeline.ci.run_record import Entry
from tests.unit.test_comment import entry

# GitHub runs one between these, which nobody can ask for from outside.
MERMAIDS = ["11.0.0", "11"]
PARSE = """
import { JSDOM } from 'jsdom';
import { readFileSync } from 'fs';
const dom = new JSDOM('<!doctype html><body></body>');
Object.assign(globalThis, { window: dom.window, document: dom.window.document });
const mermaid = (await import('mermaid')).default;
for (const chart of JSON.parse(readFileSync(0, 'utf8'))) console.log((await mermaid.parse(chart)).diagramType);
"""


def candidate(method: str, speed: float, drop: float, model: str = "lenet-5", **limits: Any) -> Entry:
    numbers = {
        "frames_per_s": {"value": speed, "limit": 30, "verdict": "pass", **limits},
        "accuracy_drop_points": {"value": drop, "limit": 2.0, "verdict": "pass"},
    }
    return Entry.model_validate_json(json.dumps(entry(method=method, model=model, numbers=numbers)))


CHART = [candidate("fp32", 11, 0.0), candidate("int8", 20, 65.5), candidate("int8-atom", 20, 1.07),
         candidate("resized-int8", 33, 1.25)]  # fmt: skip


def points(text: str) -> dict[str, tuple[float, float, bool]]:
    """Places by name, and whether the point is drawn as one of the front."""
    found = re.findall(r'"([^"]+)": \[([\d.]+), ([\d.]+)\] radius: (\d)', text)
    return {name: (float(x), float(y), radius == "7") for name, x, y, radius in found}


def test_the_limits_are_the_middle_and_the_front_stands_out() -> None:
    found = points(pareto.chart("atom", CHART))
    x, y, _ = found["resized-int8"]
    assert x > 0.5, "fast enough"
    assert y > 0.5, "and accurate enough"
    assert found["fp32"][0] < found["int8-atom"][0] < 0.5
    assert found["int8"][1] < 0.2
    assert found["int8-atom"][1] - 0.5 > 0.1, "what loses everything does not push the others together"
    assert {name for name, (_, _, front) in found.items() if front} == {"fp32", "int8-atom", "resized-int8"}


@pytest.mark.parametrize(("speed", "drop"), [(1e-9, 100), (1e15, -100), (30, 2.0), (1e-300, 1e15)])
def test_every_point_lies_in_the_chart(speed: float, drop: float) -> None:
    for x, y, _ in points(pareto.chart("atom", [*CHART, candidate("odd", speed, drop)])).values():
        assert 0.05 <= x <= 0.95
        assert 0.05 <= y <= 0.95
    assert points(pareto.chart("atom", [candidate("on-the-limits", 30, 2.0)])) == {"on-the-limits": (0.5, 0.5, True)}


def test_what_lacks_a_number_or_a_limit_is_not_drawn() -> None:
    without = Entry.model_validate_json(json.dumps(entry(numbers={"frames_per_s": {"value": 1, "limit": 1}})))
    assert pareto.chart("atom", [without, candidate("a", 0, 1), candidate("b", 1, 1, limit=None)]) == ""


def test_two_candidates_that_are_equal_are_both_in_front() -> None:
    found = points(pareto.chart("atom", [candidate("a", 130, 1), candidate("b", 130, 1), candidate("c", 130, 1.1)]))
    assert [front for _, _, front in found.values()] == [True, True, False]


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here, which fetches Mermaid")
@pytest.mark.parametrize("version", MERMAIDS)
def test_mermaid_itself_takes_the_chart(tmp_path: Path, version: str) -> None:
    (tmp_path / "package.json").write_text('{"type": "module"}')
    install = ["npm", "install", "--no-fund", "--no-audit", "--ignore-scripts", f"mermaid@{version}", "jsdom@26"]
    if subprocess.run(install, cwd=tmp_path, capture_output=True).returncode:
        pytest.skip("npm does not get Mermaid here")
    (tmp_path / "parse.js").write_text(PARSE)
    names = ["quadrant-1", "title", "x-axis", "www.a.example", "0.5", "A" * 80, "end", "classDef", "a--b", "a.b_c"]
    charts = [
        pareto.chart("atom-x5-e3940 board", CHART),
        pareto.chart("end", [candidate(name, 100 + index, index) for index, name in enumerate(names)]),
        *(pareto.chart(name, [candidate(name, 1, 1, model="a"), candidate(name, 1, 2, model="b")]) for name in names),
    ]
    done = subprocess.run(
        ["node", "parse.js"], cwd=tmp_path, input=json.dumps(charts), capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["quadrantChart"] * len(charts), done.stderr
