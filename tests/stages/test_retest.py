"""The re-test's child process: held to its limits, and never left behind."""

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import models
from pipeline import layout
from pipeline.errors import InputError
from pipeline.retest import capped_isa
from pipeline.targets import Target, load_target

SPEC = models.spec("lenet-5")
IMAGES = np.zeros((9, 32, 32, 3), np.uint8)


@pytest.fixture
def file(prepared: Path) -> Path:
    return prepared / layout.exported("lenet-5", "int8") / "openvino" / "model.xml"


@pytest.fixture
def target() -> Target:
    return load_target("atom-x5-e3940")


def test_a_batch_that_is_not_full_is_cut_off_again(file: Path, target: Target) -> None:
    assert target.objective.regions_per_frame == 4
    run = capped_isa.run(file, IMAGES, SPEC, target)
    assert run.logits.shape == (9, 3)
    assert np.ptp(run.logits, axis=0).max() == 0


def test_a_cap_in_the_caller_s_own_environment_does_not_reach_the_uncapped_run(
    file: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = capped_isa.run(file, IMAGES, SPEC, target, capped=False).kernels
    for name, value in target.emulation.environment.items():
        monkeypatch.setenv(name, value)
    assert capped_isa.run(file, IMAGES, SPEC, target, capped=False).kernels == plain


def test_a_runtime_that_hangs_is_stopped(file: Path, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capped_isa, "TIME_LIMIT_S", 0.2)
    started = time.monotonic()
    with pytest.raises(InputError, match="did not finish within"):
        capped_isa.run(file, IMAGES, SPEC, target)
    assert time.monotonic() - started < 20
    left = subprocess.run(["pgrep", "-f", "pipeline.retest.worker"], capture_output=True, text=True).stdout
    assert left == ""


def test_the_target_s_memory_is_a_limit(file: Path, target: Target) -> None:
    small = target.model_copy(update={"emulation": target.emulation.model_copy(update={"memory_limit_mib": 64})})
    with pytest.raises(InputError, match=r"model\.xml"):
        capped_isa.run(file, IMAGES, SPEC, small)
    assert capped_isa.run(file, IMAGES, SPEC, small, capped=False).logits.shape == (9, 3)


def test_a_damaged_model_is_named_with_the_runtime_s_words(file: Path, target: Target, tmp_path: Path) -> None:
    damaged = tmp_path / "model.xml"
    damaged.write_text("<net>")
    with pytest.raises(InputError, match=r"model\.xml: the runtime refused it") as caught:
        capped_isa.run(damaged, IMAGES, SPEC, target)
    assert "\n" not in str(caught.value)
