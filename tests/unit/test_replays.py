"""What an emulated CPU answered is kept, and taken for the answer of that CPU alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pipeline.device import golden
from pipeline.processes.child import Place
from pipeline.processes.side_by_side import Outputs
from pipeline.retest import audit

PLACE = Place("a replay", "backend", 1, launcher=("/opt/qemu-x86_64", "-L", "/", "-cpu", "Denverton", "/venv/python"))
INPUTS = np.zeros((2, 3, 64, 64), np.float32)


def test_each_emulated_cpu_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPROOF_CACHE", str(tmp_path / "cache"))
    onnx.save(golden._network(), tmp_path / "model.onnx")
    asked: list[str] = []

    def answered(model: Path, shape: Any, places: list[Place], inputs: Any, budget_s: float | None) -> list[Outputs]:
        asked.append(places[0].launcher[4])
        return [Outputs(np.full((2, 10), len(asked), np.float32), {})]

    monkeypatch.setattr(audit, "_run", answered)

    def replayed(cpu: str, program: str = "/opt/qemu-x86_64") -> float:
        launcher = (program, *PLACE.launcher[1:4], cpu, PLACE.launcher[5])
        place = replace(PLACE, launcher=launcher)
        return float(audit._replay(tmp_path / "model.onnx", (2, 3, 64, 64), place, INPUTS, "7.2", None)[0, 0])

    assert [replayed("Denverton"), replayed("Denverton,-sha-ni"), replayed("Denverton")] == [1, 2, 1]
    assert replayed("Denverton", "/usr/bin/qemu-x86_64") == 1, "wherever the same QEMU lies"
    assert asked == ["Denverton", "Denverton,-sha-ni"]
    monkeypatch.setattr(audit, "LOADED", "converted")
    assert replayed("Denverton") == 3, "what was read in another way may be another graph"
