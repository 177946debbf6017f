"""The comment on a pull request, against GitHub's API as it answers: one, up to date, and none of an artifact's own."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from pipeline.ci import run_record, summary_text
from pipeline.ci.comment import MARK
from pipeline.ci.run_record import MOST_BYTES
from pipeline.cli import cli
from pipeline.system import workflow_commands
from pipeline.system.github_api import ApiError, GitHub
from tests.fake_github import MOST_BODY, REPOSITORY, TOKEN, FakeGitHub, packed, serving

HEAD, BASE, WORKFLOW, RUN, BASE_RUN = "a" * 40, "b" * 40, 7, 501, 401
ATOM = "atom-x5-e3940"


def entry(**fields: Any) -> dict[str, Any]:
    """A candidate that passes, as a run's record has it."""
    numbers = {
        "accuracy_percent": {"value": 95.18, "low": 93.7, "high": 96.7},
        "accuracy_drop_points": {"value": 1.25, "low": 0.1, "high": 2.4, "limit": 2.0, "verdict": "pass"},
        "frames_per_s": {"value": 31, "low": 28, "high": 34, "predicted": True, "limit": 30, "verdict": "pass"},
        "download_bytes": {"value": 2_170_000},
    }
    return {
        "model": "lenet-5", "method": "int8", "target": ATOM, "lane": "emulated", "machine": "emulated on avx2",
        "verdict": "pass", "numbers": numbers,
        "layers": [{"name": "/features.2/Conv", "share_percent": 98.0, "channels_hit": 15, "channels": 96}], **fields,
    }  # fmt: skip


def with_number(name: str, **fields: Any) -> dict[str, Any]:
    numbers = entry()["numbers"]
    return entry(numbers={**numbers, name: {**numbers.get(name, {}), **fields}})


def record(*entries: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"schema_version": 1, "commit": HEAD, "entries": list(entries or [entry()]), **fields}).encode()


def artifact(*entries: dict[str, Any], **fields: Any) -> bytes:
    return packed({"summary.json": record(*entries, **fields)})


def pull(number: int, sha: str = HEAD, owner: str = "acme", ref: str = "faster") -> dict[str, Any]:
    name = f"{owner}/cameras"
    return {
        "number": number, "state": "open",
        "head": {"sha": sha, "ref": ref, "user": {"login": owner}, "repo": {"full_name": name}},
        "base": {"ref": "main", "sha": BASE, "repo": {"full_name": REPOSITORY}},
    }  # fmt: skip


def ended(**fields: Any) -> dict[str, Any]:
    """The event of a run that ended well, of a branch of the repository itself."""
    run = {
        "id": RUN, "workflow_id": WORKFLOW, "event": "pull_request", "conclusion": "success", "head_sha": HEAD,
        "head_branch": "faster", "head_repository": {"full_name": REPOSITORY, "owner": {"login": "acme"}},
        "pull_requests": [{"number": 1}], **fields,
    }  # fmt: skip
    return {"action": "completed", "workflow_run": run}


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """A repository with pull request 1, and another one, 2, that nothing here is about."""
    with serving(FakeGitHub(pulls=[pull(2, "c" * 40, ref="other"), pull(1)])) as served:
        served.runs = [run_of("d" * 40, BASE_RUN + 1), run_of(BASE, BASE_RUN)]
        yield served
        assert served.faults == []
        assert 2 not in served.comments


def run_of(sha: str, number: int) -> dict[str, Any]:
    run = {"id": number, "workflow_id": WORKFLOW, "event": "push", "head_branch": "main", "head_sha": sha}
    return {**run, "status": "completed", "conclusion": "success"}


@pytest.fixture(autouse=True)
def job(github: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The job's folder, which is empty, beside its event."""
    (tmp_path / "job").mkdir()
    monkeypatch.chdir(tmp_path / "job")
    monkeypatch.setattr(workflow_commands, "stop", lambda: None)  # it ends with the process, and this one goes on
    monkeypatch.setenv("GITHUB_API_URL", github.url)
    monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
    return tmp_path / "job"


def comment(code: int = 0, **event: Any) -> str:
    """What `edgeproof ci comment` says of the end of a run."""
    Path("../event.json").write_text(json.dumps(ended(**event)))
    done = CliRunner().invoke(cli, ["ci", "comment"], catch_exceptions=False)
    assert done.exit_code == code, done.output
    assert TOKEN not in done.output
    assert done.output.count("\n") == 1
    return done.output


def said(github: FakeGitHub) -> str:
    """The text of the one comment."""
    [found] = github.comments[1]
    return str(found["body"]).replace("\u00a0", " ")


# --- one comment, up to date ------------------------------------------------------------------------------------------


def test_the_first_run_comments_and_later_ones_edit_what_it_wrote(github: FakeGitHub) -> None:
    github.upload(RUN, "summary", artifact(entry(verdict="fail")))
    assert comment() == "pull request 1: commented\n"
    assert said(github).splitlines()[0] == f"## ❌ FAIL: `{ATOM}` FAIL"
    github.upload(RUN, "summary", artifact())
    assert comment() == "pull request 1: the comment was brought up to date\n"
    assert said(github).splitlines()[0] == f"## ✅ PASS: `{ATOM}` PASS"
    assert comment() == "pull request 1: the comment is up to date\n"
    assert github.written == ["POST issues/1/comments", "PATCH issues/comments/101"]


def test_a_fork_s_pull_request_is_found_although_the_event_names_none(github: FakeGitHub) -> None:
    github.pulls.append(pull(3, owner="stranger", ref="main"))
    github.upload(RUN, "summary", artifact())
    repository = {"full_name": "stranger/cameras", "owner": {"login": "stranger"}}
    assert comment(head_branch="main", head_repository=repository, pull_requests=[]).startswith("pull request 3")
    assert 1 not in github.comments


def test_it_is_found_behind_a_hundred_others_and_never_in_what_somebody_else_wrote(github: FakeGitHub) -> None:
    for _ in range(120):
        github.say(1, f"I write the mark myself. {MARK}", login="mallory")
    github.say(1, f"> {MARK}\n\nThe bot of another workflow quotes it.")
    github.say(1, f"## old\r\n{MARK}\r\n")
    github.upload(RUN, "summary", artifact())
    assert "brought up to date" in comment()
    assert {item["body"] for item in github.comments[1][:-2]} == {f"I write the mark myself. {MARK}"}
    assert "another workflow" in github.comments[1][-2]["body"]
    assert github.comments[1][-1]["body"].startswith("## ✅ PASS")


def test_numbers_stand_beside_those_of_the_base(github: FakeGitHub) -> None:
    github.upload(RUN, "report", b"")
    github.upload(RUN, "summary", artifact(entry(), entry(method="new")))
    github.upload(BASE_RUN, "summary", artifact(with_number("accuracy_percent", value=95.68)))
    github.upload(BASE_RUN + 1, "summary", artifact(with_number("accuracy_percent", value=10.0)))
    comment()
    text = said(github)
    assert f"`{HEAD[:10]}` against `{BASE[:10]}`" in text
    assert f"[report](https://github.com/{REPOSITORY}/actions/runs/{RUN}/artifacts/7000)" in text
    [changed, new] = [line for line in text.splitlines() if line.startswith("| `")]
    assert changed == (
        "| `int8` | `atom-x5-e3940` | emulated | ✅ PASS | 95.18 ± 1.50<br><sub>**−0.50**</sub> | "
        "1.25 ± 1.15<br><sub>=</sub> | 31 ± 3<br><sub>predicted, =</sub> | "
        "2.17<br><sub>=</sub> |"
    )
    assert new.count("new") == 5
    assert "power" not in text, "a column is there where a record has its number"


def test_a_base_that_measured_nothing_or_cannot_be_read_gives_way_to_an_older_one(github: FakeGitHub) -> None:
    github.runs += [run_of("e" * 40, BASE_RUN - 1)]
    github.upload(RUN, "summary", artifact())
    github.upload(BASE_RUN + 1, "summary", b"no archive")
    github.upload(BASE_RUN - 1, "summary", artifact())
    comment()
    assert f"against `{'e' * 10}`" in said(github)


def test_a_board_s_numbers_are_compared_with_those_of_the_same_board_only(github: FakeGitHub) -> None:
    board = {"lane": "device", "machine": "UP Squared, 0001, OpenVINO 2026.4"}
    watts = {"power_w": {"value": 7.2, "limit": 10, "verdict": "pass"}, "frames_per_s": {"value": 28.4}}
    github.upload(RUN, "summary", artifact(entry(**board, numbers=watts), entry(**board, method="fp32", numbers=watts)))
    other = entry(**{**board, "machine": "UP Squared, 0002"}, numbers={"power_w": {"value": 6.1}})
    same = entry(**board, method="fp32", numbers={"power_w": {"value": 6.1}})
    github.upload(BASE_RUN, "summary", artifact(other, same))
    comment()
    [one, two] = [line for line in said(github).splitlines() if line.startswith("| `")]
    assert "| 28<br><sub>new</sub> | 7.2<br><sub>another board before</sub> |" in one
    assert "| 7.2<br><sub>**+1.1**</sub> |" in two
    assert f"`{ATOM} (board)` PASS" in said(github)


# --- runs that leave nothing, or are of the past ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conclusion", "earlier", "expected"),
    [
        ("failure", False, "the run ended before it had measured everything"),
        ("timed_out", True, "the run ended before it had measured everything"),
        ("success", True, "the change touches nothing that is re-tested"),
        ("success", False, None),
        ("action_required", False, None),
    ],
)
def test_a_run_without_a_record_is_no_pass(
    github: FakeGitHub, conclusion: str, earlier: bool, expected: str | None
) -> None:
    if earlier:
        github.say(1, f"## ✅ PASS\n{MARK}")
    comment(conclusion=conclusion)
    if expected is None:  # a remark in the documentation is worth no comment
        assert 1 not in github.comments
    else:
        assert said(github).splitlines()[0] == f"## ⚪ not measured: {expected}"


@pytest.mark.parametrize(
    "event",
    [
        {"head_sha": "f" * 40},
        {"head_branch": None},
        {"head_repository": None},
        {"head_branch": "closed"},
        {"head_repository": {"full_name": "stranger/cameras", "owner": {"login": "acme"}}},
    ],
    ids=["moved on", "no branch", "deleted fork", "closed", "another repository"],
)
def test_what_is_not_the_newest_commit_of_an_open_one_is_not_told(github: FakeGitHub, event: dict[str, Any]) -> None:
    github.upload(RUN, "summary", artifact())
    assert "nothing is to be told" in comment(**event)
    assert github.comments == {}


# --- artifacts that anybody may have written --------------------------------------------------------------------------

HTML, LINK = "<img src=x onerror=alert(1)>", "[x](https://evil.example) @everyone #1"


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]


NESTED = b"[" * 200_000 + b"]" * 200_000
HOSTILE = {
    "path traversal": packed({"../../owned.json": record()}),
    "an absolute path": packed({"/tmp/owned.json": record()}),
    "another file beside it": packed({"summary.json": record(), "../owned": b"owned"}),
    "another pull request's number": artifact(pull_request=2, number=2),
    "another pull request's number in a row": artifact({**entry(), "pull_request": 2}),
    "HTML as a name": artifact(entry(method=HTML)),
    "Markdown as a name": artifact(entry(target=LINK)),
    "a line break in a name": artifact(entry(model="a\n## PASS")),
    "a name that ends with a line break": artifact(entry(model="a\n")),
    "a backtick in a layer": artifact(entry(layers=[{**entry()["layers"][0], "name": "a`b"}])),
    "a bar in a machine": artifact(entry(machine="a | b")),
    "a name as long as a book": artifact(entry(method="a" * 10_000)),
    "HTML as a quantity": artifact(entry(numbers={HTML: {"value": 1}})),
    "a text for a number": artifact(with_number("frames_per_s", value="31")),
    "no number": packed({"summary.json": record().replace(b"95.18", b"NaN")}),
    "an infinite number": packed({"summary.json": record().replace(b"95.18", b"1e999")}),
    "a huge number": packed({"summary.json": record().replace(b"95.18", b"9" * 5000)}),
    "another verdict": artifact(entry(verdict="PASS @everyone")),
    "too many rows": artifact(*[entry()] * 2001),
    "a field of its own": artifact(html=HTML),
    "another version": artifact(schema_version=2),
    "10 MB of text": packed({"summary.json": record(html="x" * 10_000_000)}, zipfile.ZIP_STORED),
    "10 MB of text, packed": packed({"summary.json": record(html="x" * 10_000_000)}),
    "a bomb": packed({"summary.json": b"\0" * 50_000_000}),
    "a bomb in another packing": packed({"summary.json": b"\0" * 2_000_000}, zipfile.ZIP_LZMA),
    "no archive": b"PK\3\4 or so",
    "nothing": b"",
    "an empty archive": packed({}),
    "a damaged archive": artifact()[:-60],
    "a damaged file": flipped(artifact(), 100),
    "no JSON": packed({"summary.json": b"verdict: pass"}),
    "no UTF-8": packed({"summary.json": b'{"\xff": 1}'}),
    "nested JSON": packed({"summary.json": NESTED}),
    "a list": packed({"summary.json": b"[]"}),
}  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_of_a_hostile_artifact_nothing_is_believed_shown_or_written(
    github: FakeGitHub, job: Path, content: bytes
) -> None:
    github.say(1, f"## ✅ PASS\n{MARK}")
    github.upload(RUN, "summary", content)
    told = comment(code=2)
    assert told.startswith(f"edgeproof: run {RUN} of pull request 1: ")
    assert len(told) < 1200
    assert said(github) == (
        "## ⚪ not measured: what the run left as its summary is none\n\n"
        f"`{HEAD[:10]}` · [run](https://github.com/{REPOSITORY}/actions/runs/{RUN})\n\n{MARK}\n"
    )
    assert list(job.iterdir()) == []
    assert [path.name for path in job.parent.iterdir() if path != job] == ["event.json"]


NAMES = ["www.evil.example", "a.b-c_d", "GH-1", "0123456789abcdef0123456789abcdef01234567", "A" * 80, "quadrant-1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_one_is_shown_as_text(github: FakeGitHub, name: str) -> None:
    layer = {"name": f"{name}/https://evil.example/x"[:120], "share_percent": 1e15, "channels_hit": 0, "channels": 0}
    github.upload(RUN, "summary", artifact(entry(method=name, target=name, model=name, layers=[layer], verdict="fail")))
    comment()
    page = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(said(github))
    assert set(re.findall(r'href="([^"]*)"', page)) == {f"https://github.com/{REPOSITORY}/actions/runs/{RUN}"}
    tags = {"h2", "p", "a", "code", "pre", "table", "thead", "tbody", "tr", "th", "td", "br", "sub", "details",
            "summary", "ul", "li", "strong", "em"}  # fmt: skip
    assert set(re.findall(r"</?(\w+)[^>]*>", page)) <= tags
    outside = re.sub(r"<code[^>]*>.*?</code>", "", page, flags=re.DOTALL)  # GitHub links nothing that is code
    assert f"<code>{name}</code>" in page
    assert name not in outside


def test_the_largest_record_is_a_comment_that_github_takes(github: FakeGitHub) -> None:
    long = "a" * 77
    layers = [{"name": "b" * 120, "share_percent": 1e-9, "channels_hit": 10**9, "channels": 10**9}] * 3
    numbers = {name: {**number, "value": 1e15, "low": -1e15, "high": 1e15, "limit": 1, "verdict": "fail"}
               for name, number in entry()["numbers"].items()}  # fmt: skip
    many = [
        entry(method=f"{long}{i:03}", target=f"{long}{i % 40:03}", numbers=numbers, layers=layers) for i in range(300)
    ]
    many[0]["verdict"] = "fail"
    assert len(record(*many)) < MOST_BYTES
    github.upload(RUN, "summary", artifact(*many))
    github.upload(BASE_RUN, "summary", artifact(*many))
    comment()
    assert 30_000 < len(said(github)) <= MOST_BODY
    assert "more rows: in the report" in said(github)


# --- the API ----------------------------------------------------------------------------------------------------------


def test_a_server_that_is_down_for_a_moment_is_asked_again(github: FakeGitHub) -> None:
    github.upload(RUN, "summary", artifact())
    github.first = [(503, {})] * 2
    assert comment() == "pull request 1: commented\n"


def test_what_github_refuses_is_one_line_with_what_to_do(github: FakeGitHub) -> None:
    github.say(1, "mine", login="mallory")
    api = GitHub(REPOSITORY, TOKEN, github.url)
    with pytest.raises(ApiError, match=r"PATCH .*comments/101: 403 Resource not accessible.*`permissions:`"):
        api.send("PATCH", "issues/comments/101", {"body": "owned"})
    assert api.find("git/ref/heads/none") is None


def test_nobody_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.system.github_api.RETRIES", 0)
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    assert "no answer (ConnectionError)" in comment(code=2)


def test_a_token_goes_over_no_network_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://api.github.example")
    assert "no https:// address" in comment(code=2)
    monkeypatch.setenv("GITHUB_API_URL", "https://[")
    assert "GITHUB_API_URL: 'https://[' is no address" in comment(code=2)


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "GITHUB_REPOSITORY", "GITHUB_EVENT_PATH"])
def test_outside_of_a_job_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    Path("../event.json").write_text(json.dumps(ended()))
    monkeypatch.delenv(name)
    done = CliRunner().invoke(cli, ["ci", "comment"])
    assert done.exit_code == 2
    assert name in done.output


def test_the_schema_has_the_fields_that_are_shown() -> None:
    found = run_record.read(record())
    assert found.verdict == "pass"
    assert run_record.read(found.as_json()) == found
    assert summary_text.markdown(found, HEAD, None, summary_text.Links()).startswith("## ✅ PASS")
