"""What a board measured, from the record to the gate, the report and the prediction."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.boards.board_file import Board, load_board
from pipeline.boards.kit import CODE
from pipeline.ci import parcel
from pipeline.ci.run_record import RunRecord
from pipeline.device import subject, verdicts
from pipeline.device.emulation import Agreement
from pipeline.device.on_board import Answers, OnBoard
from pipeline.device.session import Session, Speed
from pipeline.formats.pack import pack
from pipeline.project import layout
from pipeline.project.params import load_params
from pipeline.project.passing import passing
from pipeline.records.results import Audit, read_result
from pipeline.records.targets import load_target
from pipeline.report.collect import collect
from pipeline.system.errors import InputError
from runners.contract.loop_figures import PARTS, LoopFigures, Part
from tests import without_xdist
from tests.stages.conftest import made, run
from tests.tiny_candidate import clip

ATOM = load_target("atom-x5-e3940")
NAME = "lenet-5/int8"
COOL = {"throttled": False}


def measured(name: str, board: Board, batch_ms: float = 2.0) -> Session:
    """A session on a board that answered as the parent did, at 40 frames/s."""
    found = Session(OnBoard(board), subject.of_project(name, board.profile))
    assert found.subject.parent is not None
    loop = LoopFigures(
        frames=40, seconds=1.0, fps=40.0, regions=160, regions_a_frame=4, parts=dict.fromkeys(PARTS, Part(1, 1, 1)),
        classifier_p50_ms=2.0, classifier_p99_ms=3.0, regions_per_second=160.0, rounds_fps=[40.0],
        rounds_classifier_ms=[2.0], start_seconds=1.0, peak_memory_mib=80.0, readers_memory_mib=20.0, threads=4,
        device={}, cameras={"clip": {"dropped": 0}},
    )  # fmt: skip
    found.found.fingerprint = {"board": "UP-APL01", "soc": "E3940", "versions": {"openvino": "2026.4.1"}}
    found.found.answers = Answers(found.subject.parent, [9.0, batch_ms, batch_ms], {"computes": ["CPU"]})
    audit = Audit(emulator=board.name, samples=64, tolerance=0, agrees=True, largest_difference=0.0)
    found.found.agreement = Agreement("exact", audit, 100.0)
    found.found.speed = Speed({0: loop._replace(fps=90.0), 4: loop}, dict.fromkeys(("before", "during", "after"), COOL))
    found.found.power = {
        "rail": "package-0", "sampler": "rapl", "sample_hz": 10.0, "sustained_w": 7.5, "idle_w": 3.0,
        "by_state_w": {"idle": 3.0, "regions_4": 7.5},
    }  # fmt: skip
    return found


def board(*, required: bool = True) -> Board:
    return load_board("this-machine").model_copy(update={"required": required})


def test_a_required_board_s_record_is_its_target_s_and_passes_the_gate(trained: Path) -> None:
    session = measured(NAME, board())
    judged = verdicts.judged(session, load_params().gates)
    assert judged.verdict == "pass"
    verdicts.write(session, judged.result)
    record = read_result(layout.result("device", "lenet-5", "int8", ATOM.name))
    assert record.lane == "device"
    assert record.measured is not None
    assert (record.measured.regions_per_s, record.measured.loop_per_s) == (160, 40)
    assert record.accuracy_drop_points == 0
    assert collect(load_params()).verdicts[f"{ATOM.name} (board)"] == "pass"
    run("stage", "report")
    page = " ".join((layout.REPORT / "report.md").read_text().split())
    assert "for 160 regions/s (" in page
    assert "for 40 frames/s (" in page


def test_an_advisory_board_s_record_is_told_and_blocks_nothing(trained: Path) -> None:
    session = measured(NAME, board(required=False))
    verdicts.write(session, verdicts.result(session))
    assert layout.result("device", "lenet-5", "int8", f"{ATOM.name}@this-machine").exists()
    assert list(collect(load_params()).verdicts) == [ATOM.name, "jetson-tx2-maxq"]


def test_what_an_emulated_board_showed_is_no_record_of_a_board(trained: Path) -> None:
    session = measured(NAME, load_board("emulated-atom-x5-e3940"))
    record = verdicts.result(session)
    assert record.lane == "emulated"
    assert record.measured is None
    verdicts.write(session, record)
    assert not (layout.ARTIFACTS / "results" / "device").exists()


def test_a_re_test_of_an_earlier_state_proves_nothing_of_this_one(trained: Path) -> None:
    assert subject.of_project(NAME, ATOM).emulated is not None
    weights = made("int8").loaded_by("openvino").with_suffix(".bin")
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert subject.of_project(NAME, ATOM).emulated is None
    record = verdicts.result(measured(NAME, load_board("emulated-atom-x5-e3940")))
    assert record.grade == "unaudited"
    assert "no re-test has proven the emulation for this file" in record.not_measured["proof"]


def test_a_damaged_parent_is_told_before_any_board_works(trained: Path) -> None:
    answers = layout.parent_logits("lenet-5", "test")
    whole = answers.read_bytes()
    for content in (whole[:100], layout.parent_logits("lenet-5", "val").read_bytes()[:90], b""):
        answers.write_bytes(content)
        with pytest.raises(InputError, match=r"test_logits.npy: missing or damaged; run `dvc repro train@lenet-5`"):
            subject.of_project(NAME, ATOM)


def test_measured_speed_is_fitted_to_and_held_against_what_was_predicted(trained: Path) -> None:
    session = measured(NAME, board())
    verdicts.write(session, verdicts.result(session))
    graph = str(made("int8").graph)
    results = str(layout.ARTIFACTS / "results" / "device")
    said = run("predict", graph, "--target", ATOM.name, "--batch", "4", "--measured", results)
    [line] = [line for line in said.splitlines() if line.startswith("measured: ")]
    assert line.startswith(f"measured: {NAME} on {ATOM.name}, int8: 160 regions/s; predicted ")
    without, fitted = (float(part.split()[0]) for part in line.split("predicted ")[1].split(", "))
    assert abs(fitted - 160) < abs(without - 160)
    plain = run("predict", graph, "--target", ATOM.name, "--batch", "4")
    assert said.split(" regions/s")[0] != plain.split(" regions/s")[0]


def test_a_network_that_was_made_again_since_is_left_out_of_the_fit(trained: Path) -> None:
    session = measured(NAME, board())
    verdicts.write(session, verdicts.result(session))
    other = measured("lenet-5/fp32", board())
    verdicts.write(other, verdicts.result(other))
    weights = made("int8").loaded_by("openvino").with_suffix(".bin")
    weights.write_bytes(weights.read_bytes() + b"\0")
    results = str(layout.ARTIFACTS / "results" / "device")
    said = run("predict", str(made("fp32").graph), "--target", ATOM.name, "--measured", results)
    assert f"left out: {NAME} on {ATOM.name}: the network that was measured does not lie in" in said


def test_the_candidates_that_pass_in_the_cloud_are_those_for_a_board(trained: Path) -> None:
    assert ("lenet-5", "int8") in passing(ATOM)
    params = trained / "params.yaml"
    params.write_text(params.read_text().replace("accept_unaudited: true", "accept_unaudited: false"))
    with pytest.raises(InputError, match="no candidate passes on atom-x5-e3940 in the emulated lane"):
        passing(ATOM)


@pytest.mark.nightly
def test_the_suite_ends_with_the_verdict_and_leaves_numbers(trained: Path) -> None:
    clip(trained / "data" / "vtest.avi")
    passed = suite(trained)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "8 passed" in passed.stdout
    assert f"{NAME} on emulated-atom-x5-e3940 ({ATOM.name}): PASS" in passed.stdout
    numbers = json.loads((trained / "numbers.json").read_text())
    assert numbers["machine_info"]["board"]["soc"].startswith("Intel(R) Atom(TM)")
    found = {row["name"].split("[")[0]: row for row in numbers["benchmarks"]}
    assert sorted(found) == ["test_network", "test_power", "test_speed"]
    assert sorted(found["test_speed"]["extra_info"]["loop"]) == ["0", "1", "2", "3", "4"]
    assert found["test_speed"]["extra_info"]["of_the_target"] is False
    full = found["test_speed"]["extra_info"]["loop"]["4"]
    assert found["test_speed"]["stats"]["min"] == pytest.approx(1 / max(full["rounds_fps"]))

    bundle = made("int8").loaded_by("openvino")
    bundle.write_text("no network")
    pack(bundle.parent, made("int8").download("openvino"))
    failed = suite(trained)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "2 failed, 1 passed, 5 skipped" in failed.stdout, "self-test and verdict"
    assert "Traceback" not in failed.stdout + failed.stderr


def suite(project: Path) -> subprocess.CompletedProcess[str]:
    """The device tests of this repository on a candidate of that project."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pipeline.device.plugin"]
    command += [str(CODE / "tests/device"), "--board", "emulated-atom-x5-e3940", "--candidate", NAME]
    command += ["--speed-seconds", "0.5", "--power-seconds", "0.5", "--benchmark-json", "numbers.json"]
    return subprocess.run(command, cwd=project, env=without_xdist.environment(), capture_output=True, text=True)


def test_a_parcel_has_all_that_a_board_s_job_needs_and_the_base(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip(trained / "data" / "vtest.avi")
    emulated = load_board("emulated-atom-x5-e3940")
    _, said = parcel.pack([emulated])
    assert said == "no base to compare with: no run of the base branch has left one"

    commit = kept_by_the_base(trained, "int8")
    sha256, said = parcel.pack([emulated])
    assert f"the base is {commit[:10]}; it has no lenet-5/fp32" in said
    before = subject.of_project(NAME, ATOM)
    job = tmp_path / "job"
    job.mkdir()
    shutil.copy("params.yaml", job)
    packed = parcel.FILE.absolute()
    monkeypatch.chdir(job)
    parcel.unpack(packed, sha256)
    found = subject.of_project(NAME, ATOM)
    assert np.array_equal(found.regions, before.regions)
    assert found.emulated == before.emulated
    assert (found.download.read_bytes(), Path("data/vtest.avi").exists()) == (
        (trained / before.download).read_bytes(),
        True,
    )
    base = subject.at_base(found, ATOM, parcel.BASE)
    assert base is not None
    assert base.download.read_bytes() == found.download.read_bytes()
    assert (parcel.BASE / "runners/edge/health.py").read_text() == "base\n"
    assert subject.at_base(subject.of_project("lenet-5/fp32", ATOM), ATOM, parcel.BASE) is None
    files = [path for path in layout.DATASET.rglob("*") if path.is_file()]
    assert len(files) == len(found.regions) + 1, "the test split and its table, and no other image"


def kept_by_the_base(project: Path, method: str) -> str:
    """What the run of a base commit leaves in DVC's cache: its record, its lock, the exported candidate; the commit."""
    (project / "runners/edge").mkdir(parents=True)
    (project / "runners/contract").mkdir()
    for name in ("__init__.py", "contract/x.py", "edge/health.py"):
        (project / "runners" / name).write_text("base\n")
    git = ["git", "-c", "user.name=tests", "-c", "user.email=tests@example.com"]
    for command in (["init", "--quiet"], ["add", "runners"], ["commit", "--quiet", "--message", "base"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    folder = layout.ARTIFACTS / "export/lenet-5" / method

    def keep(content: bytes, end: str = "") -> str:
        md5 = hashlib.md5(content).hexdigest() + end
        path = parcel.CACHE / "files/md5" / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return md5

    listed = [
        {"md5": keep(path.read_bytes()), "relpath": path.relative_to(folder).as_posix()}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    out = {"path": str(folder), "md5": keep(json.dumps(listed).encode(), ".dir")}
    parcel.BASE_LOCK.write_text(yaml.safe_dump({"stages": {f"export@lenet-5-{method}": {"outs": [out]}}}))
    parcel.BASE_RECORD.write_bytes(RunRecord(commit=commit, entries=[]).as_json())
    return commit


def test_base_is_the_same_candidate_in_another_checkout_with_its_own_programs(trained: Path, tmp_path: Path) -> None:
    head = subject.of_project(NAME, ATOM)
    checkout = tmp_path / "base"
    shutil.copytree(trained / "artifacts", checkout / "artifacts")
    with pytest.raises(InputError, match="no checkout of this repository"):
        subject.at_base(head, ATOM, checkout)
    (checkout / "runners/edge/commands").mkdir(parents=True)
    base = subject.at_base(head, ATOM, checkout)
    assert base is not None
    assert base.code == CODE, "the base has no program for this yet"
    assert base.download == checkout / head.download
    (checkout / "runners/edge/commands/speed.py").touch()
    assert subject.at_base(head, ATOM, checkout).code == checkout  # type: ignore[union-attr]
    shutil.rmtree(checkout / "artifacts/export/lenet-5/int8")
    assert subject.at_base(head, ATOM, checkout) is None
