"""A device is added by one YAML file: it is predicted, has its watts, is re-tested and gated, with no code touched."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.predict import predict
from pipeline.project import layout
from pipeline.records import targets
from pipeline.records.results import read_result
from pipeline.records.targets import load_target
from pipeline.retest.emulate import emulate
from tests.graphs import Arrays, random
from tests.stages.conftest import made, run

ATOM, MINE, GPU = "atom-x5-e3940", "my-atom", "atom-x5-e3940-gpu"


@pytest.fixture
def mine(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of targets with a copy of the Atom that has two cores and its own objective."""
    folder = Path(shutil.copytree(targets.TARGETS_FOLDER, tmp_path / "targets"))
    profile = yaml.safe_load((folder / f"{ATOM}.yaml").read_text())
    profile["cpu"]["cores"] = 2
    profile["power"]["tdp_w"] = 6.0
    profile["objective"]["frames_per_s"] = 1
    (folder / f"{MINE}.yaml").write_text(yaml.safe_dump(profile))
    monkeypatch.setattr(targets, "TARGETS_FOLDER", folder)
    return folder / f"{MINE}.yaml"


def test_a_copy_is_predicted_by_its_family_and_has_its_own_watts(mine: Path, prepared: Path) -> None:
    model = made("int8", project=prepared).graph
    original, copy = (predict(model, load_target(name), "int8", 4) for name in (ATOM, MINE))
    assert 0.4 * original.inferences_per_s < copy.inferences_per_s < original.inferences_per_s
    assert (original.power_w, copy.power_w) == (9.5, 6.0)
    assert any("never measured on my-atom" in note for note in copy.notes)


def test_a_copy_is_explained_and_listed(mine: Path) -> None:
    assert MINE in run("targets")
    text = run("targets", "show", MINE)
    assert "2 cores" in text
    assert "ONEDNN_MAX_CPU_ISA=AVX" in text


def test_a_copy_goes_through_the_pipeline_and_is_gated(mine: Path, trained: Path) -> None:
    params = yaml.safe_load((trained / "params.yaml").read_text())
    params |= {"targets": [MINE], "methods": ["int8"]}
    params["recipes"]["int8"] = [{"quantize": {"calibration_samples": 8, "target": MINE}}]
    (trained / "params.yaml").write_text(yaml.safe_dump(params))
    for stage in (["resolve", "int8"], ["compress", "lenet-5", "int8"], ["export", "lenet-5", "int8"]):
        run("stage", *stage)
    run("stage", "retest", "lenet-5", "int8", MINE)
    run("stage", "report")
    result = read_result(layout.result("emulated", "lenet-5", "int8", MINE))
    assert result.accuracy.target is not None
    assert result.predicted is not None
    [checks] = [entry["checks"] for entry in json.loads(CliRunner().invoke(cli, ["gate", "--json"]).stdout)["results"]]
    assert {check["name"]: check["limit"] for check in checks} == {"accuracy_drop_points": 2.0, "frames_per_s": 1.0}


def test_a_gpu_of_another_maker_needs_no_more_than_its_file(trained: Path) -> None:
    """FP16 in OpenVINO's files, on a GPU without any published rate: bounds of its answers, no invented speed."""
    params = yaml.safe_load((trained / "params.yaml").read_text())
    (trained / "params.yaml").write_text(yaml.safe_dump(params | {"targets": [GPU], "methods": ["fp16"]}))
    run("stage", "export", "lenet-5", "fp16")
    assert made("fp16", project=trained).loaded_by("openvino").exists()
    run("stage", "retest", "lenet-5", "fp16", GPU)
    result = read_result(layout.result("emulated", "lenet-5", "fp16", GPU))
    assert result.grade == "bounded"
    assert set(result.bounds) == {"fp32_sums", "fp16_sums"}
    assert result.accuracy.target is not None
    assert result.predicted is None
    assert "no published measurements for atom-x5-e3940-gpu at fp16" in result.not_measured["predicted"]


def test_an_emulation_follows_the_copy_s_own_cores(mine: Path, prepared: Path) -> None:
    model = made("int8", project=prepared).loaded_by("openvino")
    samples = Arrays(random(0, 4, 3, 32, 32))
    found = emulate(model, "int8", samples, (4, 3, 32, 32), load_target(MINE), proven=False)
    assert found.target is not None
    assert found.grade == "unaudited"


def test_a_kind_that_is_none_is_named_when_it_is_needed(mine: Path, prepared: Path) -> None:
    mine.write_text(mine.read_text().replace("capped-isa", "capped-ias"))
    done = CliRunner().invoke(cli, ["targets", "show", MINE])
    assert done.exit_code == 2
    assert "unknown kind of emulation 'capped-ias': did you mean 'capped-isa'?" in done.stderr
