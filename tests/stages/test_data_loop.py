"""The data loop on a trained project: captures come in, a person decides, and the next parent has learned from them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import captured, doubtful
from pipeline.data.dataset import open_dataset
from pipeline.ingest import proposals
from pipeline.ingest.decisions import read
from pipeline.ingest.pulled import waiting
from pipeline.project import layout
from pipeline.project.params import load_params
from tests.captures import CLASSES, START_S, picture, send
from tests.stages.conftest import run

COUNT = 12


@pytest.fixture
def pulled(trained: Path) -> Path:
    """A trained project with pulled captures: the device took every third one for another class."""
    for number in range(COUNT):
        answer = {name: 0.8 if CLASSES.index(name) == (number + (number % 3 == 0)) % 3 else 0.1 for name in CLASSES}
        image = picture(CLASSES[number % 3], number)
        send(trained / "inbox", f"cam-{number % 2}/c{number}", image, time_s=START_S + 90 * number, answer=answer)
    assert run("ingest", "pull", "inbox").startswith("12 new captures\n")
    return trained


def test_from_captures_to_the_next_parent(pulled: Path) -> None:
    assert run("ingest", "review") == "artifacts/ingest/review.html: 12 captures\n"
    page = (layout.INGEST / "review.html").read_text()
    items = json.loads(re.findall(r'id="content">(.*?)</script>', page)[0])["items"]
    assert [item["label"] for item in items] == [CLASSES[int(item["capture"].split("/c")[1]) % 3] for item in items]
    disagree = [item["capture"] for item in items if any("the device said" in why for why in item["why"])]
    assert set(disagree) == {f"cam-{number % 2}/c{number}" for number in range(0, COUNT, 3)}
    assert {item["capture"] for item in items[:4]} == set(disagree), "those most worth a look come first"

    before = layout.parent_weights("lenet-5").read_bytes()
    decisions = [{"capture": item["capture"], "sha256": item["sha256"], "class": item["label"]} for item in items]
    Path("decisions.json").write_text(json.dumps({"by": "edgeproof ingest review", "decisions": decisions}))
    assert run("ingest", "apply", "decisions.json").startswith("12 added\n")
    assert run("ingest", "review", "--no-neighbours") == "artifacts/ingest/review.html: 0 captures\n"
    samples = {sample.file: sample for sample in open_dataset(layout.DATASET).samples}
    run("stage", "dataset")
    now = {sample.file: sample for sample in open_dataset(layout.DATASET).samples}
    assert len(now) == len(samples) + COUNT
    assert {file: now[file] for file in samples} == samples, "no sample moved"
    run("stage", "train", "lenet-5")
    assert layout.parent_weights("lenet-5").read_bytes() != before


def test_what_a_capture_is_most_like_in_the_data_has_a_say(pulled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the captures have none, however alike they are: what the network proposes for them is nobody's decision."""
    dataset = open_dataset(layout.DATASET)
    known = dataset.split("train") + dataset.split("val")
    place = np.full((COUNT, 4), [1.0, 0, 0, 2.0], np.float32)  # all are like the first class, and more like each other
    classes = np.eye(4, dtype=np.float32)[[dataset.classes.index(sample.label) for sample in known]]
    features = np.concatenate([classes, place / np.linalg.norm(place, axis=1, keepdims=True)])
    monkeypatch.setattr(doubtful, "describe", lambda images, count: features)
    proposed = proposals.propose(waiting(layout.INGEST, layout.DATA), dataset, load_params())
    assert len(proposed.proposals) == COUNT
    for one in proposed.proposals:
        doubted = f"what is most like it in the data is {dataset.classes[0]}" in one.why
        assert doubted == (one.label != dataset.classes[0])


def test_other_tools_hand_their_labels_back(pulled: Path) -> None:
    run("ingest", "export", "label-studio", "studio", "--no-neighbours")
    tasks = json.loads(Path("studio/tasks.json").read_text())
    assert len(tasks) == COUNT
    for task in tasks[:2]:  # as label-studio's JSON export has it
        task["annotations"] = [
            {"id": 1, "completed_by": 1, "was_cancelled": False, "result": task["predictions"][0]["result"]}
        ]
    for task in tasks[2:]:
        task["annotations"] = []
    Path("export.json").write_text(json.dumps(tasks))
    assert len(read(Path("export.json"))) == 2
    assert run("ingest", "apply", "export.json").startswith("2 added\n")

    run("ingest", "export", "folder", "sorted", "--no-neighbours")
    first, second = sorted(Path("sorted/red").glob("*.png"))[:2]
    first.rename(Path("sorted/blue") / first.name)
    second.rename(Path("sorted/_rejected") / second.name)
    sorted(Path("sorted/green").glob("*.png"))[0].unlink()
    assert run("ingest", "apply", "sorted").startswith("8 added, 1 rejected\n")
    assert len(captured.read(layout.DATA)) == 10
    assert run("ingest", "review", "--no-neighbours") == "artifacts/ingest/review.html: 1 captures\n"


def test_the_report_says_what_devices_added(pulled: Path) -> None:
    run("ingest", "export", "folder", "sorted", "--no-neighbours")
    run("ingest", "apply", "sorted")
    run("stage", "dataset")
    run("stage", "report")
    page, text = ((layout.REPORT / name).read_text() for name in ("index.html", "report.md"))
    assert "<h2>Captured regions</h2>" in page
    assert "12 regions were captured by devices (cam-0 6, cam-1 6; why: unsure 12; splits: " in page
    assert "12 regions were captured by devices" in text
