"""What a user can get wrong: one clear line, exit code 2, nothing half-written, never a traceback."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import numpy_helper

from pipeline.project import layout
from tests.stages.conftest import made

REPOSITORY = Path(__file__).resolve().parents[2]


def edgeproof(*arguments: str, file_limit_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    if file_limit_bytes is not None:
        # Python keeps a compiled module that it could write only in part, and every later run fails on it (EOFError).
        environment["PYTHONDONTWRITEBYTECODE"] = "1"

    def limit() -> None:
        if file_limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit_bytes, file_limit_bytes))

    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",  # FFmpeg prints what it found in a damaged clip
        timeout=180,
        preexec_fn=limit,
    )


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("edgeproof: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in line


def no_leftovers(folder: Path) -> bool:
    return not [path for path in folder.rglob(".*") if path.name not in (".", "..")]


def test_missing_data(project: Path) -> None:
    assert_refused(edgeproof("stage", "dataset"), "edgeproof data fetch")
    assert not layout.DATASET.exists()


def test_missing_data_set(project: Path) -> None:
    assert_refused(edgeproof("stage", "train", "lenet-5"), "samples.csv")


def test_unknown_model(trained: Path) -> None:
    assert_refused(edgeproof("stage", "train", "lenet5"), "lenet-5")


def test_unknown_method(trained: Path) -> None:
    assert_refused(edgeproof("stage", "compress", "lenet-5", "int4"), "int4", "pruned-int8")
    assert_refused(edgeproof("stage", "resolve", "int4"), "int4", "pruned-int8")


@pytest.mark.parametrize("stage", [("train", "lenet5"), ("train", "lenet-5"), ("compress", "lenet-5", "int4")])
def test_what_is_wrong_is_said_before_pytorch_is_loaded(project: Path, stage: tuple[str, ...]) -> None:
    """Which takes seconds. The project has no data set."""
    code = (
        "import sys\nfrom pipeline.cli import cli\ntry: cli(['stage', *sys.argv[1:]])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code, *stage], env=environment, capture_output=True, text=True)
    assert done.stdout == "2 False\n", done.stderr


def test_unknown_target(trained: Path) -> None:
    assert_refused(edgeproof("stage", "retest", "lenet-5", "int8", "atom"), "unknown target 'atom'")


def test_malformed_params(trained: Path) -> None:
    Path("params.yaml").write_text("models: [lenet-5\n")
    assert_refused(edgeproof("stage", "train", "lenet-5"), "params.yaml")


def test_outside_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(edgeproof("gate"), "no params.yaml here: run this in the folder of a project")


def test_truncated_clip(project: Path) -> None:
    layout.DATA.mkdir()
    (layout.DATA / "vtest.avi").write_bytes(b"RIFF\x00\x00\x00\x00AVI LIST")
    (layout.DATA / "labels.csv").write_text("frame,x,y,w,h,class\n1,200,100,40,80,person\n")
    assert_refused(edgeproof("stage", "dataset"), "vtest.avi", "edgeproof data fetch")
    assert not layout.DATASET.exists()


def test_full_disk_while_the_data_set_is_built(trained: Path) -> None:
    before = (layout.DATASET / "samples.csv").read_bytes()
    assert_refused(edgeproof("stage", "dataset", file_limit_bytes=500), "size limit")
    assert (layout.DATASET / "samples.csv").read_bytes() == before
    assert no_leftovers(layout.ARTIFACTS)


@pytest.mark.parametrize(
    "stage",
    [
        ("train", "lenet-5"),
        ("compress", "lenet-5", "int8"),
        ("export", "lenet-5", "int8"),
        ("retest", "lenet-5", "int8", "atom-x5-e3940"),
        ("report",),
    ],
)
def test_full_disk_leaves_every_stage_s_old_output_alone(trained: Path, stage: tuple[str, ...]) -> None:
    before = {path: path.read_bytes() for path in layout.ARTIFACTS.rglob("*") if path.is_file()}
    assert_refused(edgeproof("stage", *stage, file_limit_bytes=2_000))
    after = {path: path.read_bytes() for path in layout.ARTIFACTS.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("name", ["weights.safetensors", "test_logits.npy"])
def test_damaged_parent(trained: Path, name: str) -> None:
    path = layout.parent("lenet-5") / name
    path.write_bytes(path.read_bytes()[:50])
    stage = ("compress", "lenet-5", "int8") if "weights" in name else ("retest", "lenet-5", "int8", "atom-x5-e3940")
    assert_refused(edgeproof("stage", *stage), name)


@pytest.mark.parametrize("stage", [("export", "lenet-5", "int8"), ("retest", "lenet-5", "int8", "atom-x5-e3940")])
def test_damaged_facts_of_a_candidate(trained: Path, stage: tuple[str, ...]) -> None:
    (made("int8").compressed / "candidate.json").write_text("{")
    assert_refused(edgeproof("stage", *stage), "candidate.json", "dvc repro")


@pytest.mark.parametrize("keep", [0, 10, 5000])
def test_truncated_onnx(trained: Path, keep: int) -> None:
    path = made("int8").graph
    path.write_bytes(path.read_bytes()[:keep])
    words = "not a valid ONNX model" if keep else "is empty"
    assert_refused(edgeproof("stage", "export", "lenet-5", "int8"), "model.onnx", words)


def test_a_folder_that_its_runtime_would_not_read_is_told_and_the_others_are_written(trained: Path) -> None:
    path = made("fp32").graph
    graph = onnx.load(path)
    graph.opset_import[0].version = 14
    for step in graph.graph.node:
        step.op_type = "HardSwish" if step.op_type == "Relu" else step.op_type
    onnx.save(graph, path)
    done = edgeproof("stage", "export", "lenet-5", "fp32")
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len(told) == 1
    assert "tensorrt/ is of no use: TensorRT 8.2" in told[0]
    assert "HardSwish" in told[0]
    assert next(step.name for step in graph.graph.node if step.op_type == "HardSwish") in told[0]
    assert "edgeproof convert" in told[0]
    manifest = json.loads((made("fp32").exported / "manifest.json").read_text())
    assert list(manifest["unread"]) == ["tensorrt"]
    assert (made("fp32").exported / "openvino" / "model.xml").exists()


def test_weights_that_are_no_numbers(trained: Path) -> None:
    path = made("fp32").graph
    model = onnx.load(path)
    weights = next(item for item in model.graph.initializer if item.data_type == onnx.TensorProto.FLOAT)
    weights.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(weights), np.nan), name=weights.name))
    onnx.save(model, path)
    assert_refused(edgeproof("stage", "export", "lenet-5", "fp32"), "NaN")


@pytest.mark.parametrize("name", ["model.bin", "model.xml"])
def test_damaged_ir(trained: Path, name: str) -> None:
    path = made("int8").exported / "openvino" / name
    path.write_bytes(b"")
    result = layout.result("emulated", "lenet-5", "int8", "atom-x5-e3940")
    before = result.read_bytes()
    assert_refused(edgeproof("stage", "retest", "lenet-5", "int8", "atom-x5-e3940"), "model.xml")
    assert result.read_bytes() == before


def test_a_missing_result_stops_the_report(trained: Path) -> None:
    layout.result("emulated", "lenet-5", "int8", "atom-x5-e3940").unlink()
    assert_refused(edgeproof("stage", "report"), "dvc repro")


def test_the_gate_s_exit_code_is_the_worst_target_s(trained: Path) -> None:
    assert edgeproof("gate", "--json").returncode == 0
    for method in ("fp32", "fp16"):
        path = layout.result("emulated", "lenet-5", method, "jetson-tx2-maxq")
        record = json.loads(path.read_text())
        record["accuracy"]["target"] = None
        path.write_text(json.dumps(record))
    assert edgeproof("gate").returncode == 3
    params = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump({**params, "targets": ["atom-x5-e3940"], "methods": ["fp32"]}))
    assert edgeproof("gate").returncode == 0
    strict = {**params, "targets": ["atom-x5-e3940"], "methods": ["fp32"], "gates": {"accuracy_drop_points": 0}}
    Path("params.yaml").write_text(yaml.safe_dump(strict))
    record = json.loads(layout.result("emulated", "lenet-5", "fp32", "atom-x5-e3940").read_text())
    record["accuracy"]["target"]["correct"] -= 1
    layout.result("emulated", "lenet-5", "fp32", "atom-x5-e3940").write_text(json.dumps(record))
    assert edgeproof("gate").returncode == 1


def test_help_answers_at_once_and_teaches() -> None:
    """Without loading any of the heavy libraries."""
    code = (
        "import sys, pipeline.cli; print([m for m in ('torch', 'nncf', 'openvino', 'cv2', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"
    assert "not measured" in edgeproof("--help").stdout
