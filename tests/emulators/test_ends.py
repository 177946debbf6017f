"""A runtime that dead-locks, spins, crashes or leaves is told within seconds of it, in every place that there is."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import emulators
from pipeline.arithmetic import kinds
from pipeline.processes.child import Place
from pipeline.processes.failures import Crashed, Failed, Hung
from pipeline.processes.side_by_side import run
from pipeline.records.targets import load_target

pytestmark = pytest.mark.usefixtures("unruly")

SOON_S = 10
ENDS = {
    ("deadlocks", "load"): (Hung, "no CPU used"),
    ("deadlocks", "second batch"): (Hung, "no CPU used"),
    ("spins", "second batch"): (Hung, "of CPU used"),
    ("segfaults", "load"): (Crashed, "signal 11"),
    ("segfaults", "second batch"): (Crashed, "signal 11"),
    ("killed", "second batch"): (Crashed, "memory ran out"),
    ("leaves", "load"): (Failed, "ended without an answer"),
}


def planned() -> Iterator[tuple[str, Place]]:
    atom, jetson, parker = (load_target(name) for name in ("atom-x5-e3940", "jetson-tx2-maxq", "tegra-parker-a57"))
    plan = kinds.of(atom).plan(atom, "int8")
    places = {"plain": plan.host, "capped": plan.target, "analysis": plan.analysis, "denverton": plan.audit}
    places["fp16"] = kinds.of(jetson).plan(jetson, "fp16").bounds["fp16_sums"]
    places["cortex-a57"] = kinds.of(parker).plan(parker, "fp32").target
    for name, place in places.items():
        assert place is not None
        yield name, replace(place, threads=1)


def cases() -> Iterator[Any]:
    for name, _ in planned():
        for what, at in ENDS:
            often = name in emulators.names() and (what, at) == ("deadlocks", "second batch")
            yield pytest.param(name, what, at, marks=() if often else pytest.mark.nightly)


@pytest.mark.parametrize(("name", "what", "at"), [*cases()])
def test_an_end_is_told_soon(name: str, what: str, at: str, tmp_path: Path) -> None:
    settings = {"what": what, "at": at, "mark": str(tmp_path / "mark")}
    place = replace(dict(planned())[name], backend="tests.unruly", settings=settings)
    if name in emulators.names():
        place = replace(place, launcher=emulators.launcher(name))
    inputs = np.zeros((6, 3), np.float32)
    kind, words = ENDS[what, at]
    with pytest.raises(kind, match=words) as caught:
        run(tmp_path / "model.onnx", (inputs[start : start + 2] for start in range(0, 6, 2)), 6, (2, 3), [place])
    if what != "spins":  # which shows in CPU seconds
        assert time.time() - float((tmp_path / "mark.event").read_text()) < SOON_S
    assert place.where in str(caught.value)
