"""Boards in a pull request's run: which are asked, the parcel that they are given, and what each came to."""

import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner

from pipeline.boards.board_file import Board, load_board
from pipeline.ci import board_answers, board_job, board_outcome, parcel, policy, preflight, run_record, summary_text
from pipeline.ci.board_outcome import WORDS, Outcome, State
from pipeline.ci.run_record import RunRecord
from pipeline.ci.summary_text import Links
from pipeline.cli import cli
from pipeline.records.results import Result
from pipeline.system import files
from pipeline.system.errors import BadData, InputError, Missing, Refused
from pipeline.system.github_api import ApiError, GitHub
from tests.fake_github import LAB, REPOSITORY, TOKEN, FakeGitHub, below, runner, serving
from tests.unit.test_github import heard
from tests.unit.test_report import PARAMS
from tests.unit.test_watchdog import run_with

EMULATED, ATOM = "emulated-atom-x5-e3940", "atom-x5-e3940"
SEEN = "2026-11-20T03:12:45Z"


def board(name: str = "atom-1", *, like: str = "atom-1", **values: Any) -> Board:
    return load_board(like).model_copy(update={"name": name, "labels": [ATOM], "required": True, **values})


@pytest.fixture(autouse=True)
def room(job_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's folder."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(job_folder / "output"))
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    return job_folder


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What is in runners/boards/, and what passes in the emulated lane."""

    def holds(*boards: Board, passing: bool = True) -> None:
        by_name = {one.name: one for one in boards}
        monkeypatch.setattr(preflight, "board_names", lambda: sorted(by_name))
        monkeypatch.setattr(preflight, "load_board", by_name.__getitem__)

        def found(target: Any) -> list[tuple[str, str]]:
            if not passing:
                raise Missing("no candidate passes")
            return [("lenet-5", "int8")]

        monkeypatch.setattr(preflight, "passing", found)

    return holds


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    """Only the lab's token may list runners."""
    monkeypatch.setattr(preflight, "PAUSE_S", 0)
    with serving(FakeGitHub(reserved={below("actions/runners")})) as served:
        yield served
        assert served.faults == []


def client(github: FakeGitHub, token: str) -> GitHub:
    return GitHub(REPOSITORY, token, github.url)


def runners(github: FakeGitHub, *lists: list[dict[str, Any]]) -> None:
    """What is registered, each time it is asked; the last list stays."""
    left = list(lists)

    def now() -> dict[str, Any]:
        found = left.pop(0) if len(left) > 1 else left[0]
        return {"total_count": len(found), "runners": found}

    github.answer("actions/runners", now)


# --- which boards are asked -------------------------------------------------------------------------------------------


def test_a_fresh_repository_asks_no_board_and_waits_for_none() -> None:
    assert preflight.declared() == []
    done = CliRunner().invoke(cli, ["ci", "preflight"], catch_exceptions=False)
    assert (done.exit_code, done.output) == (0, "no board is asked: no file in runners/boards/ names labels\n")


def test_a_board_is_asked_where_its_file_names_labels(lab: Callable[..., None]) -> None:
    hosted = board("hosted", like=EMULATED, labels=["ubuntu-24.04"], required=False)
    lab(board(), board("shelf", labels=[]), hosted)
    found = preflight.look(None, None)
    assert json.loads(found.matrix) == [
        {"board": "atom-1", "labels": f'["self-hosted", "{ATOM}"]'},
        {"board": "hosted", "labels": '["ubuntu-24.04"]'},
    ]
    assert [(one.board, one.state, one.required) for one in board_outcome.parse(found.told)] == [
        ("atom-1", "unanswered", True),
        ("hosted", "unanswered", False),
    ]


def test_two_required_boards_of_a_target_would_write_one_record(lab: Callable[..., None]) -> None:
    lab(board(), board("atom-2"))
    with pytest.raises(Refused, match=rf"atom-1 is the required board of {ATOM} already"):
        preflight.look(None, None)
    lab(board(), board("atom-2", required=False))
    assert len(preflight.look(None, None).asked) == 2


def test_where_nothing_passes_there_is_nothing_to_ask(lab: Callable[..., None]) -> None:
    lab(board(), passing=False)
    found = preflight.look(None, None)
    assert (found.asked, [one.state for one in found.outcomes]) == ([], ["nothing to measure"])


def test_a_board_whose_runner_is_off_is_not_waited_for_and_it_says_since_when(
    lab: Callable[..., None], github: FakeGitHub
) -> None:
    lab(board())
    runners(github, [runner("a", "self-hosted", ATOM, status="offline"), runner("b", "self-hosted", "another")])
    for state, days in (("measured", 9), ("sick", 4), ("nothing to measure", 3), ("unanswered", 2), ("away", 1)):
        run_with(github, state, days)
    found = preflight.look(client(github, TOKEN), client(github, LAB))
    assert found.asked == []
    assert [one.words for one in found.outcomes] == [
        f"it does not answer (not seen since {github.runs[-2]['created_at']})"
    ]
    asked = zip(github.calls, github.tokens, strict=True)
    assert [call for call, token in asked if token == LAB] == [f"GET {below('actions/runners')}"]


def test_what_github_does_not_know_of_a_board_is_left_out(lab: Callable[..., None], github: FakeGitHub) -> None:
    lab(board())
    runners(github, [])
    github.workflows.clear()  # none of them is on the main branch yet
    found = preflight.look(client(github, TOKEN), client(github, LAB))
    assert [one.words for one in found.outcomes] == ["it does not answer"]


def test_labels_are_compared_as_github_does(lab: Callable[..., None], github: FakeGitHub) -> None:
    lab(board(labels=["Atom-X5-E3940"]))
    runners(github, [runner("a", "Self-Hosted", ATOM, "linux")])
    assert len(preflight.look(None, client(github, LAB)).asked) == 1


def test_between_two_jobs_a_board_has_no_runner_for_a_moment(lab: Callable[..., None], github: FakeGitHub) -> None:
    lab(board())
    runners(github, [], [], [runner("a", "self-hosted", ATOM)])
    assert len(preflight.look(None, client(github, LAB)).asked) == 1
    runners(github, [])
    github.calls.clear()
    assert [one.state for one in preflight.look(None, client(github, LAB)).outcomes] == ["away"]
    assert len(github.calls) == preflight.LOOKS, "it ends"


def test_a_token_that_may_not_read_runners_is_bad_input_and_no_absence(
    lab: Callable[..., None], github: FakeGitHub
) -> None:
    lab(board())
    with pytest.raises(ApiError, match="403"):
        preflight.look(None, client(github, TOKEN))


# --- the parcel -------------------------------------------------------------------------------------------------------


def parcelled(*members: tuple[str, bytes] | tarfile.TarInfo) -> str:
    """A parcel with these members; its SHA-256."""
    parcel.FILE.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(parcel.FILE, "w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                entry = tarfile.TarInfo(member[0])
                entry.size = len(member[1])
                tar.addfile(entry, io.BytesIO(member[1]))
    return files.sha256(parcel.FILE)


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


GOOD = ("artifacts/export/lenet-5/int8/openvino/model.xml", b"<net/>")


def test_a_parcel_is_laid_out_where_its_hash_is_the_one_that_was_told() -> None:
    sha256 = parcelled(GOOD, ("base/runners/edge/x.py", b""), ("data/vtest.avi", b"clip"))
    assert parcel.unpack(parcel.FILE, sha256) == 3
    assert Path(GOOD[0]).read_bytes() == GOOD[1]


@pytest.mark.parametrize("sha256", ["", "0" * 64, "abc", "0" * 63 + "\n", "$(touch owned)"])
def test_another_parcel_than_was_packed_is_not_opened(sha256: str) -> None:
    parcelled(GOOD)
    with pytest.raises(BadData, match="SHA-256"):
        parcel.unpack(parcel.FILE, sha256)
    assert not Path(GOOD[0]).exists()


POISON = {
    "upwards": ("../owned", b"x"),
    "upwards from within": ("artifacts/../../owned", b"x"),
    "absolute": ("/tmp/owned-by-a-parcel", b"x"),
    "the program itself": ("pipeline/ci/policy.py", b"x"),
    "a workflow": (".github/workflows/pr.yml", b"x"),
    "a hook of Git": (".git/hooks/post-checkout", b"x"),
    "the board's file": ("runners/boards/atom-1.yaml", b"x"),
    "other data": ("data/labels.csv", b"x"),
    "the folder alone": ("artifacts", b"x"),
    "a dot": ("./artifacts/x", b"x"),
    "two slashes": ("artifacts//x", b"x"),
    "a link": special("artifacts/link", tarfile.SYMTYPE, "/etc/passwd"),
    "a hard link": special("artifacts/link", tarfile.LNKTYPE, "../../etc/passwd"),
    "a device": special("artifacts/zero", tarfile.CHRTYPE),
    "a pipe": special("artifacts/pipe", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("name", POISON)
def test_a_poisoned_parcel_writes_nothing(name: str, room: Path) -> None:
    sha256 = parcelled(GOOD, POISON[name])
    with pytest.raises(BadData, match="none of a parcel's files"):
        parcel.unpack(parcel.FILE, sha256)
    assert sorted(path.name for path in room.rglob("*") if path.is_file()) == [parcel.FILE.name]
    assert not Path("/tmp/owned-by-a-parcel").exists()


def test_a_parcel_that_is_cut_off_is_bad_input() -> None:
    parcelled(GOOD)
    parcel.FILE.write_bytes(parcel.FILE.read_bytes()[:700])
    with pytest.raises(BadData):
        parcel.unpack(parcel.FILE, files.sha256(parcel.FILE))
    with pytest.raises(Missing):
        parcel.unpack(Path("nothing.tar"), "0" * 64)


# --- what the suite comes to ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "said", "state", "verdict"),
    [
        (0, {"state": "ready"}, "measured", "pass"),
        (1, {"state": "ready"}, "measured", "fail"),
        (1, {"state": "throttled"}, "measured", "fail"),  # one candidate fails, the next was hindered
        (3, {"state": "ready"}, "measured", "not_measured"),  # one limit is left open
        (3, {"state": "away", "since": SEEN}, "away", "not_measured"),
        (3, {"state": "sick", "since": SEEN}, "sick", "not_measured"),
        (3, {"state": "throttled"}, "throttled", "not_measured"),
        (3, {"state": "hangs", "since": SEEN}, "hangs", "not_measured"),
        (3, {"state": "unusable"}, "unusable", "not_measured"),
        (3, None, "unusable", "not_measured"),  # pytest's own exit code where it breaks down
        (-9, None, "unusable", "not_measured"),
        (None, None, "hangs", "not_measured"),
    ],
)
def test_what_the_suite_said_is_an_outcome(
    code: int | None, said: dict[str, str] | None, state: State, verdict: str, room: Path
) -> None:
    if said is not None:
        (room / "state.json").write_text(json.dumps({"since": None, "reason": None, **said}))
    found = board_job._outcome(board(), code, room / "state.json")
    assert (found.state, found.verdict) == (state, verdict)


@pytest.mark.parametrize("code", [2, 4, 5])
def test_what_the_suite_refuses_is_bad_input(code: int, room: Path) -> None:
    with pytest.raises(InputError, match="refuses what it was given"):
        board_job._outcome(board(), code, room / "none")


SUITE = """
import time
import pytest
from pipeline.boards import access

def test_health(candidate):
    {body}
"""
FIXTURE = "import pytest\n\n@pytest.fixture\ndef candidate(request):\n    return request.param\n"


def suite(room: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite of one test in place of tests/device."""
    (room / "suite").mkdir()
    (room / "suite/conftest.py").write_text(FIXTURE)
    (room / "suite/test_it.py").write_text(SUITE.format(body=body))
    monkeypatch.setattr(board_job, "SUITE", room / "suite")
    monkeypatch.setenv("PYTHONPATH", str(Path(preflight.__file__).parents[2]))
    monkeypatch.setenv("EDGEPROOF_CACHE", str(room / "cache"))


CANDIDATE = ["-p", "pipeline.device.plugin", "--candidate", "lenet-5/int8"]


def test_a_board_that_does_not_answer_leaves_an_outcome_with_when_it_was_last_seen(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(room, 'raise access.Away("no answer")', monkeypatch)
    (room / "cache/boards").mkdir(parents=True)
    past = {"time": SEEN, "fingerprint": {}, "batch_ms": 2.0, "answers_sha256": "0"}
    (room / f"cache/boards/{EMULATED}.jsonl").write_text(json.dumps(past) + "\n")
    found = board_job.run(load_board(EMULATED), 1, CANDIDATE)
    assert (found.state, found.since, found.verdict) == ("away", SEEN, "not_measured")
    assert list(board_outcome.kept()) == [found]


def test_a_suite_that_hangs_is_stopped_and_the_board_hangs(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite(room, "time.sleep(600)", monkeypatch)
    monkeypatch.setattr(board_job, "GRACE_S", 5.0)
    assert board_job.run(load_board(EMULATED), 0.05, CANDIDATE).state == "hangs"
    assert subprocess.run(["pgrep", "-f", str(room / "suite")], capture_output=True).stdout == b""


# --- what the report takes in -----------------------------------------------------------------------------------------


def told(*outcomes: Outcome) -> str:
    return json.dumps([one.model_dump(mode="json") for one in outcomes])


def outcome(state: State, verdict: str = "not_measured", name: str = "atom-1", **values: Any) -> Outcome:
    given = {"board": name, "target": ATOM, "required": True, "state": state, "verdict": verdict, **values}
    return Outcome.model_validate(given)


def test_a_job_that_left_nothing_is_no_pass(lab: Callable[..., None]) -> None:
    """It was cancelled, waited too long for a machine, or died: all look alike from outside."""
    lab(board())
    [found] = board_answers.take_in(told(outcome("unanswered", since=SEEN)))
    assert found.line == (
        f"atom-1 ({ATOM}, required): not measured: its job was cancelled, or nobody took it in time, or it broke off "
        f"(last seen {SEEN})"
    )
    assert list(board_outcome.kept()) == [found]


def test_what_was_not_asked_is_told_as_that(lab: Callable[..., None]) -> None:
    lab(board())
    [found] = board_answers.take_in("")
    assert (found.state, found.verdict) == ("unasked", "not_measured")


def test_what_a_board_answered_counts_and_what_the_preflight_knew_is_added(lab: Callable[..., None]) -> None:
    lab(board(), board("atom-2", required=False))
    outcome("measured", "pass").write()
    outcome("throttled", name="atom-2", required=False).write()
    asked = told(outcome("unanswered", since=SEEN), outcome("unanswered", name="atom-2", required=False, since=SEEN))
    found = board_answers.take_in(asked)
    assert [(one.state, one.verdict, one.since) for one in found] == [
        ("measured", "pass", None),
        ("throttled", "not_measured", SEEN),
    ]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"board": "atom-1"}', "atom-1"),
        (outcome("measured", "pass", "atom-9").model_dump_json(), "atom-9"),
        (outcome("measured", "pass", "atom-9").model_dump_json(), "atom-1"),
        (outcome("measured", "pass", target="jetson-orin").model_dump_json(), "atom-1"),
        (outcome("measured", "fail", required=False).model_dump_json(), "atom-1"),
        ("<script>", "atom-1"),
    ],
    ids=["half", "a board that is none", "another folder", "another target", "made advisory", "no JSON"],
)
def test_an_outcome_that_cannot_be_is_refused(lab: Callable[..., None], text: str, where: str) -> None:
    lab(board())
    (board_outcome.FOLDER / where).mkdir(parents=True)
    (board_outcome.FOLDER / where / board_outcome.NAME).write_text(text)
    with pytest.raises(BadData) as caught:
        board_answers.take_in(told(outcome("unanswered")))
    assert "\n" not in str(caught.value)


def test_a_record_is_laid_where_it_says_it_belongs_and_no_other_is_taken(lab: Callable[..., None]) -> None:
    lab(board())
    Path("params.yaml").write_text(json.dumps(PARAMS))
    outcome("measured", "pass").write()
    record = Result(model="lenet-5", method="int8", target=ATOM, lane="device", precision="int8")
    there = board_outcome.FOLDER / "atom-1/results/elsewhere/x.json"
    record.write(there)
    board_answers.take_in(told(outcome("unanswered")))
    assert Path(f"artifacts/results/device/lenet-5/int8/{ATOM}.json").exists()
    for change in ({"method": "../../../owned"}, {"lane": "emulated"}, {"target": "jetson-tx2-maxq"}):
        record.model_copy(update=change).write(there)
        with pytest.raises(InputError):
            board_answers.take_in(told(outcome("unanswered")))


# --- what it comes to -------------------------------------------------------------------------------------------------


def test_an_advisory_board_is_told_and_has_no_say() -> None:
    failed = outcome("measured", "fail", required=False)
    record = RunRecord(entries=[], boards=[failed])
    assert record.verdicts == {}
    text = summary_text.markdown(record, "", None, Links())
    assert f"| `atom-1` | `{ATOM}` | advisory | ❌\u00a0FAIL | measured |" in text


@pytest.mark.parametrize(
    ("became", "first"),
    [
        (outcome("measured", "pass"), f"## ✅ PASS: `{ATOM} (board)` PASS"),
        (outcome("measured", "fail"), f"## ❌ FAIL: `{ATOM} (board)` FAIL"),
        (outcome("away", since=SEEN), f"## ⚪ not measured: `{ATOM} (board)` not measured"),
    ],
)
def test_a_required_board_is_in_the_first_line(became: Outcome, first: str) -> None:
    record = RunRecord(entries=[], boards=[became])
    assert run_record.read(record.as_json()) == record
    assert summary_text.markdown(record, "", None, Links()).splitlines()[0] == first


@pytest.mark.parametrize(
    "change",
    [{"board": "<img>"}, {"state": "ready"}, {"since": "yesterday @everyone"}, {"verdict": "PASS"}, {"reason": "text"}],
)
def test_a_stranger_s_record_of_a_board_has_no_text_of_its_own(change: dict[str, str]) -> None:
    content = {"entries": [], "boards": [{**outcome("away").model_dump(mode="json"), **change}]}
    with pytest.raises(BadData):
        run_record.read(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("became", "level"),
    [
        (outcome("measured", "pass"), None),
        (outcome("measured", "fail"), "error"),
        (outcome("measured", "fail", required=False), "warning"),
        (outcome("away"), "warning"),
    ],
)
def test_the_runner_is_told_what_is_no_pass(became: Outcome, level: str | None, capsys: Any) -> None:
    assert policy.tell(became) == became.line
    assert [one[0] for one in heard(capsys.readouterr().out.splitlines())] == ([level] if level else [])


def test_there_are_words_for_every_state() -> None:
    assert set(WORDS) == set(get_args(State))


def test_the_preflight_tells_the_jobs_behind_it(lab: Callable[..., None], room: Path) -> None:
    lab(board(), passing=False)
    done = CliRunner().invoke(cli, ["ci", "preflight"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    outputs = dict(line.split("=", 1) for line in (room / "output").read_text().splitlines())
    assert (outputs["boards"], "candidates" in outputs) == ("[]", False)
    assert [one.state for one in board_outcome.parse(outputs["told"])] == ["nothing to measure"]


def test_a_board_s_name_is_no_command(room: Path) -> None:
    for name in ("$(touch owned)", "a; touch owned", "../../etc/passwd", "--help-me", "x\ny"):
        done = CliRunner().invoke(cli, ["ci", "board", "--sha256", "0" * 64, "--", name])
        assert done.exit_code != 0
    assert not (room / "owned").exists()
