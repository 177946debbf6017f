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

from pipeline import files, layout
from pipeline.errors import InputError
from pipeline.report import plots, summary, write_report
from pipeline.report.collect import collect
from pipeline.report.markdown import escape
from pipeline.results import Result

MODEL, ATOM, JETSON = "lenet-5", "atom-x5-e3940", "jetson-tx2-maxq"
HOSTILE = "<script>alert('|')</script>"
CLASSES = [HOSTILE, "person"]
LABELS = [0, 0, 1, 1, 1] * 40
NO_FP16 = "this release has no fp16-boundaries emulation; measure it on a board"
BOARD = "speed and power are measured on a board, never in the cloud"
COLUMNS = 9

PARAMS: dict[str, Any] = {
    "seed": 0,
    "models": [MODEL],
    "methods": ["fp32", "fp16", "int8"],
    "targets": [ATOM, JETSON],
    "split": {"train": [0, 9], "val": [20, 29], "test": [40, 49]},
    "train": {
        "epochs": 1, "patience": 1, "batch": 2, "learning_rate": 0.1, "samples_per_epoch": 2, "freeze": 0,
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
    Result.model_validate(record).write(layout.result(MODEL, method, target))


def emulated(*, target: int, uncapped: int, rate: float = 200.0, host_isa: str = "amx_int8") -> dict[str, Any]:
    """A re-test with so many mistakes under the target's arithmetic and without it; the parent makes ten."""
    predictions = answers(target)
    confusion = np.zeros((2, 2), int)
    np.add.at(confusion, (LABELS, predictions), 1)
    return {
        "grade": "exact",
        "accuracy": {
            "fp32": accuracy(10),
            "target": accuracy(target),
            "host": accuracy(uncapped),
            "unsaturated": accuracy(uncapped),
        },
        "agreement_percent": 99.5,
        "confusion": confusion.tolist(),
        "predictions": predictions,
        "size_bytes": 3_600_000,
        "predicted": {"inferences_per_s": rate, "latency_ms": 4000 / rate, "error_percent": 15.0},
        "host_isa": host_isa,
    }


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository after `dvc repro`: on the Atom, INT8 passes uncapped and loses; the Jetson is not emulated."""
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
    put("fp32", ATOM, **emulated(target=10, uncapped=10, rate=60.0))
    put("fp16", ATOM, refused=f"{ATOM} refuses fp16: no half-precision arithmetic")
    put("int8", ATOM, **emulated(target=24, uncapped=12, rate=130.0))
    prediction = {"inferences_per_s": 400.0, "latency_ms": 10.0, "error_percent": 30.0}
    for method in ("fp32", "fp16"):
        put(method, JETSON, not_measured={"measured": BOARD, "accuracy.target": NO_FP16}, predicted=prediction)
    put("int8", JETSON, refused=f"{JETSON} refuses int8: no DP4A")
    return tmp_path


def page() -> str:
    return write_report().read_text(encoding="utf-8")


def markdown() -> str:
    write_report()
    return (layout.REPORT / "report.md").read_text(encoding="utf-8")


def test_a_target_fails_when_all_fail_and_is_not_measured_when_one_is_not() -> None:
    verdicts, text, record = summary()
    assert verdicts == {ATOM: "fail", JETSON: "not_measured"}
    assert record["verdicts"] == verdicts
    assert record["verdict"] == "fail"
    json.dumps(record, allow_nan=False)
    assert f"{ATOM}  FAIL" in text
    assert f"{JETSON}  not measured" in text
    assert re.search(r"fp32 +95\.00 +95\.00 +0\.00 +95\.00 +95\.00 +3\.60 +60 ± 15 % FAIL speed", text)
    assert re.search(r"int8 +95\.00 +88\.00 +7\.00 +94\.00 .* FAIL accuracy", text)


def test_a_target_passes_with_one_candidate() -> None:
    put("int8", ATOM, **emulated(target=11, uncapped=11))
    verdicts, text, _ = summary()
    assert verdicts[ATOM] == "pass"
    assert re.search(r"int8 .*200 ± 15 % PASS", text)


def test_names_the_candidate_that_only_the_target_shows_to_fail() -> None:
    _, text, record = summary()
    sentence = record["answer"]
    assert f"{MODEL}/int8 passes uncapped with 94.00 % (this machine, amx_int8" in sentence
    assert f"88.00 % under the arithmetic of {ATOM}, 7.00 points below" in sentence
    assert [item["candidate"] for item in record["caught"]] == [f"{MODEL}/int8"]
    assert "Caught:" in " ".join(text.split())
    assert "saturates" not in sentence


def test_says_that_none_was_caught() -> None:
    put("int8", ATOM, **emulated(target=12, uncapped=11))
    _, _, record = summary()
    assert record["caught"] == []
    assert record["answer"].startswith("No candidate passes uncapped and breaks the 2.00-point accuracy limit")
    assert "2 compared, 2 not measured" in record["answer"]
    assert f"largest loss to the arithmetic is 0.50 points, {MODEL}/int8 on {ATOM}" in record["answer"]


def test_failing_uncapped_too_is_not_a_catch() -> None:
    put("int8", ATOM, **emulated(target=40, uncapped=30))
    assert summary()[2]["caught"] == []


def test_a_saturating_machine_says_so_and_the_simulation_stands_in() -> None:
    fields = emulated(target=24, uncapped=24, host_isa="avx2")
    fields["accuracy"]["unsaturated"] = accuracy(12)
    put("int8", ATOM, **fields)
    put("fp32", ATOM, **emulated(target=10, uncapped=10, host_isa="avx2"))
    answer = summary()[2]["answer"]
    assert "94.00 % (unsaturated;" in answer
    assert "This machine's own CPU (avx2) saturates too: the unsaturated column stands for a VNNI cloud CPU" in answer


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
    assert section.count("measured²") == 10
    assert f"² {NO_FP16}" in text
    assert f"<sup>2</sup> {NO_FP16}" in html
    assert f"<sup>2</sup> {NO_FP16}" in md
    rows = [line for line in md.splitlines() if line.startswith(f"| {MODEL}/fp16")]
    assert [row.count("not measured") for row in rows] == [7]
    assert not re.search(r"\b0(\.0+)?\b", rows[0] + section)
    table = html[html.index('id="target-2"') :]
    assert not re.search(r">-?0(\.0+)?<", table[: table.index("</section>")])


def test_metrics_hold_measured_numbers_only() -> None:
    write_report()
    metrics = json.loads(layout.METRICS.read_text())[MODEL]
    assert metrics["int8"][ATOM] == {
        "fp32_accuracy_percent": 95.0,
        "target_accuracy_percent": 88.0,
        "host_accuracy_percent": 94.0,
        "unsaturated_accuracy_percent": 94.0,
        "accuracy_drop_points": 7.0,
        "agreement_percent": 99.5,
        "size_bytes": 3_600_000,
        "predicted_regions_per_s": 130.0,
        "predicted_latency_ms": pytest.approx(30.77, abs=0.01),
        "predicted_error_percent": 15.0,
        "verdict": "fail",
    }
    assert metrics["fp16"][JETSON] == {
        "predicted_regions_per_s": 400.0,
        "predicted_latency_ms": 10.0,
        "predicted_error_percent": 30.0,
        "verdict": "not_measured",
    }
    assert metrics["int8"][JETSON] == {"refused": f"{JETSON} refuses int8: no DP4A"}


def test_refused_pairs_are_listed_with_their_reason() -> None:
    for text in (summary()[1], page(), markdown()):
        assert f"{MODEL}/int8: {JETSON} refuses int8: no DP4A" in text
        assert f"{MODEL}/fp16: {ATOM} refuses fp16: no half-precision arithmetic" in text


def test_predictions_are_called_so_and_doubt_near_the_objective_is_told() -> None:
    for text in (summary()[1], page(), markdown()):
        flat = " ".join(text.replace("'", "&#39;").split())
        assert "Regions/s are predicted, not measured" in flat
        assert "130 ± 15 %" in flat
        assert "the objective of 120 regions/s lies within the prediction&#39;s error: a board decides" in flat
        assert "Power is measured on boards only." in flat


def test_what_a_prediction_says_of_its_own_limits_is_told() -> None:
    fields = emulated(target=12, uncapped=12)
    fields["predicted"]["notes"] = ["89% of the time is in depthwise layers, where published stacks differ"]
    put("int8", ATOM, **fields)
    for text in (summary()[1], page(), markdown()):
        assert "89% of the time is in depthwise layers" in " ".join(text.split())


def test_a_board_s_own_numbers_are_called_measured() -> None:
    measured = {"latency_ms": [25.0], "regions_per_s": 155.0, "power_w": 8.2, "power_rail": "package-0"}
    put("int8", ATOM, **{**emulated(target=11, uncapped=11), "lane": "device", "measured": measured})
    verdicts, text, _ = summary()
    assert verdicts[ATOM] == "pass"
    assert "155 measured" in text
    assert f"Power: {MODEL}/int8 on {ATOM} 8.20 W." in text


def test_the_same_results_give_the_same_bytes() -> None:
    def everything() -> dict[str, bytes]:
        write_report()
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
    written = markdown()
    assert "<script" not in written
    assert "@everyone" not in written
    assert "\n# big" not in written
    assert "<script" not in page()


def test_escaping_leaves_plain_text_alone() -> None:
    assert escape("87.86 % (int8, pruned-int8)") == "87.86 % (int8, pruned-int8)"
    assert escape("a_b | <i>*x*</i> http://x") == r"a\_b &#124; &#60;i&#62;\*x\*&#60;/i&#62; http:&#47;&#47;x"


def test_the_page_loads_nothing_from_outside_and_is_well_formed() -> None:
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
        put(method, ATOM, **{**emulated(target=11, uncapped=11), "predictions": [0, 1]})
    assert "<img" not in page()


def test_many_classes_give_the_commonest_mix_ups() -> None:
    names = [f"class {index}" for index in range(20)]
    confusion = np.eye(20, dtype=int) * 5
    confusion[3, 4] = 7
    fields = {**emulated(target=11, uncapped=11), "classes": names, "confusion": confusion.tolist(), "predictions": []}
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
    put("int8", ATOM, **emulated(target=24, uncapped=12, rate=90_000.0))
    collected = collect()
    plot = plots.accuracy_against_speed(collected, collected.targets[0])
    assert plot
    assert "var(--fail)" in plot.svg
    assert "#0102" not in plot.svg
    assert plot.numbered == []
    assert plots.accuracy_against_speed(collected, collected.targets[1]) is None
    page()


def test_with_several_models_the_plot_shows_numbers_and_the_legend_names_them() -> None:
    Path("params.yaml").write_text(yaml.safe_dump({**PARAMS, "models": [MODEL, "alexnet"]}), encoding="utf-8")
    for path in sorted((layout.RESULTS / MODEL).rglob("*.json")):
        record = {**json.loads(path.read_bytes()), "model": "alexnet"}
        files.write_json(layout.result("alexnet", record["method"], record["target"]), record)
    html = page()
    for number, name in enumerate([f"{MODEL}/fp32", f"{MODEL}/int8", "alexnet/fp32", "alexnet/int8"], start=1):
        assert f"<li><i>{number}</i> {name}</li>" in html


def test_the_pareto_front_holds_what_nothing_beats() -> None:
    points = [
        plots.Point(name, speed, 10, percent, None, "pass")
        for name, speed, percent in [("slow", 10, 90), ("beaten", 12, 80), ("fast", 20, 85), ("same", 20, 84)]
    ]
    assert [point.name for point in plots._pareto_front(points)] == ["slow", "fast"]


def test_results_of_other_candidates_are_ignored() -> None:
    before = page()
    files.write_bytes(layout.result("old-model", "int8", ATOM), b"not even JSON")
    assert page() == before


def test_a_missing_result_is_bad_input_and_keeps_the_old_report() -> None:
    before = page()
    layout.result(MODEL, "int8", ATOM).unlink()
    with pytest.raises(InputError, match="dvc repro"):
        write_report()
    with pytest.raises(InputError, match="dvc repro"):
        summary()
    assert (layout.REPORT / "index.html").read_text(encoding="utf-8") == before


def test_a_record_of_another_candidate_is_bad_input() -> None:
    layout.result(MODEL, "int8", ATOM).write_bytes(layout.result(MODEL, "fp32", ATOM).read_bytes())
    with pytest.raises(InputError, match=f"is the record of {MODEL}/fp32"):
        summary()
