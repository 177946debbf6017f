"""A whole search on small real data: killed, split over machines, or in one go, it comes to the same."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.data.dataset import open_dataset
from pipeline.project import layout
from pipeline.project.params import Params, load_params
from pipeline.records.results import read_result
from pipeline.records.targets import load_target
from pipeline.stages.retest import retest
from pipeline.system.errors import InputError
from pipeline.train.loop import predict
from pipeline.train.parent import load_parent
from tests.machines import scheduler_in
from tests.stages.conftest import made
from tests.waiting import children, has_ended, until

TARGET, TRIALS = "atom-x5-e3940", 3
REPOSITORY = Path(__file__).resolve().parents[2]
SEARCH = [sys.executable, "-m", "pipeline", "search", "--target", TARGET, "--trials", str(TRIALS)]
FOLDER = layout.search(TARGET)
RECORDS = FOLDER / "trials"
# Like on a runner with one trial: sums in another number of threads differ in their last bits.
ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


# It copies the script away, runs it for each number of the array, and ends as the worst of them did.
SBATCH = r"""#!/bin/bash
[ "$1" = --wait ] || exit 64
last=${2#--array=0-} script=$3 code=0
shift 3
cores=$(sed -n 's/^#SBATCH.*--cpus-per-task=\([0-9]*\).*/\1/p' "$script")
spooled=$(mktemp)
trap 'rm "$spooled"' EXIT
cp "$script" "$spooled"
for number in $(seq 0 "$last"); do
    SLURM_ARRAY_TASK_ID=$number SLURM_CPUS_PER_TASK=$cores bash "$spooled" "$@" || code=$?
done
echo $((last + 1)) >> rounds
exit $code
"""


@pytest.fixture(scope="module")
def searched(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which a search was killed in the middle, and then ended; `killed.json` tells what was there."""
    folder = tmp_path_factory.mktemp("searched") / "project"
    shutil.copytree(prepared, folder)
    running = subprocess.Popen(SEARCH, cwd=folder, env=environment(folder))
    until(lambda: finished(folder) or running.poll() is not None, 300)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL, "the search was to be killed, not to end"
    wait_for_the_end_of_workers(folder)
    before = finished(folder)
    assert before
    call(SEARCH, folder)
    (folder / "killed.json").write_text(json.dumps(before))
    return folder


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT, "EDGEPROOF_CACHE": str(folder / "cache")}


def call(command: list[str], folder: Path, code: int = 0) -> str:
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def finished(folder: Path) -> dict[str, int]:
    """Records with the time they were written."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / RECORDS).glob("*.json")}


def wait_for_the_end_of_workers(folder: Path) -> None:
    """Every process that works in a folder must be gone soon after the search that started it was killed."""
    until(lambda: not any(works_in(path, folder) for path in Path("/proc").glob("[0-9]*")), 20)


def works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder and not has_ended(int(process.name))
    except OSError:
        return False


def outcome(folder: Path) -> Any:
    """The report without times."""
    report = json.loads((folder / FOLDER / "report.json").read_text())
    report = {name: value for name, value in report.items() if name not in ("wall_s", "seconds_by_rung")}
    for one in report["trials"]:
        del one["record"]["seconds"]
    return report


def test_a_killed_search_goes_on_without_repeating_anything(searched: Path) -> None:
    before = json.loads((searched / "killed.json").read_text())
    after = finished(searched)
    assert before.items() <= after.items()
    assert len(after) > len(before)


def test_a_second_search_evaluates_nothing(searched: Path) -> None:
    before, report = finished(searched), outcome(searched)
    printed = call([*SEARCH, "--json", "out.json"], searched)
    assert finished(searched) == before
    assert outcome(searched) == report
    assert json.loads((searched / "out.json").read_text())["winner"] == report["winner"]
    assert "PASS" in printed
    assert json.loads(call([*SEARCH, "--plan"], searched)) == []


def test_the_script_for_slurm_is_one(tmp_path: Path) -> None:
    subprocess.run(["bash", "-n", script_for_slurm(tmp_path)], check=True)


@pytest.mark.nightly
def test_split_into_jobs_of_slurm_it_comes_to_the_same(searched: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "sbatch").write_text(SBATCH)
    (tmp_path / "sbatch").chmod(0o755)
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    call(["env", f"PATH={path}", "bash", str(script_for_slurm(tmp_path)), TARGET], trained)
    rounds = [int(number) for number in (trained / "rounds").read_text().split()]
    # The third proposal may differ from an earlier one in its re-training only: without any, they are one trial.
    assert rounds[0] == 2
    assert rounds[-2:] == [1, 1]
    assert sum(rounds) == len(finished(trained)) - 1  # the winner's re-test has a record too
    assert outcome(trained) == outcome(searched)


def script_for_slurm(folder: Path) -> Path:
    """The one of docs/search.md, for so many trials and a machine with one core."""
    [text] = re.findall(r"```bash\n(.*?)```", (REPOSITORY / "docs/search.md").read_text(), re.DOTALL)
    assert text.count("--cpus-per-task=8") == 1
    text = text.replace("--cpus-per-task=8", "--cpus-per-task=1")
    (folder / "search.sh").write_text(text.replace('--target "$target"', f'--target "$target" --trials {TRIALS}'))
    return folder / "search.sh"


@pytest.mark.nightly
def test_on_other_machines_it_comes_to_the_same_though_one_is_killed(
    searched: Path, trained: Path, tmp_path: Path
) -> None:
    newer = tmp_path / "newer"
    for name in ("pipeline", "models", "runners"):
        shutil.copytree(REPOSITORY / name, newer / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "dvc.yaml", newer)
    with (newer / "pipeline/stages/compress.py").open("a") as code:
        code.write("# changed\n")
    with scheduler_in(tmp_path) as machines:
        for path in (REPOSITORY, REPOSITORY, newer):
            machines.start(trained, 1, PYTHONPATH=str(path), EDGEPROOF_CACHE=str(trained / "cache"))
        machines.wait_for(3)
        command = [*SEARCH, "--workers", machines.address]
        search = subprocess.Popen(command, cwd=trained, env=environment(trained), stderr=subprocess.PIPE, text=True)
        until(lambda: len(list((trained / layout.SEARCH).glob("candidates/*/*"))) >= 2, 300)
        before = finished(trained)
        nanny = machines.processes[1].pid
        [(worker, trial)] = [(worker, trial) for worker in children(nanny) for trial in children(worker)]
        os.kill(worker, signal.SIGKILL)
        until(lambda: has_ended(trial))
        _, said = search.communicate()
    assert search.returncode == 0, said
    [line] = [line for line in said.splitlines() if not line.startswith("round ")]
    assert re.fullmatch(rf"worker tcp://\S+ does no trials: {trained} has another version of: code", line)
    assert before.items() <= finished(trained).items()
    assert outcome(trained) == outcome(searched)


def test_the_winner_is_chosen_by_the_validation_split_and_judged_by_the_test(
    searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(searched)
    report, data = outcome(searched), open_dataset(layout.DATASET)
    winner = report["winner"]
    assert report["verdict"] == "pass"
    assert winner["result"]["accuracy"]["target"]["n"] == len(data.split("test"))
    assert len(winner["result"]["predictions"]) == len(data.split("test"))
    for one in report["trials"]:
        assert one["record"]["result"]["accuracy"]["target"]["n"] == len(data.split("val"))
    assert report["trials"][0]["trial"] == winner["trial"]
    assert report["trials"][0]["rung"] == 2


def test_the_recipe_can_be_pasted_and_only_the_winner_s_model_stays(searched: Path) -> None:
    winner = outcome(searched)["winner"]
    text = (searched / FOLDER / "report.md").read_text()
    pasted = yaml.safe_load("recipes:\n" + text.split("```yaml\n")[1].split("```")[0])
    params = yaml.safe_load((searched / "params.yaml").read_text())
    [(name, steps)] = pasted["recipes"].items()
    assert steps == winner["recipe"]
    Params.model_validate({**params, **pasted, "methods": [name], "targets": [TARGET]})
    models = [path.name for path in (searched / layout.SEARCH).glob("*/lenet-5/*")]
    assert models == [winner["trial"]] * 2
    assert sorted(path.name for path in (searched / "artifacts/candidates/lenet-5").iterdir()) == [
        "fp16", "fp32", "int8", "pruned-int8",
    ]  # fmt: skip


def test_a_recipe_that_cannot_be_is_a_failure_of_its_own(trained: Path) -> None:
    target = trained / "runners"
    shutil.copytree(REPOSITORY / "runners", target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "dvc.yaml", trained)  # which names the code that a trial depends on
    for name in ("pipeline", "models"):
        shutil.copytree(REPOSITORY / name, trained / name, ignore=shutil.ignore_patterns("__pycache__"))
    profile = target / "targets" / f"{TARGET}.yaml"
    text = profile.read_text()
    assert "frames_per_s: 30" in text
    profile.write_text(text.replace("frames_per_s: 30", "frames_per_s: 10000000"))
    command = ["env", f"PYTHONPATH={trained}", *SEARCH[:-1], "1"]
    printed = call(command, trained, code=3)
    assert "No trial came to a measurement" in printed
    assert "even pruned as far as it goes" in printed
    assert json.loads((trained / FOLDER / "report.json").read_text())["winner"] is None


def test_the_parent_s_accuracy_on_another_split_is_its_own(trained: Path) -> None:
    params, data, target = load_params(), open_dataset(layout.DATASET), load_target(TARGET)
    found = retest(made("int8"), target, data, "val")
    images, labels = data.load("val", 32)
    import models

    parent = load_parent(layout.parent_weights("lenet-5"), "lenet-5", 3, params.width)
    logits = predict(parent, images, models.spec("lenet-5"))
    assert found.accuracy.fp32 is not None
    assert found.accuracy.fp32.correct == (logits.argmax(1) == labels).sum()
    test = read_result(layout.result("emulated", "lenet-5", "int8", TARGET))
    assert test.accuracy.fp32 is not None
    assert test.accuracy.fp32.n == len(data.split("test"))
    for damaged in (b"damaged", layout.parent_logits("lenet-5", "test").read_bytes()):  # no answers; another split's
        layout.parent_logits("lenet-5", "val").write_bytes(damaged)
        with pytest.raises(InputError, match="run `dvc repro train@lenet-5`") as refusal:
            retest(made("int8"), target, data, "val")
        assert "\n" not in str(refusal.value)
        assert retest(made("int8"), target, data).accuracy == test.accuracy
