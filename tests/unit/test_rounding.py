"""What becomes of numbers that are rounded to FP16: counted as NumPy rounds, and the same whoever counts a share."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.arithmetic import kinds
from pipeline.arithmetic.fp16.rounding import Counts, together
from pipeline.processes import host, side_by_side
from pipeline.processes.child import Place
from pipeline.processes.side_by_side import Outputs, run
from pipeline.records.targets import load_target
from tests.graphs import half, model, node, random


@given(st.lists(st.floats(width=32) | st.floats(-(2.0**-13), 2.0**-13, width=32) | st.floats(width=16), min_size=1))
def test_counts_are_those_of_numpys_conversion(numbers: list[float]) -> None:
    values = np.array(numbers, np.float32)
    counts = Counts()
    counts.add(values)
    rounded = half(values)
    normal = np.finfo(np.float16).smallest_normal
    assert counts.elements == values.size
    assert counts.overflow == np.count_nonzero(~np.isfinite(rounded))
    assert counts.subnormal == np.count_nonzero((rounded != 0) & (np.abs(rounded) < normal))
    assert counts.flushed == np.count_nonzero((rounded == 0) & (values != 0))
    assert counts.max_abs == np.abs(values[np.isfinite(values)]).max(initial=0)


def test_copies_share_what_takes_long_and_say_together_what_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflowing = model(
        [node("Conv", "x w", "c"), node("Relu", "c", "y")], {"w": random(1, 2, 3, 1, 1, scale=400)}, (1, 3, 4, 4)
    )
    onnx.save(overflowing, tmp_path / "net.onnx")
    images = random(0, 11, 3, 4, 4, scale=200)

    def shared(copies: int) -> Outputs:
        place = Place("FP16", "pipeline.arithmetic.fp16.engine", 1, copies=copies, settings={"accumulate": "fp16"})
        batches = (images[start : start + 1] for start in range(len(images)))
        [found] = run(tmp_path / "net.onnx", batches, len(images), (1, 3, 4, 4), [place])
        return found

    one = shared(3)
    assert one.others == []  # it is done before a copy is ready
    monkeypatch.setattr(side_by_side, "WORTH_S", 0.0)
    three = shared(3)
    assert len(three.others) == 2
    np.testing.assert_array_equal(three.values, one.values)
    layers = together([facts["layers"] for facts in (three.facts, *three.others)])
    assert layers == one.facts["layers"]
    assert all(0 < facts["layers"][0]["elements"] < layers[0]["elements"] for facts in three.others)
    assert layers[-1]["overflow"] > 0
    free_mib = iter([None, 100])  # at the start, and for copies
    monkeypatch.setattr(host, "free_memory_mib", lambda: next(free_mib))
    assert shared(3).others == []


def test_sums_in_fp16_may_have_a_copy_a_core() -> None:
    target = load_target("jetson-tx2-maxq")
    bounds = kinds.of(target).plan(target, "fp16").bounds
    assert {name: (place.threads, place.copies) for name, place in bounds.items()} == {
        "fp32_sums": (host.CORES, 1),
        "fp16_sums": (1, host.CORES),
    }
