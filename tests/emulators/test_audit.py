"""The audit, for real: the capped run against QEMU's Denverton."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline import emulators
from pipeline.arithmetic.kinds import capped_isa
from pipeline.processes import side_by_side
from pipeline.records.results import Audit
from pipeline.records.targets import Target, load_target
from pipeline.retest import audit
from pipeline.retest.emulate import Emulation, emulate
from pipeline.retest.proof import Budget
from pipeline.system.errors import InputError
from tests.graphs import Arrays
from tests.quantized import Layer

ATOM = load_target("atom-x5-e3940")
SHAPE = (4, 32, 8, 8)


LAYER = Layer(np.random.default_rng(0).integers(-127, 128, (1, 16, 32, 3, 3), np.int32), padding=1, zero_point=90)
# Twelve samples that the layer sees as the whole range of 0 to 255.
NOISE = Arrays(LAYER.inputs(np.random.default_rng(0).integers(0, 256, (12, *SHAPE[1:]), np.int32)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return LAYER.write(tmp_path_factory.mktemp("audited") / "model.xml", SHAPE)


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits are made anew; the emulators stay where they are installed."""
    keep_audits_in(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def found(model: Path) -> Emulation:
    """The layer as it is emulated; what QEMU answered is kept beside its file."""
    with pytest.MonkeyPatch.context() as patch:
        keep_audits_in(model.parent, patch)
        return emulated(model)


def keep_audits_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(audit, "cache", SimpleNamespace(folder=lambda name: folder / name))


def emulated(model: Path, target: Target = ATOM) -> Emulation:
    return emulate(model, "int8", NOISE, SHAPE, target)


def test_the_capped_run_is_the_target_s_own_arithmetic_in_every_bit(found: Emulation) -> None:
    assert found.grade == "exact"
    assert found.audit is not None
    assert (found.audit.samples, found.audit.agrees, found.audit.largest_difference) == (8, True, 0)
    assert found.layers[0].saturated > 0  # type: ignore[union-attr]
    assert found.target is not None
    assert found.cloud is not None
    assert np.abs(found.target - found.cloud).max() > 1


def test_float_sums_agree_within_the_tolerance(tmp_path: Path) -> None:
    import openvino
    from openvino import opset13 as op

    noise = np.random.default_rng(0)
    data = op.parameter(list(SHAPE), np.float32)
    weights = op.constant(noise.standard_normal((16, 32, 3, 3), np.float32))
    layer = op.relu(op.convolution(data, weights, [1, 1], [1, 1], [1, 1], [1, 1]))
    path = tmp_path / "fp32.xml"
    openvino.save_model(openvino.Model([layer], [data]), path, compress_to_fp16=False)
    found = emulate(path, "fp32", NOISE, SHAPE, ATOM)
    assert found.grade == "exact"
    assert found.audit is not None
    assert found.audit.tolerance == audit.FP32_TOLERANCE


def test_another_arithmetic_is_caught_and_the_layer_is_named(model: Path) -> None:
    """As if the cap had no effect: the same model with sums that never saturate."""
    place = capped_isa.host_place(ATOM, saturating=False)
    [uncapped] = side_by_side.run(model, NOISE.batches(4), 12, SHAPE, [place])
    emulated_place = replace(capped_isa.audit_place(ATOM), launcher=emulators.launcher("denverton"))
    record = Audit(emulator="denverton", samples=0, tolerance=0)
    found = audit.audit(model, SHAPE, place, emulated_place, record, "int8", NOISE.inputs[:4], uncapped.values[:4])
    assert found.agrees is False
    assert found.largest_difference is not None
    assert found.largest_difference > 1
    assert found.first_difference == "layer"


@pytest.mark.nightly
def test_where_the_emulation_disagrees_the_emulated_cpu_is_right(
    model: Path, found: Emulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = found.target
    monkeypatch.setattr(capped_isa, "target_place", lambda target: capped_isa.host_place(target, saturating=False))
    found = emulated(model)
    assert found.grade == "exact"
    assert found.audit is not None
    assert (found.audit.agrees, found.audit.first_difference) == (False, "layer")
    np.testing.assert_array_equal(found.target, right)
    short = emulate(model, "int8", NOISE, SHAPE, ATOM, budget=Budget(0.0, "give more"))
    assert (short.grade, short.target) == ("not_measured", None)
    reason = short.not_measured["accuracy.target"]
    assert reason.startswith("the audit on denverton disagrees; the replay of 12 samples on the emulated CPU")
    assert reason.endswith("did not end within 1 second; give more")


def test_what_qemu_answered_is_kept(model: Path, found: Emulation, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_audits_in(model.parent, monkeypatch)
    command = emulators.launcher("denverton")
    nowhere = ["/nowhere/" + Path(command[0]).name, *command[1:]]
    monkeypatch.setattr(emulators, "launcher", lambda name: nowhere)
    again = emulated(model)
    assert again.audit == found.audit
    monkeypatch.setattr(emulators, "launcher", lambda name: [*nowhere[:-2], "another-cpu", nowhere[-1]])
    assert emulated(model).grade == "not_measured"


def test_without_qemu_the_result_is_unaudited_and_says_how_to_get_it(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> list[str]:
        raise InputError(f"no {name}: run `edgeproof emulators install {name}`")

    monkeypatch.setattr(emulators, "launcher", missing)
    found = emulated(model)
    assert found.grade == "unaudited"
    assert found.target is not None
    assert found.audit is not None
    assert found.audit.agrees is None
    assert "edgeproof emulators install denverton" in str(found.audit.reason)


def test_samples_are_spread_over_the_data() -> None:
    assert audit.chosen(500) == [0, 71, 142, 213, 285, 356, 427, 499]
    assert audit.chosen(3) == [0, 1, 2]
