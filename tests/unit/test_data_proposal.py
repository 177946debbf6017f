"""A pull request for data that grew: what is proposed, where, and which pointers are none."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from tests.fake_github import REPOSITORY, TOKEN, FakeGitHub, serving

POINTER = f"outs:\n- md5: {'a1' * 16}.dir\n  size: 123\n  nfiles: 4\n  hash: md5\n  path: data\n"


@pytest.fixture
def github(job_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    """A repository with one commit on main, and a job with its number."""
    with serving(FakeGitHub()) as served:
        served.trees["t0"] = {"data.dvc": "outs: []\n", "params.yaml": "seed: 0\n"}
        served.commits["c0"] = {"tree": "t0", "parents": []}
        served.branches["main"] = "c0"
        given = {"API_URL": served.url, "REPOSITORY": REPOSITORY, "TOKEN": TOKEN, "RUN_ID": "77", "RUN_ATTEMPT": "1"}
        for name, value in given.items():
            monkeypatch.setenv(f"GITHUB_{name}", value)
        yield served
        assert served.faults == []


def ci(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["ci", *arguments], catch_exceptions=False)
    return done.exit_code, done.output


def propose(pointer: str | bytes, text: str = "12 added\n") -> tuple[int, str]:
    Path("proposal").mkdir(exist_ok=True)
    Path("proposal/data.dvc").write_bytes(pointer.encode() if isinstance(pointer, str) else pointer)
    Path("proposal/applied.txt").write_text(text)
    return ci("propose-data", "proposal")


def test_one_commit_changes_one_file_and_the_loop_is_started_on_it(github: FakeGitHub) -> None:
    assert propose(POINTER, "12 added\n``` [x](javascript:1) @everyone\x1b[31m") == (0, "https://github.com/pull/1\n")
    commit = github.commits[github.branches["captures-77-1"]]
    assert commit["parents"] == ["c0"]
    assert github.trees[commit["tree"]] == {"data.dvc": POINTER, "params.yaml": "seed: 0\n"}
    [pull] = github.pulls
    assert (pull["head"], pull["base"]) == ("captures-77-1", "main")
    assert pull["body"] == "```\n12 added\n    [x](javascript:1) @everyone [31m\n```\n", "all of it is quoted"
    assert github.dispatched == [("pr.yml", "captures-77-1")]
    assert github.branches["main"] == "c0"


@pytest.mark.parametrize(
    "pointer",
    [
        "", "outs: []\n", "[" * 3000, b"\xff\xfe", POINTER * 60, POINTER.replace("data", "../data"),
        POINTER.replace("data", "pipeline"), POINTER + "deps:\n- path: x\n", POINTER + "cmd: curl\n",
        POINTER.replace("a1", "zz"), POINTER.replace("123", "'123'"), POINTER + "  remote: elsewhere\n",
        "outs: &a [*a]\n", POINTER.replace("md5:", "md5: !!python/object:os.system", 1),
    ],
    ids=map(str, itertools.count()),
)  # fmt: skip
def test_what_is_no_pointer_is_proposed_to_nobody(github: FakeGitHub, pointer: str | bytes) -> None:
    code, out = propose(pointer)
    assert code == 2
    assert out.startswith("edgeproof: data.dvc: ")
    assert out.count("\n") == 1
    assert (github.pulls, github.dispatched, set(github.branches)) == ([], [], {"main"})


def test_decisions_come_from_a_branch_that_nobody_checks_out(github: FakeGitHub) -> None:
    github.trees["t1"] = {"decisions.json": '{"by": "x"}'}
    github.commits["c1"] = {"tree": "t1", "parents": []}
    github.branches["decided"] = "c1"
    assert ci("decisions", "decided") == (0, "decisions.json: 11 bytes\n")
    assert Path("decisions.json").read_text() == '{"by": "x"}'
    code, out = ci("decisions", "main")
    assert (code, "the branch main has no decisions.json" in out) == (2, True)
    assert ci("decisions", "a?ref=b")[0] == 2
    assert ci("propose-data", "nowhere")[0] == 2
