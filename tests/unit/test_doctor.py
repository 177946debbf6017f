"""The doctor says what is wrong and how to mend it, and never takes for well what it could not look at."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

import pipeline
from pipeline.cli import cli
from pipeline.doctor import examination, examined, here, on_github
from pipeline.doctor.finding import Finding
from pipeline.doctor.questions import Questions
from pipeline.records.gates import Verdict, worst
from pipeline.system.errors import InputError
from tests.fake_github import GROUPS, REPOSITORY, TOKEN, FakeGitHub, ago, environment, group, runner, serving, workflow

ON_BOARD = """
on:
  pull_request:
  schedule: [{cron: "0 3 * * *"}]
jobs:
  hosted: {runs-on: ubuntu-24.04}
  device:
    runs-on: [self-hosted, atom]
    environment: device-lab
"""
BOARD = """
board: {description: mine, target: atom-x5-e3940, soc: E3940, labels: [self-hosted, Atom]}
targets:
  main:
    resources: {NetworkService: {address: !template $LG_BOARD, username: me}}
    drivers: {SSHDriver: {}}
"""


@pytest.fixture
def github(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    """A project with one board and a workflow for it, and a GitHub where all of that is well."""
    Path("dvc.yaml").write_text("stages: {}\n")
    Path(".github/workflows").mkdir(parents=True)
    Path(".github/workflows/nightly.yml").write_text(ON_BOARD)
    Path("runners/boards").mkdir(parents=True)
    Path("runners/boards/atom-1.yaml").write_text(BOARD)
    with serving(FakeGitHub()) as served:
        monkeypatch.setenv("GITHUB_API_URL", served.url)
        monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        monkeypatch.delenv("GITHUB_SERVER_URL", raising=False)
        yield served
        assert served.faults == []


def ask(check: str, room: ModuleType = on_github) -> list[Finding]:
    """What one check finds now."""
    module = import_module(f"{room.__name__}.{check.replace('-', '_')}")
    return list(examination.look(module, examined.here(None)))


def verdicts(room: ModuleType = on_github) -> dict[str, Verdict]:
    """The worst that each check of a room finds."""
    found = examination.examine(examined.here(None), {"": room})
    return {each.check: worst(one.finding.verdict for one in found if one.check == each.check) for each in found}


def test_where_all_is_well_every_check_passes(github: FakeGitHub) -> None:
    found = verdicts()
    assert set(found.values()) == {"pass"}
    assert set(found) == {name.replace("_", "-") for name in examination.names(on_github)}
    assert len(github.calls) == len(set(github.calls)), "no question is asked twice"


@pytest.mark.parametrize(
    ("path", "answer", "check", "what", "fix"),
    [
        (
            "actions/permissions/fork-pr-contributor-approval",
            {"approval_policy": "first_time_contributors"},
            "fork-approval",
            "run without an approval (first_time_contributors)",
            "https://github.com/acme/cameras/settings/actions: Require approval for all external contributors",
        ),
        (
            "actions/permissions/workflow",
            {"default_workflow_permissions": "write", "can_approve_pull_request_reviews": False},
            "token-permissions",
            "may write by default",
            "Read repository contents",
        ),
        (
            "actions/permissions/workflow",
            {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": True},
            "token-permissions",
            "may approve pull requests",
            "create and approve pull requests: off",
        ),
        (
            "environments",
            {"total_count": 0, "environments": []},
            "device-environment",
            "there is no environment device-lab",
            "settings/environments",
        ),
        (
            "environments",
            {"total_count": 1, "environments": [environment(reviewers=0)]},
            "device-environment",
            "device-lab asks nobody",
            "Required reviewers",
        ),
        (
            "environments",
            {"total_count": 1, "environments": [environment(self_review=True)]},
            "device-environment",
            "approve one's own job",
            "Prevent self-review",
        ),
        (
            "environments",
            {"total_count": 1, "environments": [{**environment(), "deployment_branch_policy": None}]},
            "device-environment",
            "any branch or tag",
            "refs/pull/*/merge",
        ),
        (
            "actions/workflows",
            {"total_count": 1, "workflows": [workflow("nightly", "disabled_inactivity")]},
            "idle-workflows",
            "switched nightly.yml off: 60 days",
            "gh workflow enable nightly.yml",
        ),
        (
            "actions/runners",
            {"total_count": 1, "runners": [runner("atom-1-6a", "self-hosted", "atom", status="offline")]},
            "lab-runners",
            "atom-1-6a is offline",
            "journalctl -u edgeproof-runner",
        ),
        (
            "actions/runners",
            {"total_count": 1, "runners": [runner("atom-1-6a", "self-hosted", "atom", version="2.330.0")]},
            "lab-runners",
            "version 2.330.0, which GitHub refuses since",
            "edgeproof-refresh",
        ),
        (
            "actions/runners",
            {"total_count": 1, "runners": [runner("atom-1-6a", "self-hosted", "orin")]},
            "lab-boards",
            "no runner has the labels of atom-1 (atom, self-hosted)",
            "docs/boards.md",
        ),
        (
            "actions/runners",
            {"total_count": 0, "runners": []},
            "lab-runners",
            "none is registered, and .github/workflows/nightly.yml asks for one",
            "docs/boards.md",
        ),
        (
            GROUPS,
            {"total_count": 2, "runner_groups": [group(1), group(2, public=True)]},
            "runner-groups",
            "group-2 takes any workflow of public repositories",
            "https://github.com/organizations/acme/settings/actions/runner-groups/2",
        ),
    ],
)
def test_each_fault_is_found_with_its_fix(
    github: FakeGitHub, path: str, answer: dict[str, object], check: str, what: str, fix: str
) -> None:
    github.answer(f"{GROUPS}/2/runners", {"total_count": 1, "runners": [runner("tx2", "self-hosted", "tx2")]})
    github.answer(path, answer)
    [fault] = [finding for finding in ask(check) if finding.verdict == "fail"]
    assert what in fault.what
    assert fix in fault.fix
    assert fault.why


def test_a_runner_behind_by_less_than_30_days_passes_with_its_date(github: FakeGitHub) -> None:
    github.answer("actions/runners", {"total_count": 1, "runners": [runner("a", "self-hosted", version="2.335.0")]})
    ends = datetime.now(timezone.utc) + timedelta(days=27)
    [finding] = ask("lab-runners")
    assert (finding.verdict, finding.what) == (
        "pass",
        f"a is online, version 2.335.0, to be replaced before {ends:%Y-%m-%d}",
    )


def test_a_version_that_github_does_not_tell_is_not_measured(github: FakeGitHub) -> None:
    github.answer("actions/runners", {"total_count": 1, "runners": [runner("a", version=None)]})
    assert [finding.verdict for finding in ask("lab-runners")] == ["not_measured"]


def test_a_group_for_chosen_workflows_may_be_public(github: FakeGitHub) -> None:
    github.answer(GROUPS, {"total_count": 1, "runner_groups": [group(2, public=True, restricted=True)]})
    github.answer(f"{GROUPS}/2/runners", {"total_count": 1, "runners": [runner("tx2", "self-hosted", "tx2")]})
    [finding] = ask("runner-groups")
    assert (finding.verdict, finding.what) == ("pass", "the runner group group-2 is for chosen workflows only")


@pytest.mark.parametrize(
    ("write", "approval", "verdict"), [(False, True, "pass"), (True, True, "fail"), (False, False, "fail")]
)
def test_a_private_repository_has_settings_of_its_own(
    github: FakeGitHub, write: bool, approval: bool, verdict: Verdict
) -> None:
    github.facts.update(private=True, owner={"login": "acme", "id": 1, "type": "User"})
    settings = {
        "run_workflows_from_fork_pull_requests": True,
        "send_write_tokens_to_workflows": write,
        "send_secrets_and_variables": False,
        "require_approval_for_fork_pr_workflows": approval,
    }
    github.answer("actions/permissions/fork-pr-workflows-private-repos", settings)
    assert [finding.verdict for finding in ask("fork-approval")] == [verdict]
    assert ask("runner-groups")[0].what.startswith("a person owns the repository")


def test_a_silent_repository_is_told_before_its_schedules_end(github: FakeGitHub) -> None:
    repository = github.facts
    repository["pushed_at"] = ago(days=50)
    [finding] = ask("idle-workflows")
    assert (finding.verdict, finding.what) == ("fail", "the last push was 50 days ago: schedules end in 9 days")
    repository["private"] = True  # GitHub does so to public ones only
    assert [finding.verdict for finding in ask("idle-workflows")] == ["pass"]


def test_a_board_job_without_an_environment_is_named(github: FakeGitHub) -> None:
    path = Path(".github/workflows/nightly.yml")
    path.write_text(path.read_text().replace("    environment: device-lab\n", ""))
    [finding] = ask("device-environment")
    assert (finding.verdict, "the job device runs on a board without" in finding.what) == ("fail", True)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_the_token_may_not_read_is_not_measured_and_names_the_permission(github: FakeGitHub, status: int) -> None:
    for path in github.answers:
        github.answers[path] = (status, {"message": "Resource not accessible by personal access token"})
    found = examination.examine(examined.here(None), {"": on_github})
    assert {each.finding.verdict for each in found} == {"not_measured"}
    if status != 410:
        assert all(": read" in each.finding.fix for each in found)


def test_one_permission_that_lacks_leaves_the_other_findings(github: FakeGitHub) -> None:
    github.answer(GROUPS, {"message": "Resource not accessible"}, status=403)
    found = verdicts()
    assert {check for check, verdict in found.items() if verdict == "not_measured"} == {
        "runner-groups",
        "lab-runners",
        "lab-boards",
    }
    assert "Self-hosted runners: read" in ask("runner-groups")[0].fix


@pytest.mark.parametrize("body", [b"<html>", [1], {"approval_policy": 7}, {}, None])
def test_an_answer_of_another_form_is_no_answer(github: FakeGitHub, body: object) -> None:
    github.answer("actions/permissions/fork-pr-contributor-approval", body)
    [finding] = ask("fork-approval")
    assert (finding.verdict, "another form than documented" in finding.what) == ("not_measured", True)


def test_without_a_token_nothing_is_asked_and_nothing_passes_for_it(
    github: FakeGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_TOKEN")
    Path(".netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", ".netrc")
    assert set(verdicts().values()) == {"not_measured"}
    assert "GITHUB_TOKEN" in ask("fork-approval")[0].fix
    assert github.calls == []


def test_a_netrc_does_not_replace_the_token(github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", ".netrc")
    assert ask("fork-approval")[0].verdict == "pass"


def test_long_lists_are_read_to_their_end(github: FakeGitHub) -> None:
    github.most_per_page = 2
    many = [runner(f"orin-{number}", "self-hosted", "orin") for number in range(6)]
    github.answer("actions/runners", {"total_count": 7, "runners": [*many, runner("last", "self-hosted", "atom")]})
    assert [finding.what for finding in ask("lab-boards")] == ["atom-1: last"]
    assert github.calls.count(f"GET /repos/{REPOSITORY}/actions/runners") == 4


def test_a_next_page_elsewhere_does_not_get_the_token(github: FakeGitHub) -> None:
    github.headers["Link"] = '<http://localhost:9/stolen>; rel="next"'
    assert ask("idle-workflows")[0].verdict == "not_measured"


def test_a_short_rate_limit_is_waited_for_and_a_long_one_is_told(github: FakeGitHub) -> None:
    github.first = [(403, {"Retry-After": "0"}), (502, {})]
    assert ask("fork-approval")[0].verdict == "pass"
    reset = datetime.now(timezone.utc) + timedelta(minutes=40)
    limit = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(reset.timestamp()))}
    github.first = [(403, limit)]
    [finding] = ask("fork-approval")
    assert (finding.verdict, finding.what) == ("not_measured", "GitHub's rate limit for this token is used up")
    assert finding.fix == f"run it again after {reset:%H:%M:%S} UTC"


def test_a_server_that_is_not_there_is_not_measured(github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("pipeline.system.github_api.RETRIES", 0)
    [finding] = ask("fork-approval")
    assert (finding.verdict, "no answer" in finding.what) == ("not_measured", True)


def test_a_token_that_ends_soon_is_told(github: FakeGitHub) -> None:
    for days, verdict in ((300, "pass"), (9.5, "fail")):
        github.headers["GitHub-Authentication-Token-Expiration"] = (
            f"{datetime.now(timezone.utc) + timedelta(days=days):%Y-%m-%d %H:%M:%S UTC}"
        )
        assert [finding.verdict for finding in ask("token-expiry")] == [verdict]


def test_the_token_goes_to_no_address_in_clear() -> None:
    with pytest.raises(InputError, match="no https:// address"):
        Questions(REPOSITORY, TOKEN, "http://github.example")
    assert TOKEN not in repr(Questions(REPOSITORY, TOKEN))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://github.com/acme/vision.git", "acme/vision"),
        ("https://token@github.com/acme/vision", "acme/vision"),
        ("git@github.com:acme/vision.git", "acme/vision"),
        ("ssh://git@github.com:22/acme/vision.git", "acme/vision"),
        ("https://gitlab.com/acme/vision.git", None),
        ("/srv/git/vision.git", None),
    ],
)
def test_the_repository_is_where_origin_is(
    github: FakeGitHub, monkeypatch: pytest.MonkeyPatch, address: str, name: str | None
) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY")
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", "remote", "add", "origin", address], check=True)
    assert examined.here(None).github.repository == name
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://[")
    with pytest.raises(InputError, match=r"GITHUB_SERVER_URL: 'https://\[' is no address"):
        examined.here(None)


@pytest.mark.parametrize("content", [b"two words\n", b"", b"\xff", b"x\ny"])
def test_a_file_that_holds_no_token_is_bad_input(github: FakeGitHub, content: bytes) -> None:
    Path("token").write_bytes(content)
    done = CliRunner().invoke(cli, ["doctor", "--token-file", "token"])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert b"two words" not in done.output.encode()


def test_a_name_that_is_no_repositorys_is_bad_input(github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/vision/../../user")
    with pytest.raises(InputError, match="is not OWNER/NAME"):
        examined.here(None)


def test_a_folder_that_is_no_project_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["doctor"])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "`edgeproof init` makes one" in done.output


def test_what_is_said_as_json_and_to_people_is_the_same(github: FakeGitHub) -> None:
    """Of the whole examination, in a folder without Git, data and code: all of that is found, nothing breaks."""
    Path("token").write_text(f"{TOKEN}\n")
    done = CliRunner().invoke(cli, ["doctor", "--token-file", "token", "--json"])
    record = json.loads(done.output)
    assert (done.exit_code, record["verdict"]) == (1, "fail")
    states = {each["check"]: each["verdict"] for each in record["findings"]}
    assert {check for check, state in states.items() if state == "not_measured"} == {
        "git-remote",
        "signing-keys",
        "workflow-files",
    }
    assert (states["running-code"], states["project-data"], states["fork-approval"]) == ("fail", "fail", "pass")
    text = CliRunner().invoke(cli, ["doctor", "--token-file", "token"]).output
    unbroken = " ".join(text.split())
    for each in record["findings"]:
        assert each["check"] in unbroken
        assert each["verdict"] == "pass" or " ".join(each["what"].split())[:40] in unbroken
    assert TOKEN not in text + done.output


def test_the_code_that_runs_is_told_from_the_folders(github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("running-code", here)[0].verdict == "fail"
    monkeypatch.setattr(pipeline, "__file__", str(Path.cwd() / "pipeline/__init__.py"))
    assert ask("running-code", here)[0].verdict == "pass"


def test_unpinned_actions_and_uncommitted_workflows_are_named(github: FakeGitHub) -> None:
    subprocess.run(["git", "init", "--quiet"], check=True)
    pinned = f"      - uses: actions/checkout@{'a' * 40} # v7\n      - uses: ./.github/actions/setup\n"
    path = Path(".github/workflows/pr.yml")
    path.write_text(f"jobs:\n  a:\n    steps:\n{pinned}      - uses: actions/cache@v5\n")
    loose, uncommitted = ask("workflow-files", here)
    assert "actions/cache@v5 in .github/workflows/pr.yml" in loose.what
    assert (loose.verdict, uncommitted.verdict) == ("fail", "fail")
    path.write_text(f"jobs:\n  a:\n    steps:\n{pinned}")
    subprocess.run(["git", "add", ".github"], check=True)
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t", "commit", "-qm", "t"], check=True)
    assert [finding.verdict for finding in ask("workflow-files", here)] == ["pass"]


def test_metadata_of_a_release_is_told_before_it_expires(github: FakeGitHub) -> None:
    subprocess.run(["git", "init", "--quiet"], check=True)
    Path("metadata").mkdir()
    for name, kind, days in (("1.root", "root", -9), ("2.root", "root", 300), ("timestamp", "timestamp", 3)):
        expires = datetime.now(timezone.utc) + timedelta(days=days)
        body = {"signatures": [], "signed": {"_type": kind, "expires": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}}
        Path(f"metadata/{name}.json").write_text(json.dumps(body))
    Path("targets.json").write_text("{}")  # something else of that name
    subprocess.run(["git", "add", "."], check=True)
    found = {finding.what.split()[0]: finding.verdict for finding in ask("signing-keys", here)}
    assert found == {"metadata/2.root.json": "pass", "metadata/timestamp.json": "fail"}


@pytest.mark.nightly
def test_data_and_its_remote_are_what_dvc_says_of_them(github: FakeGitHub, images: Path) -> None:
    """Real DVC, through all that can be wrong with a remote in a folder."""

    def state(check: str) -> tuple[Verdict, str]:
        [finding] = ask(check, here)
        return finding.verdict, finding.what

    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([*dvc, "init", "--quiet"], check=True)
    assert CliRunner().invoke(cli, ["data", "import", "photos"]).exit_code == 0
    assert state("project-data") == ("pass", "data/ is what data.dvc names: your own images")
    assert state("dvc-remote") == ("fail", "data/ is your own, and no DVC remote is configured")
    subprocess.run([*dvc, "remote", "add", "-q", "-d", "store", "store"], check=True)
    assert state("dvc-remote")[1].startswith("the DVC remote lacks files of data/")
    subprocess.run([*dvc, "push", "-q"], check=True)
    shutil.rmtree(".dvc/cache")
    assert state("dvc-remote") == ("pass", "it answers, and holds all of data/")
    subprocess.run([*dvc, "remote", "modify", "-q", "store", "url", "ssh://127.0.0.1:9/nowhere"], check=True)
    assert state("dvc-remote")[1].startswith("the DVC remote does not answer")
    Path("data/manifest.csv").write_text("file,class,split\n")
    assert state("project-data") == ("fail", "data/ holds other files than data.dvc names")
    shutil.rmtree("data")
    assert state("project-data") == ("fail", "data/ is not there")


@pytest.mark.parametrize(("right", "wrong"), [("target:", "tragets:"), ("drivers:", "drivres:")])
def test_a_board_s_file_with_a_typo_is_named(github: FakeGitHub, right: str, wrong: str) -> None:
    Path("runners/boards/atom-1.yaml").write_text(BOARD.replace(right, wrong))
    [finding] = ask("lab-boards")
    assert finding.verdict == "fail"
    assert "runners/boards/atom-1.yaml: " in finding.what
    assert wrong.rstrip(":") in finding.what


def test_a_workflow_that_boards_are_named_to_asks_for_nothing_where_there_are_none(github: FakeGitHub) -> None:
    called = "on: {workflow_call: {}}\njobs:\n  board: {runs-on: '${{ fromJSON(inputs.labels) }}'}\n"
    Path(".github/workflows/nightly.yml").write_text(called)
    github.answer("actions/runners", {"total_count": 0, "runners": []})
    assert ask("device-environment")[0].verdict == "fail"
    assert "asks for one" in ask("lab-runners")[0].what
    emulated = "board: {description: mine, place: emulated, target: atom-x5-e3940, labels: [ubuntu-24.04]}\n"
    Path("runners/boards/atom-1.yaml").write_text(emulated)
    assert ask("device-environment")[0].verdict == "fail", "the environment is the same"
    assert [finding.verdict for check in ("lab-runners", "lab-boards") for finding in ask(check)] == ["pass"] * 2
    Path("runners/boards/atom-1.yaml").write_text(emulated.replace("labels: [ubuntu-24.04]", "labels: []"))
    assert [finding.verdict for finding in ask("device-environment")] == ["pass"]
