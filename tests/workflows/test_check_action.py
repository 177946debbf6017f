"""The action for any repository, run for real in one that is not edgeproof's."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from act import HOSTED, Machine, Run
from project import copy_repository, environment, ready_venv

from tests.graphs import model, node, random

EDGEPROOF = "somebody/edgeproof"
ODD = "we|rd <b>'$(touch owned)' 50%,`x`::.onnx"
ATOM, JETSON = {"target": "atom-x5-e3940"}, {"target": "jetson-tx2-maxq"}
CHECKS = {
    "good": {**ATOM, "model": "nets/good.onnx", "data": "right.npz", "options": "--limit 40\n\n  --audit-seconds=90"},
    "odd": {**JETSON, "model": ODD, "data": "right.npz", "max-drop": "0.5"},
    "noise": {**ATOM, "model": "nets/good.onnx"},
    "gone": {**ATOM, "model": "nets/gone.onnx"},
}
# What a check before these in the same job would leave; packages are not to be installed anew in a test.
INSTALLED = {"run": 'cp -a "$VENV" "$RUNNER_TEMP/edgeproof"'}
CHECKOUT = {"uses": "actions/checkout@v7"}  # which act does by itself
SHOW = """import json, os
record = os.environ["RECORD"]
recorded = json.load(open(record))["verdict"] if record else ""
print(os.environ["NAME"], os.environ["OUTCOME"], repr(os.environ["VERDICT"]), repr(recorded))
assert not os.path.exists("owned")
"""


def steps(name: str) -> list[dict[str, Any]]:
    """A check, and a step that tells what the steps after it see of it."""
    use = {"id": name, "uses": f"{EDGEPROOF}/.github/actions/check@v1", "with": CHECKS[name], "continue-on-error": True}
    seen = {"OUTCOME": "outcome", "VERDICT": "outputs.verdict", "RECORD": "outputs.record"}
    told = {variable: f"${{{{ steps.{name}.{value} }}}}" for variable, value in seen.items()}
    return [use, {"env": {"NAME": name, **told}, "shell": "python", "run": SHOW}]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What a push comes to in a repository whose workflow has all these checks in one job."""
    folder = tmp_path_factory.mktemp("stranger")
    copy_repository(folder / "edgeproof")
    ready_venv(folder / "venv", folder / "edgeproof")
    theirs = folder / "theirs"
    write_repository(theirs)
    job = {"runs-on": HOSTED, "steps": [CHECKOUT, INSTALLED, *(step for name in CHECKS for step in steps(name))]}
    # Their modules may have the names of ours.
    job["env"] = {"PYTHONPATH": "modules", "VENV": str(folder / "venv")}
    (theirs / ".github/workflows").mkdir(parents=True)
    (theirs / ".github/workflows/theirs.yml").write_text(
        json.dumps({"name": "theirs", "on": "push", "jobs": {"check": job}})
    )
    variables = environment(folder)
    del variables["EDGEPROOF_CACHE"]  # the emulators are there
    for command in (
        ["init", "--quiet", "--initial-branch", "main"],
        ["add", "--all"],
        ["commit", "--quiet", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=theirs, env=variables, check=True)
    actions = {f"{EDGEPROOF}@v1": folder / "edgeproof"}
    return Machine(folder, variables).run(theirs, "push", {"ref": "refs/heads/main"}, "theirs.yml", actions)


def write_repository(folder: Path) -> None:
    """A network with samples and its answers as labels, one that TensorRT 8.2 does not read, and a clashing module."""
    for place in ("modules/pipeline", "nets"):
        (folder / place).mkdir(parents=True)
    (folder / "modules/pipeline/__init__.py").write_text("raise SystemExit('not this one')")
    weights = {"w": random(1, 192, 3)}
    nodes = [node("Flatten", "x", "flat"), node("MatMul", "flat w", "sums"), node("Softmax", "sums", "y")]
    save(nodes, weights, folder / "nets/good.onnx")
    save([node("HardSwish", "x", "h"), node("Flatten", "h", "flat"), *nodes[1:]], weights, folder / ODD)
    inputs = random(2, 48, 3, 8, 8)
    np.savez(folder / "right.npz", inputs=inputs, labels=(inputs.reshape(48, -1) @ weights["w"]).argmax(1))


def save(nodes: list[onnx.NodeProto], weights: dict[str, Any], path: Path) -> None:
    onnx.save(onnx.shape_inference.infer_shapes(model(nodes, weights, ("N", 3, 8, 8))), path)


def test_the_verdict_decides_the_step_and_is_an_output(run: Run) -> None:
    assert [line for line in run.output["check"].splitlines() if line.split(" ")[0] in CHECKS] == [
        "good success 'pass' 'pass'",
        "odd failure 'fail' 'fail'",
        "noise failure 'not_measured' 'not_measured'",
        "gone failure '' ''",
    ]
    assert run.codes == {"odd": 1, "noise": 3, "gone": 2}
    assert run.code == 0


def test_what_does_not_pass_is_one_annotation(run: Run) -> None:
    failed, bad = run.errors
    assert failed.startswith("runtime fail: does not read 1 node\n")
    assert bad == "nets/gone.onnx: no such file"
    [unknown] = run.warnings
    assert unknown.startswith("changed answers not measured\nNo verdict on its answers: the samples are noise")


def test_every_summary_begins_with_the_verdict(run: Run) -> None:
    heads = [line for line in run.summary.splitlines() if line.startswith("#")]
    assert list(dict.fromkeys(heads)) == [  # act tells each twice, of the action and of its step
        "## PASS: nets/good.onnx on atom-x5-e3940",
        "## FAIL: we&#124;rd &#60;b&#62;'\\$(touch owned)' 50%,\\`x\\`::.onnx on jetson-tx2-maxq",
        "## not measured: nets/good.onnx on atom-x5-e3940",
        "## No verdict: bad input",
    ]
    assert "- proof pass\n" in run.summary  # on the emulated CPU
    assert "right.npz, 40 inputs" in run.summary
