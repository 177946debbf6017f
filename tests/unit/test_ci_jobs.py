"""What the jobs of GitHub Actions do between the stages: hand the cache on, and turn a verdict into red or green."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline.ci import handover, parcel, run_record
from pipeline.ci.annotations import line_of
from pipeline.ci.board_outcome import Outcome
from pipeline.cli import cli
from pipeline.project import layout
from pipeline.records.results import Result
from pipeline.system.errors import BadData, Missing
from tests.unit.test_github import heard
from tests.unit.test_report import ATOM, JETSON, MODEL, PARAMS, accuracy, emulated, measured, put, saturated

CACHE = Path(".dvc/cache")


@pytest.fixture(autouse=True)
def runner(job_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's folder, with the files by which it tells the runner something."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(job_folder))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(job_folder / "summary"))
    monkeypatch.setenv("GITHUB_OUTPUT", str(job_folder / "output"))
    return job_folder


def call(*arguments: str) -> tuple[int, list[tuple[str, dict[str, str], str]], str]:
    """Exit code, what the runner obeys, and all that was printed."""
    done = CliRunner().invoke(cli, ["ci", *arguments], catch_exceptions=False)
    return done.exit_code, heard(done.output.splitlines()), done.output


def cached(name: str, content: str = "content") -> None:
    path = CACHE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o444)


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as opened:
        return opened.getnames()


# --- the cache --------------------------------------------------------------------------------------------------------


def test_a_job_hands_on_what_it_added_and_the_next_one_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached("files/md5/aa/given")
    assert call("take-over")[2] == "taken over: 0 archives\n"
    cached("files/md5/bb/added")
    cached("runs/cc/added")
    assert call("hand-on", "lenet-5-int8")[2] == ".dvc/tmp/cache-lenet-5-int8.tar\n"
    archive = Path(".dvc/tmp/cache-lenet-5-int8.tar").absolute()
    assert names(archive) == ["files/md5/bb/added", "runs/cc/added"]

    (tmp_path / "next/.dvc/tmp/handed_on").mkdir(parents=True)
    archive.rename(tmp_path / "next/.dvc/tmp/handed_on" / archive.name)
    monkeypatch.chdir(tmp_path / "next")
    assert call("take-over")[2] == "taken over: 1 archives\n"
    assert (CACHE / "files/md5/bb/added").read_text() == "content"
    assert (CACHE / "files/md5/bb/added").stat().st_mode & 0o777 == 0o444, "DVC trusts only what nobody can write"
    assert names(handover.hand_on("nothing")) == [], "what was taken over is not handed on once more"


def test_what_two_jobs_have_made_alike_is_taken_over_once() -> None:
    handover.HANDED_ON.mkdir(parents=True)
    for job, content in (("a", b"content"), ("b", b"written twice")):
        with tarfile.open(handover.HANDED_ON / f"cache-{job}.tar", "w") as archive:
            member = tarfile.TarInfo("files/md5/aa/same")
            member.size, member.mode = len(content), 0o444
            archive.addfile(member, io.BytesIO(content))
    assert handover.take_over() == 2
    assert (CACHE / "files/md5/aa/same").read_bytes() == b"content", "root alone may write to it again"


def test_a_parcel_without_an_export_says_what_is_missing() -> None:
    with pytest.raises(Missing, match="export/lenet-5/int8/openvino not found"):
        parcel._exported("lenet-5/int8", "openvino")


def test_nothing_is_handed_on_before_it_is_known_what_was_given() -> None:
    cached("files/md5/aa/given")
    with pytest.raises(Missing, match="take-over"):
        handover.hand_on("all")


@pytest.mark.parametrize("name", ["../../owned", "/tmp/edgeproof-owned", "files/../../owned"])
def test_an_archive_writes_nothing_outside_the_cache(tmp_path: Path, name: str) -> None:
    handover.HANDED_ON.mkdir(parents=True)
    with tarfile.open(handover.HANDED_ON / "cache-a.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 5
        archive.addfile(member, io.BytesIO(b"owned"))
    if name.startswith("/"):  # is taken as below the cache
        handover.take_over()
        assert not Path(name).exists()
    else:
        with pytest.raises(BadData, match="cannot be taken over"):
            handover.take_over()
    assert not list(tmp_path.rglob(".dvc/owned")) + list(tmp_path.glob("owned"))


def test_a_damaged_archive_is_one_line(tmp_path: Path) -> None:
    handover.HANDED_ON.mkdir(parents=True)
    (handover.HANDED_ON / "cache-a.tar").write_bytes(b"no archive")
    code, told, _ = call("take-over")
    assert code == 2
    assert [(level, message.startswith(".dvc/tmp/handed_on/cache-a.tar: ")) for level, _, message in told] == [
        ("error", True)
    ]


# --- the verdict ------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parameters of a project with two methods for the Atom, and its targets' own files beside them."""
    repository = Path(__file__).resolve().parents[2]
    Path("runners").symlink_to(repository / "runners")
    monkeypatch.setattr("pipeline.ci.annotations.TARGETS_FOLDER", Path("runners/targets").absolute())
    params: dict[str, Any] = {**PARAMS, "targets": [ATOM], "methods": ["fp32", "int8"]}
    layout.PARAMS.write_text("# Limits.\n" + yaml.safe_dump(params, sort_keys=False))
    return layout.PARAMS


def text_at(file: str, line: str) -> str:
    return Path(file).read_text().splitlines()[int(line) - 1].strip()


def test_what_passes_is_green_without_a_word(project: Path) -> None:
    put("fp32", ATOM, **emulated(target=10, cloud=10, rate=90.0))
    put("int8", ATOM, **emulated(target=11, cloud=11, rate=200.0))
    code, told, output = call("gate")
    assert (code, told) == (0, [])
    assert "PASS" in output


def test_a_limit_that_nothing_keeps_is_an_error_where_it_is_set(project: Path) -> None:
    put("fp32", ATOM, **emulated(target=10, cloud=10, rate=90.0))
    put("int8", ATOM, **emulated(target=60, cloud=11, rate=200.0))
    code, told, _ = call("gate")
    assert code == 1
    [(level, accuracy, lost), (_, speed, slow)] = told
    assert level == "error"
    assert text_at(accuracy["file"], accuracy["line"]) == "accuracy_drop_points: 2.0"
    assert lost.startswith(f"{MODEL}/int8: accuracy fail: 25 points lost (limit 2)")
    assert "\n" not in lost, "the other candidate keeps this limit"
    assert speed["file"] == f"runners/targets/{ATOM}.yaml"
    assert text_at(speed["file"], speed["line"]).startswith("objective: {regions_per_frame: 4, frames_per_s: 30")
    assert slow.startswith(f"{MODEL}/fp32: speed fail: 22")
    assert slow.endswith("(limit 30, predicted)")
    assert speed["title"] == f"{ATOM}: FAIL (speed)"


def test_not_measured_is_a_warning_on_a_green_job_and_never_a_pass(project: Path) -> None:
    put("fp32", ATOM, **emulated(target=10, cloud=10, rate=90.0))
    put("int8", ATOM, **{**emulated(target=11, cloud=11), "predicted": None})
    code, told, output = call("gate")
    assert code == 0
    assert {level for level, _, _ in told} == {"warning"}
    assert told[-1][1]["title"] == "Verdict: not measured"
    assert "no pass" in told[-1][2]
    assert "PASS" not in output


@pytest.mark.parametrize(
    ("state", "verdict", "required", "code", "title"),
    [
        ("measured", "pass", True, 0, None),
        ("measured", "fail", True, 1, None),
        ("measured", "fail", False, 0, None),
        ("away", "not_measured", True, 0, "Verdict: not measured"),
        ("away", "not_measured", False, 0, None),
    ],
)
def test_a_required_board_has_a_say_and_an_advisory_one_has_none(
    project: Path, state: str, verdict: str, required: bool, code: int, title: str | None
) -> None:
    put("fp32", ATOM, **emulated(target=10, cloud=10, rate=90.0))
    put("int8", ATOM, **emulated(target=11, cloud=11, rate=200.0))
    given = {"board": "atom-1", "target": ATOM, "required": required, "state": state, "verdict": verdict}
    Outcome.model_validate(given).write()
    found, told, output = call("gate")
    assert found == code
    assert [about["title"] for _, about, _ in told] == ([title] if title else [])
    assert f"atom-1 ({ATOM}, {'required' if required else 'advisory'}): " in output
    assert call("summary")[0] == 0
    [kept] = run_record.read(Path("artifacts/ci/summary.json").read_bytes()).boards
    assert (kept.board, kept.verdict) == ("atom-1", verdict)


def test_an_error_comes_before_the_warnings_of_other_targets(project: Path) -> None:
    params = yaml.safe_load(project.read_text())
    project.write_text(yaml.safe_dump({**params, "targets": [JETSON, ATOM], "methods": ["fp32"]}))
    Result.model_validate(
        {"model": MODEL, "method": "fp32", "target": JETSON, "lane": "emulated", "precision": "fp32"}
    ).write(layout.result("emulated", MODEL, "fp32", JETSON))
    put("fp32", ATOM, **emulated(target=60, cloud=10, rate=200.0))
    code, told, _ = call("gate")
    assert code == 1
    assert [level for level, _, _ in told] == ["error", *["warning"] * (len(told) - 1)]
    assert len(told) > 1


def test_a_missing_record_is_bad_input_and_one_annotation(project: Path) -> None:
    code, told, _ = call("gate")
    assert code == 2
    assert [level for level, _, _ in told] == ["error"]
    assert Path("summary").read_text().startswith("## No verdict: bad input")


# --- the summary ------------------------------------------------------------------------------------------------------


@pytest.fixture
def tested(project: Path) -> Path:
    """The same project with its results."""
    put("fp32", ATOM, **emulated(target=10, cloud=10, rate=90.0))
    layers = [saturated("/a|b`c<img>/Conv", 90), saturated("/b", 9), saturated("/c", 0.9), saturated("/d", 0.1)]
    put("int8", ATOM, **emulated(target=11, cloud=11, rate=200.0), layers=layers)
    return project


def test_a_run_s_summary_is_its_record_in_words_with_the_report_below(tested: Path) -> None:
    layout.REPORT.mkdir(parents=True)
    (layout.REPORT / "report.md").write_text("## The report\n")
    code, told, output = call("summary", "--page", "https://github.com/a/b/1", "--base", "none.json")
    assert (code, told) == (0, [])
    assert output.startswith(f"## ✅ PASS: `{ATOM}` PASS\n")
    assert "[report](https://github.com/a/b/1)" in output
    assert "with nothing to compare it with" in output
    summary = Path("summary").read_text()
    assert summary.startswith(output.strip())
    assert summary.endswith("<details><summary>The whole report</summary>\n\n## The report\n\n</details>\n")

    record = run_record.read(Path("artifacts/ci/summary.json").read_bytes())
    [fp32, int8] = record.entries
    assert (fp32.verdict, int8.verdict, record.verdict, record.commit) == ("fail", "pass", "pass", None)
    assert [layer.name for layer in int8.layers] == ["/a-b-c-img-/Conv", "/b", "/c"], (
        "the worst, as names of few letters"
    )
    right, speed = int8.numbers["accuracy_percent"], int8.numbers["frames_per_s"]
    assert right.value == pytest.approx(94.5)
    assert right.low is not None
    assert right.high is not None
    assert (right.low, right.high) == (pytest.approx(91.2, abs=0.1), pytest.approx(96.6, abs=0.1))
    assert (speed.value, speed.limit, speed.predicted, speed.verdict) == (50.0, 30.0, True, "pass")


def test_the_next_run_is_compared_with_it(tested: Path) -> None:
    call("summary")
    Path("artifacts/ci/summary.json").rename("base.json")
    put("int8", ATOM, **emulated(target=15, cloud=11, rate=200.0))
    _, _, output = call("summary", "--base", "base.json")
    [row] = [line for line in output.splitlines() if line.startswith("| `int8`")]
    assert "<sub>**−2.00**</sub>" in row
    assert "a run outside of Git against an earlier run" in output


def test_a_base_of_another_version_is_none(tested: Path) -> None:
    Path("base.json").write_text('{"schema_version": 0}')
    code, _, output = call("summary", "--base", "base.json")
    assert code == 0
    assert "with nothing to compare it with" in output


def test_a_board_s_result_says_which_board_and_what_its_program_does(tested: Path) -> None:
    board = measured(125.0, 7.2)
    board["fingerprint"] = {"board": "UP | Squared", "serial": "<b>42", "versions": {"openvino": "2026.4.1"}}
    put("int8", ATOM, lane="device", accuracy={"fp32": accuracy(10), "target": accuracy(11)}, measured=board)
    call("summary")
    record = run_record.read(Path("artifacts/ci/summary.json").read_bytes())
    [entry] = [entry for entry in record.entries if (entry.lane, entry.method) == ("device", "int8")]
    assert entry.machine == "UP - Squared, -b-42, openvino 2026.4.1"
    assert {name: entry.numbers[name].value for name in ("frames_per_s", "power_w", "regions_per_s")} == {
        "frames_per_s": 31.25,
        "power_w": 7.2,
        "regions_per_s": 125.0,
    }
    assert not any(number.predicted for number in entry.numbers.values())


def test_a_name_that_no_record_may_hold_is_one_line(tested: Path) -> None:
    path = layout.result("emulated", MODEL, "int8", ATOM)
    Result.model_validate_json(path.read_text()).model_copy(update={"host_isa": "a\nb"}).write(path)
    code, told, _ = call("summary")
    assert code == 2
    assert [level for level, _, _ in told] == ["error"]
    assert not Path("artifacts/ci/summary.json").exists()


@pytest.mark.parametrize(
    ("keys", "line"),
    [(("gates", "accuracy_drop_points"), 4), (("gates", "accept_unaudited"), 3), (("none",), 1), (("seed", "a"), 2)],
)
def test_a_limit_that_is_not_written_down_stands_where_it_would(
    tmp_path: Path, keys: tuple[str, ...], line: int
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("# Limits\nseed: 0\ngates:\n  accuracy_drop_points: 2.0\n")
    assert line_of(path, keys) == line
