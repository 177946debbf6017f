"""What a company checks is nobody's business: no process that we start tells anybody of it, or prepares to."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.graphs import model, node

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A convolution, and samples for it beside the file."""
    weights = np.random.default_rng(0).standard_normal((3, 3, 3, 3)).astype(np.float32)
    nodes = [node("Conv", "x w", "a"), node("GlobalAveragePool", "a", "b"), node("Flatten", "b", "y")]
    made = onnx.shape_inference.infer_shapes(model(nodes, {"w": weights}, ("n", 3, 8, 8)))
    onnx.save(made, tmp_path / "n.onnx")
    inputs = np.random.default_rng(1).standard_normal((8, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "data.npz", inputs=inputs, labels=np.arange(8) % 3)
    return tmp_path / "n.onnx"


def edgeproof(home: Path, *arguments: object, codes: tuple[int, ...] = (0, 1, 3)) -> None:
    """As a user would start it: in a process of its own, with nothing that tells it that this is a test."""
    environment = {name: value for name, value in os.environ.items() if name != "CI" and "PYTEST" not in name}
    environment |= {"HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode in codes, done.stderr


def test_a_check_and_a_compression_tell_nobody(network: Path, tmp_path: Path) -> None:
    home, data = tmp_path / "home", network.with_name("data.npz")
    home.mkdir()
    edgeproof(home, "check", network, "--target", "atom-x5-e3940", "--data", data)
    edgeproof(
        home, "compress", network, "--method", "int8", "--target", "atom-x5-e3940", "--calibration", data,
        "--output", tmp_path / "int8",
    )  # fmt: skip
    assert not (home / "intel").exists()
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True).stdout
    assert left == ""


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("arguments", "codes"),
    [
        (("convert", "n.onnx", "--target", "jetson-tx2-maxq", "--output", "made"), (0,)),
        (("check", "n.onnx", "--target", "jetson-tx2-maxq", "--data", "data.npz", "--json", "check.json"), (0, 1, 3)),
        (("check", "n.xml", "--target", "atom-x5-e3940", "--data", "data.npz"), (0, 1, 3)),
        (("check", "torn.onnx", "--target", "atom-x5-e3940", "--data", "data.npz"), (2,)),
    ],
    ids=["a conversion", "another kind of target", "an IR", "a refusal"],
)
def test_whatever_is_done_nobody_is_told_and_nothing_stays(
    arguments: tuple[str, ...], codes: tuple[int, ...], network: Path, tmp_path: Path
) -> None:
    import openvino

    openvino.save_model(openvino.Core().read_model(network), tmp_path / "n.xml")
    (tmp_path / "torn.onnx").write_bytes(network.read_bytes()[:-40])
    home = tmp_path / "home"
    home.mkdir()
    named = [str(tmp_path / argument) if "." in argument or argument == "made" else argument for argument in arguments]
    edgeproof(home, *named, codes=codes)
    assert not (home / "intel").exists()
    assert subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True).stdout == ""


def test_the_sender_of_telemetry_cannot_be_imported() -> None:
    """Whatever else imports OpenVINO or NNCF, or reads ONNX files with them."""
    code = """
import pipeline, sys
import openvino, nncf
import nncf.telemetry
assert not any(name.startswith("openvino_telemetry.") for name in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "CI" and "PYTEST" not in name}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, cwd=REPOSITORY, check=True)
