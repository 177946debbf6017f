"""When another runtime's answers count against a check's."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.check import second_opinion
from pipeline.check.second_opinion import opinion
from pipeline.processes import host
from pipeline.records.targets import load_target


@pytest.mark.parametrize(
    ("precision", "saturates", "doubted"), [("int8", False, True), ("int8", True, False), ("fp32", True, True)]
)
def test_saturated_sums_are_not_held_against_another_runtime_s(
    monkeypatch: pytest.MonkeyPatch, precision: Any, saturates: bool, doubted: bool
) -> None:
    there, here = np.eye(4, dtype=np.float32), 2 * np.eye(4, dtype=np.float32)
    monkeypatch.setattr(second_opinion, "_answers", lambda *given, **options: there)
    monkeypatch.setattr(host, "saturates", lambda: saturates)
    model: Any = SimpleNamespace(precision=precision, format="onnx")
    samples: Any = None
    found = opinion(model, load_target("atom-x5-e3940"), precision, samples, (1, 3, 8, 8), (), here)
    assert (found.misread is not None) == doubted
