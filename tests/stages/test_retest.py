"""The re-test's child process: held to its limits, and never left behind."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.arithmetic.kinds import capped_isa
from pipeline.cli import cli
from pipeline.processes import child
from pipeline.processes.child import Place
from pipeline.processes.side_by_side import run
from pipeline.project import layout
from pipeline.project.candidate import FACTS
from pipeline.records.targets import load_target
from pipeline.system.errors import InputError
from tests.stages import conftest
from tests.stages.conftest import made, workers_left

ATOM = load_target("atom-x5-e3940")
CAPPED, HOST = capped_isa.target_place(ATOM), capped_isa.host_place(ATOM)
SHAPE = (4, 3, 32, 32)


def samples(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *SHAPE[1:]), np.float32)


def in_batches(values: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(values), SHAPE[0]):
        yield values[start : start + SHAPE[0]]


def answers(model: Path, values: np.ndarray, *places: Place) -> list[np.ndarray]:
    return [outputs.values for outputs in run(model, in_batches(values), len(values), SHAPE, places)]


@pytest.fixture
def model(prepared: Path) -> Path:
    return made("int8", project=prepared).loaded_by("openvino")


def test_a_batch_that_is_not_full_is_cut_off_again(model: Path) -> None:
    values = samples(9)
    [whole] = answers(model, values, CAPPED)
    assert whole.shape == (9, 3)
    [last] = answers(model, values[8:], CAPPED)
    np.testing.assert_array_equal(whole[8:], last)


def test_places_run_side_by_side_over_the_same_samples(model: Path) -> None:
    capped, host, again = answers(model, samples(8), CAPPED, HOST, CAPPED)
    np.testing.assert_array_equal(capped, again)
    assert np.abs(capped - host).max() < 5


def test_the_cap_decides_the_kernels_and_does_not_leak(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kernels(place: Place) -> list[str]:
        [outputs] = run(model, in_batches(samples(4)), 4, SHAPE, [place])
        return list(outputs.facts["kernels"])

    plain = kernels(HOST)
    assert any("sse42" in name for name in kernels(CAPPED))
    assert not any("sse42" in name for name in plain)
    for name, value in CAPPED.environment.items():
        monkeypatch.setenv(name, str(value))
    assert kernels(HOST) == plain


def test_pictures_are_resized_alike_with_and_without_the_cap() -> None:
    """Inputs are prepared outside the cap, which is right only as long as OpenCV does not care."""
    code = """
import cv2, hashlib, numpy
image = numpy.random.default_rng(0).integers(0, 256, (97, 131, 3), numpy.uint8)
kinds = (cv2.INTER_LINEAR, cv2.INTER_LINEAR_EXACT, cv2.INTER_AREA)
print([hashlib.sha256(cv2.resize(image, (64, 64), interpolation=kind).tobytes()).hexdigest() for kind in kinds])
"""
    cap = {**os.environ, **ATOM.emulation.environment}
    plain, capped = (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
        for environment in (dict(os.environ), cap)
    )
    assert plain == capped


def test_two_at_the_same_time_do_not_disturb_each_other(model: Path) -> None:
    inputs = [samples(24, seed) for seed in (1, 2)]
    alone = [answers(model, values, CAPPED, HOST) for values in inputs]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda values: answers(model, values, CAPPED, HOST), inputs))
    np.testing.assert_array_equal(alone, together)
    assert not np.array_equal(alone[0], alone[1])


def test_memory_grows_with_the_batch_and_not_with_the_data(model: Path) -> None:
    def peak(count: int) -> int:
        batch = samples(4)
        [outputs] = run(model, (batch for _ in range(count // 4)), count, SHAPE, [CAPPED])
        assert outputs.values.shape == (count, 3)
        return int(outputs.facts["peak_memory_mib"])

    data_mib = 8000 * 4 * 3 * 32 * 32 >> 20
    assert data_mib > 90
    assert peak(8000) < peak(40) + data_mib / 4


def test_a_runtime_that_hangs_is_stopped(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "TIME_LIMIT_S", 0.05)
    started = time.monotonic()
    with pytest.raises(InputError, match=r"did not answer within 0\.05 s and was stopped"):
        answers(model, samples(4), CAPPED)
    assert time.monotonic() - started < 20
    assert workers_left() == ""


def test_a_runtime_that_crashes_is_named(model: Path, tmp_path: Path) -> None:
    program = tmp_path / "crash"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    with pytest.raises(InputError, match=r"model\.xml: the runtime crashed \(signal 11\)"):
        answers(
            model, samples(4), Place("crash", "pipeline.processes.backends.openvino_cpu", 1, launcher=[str(program)])
        )


def test_a_failure_in_one_place_stops_the_others(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        answers(model, samples(4), HOST, Place("nowhere", "pipeline.processes.backends.no_such", 1))
    assert workers_left() == ""


def test_an_error_while_the_data_is_read_leaves_nothing_behind(model: Path) -> None:
    def batches() -> Iterator[np.ndarray]:
        yield samples(4)
        raise InputError("no image")

    with pytest.raises(InputError, match="no image"):
        run(model, batches(), 8, SHAPE, [CAPPED])
    assert workers_left() == ""


def test_the_target_s_memory_is_a_limit(model: Path) -> None:
    emulation = ATOM.emulation.model_copy(update={"memory_limit_mib": 64})
    small = ATOM.model_copy(update={"emulation": emulation})
    with pytest.raises(InputError, match=r"model\.xml"):
        answers(model, samples(4), capped_isa.target_place(small))
    assert answers(model, samples(4), capped_isa.host_place(small))[0].shape == (4, 3)


def test_a_damaged_model_is_named_with_the_runtime_s_words(tmp_path: Path) -> None:
    damaged = tmp_path / "model.xml"
    damaged.write_text("<net>")
    with pytest.raises(InputError, match=r"model\.xml: the runtime refused it") as caught:
        answers(damaged, samples(4), CAPPED)
    assert "\n" not in str(caught.value)


def test_a_candidate_for_another_state_of_the_target_is_refused(trained: Path) -> None:
    """What was fitted to a target's numbers says nothing of the target with others."""
    conftest.run("stage", "compress", "lenet-5", "shared-int8")
    conftest.run("stage", "export", "lenet-5", "shared-int8")
    facts = made("shared-int8").compressed / FACTS
    content = json.loads(facts.read_text())
    assert content["targets"] == {ATOM.name: ATOM.sha256}
    facts.write_text(json.dumps({**content, "targets": {ATOM.name: "0" * 64}}))
    refused = CliRunner().invoke(cli, ["stage", "retest", "lenet-5", "shared-int8", ATOM.name])
    assert refused.exit_code == 2
    (line,) = refused.stderr.strip().splitlines()
    assert line.startswith("edgeproof: ")
    assert "was made for another state of atom-x5-e3940" in line
    assert "`dvc repro compress@lenet-5-shared-int8`" in line
    assert not layout.result("emulated", "lenet-5", "shared-int8", ATOM.name).exists()


def test_what_a_candidate_was_not_made_for_may_change(trained: Path) -> None:
    facts = made("int8").compressed / FACTS
    content = json.loads(facts.read_text())
    assert content["targets"] == {}
    facts.write_text(json.dumps({**content, "targets": {"jetson-tx2-maxq": "0" * 64}}))
    conftest.run("stage", "retest", "lenet-5", "int8", ATOM.name)
