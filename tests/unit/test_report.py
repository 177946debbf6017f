"""The report, on results written by hand: what it says, what it must never say, and that it is safe to open."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from pipeline.ci import run_record
from pipeline.project import layout
from pipeline.project.params import load_params
from pipeline.records.gates import Verdict
from pipeline.records.results import LANES, Lane, Result
from pipeline.records.targets import load_target
from pipeline.records.words import percent
from pipeline.report import plots, write_report
from pipeline.report import summary as summary_of
from pipeline.report.collect import Collected, collect
from pipeline.report.markdown import render as render_markdown
from pipeline.system import files
from pipeline.system.console import escape_markdown
from pipeline.system.errors import InputError

MODEL, ATOM, JETSON, CORTEX = "lenet-5", "atom-x5-e3940", "jetson-tx2-maxq", "tegra-parker-a57"
HOSTILE = "<script>alert('|')</script>"
CLASSES = [HOSTILE, "person"]
LABELS = [0, 0, 1, 1, 1] * 40
NO_FP16 = "this release has no fp16-boundaries emulation; measure it on a board"
BOARD = "speed and power are measured on a board, never in the cloud"
UNAUDITED = "QEMU is not installed; run `edgeproof emulators`"
COLUMNS = 10

PARAMS: dict[str, Any] = {
    "seed": 0,
    "models": [MODEL],
    "methods": ["fp32", "fp16", "int8"],
    "targets": [ATOM, JETSON],
    "split": {"train": [0, 9], "val": [20, 29], "test": [40, 49]},
    "train": {
        "epochs": 1, "batch": 2, "learning_rate": 0.1, "samples_per_epoch": 2, "freeze": 0,
    },
    "recipes": {"fp32": [], "fp16": ["fp16"], "int8": [{"quantize": {"calibration_samples": 1}}]},
    "gates": {"accuracy_drop_points": 2.0},
}  # fmt: skip


def answers(wrong: int) -> list[int]:
    """Predictions of which the first `wrong` are mistaken."""
    return [1 - label if index < wrong else label for index, label in enumerate(LABELS)]


def accuracy(wrong: int) -> dict[str, int]:
    return {"correct": len(LABELS) - wrong, "n": len(LABELS)}


def put(method: str, target: str, **fields: Any) -> None:
    """Write the record of a candidate; by default one without any measurement."""
    record = {
        "model": MODEL, "method": method, "target": target, "lane": "emulated", "precision": method,
        "classes": CLASSES, "not_measured": {"measured": BOARD}, **fields,
    }  # fmt: skip
    if record.get("predicted"):
        record["predicted"] = {"target": target, "precision": method, **record["predicted"]}
    Result.model_validate(record).write(layout.result(record["lane"], MODEL, method, target))


def predicted(rate: float, error: float) -> dict[str, Any]:
    """A speed in regions/s with its error in percent, four regions at a time."""
    return {
        "batch": 4, "inferences_per_s": rate, "frames_per_s": rate / 4,
        "frames_range": [rate / 4 * (1 - error / 100), rate / 4 * (1 + error / 100)],
        "latency_ms": 4000 / rate, "power_w": None, "power_basis": "unknown",
        "error_percent": error, "power_error_percent": None, "notes": [],
    }  # fmt: skip


def measured(rate: float, watts: float) -> dict[str, Any]:
    """What a board showed."""
    return {
        "fingerprint": {"board": "UP Squared"}, "regions_per_frame": 4, "latency_ms": [4000 / rate],
        "regions_per_s": rate, "frames_per_s": {0: rate, 4: rate / 4}, "during": {"throttled": False},
        "power": {"rail": "package-0", "sampler": "rapl", "sample_hz": 10, "sustained_w": watts},
    }  # fmt: skip


def audit(**fields: Any) -> dict[str, Any]:
    """An audit, by default one that agrees in every bit."""
    return {"emulator": "denverton", "samples": 8, "tolerance": 0.0, "agrees": True, **fields}


def saturated(name: str, share: float, *, left: float = 0.14, fix: str = "") -> dict[str, Any]:
    """A layer that has this share, in percent, of the saturation error; half-range weights leave so much of it."""
    fix = fix or "half-range weights in 21 of 32 output channels"
    return {
        "name": name, "pair_sums": 1_000_000, "saturated": 1234, "channels": 32, "channels_hit": 21,
        "output_error": share / 10, "share_percent": share, "half_range_error": left * share / 10, "fix": fix,
    }  # fmt: skip


def rounded(name: str, *, overflow: int = 0, flushed: int = 0, subnormal: int = 0) -> dict[str, Any]:
    """A layer with so many of a thousand values that do not fit FP16."""
    counts = {"overflow": overflow, "flushed": flushed, "subnormal": subnormal}
    return {"name": name, "op": "Conv+Relu", "elements": 1000, **counts, "max_abs": 70123.0 if overflow else 12.5}


def emulated(*, target: int, cloud: int, rate: float = 200.0, host_isa: str = "amx_int8") -> dict[str, Any]:
    """A re-test with so many mistakes under the target's arithmetic and in the cloud; the parent makes ten."""
    predictions = answers(target)
    confusion = np.zeros((2, 2), int)
    np.add.at(confusion, (LABELS, predictions), 1)
    return {
        "grade": "exact",
        "audit": audit(),
        "accuracy": {
            "fp32": accuracy(10),
            "target": accuracy(target),
            "host": accuracy(cloud),
            "cloud": accuracy(cloud),
        },
        "cloud_basis": "measured",
        "agreement_percent": 99.5,
        "confusion": confusion.tolist(),
        "predictions": predictions,
        "size_bytes": 3_600_000,
        "download_bytes": 2_900_000,
        "predicted": predicted(rate, error=15.0),
        "host_isa": host_isa,
    }


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository after `dvc repro`: on the Atom, INT8 passes in the cloud and loses; the Jetson is not emulated."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    (layout.DATASET / "regions").mkdir(parents=True)
    rows = ["file,class,split"]
    for index, label in enumerate(LABELS):
        image = np.full((20, 20, 3), (index, 80, 160 * label), np.uint8)
        cv2.imwrite(str(layout.DATASET / f"regions/{index}.png"), image)
        rows.append(f'regions/{index}.png,"{CLASSES[label]}",test')
    (layout.DATASET / "samples.csv").write_text("\n".join(rows), encoding="utf-8")
    layout.parent(MODEL).mkdir(parents=True)
    (layout.parent(MODEL) / "curves.csv").write_text(
        "epoch,train_loss,val_loss,val_accuracy_percent\n1,0.9,0.8,70\n2,0.5,0.6,80\n", encoding="utf-8"
    )
    put("fp32", ATOM, **emulated(target=10, cloud=10, rate=60.0))
    put("fp16", ATOM, refused=f"{ATOM} refuses fp16: no half-precision arithmetic")
    put("int8", ATOM, **emulated(target=24, cloud=12, rate=130.0))
    prediction = predicted(400.0, error=30.0)
    for method in ("fp32", "fp16"):
        put(method, JETSON, not_measured={"measured": BOARD, "accuracy.target": NO_FP16}, predicted=prediction)
    put("int8", JETSON, refused=f"{JETSON} refuses int8: no DP4A")
    return tmp_path


def summary() -> tuple[dict[str, Verdict], str, dict[str, Any]]:
    return summary_of(load_params())


def page() -> str:
    return write_report(load_params()).read_text(encoding="utf-8")


def collected() -> Collected:
    return collect(load_params())


def markdown() -> str:
    return render_markdown(collected())


def everywhere() -> list[str]:
    """What the terminal, the page and the Markdown say, each as one line of plain text."""
    texts = (summary()[1], page().replace("&#39;", "'"), markdown().replace("\\_", "_"))
    return [" ".join(text.split()) for text in texts]


def test_a_target_fails_when_all_fail_and_is_not_measured_when_one_is_not() -> None:
    verdicts, text, record = summary()
    assert verdicts == {ATOM: "fail", JETSON: "not_measured"}
    assert record["verdicts"] == verdicts
    assert record["verdict"] == "fail"
    json.dumps(record, allow_nan=False)
    assert f"{ATOM}  FAIL" in text
    assert f"{JETSON}  not measured" in text
    assert re.search(r"fp32 +95\.00 +95\.00 +95\.00 +0\.00 +3\.60 +2\.90 +60 +15 ± 2.2 FAIL speed", text)
    assert re.search(r"int8 +95\.00 +94\.00 +88\.00 +7\.00 .* FAIL accuracy", text)


def test_a_target_passes_with_one_candidate() -> None:
    put("int8", ATOM, **emulated(target=11, cloud=11))
    verdicts, text, _ = summary()
    assert verdicts[ATOM] == "pass"
    assert re.search(r"int8 .*200 50 ± 7.5 PASS", text)


def test_names_the_candidate_that_only_the_target_shows_to_fail() -> None:
    _, text, record = summary()
    sentence = record["answer"]
    assert sentence == (
        f"Caught: {MODEL}/int8 passes in the cloud with 94.00 % (1.00 points below its FP32 parent) but has 88.00 % "
        f"under the arithmetic of {ATOM}, 7.00 points below. The limit is 2.00 points."
    )
    assert [item["candidate"] for item in record["caught"]] == [f"{MODEL}/int8"]
    assert sentence in " ".join(text.split())


def test_says_which_candidate_sees_fewer_pixels_than_its_parent() -> None:
    put("fp32", ATOM, **emulated(target=10, cloud=10), input_size=32)
    assert not any("regions are resized" in text for text in everywhere())
    put("int8", ATOM, **emulated(target=11, cloud=11), input_size=28)
    note = "regions are resized to 28x28 pixels for it, where its FP32 parent takes 32x32"
    assert all(note in text for text in everywhere())


def test_says_that_none_was_caught() -> None:
    put("int8", ATOM, **emulated(target=12, cloud=11))
    _, _, record = summary()
    assert record["caught"] == []
    assert record["answer"].startswith("No candidate passes in the cloud and breaks the 2.00-point accuracy limit")
    assert "2 compared, 2 not measured" in record["answer"]
    assert f"largest loss to the arithmetic is 0.50 points, {MODEL}/int8 on {ATOM}" in record["answer"]


def test_failing_in_the_cloud_too_is_not_a_catch() -> None:
    put("int8", ATOM, **emulated(target=40, cloud=30))
    assert summary()[2]["caught"] == []


def test_a_simulated_cloud_is_called_so_whatever_this_machine_gives() -> None:
    fields = emulated(target=24, cloud=12, host_isa="avx2")
    fields["accuracy"]["host"] = accuracy(24)
    put("int8", ATOM, **fields | {"cloud_basis": "simulated"})
    sentence = summary()[2]["answer"]
    assert "in the cloud with 94.00 % (simulated, 1.00 points below its FP32 parent)" in sentence


def test_the_worse_of_two_bounds_is_called_so_when_it_is_caught() -> None:
    bounds = {"fp32_sums": accuracy(11), "fp16_sums": accuracy(24)}
    put("fp16", JETSON, **emulated(target=24, cloud=10) | {"grade": "bounded", "bounds": bounds})
    assert f"88.00 % under the arithmetic of {JETSON} in the worse of two bounds, 7.00" in summary()[2]["answer"]


@pytest.mark.parametrize(
    ("of_fp32", "of_int8", "caption"),
    [
        (("measured", "amx_int8"), ("measured", "amx_int8"), "Cloud: measured on this machine (amx_int8)."),
        (
            ("simulated", "avx2"),
            ("simulated", "avx2"),
            "Cloud: a CPU with VNNI, simulated in floating point, because this machine's own CPU (avx2) saturates too.",
        ),
        (
            ("measured", "avx2"),
            ("simulated", "avx2"),
            "Cloud: FP32 measured on this machine (avx2); INT8 on a CPU with VNNI, simulated in floating point, "
            "because this machine's own CPU (avx2) saturates too.",
        ),
        (
            ("simulated", None),
            ("simulated", None),
            "Cloud: a CPU with VNNI, simulated in floating point, because this machine's own CPU (unknown) may "
            "saturate too.",
        ),
    ],
)
def test_the_caption_says_what_stands_for_the_cloud(
    of_fp32: tuple[str, str | None], of_int8: tuple[str, str | None], caption: str
) -> None:
    for method, (basis, isa) in (("fp32", of_fp32), ("int8", of_int8)):
        put(method, ATOM, **emulated(target=10, cloud=10) | {"cloud_basis": basis, "host_isa": isa})
    texts = everywhere()
    assert all(caption in text for text in texts)
    assert f"<li>{caption}</li>" in texts[1]
    assert "<li>Cloud: not measured.</li>" in texts[1]


def test_no_comparison_is_no_answer() -> None:
    for method in ("fp32", "int8"):
        put(method, ATOM, not_measured={"accuracy.target": "away"})
    answer = summary()[2]["answer"]
    assert answer.startswith("Not measured:")
    assert "No candidate passes" not in answer


def test_what_was_not_measured_says_so_with_its_reason_and_is_never_zero() -> None:
    _, text, _ = summary()
    html, md = page(), markdown()
    section = text[text.index(f"{JETSON}  ") : text.index("Refused")]
    assert section.count("measured²") == 8
    assert f"² {NO_FP16}" in text
    assert f"<sup>2</sup> {NO_FP16}" in html
    assert f"<sup>2</sup> {NO_FP16}" in md
    rows = [line for line in md.splitlines() if line.startswith(f"| {MODEL}/fp16")]
    assert [row.count("not measured") for row in rows] == [7]
    assert not re.search(r"\b0(\.0+)?\b", rows[0] + section)
    table = html[html.index('id="target-2"') :]
    assert not re.search(r">-?0(\.0+)?<", table[: table.index("</section>")])


def test_metrics_hold_measured_numbers_only() -> None:
    page()
    metrics = json.loads(layout.METRICS.read_text())[MODEL]
    assert metrics["int8"][ATOM] == {
        "fp32_accuracy_percent": 95.0,
        "target_accuracy_percent": 88.0,
        "cloud_accuracy_percent": 94.0,
        "host_accuracy_percent": 94.0,
        "accuracy_drop_points": 7.0,
        "agreement_percent": 99.5,
        "size_bytes": 3_600_000,
        "download_bytes": 2_900_000,
        "predicted_regions_per_s": 130.0,
        "predicted_frames_per_s": 32.5,
        "predicted_latency_ms": pytest.approx(30.77, abs=0.01),
        "predicted_error_percent": 15.0,
        "verdict": "fail",
    }
    assert metrics["fp16"][JETSON] == {
        "predicted_regions_per_s": 400.0,
        "predicted_frames_per_s": 100.0,
        "predicted_latency_ms": 10.0,
        "predicted_error_percent": 30.0,
        "verdict": "not_measured",
    }
    assert metrics["int8"][JETSON] == {"refused": f"{JETSON} refuses int8: no DP4A"}


def test_the_record_tells_how_each_number_came_about() -> None:
    put("int8", ATOM, **emulated(target=24, cloud=12) | {"bounds": {"fp32_sums": accuracy(12)}})
    [found] = [item for item in summary()[2]["results"] if (item["method"], item["target"]) == ("int8", ATOM)]
    assert found["cloud_basis"] == "measured"
    assert found["audit"]["emulator"] == "denverton"
    assert found["bounds"] == {"fp32_sums": accuracy(12)}


def test_an_audit_is_told_with_what_it_compared() -> None:
    exact = "Lane: emulated, exact (8 samples of each candidate equal bit for bit on QEMU's Denverton)."
    assert all(exact in text for text in everywhere())
    put("fp32", ATOM, **emulated(target=10, cloud=10) | {"audit": audit(tolerance=1e-5)})
    assert (
        "exact (8 samples of each candidate equal on QEMU's Denverton, FP32 within 0.001 % of the largest output, "
        "INT8 bit for bit)." in markdown()
    )


def test_what_runs_on_an_emulated_cpu_needs_no_audit() -> None:
    params = {**PARAMS, "targets": [CORTEX], "methods": ["fp32", "int8"]}
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for method in ("fp32", "int8"):
        put(method, CORTEX, **emulated(target=10, cloud=10) | {"audit": None})
    assert "Lane: emulated, exact (every sample calculated on QEMU's Cortex-A57)." in markdown()


def test_an_audit_that_could_not_be_made_is_a_note() -> None:
    missing = audit(agrees=None, reason=UNAUDITED)
    put("int8", ATOM, **emulated(target=12, cloud=12) | {"grade": "unaudited", "audit": missing})
    text = summary()[1]
    assert re.search(r"int8 +95\.00 94\.00 94\.00¹", text)
    assert f"¹ not audited: {UNAUDITED}" in text
    proof = "8 samples of each candidate equal bit for bit on QEMU's Denverton"
    assert f"Lane: emulated, exact (fp32: {proof}); unaudited (int8)." in " ".join(text.split())


def test_what_nobody_has_audited_passes_only_where_that_is_accepted_and_the_report_says_so() -> None:
    accepting = {**PARAMS, "gates": {"accuracy_drop_points": 2.0, "accept_unaudited": True}}
    for params, verdict in ((PARAMS, "not_measured"), (accepting, "pass")):
        Path("params.yaml").write_text(
            yaml.safe_dump({**params, "targets": [ATOM], "methods": ["int8"]}), encoding="utf-8"
        )
        put("int8", ATOM, **emulated(target=12, cloud=12) | {"grade": "unaudited", "audit": None})
        assert collect(load_params()).verdicts[ATOM] == verdict
        assert ("gates.accept_unaudited is set" in " ".join(summary()[1].split())) == (verdict == "pass")


def test_a_candidate_that_crashes_on_the_emulated_processor_fails_by_its_proof() -> None:
    reason = "crashes on the emulated atom-x5-e3940 (illegal instruction)"
    crashed = emulated(target=12, cloud=12) | {"grade": "fails", "not_measured": {"accuracy.target": reason}}
    put("int8", ATOM, **crashed | {"accuracy": crashed["accuracy"] | {"target": None}})
    text = " ".join(summary()[1].split())
    assert reason in text
    assert re.search(r"int8 .*FAIL.* proof", text)


def test_an_audit_that_disagrees_leaves_no_number_and_says_where() -> None:
    reason = "the audit on denverton disagrees, first in the layer features.0/conv"
    fields = emulated(target=12, cloud=12)
    del fields["accuracy"]["target"]
    fields |= {"grade": "not_measured", "audit": audit(agrees=False), "not_measured": {"accuracy.target": reason}}
    put("int8", ATOM, **fields)
    verdicts, text, _ = summary()
    assert verdicts[ATOM] == "not_measured"
    assert "not measured (int8)" in text
    assert "not_measured" not in text
    assert f"¹ {reason}" in text
    assert "<dt>Emulation: not measured</dt>" in page()


def test_both_bounds_are_told() -> None:
    bounds = {"fp32_sums": accuracy(11), "fp16_sums": accuracy(12)}
    fields = emulated(target=12, cloud=10) | {"grade": "bounded", "audit": None, "bounds": bounds}
    put("fp16", JETSON, **fields)
    assert all("FP32 sums 94.50 %, FP16 sums 94.00 %; the worse counts" in text for text in everywhere())
    assert "94.00<sup>" in markdown()


def test_the_worst_layer_is_told_in_one_line_with_what_a_fix_would_leave() -> None:
    layers = [
        saturated("late/conv", 33.0),
        saturated("features.0/conv", 67.0),
        saturated("unharmed", 0.0) | {"saturated": 0},
    ]
    put("int8", ATOM, **emulated(target=24, cloud=12) | {"layers": layers})
    sentence = (
        "67 % of the saturation error comes from features.0/conv (half-range weights in 21 of 32 output channels would "
        "leave 14 % of it)"
    )
    text = " ".join(summary()[1].split())
    assert text.count("of the saturation error") == 1
    assert f"int8: {sentence}" in text
    html, md = page(), markdown()
    assert f"<summary><b>int8</b> {sentence}</summary>" in html
    assert f"**int8 on {ATOM}**: {sentence}." in md
    fix = "half-range weights in 21 of 32 output channels"
    assert f"| features.0/conv | 67 % | 0.12 % | 21 of 32 | 14 % | {fix} |\n| late/conv | 33 %" in md
    assert '<i class="bar" style="--share: 67.0"></i><span>67 %</span>' in html
    assert "unharmed" not in html + md


def test_a_layer_that_is_better_left_alone_promises_nothing() -> None:
    leave = "leave it: half-range weights would cost more than the saturation"
    put("int8", ATOM, **emulated(target=24, cloud=12) | {"layers": [saturated("c", 100.0, left=1.3, fix=leave)]})
    assert f"int8: 100 % of the saturation error comes from c ({leave})" in " ".join(summary()[1].split())
    assert f"| c | 100 % | 0.12 % | 21 of 32 | 130 % | {leave} |" in markdown()


def test_saturation_without_effect_is_on_the_page_only() -> None:
    put("int8", ATOM, **emulated(target=12, cloud=12) | {"layers": [saturated("c", 0.0)]})
    assert "saturat" not in summary()[1]
    assert "sums saturate, most often in c, but the output stays the same" in page()
    assert "| c | 0 % | 0.12 % | 21 of 32 | – |" in markdown()


def test_eight_layers_are_enough() -> None:
    layers = [saturated(f"layer{index}", 20.0 - index) for index in range(10)]
    put("int8", ATOM, **emulated(target=24, cloud=12) | {"layers": layers})
    for text in (page(), markdown()):
        assert "layer7" in text
        assert "layer8" not in text
        assert "2 more layers, each with less." in text


def test_layers_that_do_not_fit_fp16_are_told_the_gravest_first() -> None:
    layers = [rounded("small", subnormal=9), rounded("fits"), rounded("zero", flushed=3), rounded("big", overflow=1)]
    put("fp16", JETSON, **emulated(target=10, cloud=10) | {"layers": layers})
    worst = "most overflow is in big: 0.10 % of its values become infinite in FP16"
    assert f"fp16: {worst}" in " ".join(summary()[1].split())
    rows = (
        "| big | 0.10 % | 0 % | 0 % | 70,123 | Conv+Relu |\n"
        "| zero | 0 % | 0.30 % | 0 % | 12.5 | Conv+Relu |\n"
        "| small | 0 % | 0 % | 0.90 % | 12.5 | Conv+Relu |\n"
    )
    assert rows in markdown()
    assert f"<b>fp16</b> {worst}" in page()
    assert "fits" not in markdown()


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({"flushed": 3}, "nothing overflows FP16; c has the most values flushed to zero, 0.30 %"),
        ({"subnormal": 9}, "nothing overflows FP16; c has the most subnormal values, 0.90 %"),
    ],
)
def test_underflow_is_on_the_page_only(counts: dict[str, int], sentence: str) -> None:
    put("fp16", JETSON, **emulated(target=10, cloud=10) | {"layers": [rounded("c", **counts)]})
    assert sentence in page()
    assert "overflow" not in summary()[1]


def test_no_layers_no_heading() -> None:
    assert "Layers" not in page()
    assert "Layers" not in markdown()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 %"), (1e-9, "< 0.0001 %"), (0.00012, "0.00012 %"), (0.034, "0.034 %"), (4.2, "4.2 %"), (240, "240 %")],
)
def test_a_share_is_written_with_two_digits_that_mean_something(value: float, text: str) -> None:
    assert percent(value) == text


def test_refused_pairs_are_listed_with_their_reason() -> None:
    for text in everywhere():
        assert f"{MODEL}/int8: {JETSON} refuses int8: no DP4A" in text
        assert f"{MODEL}/fp16: {ATOM} refuses fp16: no half-precision arithmetic" in text


def test_predictions_are_called_so_and_doubt_near_the_objective_is_told() -> None:
    for text in everywhere():
        assert "Regions/s and frames/s are predicted, not measured" in text
        assert re.search(r"\b130\b", text)  # regions/s of the network alone
        assert "32 ± 4.9" in text
        assert "the objective of 30 frames/s lies within the prediction's errors: a board decides" in text
        assert "Power is measured on boards only." in text


def test_what_a_prediction_says_of_its_own_limits_is_told() -> None:
    fields = emulated(target=12, cloud=12)
    fields["predicted"]["notes"] = ["89% of the time is in depthwise layers, where published stacks differ"]
    put("int8", ATOM, **fields)
    assert all("89% of the time is in depthwise layers" in text for text in everywhere())


def test_a_board_s_own_numbers_are_called_measured() -> None:
    on_board("int8", watts=8.2)
    verdicts, _, _ = summary()
    assert verdicts[f"{ATOM} (board)"] == "pass"
    for text in everywhere():
        assert f"{ATOM} (board)" in text
        assert "39 measured" in text
        assert "Lane: device, measured on a board." in text
        assert f"Power: {MODEL}/int8 on {ATOM} 8.20 W." in text


def test_a_board_stands_beside_its_emulation_and_never_in_its_place() -> None:
    put("int8", ATOM, **emulated(target=12, cloud=11, rate=130.0))
    before = summary()
    on_board("int8", watts=8.2)
    verdicts, _, record = summary()
    assert record["answer"] == before[2]["answer"]
    assert verdicts == {**before[0], f"{ATOM} (board)": "pass"}
    assert list(verdicts) == [ATOM, f"{ATOM} (board)", JETSON]
    page()
    metrics = json.loads(layout.METRICS.read_text())[MODEL]["int8"]
    assert metrics[ATOM]["predicted_regions_per_s"] == 130.0
    assert "measured_regions_per_s" not in metrics[ATOM]
    board = metrics[f"{ATOM} (board)"]
    assert (board["measured_regions_per_s"], board["measured_frames_per_s"]) == (155.0, 155.0 / 4)
    assert board["measured_power_w"] == 8.2
    assert "predicted_regions_per_s" not in board
    assert [item["lane"] for item in record["results"]].count("device") == 3


def test_what_no_board_has_run_is_not_measured_there_and_what_it_refuses_is_told_once() -> None:
    on_board("int8", watts=8.2)
    put("fp16", ATOM, refused=load_target(ATOM).refusal("fp16"))
    missing = f"accuracy: no board has run this candidate ({MODEL}/fp32 on {ATOM} (board))"
    assert missing in " ".join(markdown().replace("\\_", "_").split())
    assert "no board has run this candidate" in summary()[1]
    assert markdown().count(f"- {MODEL}/fp16: {ATOM} refuses fp16") == 1
    [board] = [target for target in collected().targets if target.lane == "device"]
    assert [judgement.verdict for judgement in board.tested] == ["not_measured", "pass"]


def test_a_board_that_takes_too_much_power_fails_by_it() -> None:
    on_board("int8", watts=18.2)
    verdicts, text, _ = summary()
    assert verdicts[f"{ATOM} (board)"] == "not_measured", "another candidate may still pass there"
    assert re.search(r"155 +39 measured +FAIL", text)


def test_a_board_that_held_itself_back_shows_no_number_anywhere() -> None:
    put("int8", ATOM, **emulated(target=11, cloud=11))
    on_board("int8", watts=8.2, during={"throttled": True, "signs": ["cpu0 at 800 of 1600 MHz while busy"]})
    verdicts, text, record = summary()
    assert verdicts[f"{ATOM} (board)"] == "not_measured"
    assert not re.search(r"\b155\b|\b39 measured|8\.20 W|Predicted against measured", text)
    assert "the board held itself back: cpu0 at 800 of 1600 MHz while busy" in " ".join(text.split())
    [found] = [one for one in record["results"] if one["lane"] == "device" and one["method"] == "int8"]
    assert [name for name in found if name.startswith("measured_")] == []
    [entry] = [one for one in run_record.of(collected()).entries if one.lane == "device" and one.method == "int8"]
    assert not {"frames_per_s", "regions_per_s", "power_w"} & entry.numbers.keys()
    assert not re.search(r"\| 155 \||>155<|39 measured|8\.20 W", markdown() + page())


@pytest.mark.parametrize("of", ["model_sha256", "data_sha256"])
def test_what_a_board_measured_of_an_earlier_state_counts_no_longer(of: str) -> None:
    identity = {"model_sha256": "a" * 64, "data_sha256": "b" * 64}
    put("int8", ATOM, **emulated(target=11, cloud=11), **identity)
    on_board("int8", watts=8.2, **identity)
    assert summary()[0][f"{ATOM} (board)"] == "pass"
    on_board("int8", watts=8.2, **{**identity, of: "c" * 64})
    verdicts, text, _ = summary()
    assert verdicts[f"{ATOM} (board)"] == "not_measured"
    assert "a board has run an earlier state of this candidate or of its data" in " ".join(text.split())


def on_board(method: str, watts: float, during: dict[str, Any] | None = None, **fields: str) -> None:
    """A candidate that a board ran at 155 regions/s, with half a point lost."""
    found: dict[str, Any] = {"measured": measured(155.0, watts), **fields}
    if during is not None:
        found["measured"]["during"] = during
    found["accuracy"] = {"fp32": accuracy(10), "target": accuracy(11)}
    found["grade"] = "exact"
    put(method, ATOM, lane="device", not_measured={"accuracy.cloud": "not of a board"}, **found)


def test_the_same_results_give_the_same_bytes() -> None:
    def everything() -> dict[str, bytes]:
        page()
        written = [layout.METRICS, *sorted(layout.REPORT.iterdir())]
        return {path.name: path.read_bytes() for path in written}

    first = everything()
    assert sorted(first) == ["index.html", "metrics.json", "report.md"]
    assert everything() == first


def test_names_are_text_and_never_markup() -> None:
    html = page()
    assert "<script" not in html.lower()
    assert "&lt;script&gt;alert(&#39;|&#39;)&lt;/script&gt;" in html
    put("fp32", JETSON, not_measured={"accuracy.target": f"{HOSTILE} | @everyone\n# big"})
    bad_layer = saturated(f"{HOSTILE}\n# big", 100.0, fix=f"@everyone | {HOSTILE}")
    put("int8", ATOM, **emulated(target=24, cloud=12) | {"layers": [bad_layer]})
    written = markdown()
    assert "<script" not in written
    assert "@everyone" not in written
    assert "\n# big" not in written
    assert "<script" not in page()


def test_escaping_leaves_plain_text_alone() -> None:
    assert escape_markdown("87.86 % (int8, pruned-int8)") == "87.86 % (int8, pruned-int8)"
    assert escape_markdown("a_b | <i>*x*</i> http://x") == r"a\_b &#124; &#60;i&#62;\*x\*&#60;/i&#62; http:&#47;&#47;x"


def test_the_page_loads_nothing_from_outside_and_is_well_formed() -> None:
    put("int8", ATOM, **emulated(target=24, cloud=12) | {"layers": [saturated("/features/0/conv", 100.0)]})
    html = page()
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)
    assert not re.search(r"https?://|//cdn|@import|url\((?!#)", outside)
    sources = re.findall(r'(?:src|href)="([^"]*)"', outside)
    assert all(source.startswith(("data:image/jpeg;base64,", "#")) for source in sources)
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    assert {source[1:] for source in sources if source.startswith("#")} <= set(parser.ids)


class Balance(HTMLParser):
    """Every element that is opened is closed in order; ids are collected."""

    void = frozenset({"meta", "img", "br", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_markdown_tables_have_the_same_columns_in_every_row() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("|")]
    assert len(rows) == 2 * 2 + 2 + 2
    assert {len(re.findall(r"(?<!\\)\|", row)) - 1 for row in rows} == {COLUMNS}


def test_no_line_of_the_terminal_is_wider_than_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    put("int8", ATOM, **emulated(target=24, cloud=12) | {"layers": [saturated("/features/0/conv", 100.0)]})
    for columns in ("20", "100", "160"):
        monkeypatch.setenv("COLUMNS", columns)
        text = summary()[1]
        assert max(map(len, text.splitlines())) <= max(100, int(columns))
        assert "…" not in text
        assert "\x1b" not in text


def test_examples_show_disagreement_first_and_leave_out_answers_of_other_data() -> None:
    html = page()
    first = html[html.index('class="examples"') :]
    assert html.count("<img") == 12
    assert '<span class="wrong">person <i>int8</i>' in first[: first.index("</figure>")].replace("\n", "")
    for method in ("fp32", "int8"):
        put(method, ATOM, **{**emulated(target=11, cloud=11), "predictions": [0, 1]})
    assert "<img" not in page()


def test_many_classes_give_the_commonest_mix_ups() -> None:
    names = [f"class {index}" for index in range(20)]
    confusion = np.eye(20, dtype=int) * 5
    confusion[3, 4] = 7
    fields = {**emulated(target=11, cloud=11), "classes": names, "confusion": confusion.tolist(), "predictions": []}
    put("int8", ATOM, **fields)
    assert "7 × class 3 taken for class 4" in page()


@pytest.mark.parametrize("content", [None, "", "epoch,train_loss\n1,x\n", "epoch,train_loss,val_loss\n1,nan,1\n"])
def test_damaged_training_curves_only_leave_a_gap(content: str | None) -> None:
    path = layout.parent(MODEL) / "curves.csv"
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert "Training of the FP32 parents" not in page()


def test_plots_of_one_epoch_and_of_far_apart_speeds() -> None:
    (layout.parent(MODEL) / "curves.csv").write_text("epoch,train_loss,val_loss,val_accuracy_percent\n1,1,1,50\n")
    put("int8", ATOM, **emulated(target=24, cloud=12, rate=90_000.0))
    found = collected()
    plot = plots.accuracy_against_speed(found, found.targets[0])
    assert plot
    assert "var(--fail)" in plot.svg
    assert "#0102" not in plot.svg
    assert plot.numbered == []
    assert plots.accuracy_against_speed(found, found.targets[1]) is None
    page()


def test_with_several_models_the_plot_shows_numbers_and_the_legend_names_them() -> None:
    Path("params.yaml").write_text(yaml.safe_dump({**PARAMS, "models": [MODEL, "alexnet"]}), encoding="utf-8")
    for path in sorted(layout.result("emulated", MODEL, "int8", ATOM).parents[1].rglob("*.json")):
        record = {**json.loads(path.read_bytes()), "model": "alexnet"}
        files.write_json(layout.result("emulated", "alexnet", record["method"], record["target"]), record)
    html = page()
    for number, name in enumerate([f"{MODEL}/fp32", f"{MODEL}/int8", "alexnet/fp32", "alexnet/int8"], start=1):
        assert f"<li><i>{number}</i> {name}</li>" in html


def test_the_pareto_front_holds_what_nothing_beats() -> None:
    points = [
        plots.Point(name, speed, 10, percent, None, (percent, percent), "pass")
        for name, speed, percent in [("slow", 10, 90), ("beaten", 12, 80), ("fast", 20, 85), ("same", 20, 84)]
    ]
    assert [point.name for point in plots._pareto_front(points)] == ["slow", "fast"]


def test_results_of_other_candidates_are_ignored() -> None:
    before = page()
    files.write_bytes(layout.result("emulated", "old-model", "int8", ATOM), b"not even JSON")
    assert page() == before


def test_a_missing_result_is_bad_input_and_keeps_the_old_report() -> None:
    before = page()
    layout.result("emulated", MODEL, "int8", ATOM).unlink()
    with pytest.raises(InputError, match="dvc repro"):
        page()
    with pytest.raises(InputError, match="dvc repro"):
        summary()
    assert (layout.REPORT / "index.html").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("lane", LANES)
def test_a_record_of_another_candidate_or_lane_is_bad_input(lane: Lane) -> None:
    record = layout.result("emulated", MODEL, "fp32", ATOM).read_bytes()
    files.write_bytes(layout.result(lane, MODEL, "int8" if lane == "emulated" else "fp32", ATOM), record)
    with pytest.raises(InputError, match=rf"is the record of {MODEL}/fp32 on {ATOM} \(emulated\)"):
        summary()
