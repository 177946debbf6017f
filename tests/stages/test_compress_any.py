"""`edgeproof compress` on anybody's ONNX file, through the command itself."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from pipeline import layout
from pipeline.check.model_file import open_model
from pipeline.cli import cli


def compress(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["compress", *map(str, arguments)], catch_exceptions=False)


def refused(*arguments: object) -> str:
    result = compress(*arguments)
    assert result.exit_code == 2, result.output
    line: str = result.stderr.strip().splitlines()[-1]
    assert line.startswith("edgeproof: ")
    return line


@pytest.fixture
def fp32(prepared: Path) -> Path:
    return prepared / layout.candidate("lenet-5", "fp32") / "model.onnx"


@pytest.fixture
def images(prepared: Path) -> list[object]:
    return ["--calibration", prepared / "photos", "--preset", "tensorflow", "--resize", "stretch"]


def test_int8_for_the_atom_is_written_checked_and_judged(fp32: Path, images: list[object], tmp_path: Path) -> None:
    output = tmp_path / "made"
    result = compress(fp32, "--method", "int8", "--target", "atom-x5-e3940", *images, "--limit", 12, "--output", output)
    assert result.exit_code == 0, result.output
    assert "PASS" in result.output
    assert open_model(output / "model.onnx").precision == "int8"
    assert open_model(output / "openvino" / "model.xml").precision == "int8"


def test_fp16_for_the_jetson(fp32: Path, images: list[object], tmp_path: Path) -> None:
    arguments = [fp32, "--method", "fp16", "--target", "jetson-tx2-maxq", *images, "--output", tmp_path / "made"]
    assert compress(*arguments, "--limit", 6).exit_code == 0
    assert open_model(tmp_path / "made" / "model.onnx").precision == "fp16"


def test_what_cannot_be_is_one_line_and_leaves_nothing(
    fp32: Path, prepared: Path, images: list[object], tmp_path: Path
) -> None:
    output = ["--output", tmp_path / "made"]
    atom = ["--method", "int8", "--target", "atom-x5-e3940"]
    assert "DP4A" in refused(fp32, "--method", "int8", "--target", "jetson-tx2-maxq", *images, *output)
    assert "give the FP32 original" in refused(
        prepared / layout.candidate("lenet-5", "int8") / "model.onnx", *atom, *images, *output
    )
    assert "no such file" in refused(tmp_path / "missing.onnx", *atom, *images, *output)
    assert "--calibration and --output" in refused(fp32, *atom, *output)
    assert "name the recipe" in refused("lenet-5")
    np.savez(tmp_path / "small.npz", inputs=np.zeros((4, 3, 8, 8), np.float32))
    assert "small.npz" in refused(fp32, *atom, "--calibration", tmp_path / "small.npz", *output)
    assert not (tmp_path / "made").exists()
