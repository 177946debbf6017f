"""What a check tells people: the advice, and the page in the terminal."""

from typing import Any

import pytest

from pipeline.check import printout
from pipeline.check.advice import advise
from pipeline.check.record import CheckReport, Data, Judged, Losses, Model
from pipeline.formats.runtimes import Reading, Unreadable
from pipeline.records.gates import Check, Value, judge
from pipeline.records.predictions import Prediction
from pipeline.records.results import Accuracies, Accuracy, Audit, RoundedLayer, SaturatedLayer
from pipeline.records.targets import load_target

ATOM, JETSON, A57 = (load_target(name) for name in ("atom-x5-e3940", "jetson-tx2-maxq", "tegra-parker-a57"))


def lost(points: float | None) -> tuple[Check, ...]:
    """The accuracy that a model loses, held against one point."""
    return judge({"accuracy_drop_points": Value(points)}, {"accuracy_drop_points": 1.0})


def speed(frames_per_s: float | None) -> tuple[Check, ...]:
    """A predicted speed, held against 30 frames/s."""
    return judge({"frames_per_s": Value(frames_per_s, predicted=True)}, {"frames_per_s": 30})


def of_250(correct: int) -> Accuracy:
    return Accuracy(correct=correct, n=250)


def layer(name: str, error: float, share: float, left: float) -> SaturatedLayer:
    return SaturatedLayer(
        name=name, pair_sums=1000, saturated=10, channels=32, channels_hit=21, output_error=error, share_percent=share,
        half_range_error=left, fix="half-range weights in 21 of 32 output channels",
    )  # fmt: skip


def report(**fields: Any) -> CheckReport:
    usual: dict[str, Any] = {
        "target": ATOM.name,
        "precision": "int8",
        "model": Model(
            path="m.onnx", format="onnx", sha256="0" * 64, size_bytes=4_000_000, precision="int8",
            input_shape=[None, 3, 224, 224],
        ),
        "data": Data(description="data.npz, 250 inputs", samples=250, labelled=True, random=False, sha256="0" * 64),
        "judged": Judged(outputs=["scores"], of=1, task="classes", classes=10, undecided=0),
        "verdict": "fail",
        "advice": "Do this.",
        "accuracy": Accuracies(fp32=of_250(218), cloud=of_250(218), host=of_250(218), target=of_250(204)),
        "cloud_basis": "measured",
        "grade": "exact",
        "audit": Audit(emulator="denverton", samples=8, tolerance=0, qemu_version="7.2", agrees=True),
        "losses": Losses(unit="points", any_cpu=0.0, target=5.6),
        "worst_layer": "features.0/conv",
        "layers": [layer("features.0/conv", 0.5, 70.0, 0.1), layer("features.1/conv", 0.3, 30.0, 0.4)],
        "checks": [*lost(5.6), *speed(35)],
        "host_isa": "avx512_vnni",
        "versions": {},
    }  # fmt: skip
    return CheckReport(**{**usual, **fields})


def bare(*checks: Check, **fields: Any) -> CheckReport:
    """A report of these checks and nothing else that advice looks at."""
    return report(**{"checks": list(checks), "layers": [], "losses": None, "advice": "", **fields})


def with_share(network: float) -> Prediction:
    """A prediction by which the network may take this share of its time."""
    return Prediction(
        target=ATOM.name, precision="int8", batch=4, inferences_per_s=80, frames_per_s=15, network_share=network,
        latency_ms=50, power_w=None, power_basis="", error_percent=8, power_error_percent=None, notes=(),
    )  # fmt: skip


def text(found: CheckReport) -> str:
    return printout.render(found, ATOM)


def test_the_page_names_the_loss_its_place_and_the_proof() -> None:
    page = text(report())
    words = " ".join(page.split())
    for part in (
        "FP32 87.20 %",
        "target 81.60 %",
        "-5.60 points",
        "exact: 8 samples equal QEMU's denverton bit for bit",
        "this machine, avx512_vnni",
        "features.0/conv 70.0 %",
        "21 of 32",
        "FAIL accuracy fail: 5.60 points lost (limit 1); speed pass: 35 frames/s (limit 30, predicted)",
        "Do this.",
    ):
        assert part in words
    assert max(map(len, page.splitlines())) <= 110


def test_long_names_keep_their_end_and_the_table_its_width() -> None:
    page = text(report(layers=[layer("/features" * 9 + "/the/last/conv", 0.5, 100.0, 0.1)]))
    assert "/the/last/conv" in page
    assert "would leave" in page
    assert max(map(len, page.splitlines())) <= 100


def test_a_simulated_cloud_says_so() -> None:
    page = text(report(cloud_basis="simulated", host_isa="avx2"))
    assert "a CPU with VNNI, simulated (this machine, avx2," in " ".join(page.split())


def test_what_is_missing_stays_missing() -> None:
    page = text(report(accuracy=Accuracies(), layers=[], not_measured={"accuracy": "the samples have no labels"}))
    assert "not measured: accuracy: the samples have no labels" in page
    assert " 0.00 %" not in page


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([layer("a", 1.0, 90.0, 0.1)], "90 % of the error that saturation causes comes from a: 7-bit weights in 21"),
        ([layer("a", 1.0, 60.0, 0.1), layer("b", 0.8, 40.0, 0.1)], "comes from a and b: 7-bit weights in 42 of"),
        ([layer("a", 1.0, 90.0, 2.0)], "where 7-bit weights would cost as much"),
        ([layer("a", 0.0, 0.0, 0.0)], "8-bit sums saturate in a, though not so that the samples analysed show it"),
    ],
)
def test_advice_names_the_fewest_layers_that_matter(layers: list[SaturatedLayer], words: str) -> None:
    assert words in advise(bare(*lost(5.0), layers=layers), ATOM)


def test_advice_is_for_the_larger_part_of_the_loss() -> None:
    hit = [layer("a", 1.0, 90.0, 0.1)]
    losses = Losses(unit="points", any_cpu=4.0, target=1.0)
    file = advise(bare(*lost(5.0), layers=hit, losses=losses), ATOM)
    assert file.startswith("4.00 points are lost by quantization, on any CPU, 1.00 points more by atom-x5-e3940's")
    assert "calibrate it on more samples" in file
    losses = Losses(unit="points", any_cpu=1.0, target=4.0)
    target = advise(bare(*lost(5.0), layers=hit, losses=losses), ATOM)
    assert target.startswith("Of the loss, 1.00 points come from quantization, 4.00 from the target.")
    assert "7-bit weights in 21" in target


def test_advice_for_fp16_that_rounds_and_does_not_overflow() -> None:
    fine = RoundedLayer(name="a", op="Conv", elements=9, overflow=0, subnormal=3, flushed=0, max_abs=16)
    losses = Losses(unit="points", any_cpu=0.0, target=1.04)
    found = advise(bare(*lost(1.04), layers=[fine], precision="fp16", losses=losses), JETSON)
    assert found.startswith("FP16 rounding alone, without an overflow, costs 1.04 points: run it in FP32, keep")
    in_fp32 = advise(bare(*lost(1.04), precision="fp32", losses=losses), JETSON)
    assert "run it in FP32" not in in_fp32


def test_subnormal_numbers_are_inside_the_range_of_fp16() -> None:
    fine = RoundedLayer(name="a", op="Conv", elements=9, overflow=0, subnormal=3, flushed=0, max_abs=16)
    page = text(report(layers=[fine], worst_layer=None))
    assert "0 of 1 layers leave FP16's range" in page
    assert "Where it is lost" not in page


def test_the_page_says_what_is_judged_and_which_answers_are_none() -> None:
    page = text(report(judged=Judged(outputs=["probabilities"], of=3, task="classes", classes=2, undecided=7)))
    assert "judged by 'probabilities', 1 of 3 outputs: 2 classes; 7 answers are none" in page


def test_layers_that_saturate_to_no_effect_get_no_share() -> None:
    page = text(report(layers=[layer("a", 0.0, 0.0, 0.0)], worst_layer=None))
    assert "which changes no answer in the samples analysed" in " ".join(page.split())
    assert "0.0 %" not in page


def test_advice_on_overflow_speed_and_on_what_is_not_known() -> None:
    loud = RoundedLayer(name="grow", op="Conv", elements=9, overflow=3, subnormal=0, flushed=0, max_abs=1e5)
    assert advise(bare(*lost(5.0), layers=[loud], precision="fp16"), JETSON).endswith("in FP32: grow.")
    slow = advise(bare(*speed(15), prediction=with_share(0.4)), ATOM)
    assert "shrink to about 40% of its time" in slow
    assert "leaves no time for a network" in advise(bare(*speed(15), prediction=with_share(-0.1)), ATOM)
    assert "not all was measured" in advise(bare(*lost(None)), ATOM)
    assert advise(bare(*lost(None)), ATOM, "noise").startswith("No verdict on its answers: noise.")
    assert "a board has to show" in advise(bare(*speed(None)), ATOM)
    assert advise(bare(*lost(0.2)), ATOM).startswith("Nothing to mend: it keeps every limit")
    in_float = advise(bare(*lost(0.2)), ATOM, in_float="It runs in FP32: quantize it.")
    assert in_float == "It runs in FP32: quantize it. It keeps every limit of atom-x5-e3940 all the same."
    assert advise(bare(*speed(15)), ATOM, in_float="It runs in FP32.").startswith("It runs in FP32. For 30 frames/s")


def test_what_does_not_run_for_want_of_an_operator_is_not_told_to_lose_by_another_order() -> None:
    """Nothing was lost yet: no answer was had."""
    refused = judge({"proof": Value(0), "unreadable_nodes": Value(1)}, {"proof": 1, "unreadable_nodes": 0})
    unread = Unreadable(node="q", operator="QuantizeLinear", reason="has it up to opset 22", converted=True)
    advice = advise(bare(*refused, target=A57.name, runtime=Reading(unreadable=[unread])), A57)
    assert "edgeproof convert" in advice
    assert "re-train" not in advice


def test_a_network_in_training_mode_is_to_be_exported_again_and_no_other_target_chosen() -> None:
    refused = Unreadable(node="the whole file", operator="", reason="refuses it: Conversion is failed for: Dropout-20")
    runtime = Reading(unreadable=[refused], notes=["it is in training mode: call model.eval() before the export"])
    advice = advise(bare(*judge({"unreadable_nodes": Value(1)}, {"unreadable_nodes": 0}), runtime=runtime), ATOM)
    assert advice == "OpenVINO 2026.4.1 cannot parse a network in training mode: call model.eval() before the export."
