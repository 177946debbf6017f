"""What a night does beyond a change: it audits more, retries, and says whether the main branch's numbers still hold."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline.ci import drift, history_log, night, run_record
from pipeline.ci.history_log import Line
from pipeline.cli import cli
from pipeline.project.params import load_params
from pipeline.records.gates import Verdict
from pipeline.system.errors import Refused
from tests.fake_github import REPOSITORY, TOKEN, FakeGitHub, serving
from tests.unit.test_comment import entry, record, with_number
from tests.unit.test_history import line
from tests.unit.test_report import ATOM, JETSON, MODEL, PARAMS, audit, emulated, put

OWN = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def job(job_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's folder, with a project in it."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS))
    return job_folder


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["ci", *arguments], catch_exceptions=False)
    return done.exit_code, done.output


# --- more samples audited ---------------------------------------------------------------------------------------------


def test_one_value_changes_and_every_line_stays_where_it_is() -> None:
    shutil.copy(OWN / "params.yaml", "params.yaml")
    before = Path("params.yaml").read_text().splitlines()
    assert call("night") == (0, "64 samples of each re-test are audited\n")
    after = Path("params.yaml").read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [("audit_samples: 8", "audit_samples: 64")]
    assert load_params().audit_samples == 64
    call("night")
    assert Path("params.yaml").read_text().splitlines() == after


@pytest.mark.parametrize(("written", "audited"), [(None, 64), (8, 64), (500, 500)])
def test_who_asks_for_more_gets_it(written: int | None, audited: int) -> None:
    Path("params.yaml").write_text(yaml.safe_dump({**PARAMS, **({"audit_samples": written} if written else {})}))
    assert night.ask_for_more() == load_params().audit_samples == audited
    assert {**yaml.safe_load(Path("params.yaml").read_text()), "audit_samples": 0} == {**PARAMS, "audit_samples": 0}


def test_a_re_test_s_result_depends_on_how_many_are_audited() -> None:
    assert yaml.safe_load((OWN / "dvc.yaml").read_text())["stages"]["retest"]["params"] == [night.KEY]


# --- once more what was not measured ----------------------------------------------------------------------------------


def results(**int8: Any) -> None:
    """Those of a project in which all but one candidate is measured."""
    put("fp32", ATOM, **emulated(target=10, cloud=10))
    put("int8", ATOM, **int8)
    put("fp16", ATOM, refused=f"{ATOM} refuses fp16: no half-precision arithmetic")
    for method in ("fp32", "fp16"):
        put(method, JETSON, **{**emulated(target=10, cloud=10), "grade": "bounded"})
    put("int8", JETSON, refused=f"{JETSON} refuses int8: no DP4A")


@pytest.mark.parametrize(
    ("int8", "again"),
    [
        (emulated(target=12, cloud=12), False),
        ({"grade": "not_measured", "not_measured": {"accuracy.target": "the replay did not end"}}, True),
        ({**emulated(target=12, cloud=12), "grade": "unaudited", "audit": audit(agrees=None, reason="no QEMU")}, True),
        ({"grade": "fails", "not_measured": {"accuracy.target": "it crashes"}}, False),
    ],
    ids=["measured", "too slow", "no emulator", "the target crashes on it"],
)
def test_what_has_no_answers_or_no_proof_is_re_tested_once(
    monkeypatch: pytest.MonkeyPatch, int8: dict[str, Any], again: bool
) -> None:
    results(**int8)
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(night, "_dvc", lambda *arguments: started.append(arguments))
    assert call("retry") == (0, f"re-tested: {MODEL}/int8 on {ATOM}\n" if again else "")
    stage = ("--single-item", "--force", f"retest@{MODEL}-int8-{ATOM}")
    assert started == ([stage, ("report",)] if again else [])


def test_a_retry_that_breaks_down_is_one_line() -> None:
    results(grade="not_measured")
    with pytest.raises(Refused, match=rf"dvc repro --single-item --force retest@{MODEL}-int8-{ATOM} failed"):
        night.retry()  # there is no dvc.yaml here


# --- drift ------------------------------------------------------------------------------------------------------------


def tonight(*entries: dict[str, Any]) -> run_record.RunRecord:
    return run_record.read(record(*entries))


def board(speed: float, machine: str = "UP Squared, 0001") -> dict[str, Any]:
    return entry(lane="device", machine=machine, numbers={"frames_per_s": {"value": speed}})


def boards(*speeds: float) -> list[Line]:
    return [line(number, board(speed)) for number, speed in enumerate(speeds)]


@pytest.mark.parametrize(
    ("now", "worse"),
    [
        (entry(), []),
        (with_number("accuracy_percent", value=94.0, low=92.2, high=95.6), []),  # 95.18 may be true of it, too
        (with_number("accuracy_percent", value=92.0, low=90.2, high=93.6), ["accuracy"]),
        (with_number("accuracy_percent", value=98.0, low=97.2, high=98.6), []),
        (with_number("accuracy_drop_points", value=4.0, low=2.5, high=5.5), ["drop"]),
        (with_number("download_bytes", value=2_170_400), []),  # shown as the same
        (with_number("download_bytes", value=2_400_000), ["download"]),
        (with_number("download_bytes", value=1_900_000), []),
        (with_number("frames_per_s", value=20, low=18, high=22), ["loop"]),
        (with_number("frames_per_s", value=20, predicted=False), []),  # nothing measured was there before
    ],
)
def test_an_emulated_number_that_is_worse_than_its_interval_allows_has_drifted(
    now: dict[str, Any], worse: list[str]
) -> None:
    found = drift.compare([line(1, entry()), line(2)], tonight(now))
    assert [one.quantity.head for one in found if one.worse] == worse
    assert drift.verdict(found) == ("fail" if worse else "pass")


def test_the_newest_commit_that_has_the_number_is_the_one_that_counts() -> None:
    lines = [line(1, with_number("accuracy_percent", value=99.0)), line(2, entry()), line(3, entry(method="other"))]
    found = drift.compare(lines, tonight(entry()))
    assert {one.commit for one in found} == {f"{2:040x}"}
    assert drift.verdict(found) == "pass"


@pytest.mark.parametrize(
    ("past", "now", "expected"),
    [
        ([31.0, 31.2, 30.9, 31.1, 31.0, 30.8], 30.7, "pass"),
        ([31.0, 31.2, 30.9, 31.1, 31.0, 30.8], 27.0, "fail"),
        ([31.0, 31.2, 30.9, 31.1, 31.0, 30.8], 35.0, "pass"),
        ([31.0, 31.2, 30.9, 27.1, 27.0, 26.8], 27.0, "pass"),  # the main branch has it already
        ([31.0, 31.2], 20.0, "not_measured"),
    ],
)
def test_a_board_s_number_has_to_leave_the_noise_of_its_own_past(
    past: list[float], now: float, expected: Verdict
) -> None:
    assert drift.verdict(drift.compare(boards(*past), tonight(board(now)))) == expected


def test_another_board_s_past_is_none() -> None:
    assert drift.compare(boards(31, 31, 31, 31, 31), tonight(board(20, "UP Squared, 0002"))) == []


def told(*entries: dict[str, Any]) -> Path:
    """The record where `edgeproof ci summary` writes it."""
    path = Path("artifacts/ci/summary.json")
    path.parent.mkdir(parents=True)
    path.write_bytes(record(*entries))
    return path


def test_the_verb_is_red_for_a_drift_and_says_what_it_was() -> None:
    told(with_number("download_bytes", value=2_400_000)).rename("elsewhere.json")
    Path("history.jsonl").write_text(history_log.text([line(7, entry())]))
    code, output = call("drift", "history.jsonl", "--record", "elsewhere.json")
    words = f"lenet-5/int8 {ATOM} emulated: download 2.17 at 0000000000, 2.40 MB tonight"
    assert (code, output.splitlines()) == (1, [
        words, f"::error title=drift::{words}", "4 numbers compared with 1 commits of the main branch",
    ])  # fmt: skip
    Path("history.jsonl").write_text(history_log.text([line(7, entry(method="other"))]))
    code, output = call("drift", "history.jsonl", "--record", "elsewhere.json")
    assert (code, "::warning title=Verdict" in output) == (0, True)


@pytest.mark.parametrize("missing", ["history.jsonl", "elsewhere.json"])
def test_without_one_of_the_two_nothing_is_compared(missing: str) -> None:
    told().rename("elsewhere.json")
    Path("history.jsonl").write_text("")
    Path(missing).unlink()
    code, output = call("drift", "history.jsonl", "--record", "elsewhere.json")
    assert (code, f"edgeproof: {missing}: no such file" in output) == (2, True)


def test_without_a_file_the_branch_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    told()
    with serving(FakeGitHub()) as github:
        for name, value in {"API_URL": github.url, "REPOSITORY": REPOSITORY, "TOKEN": TOKEN}.items():
            monkeypatch.setenv(f"GITHUB_{name}", value)
        code, output = call("drift")
        assert (code, "compared with 0 commits" in output) == (0, True)  # no branch yet
        assert github.written == github.faults == []
