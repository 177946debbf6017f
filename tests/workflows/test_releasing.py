"""release.yml, timestamp.yml and rollout.yml, run for real, with a Git server of files for the registry's branch."""

import json
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from act import Machine, Run
from project import Both, Project, copy_repository, environment, ready_venv, with_origin

from pipeline.release import publishing, signing
from pipeline.release.release_settings import Phases
from pipeline.release.tuf_registry import Registry
from pipeline.release.verifying import verify
from runners.contract import device_status, rollout
from runners.contract.bundle import NEXT
from runners.contract.device_status import DeviceStatus
from tests.update.conftest import TARGET, write_release

PATH = f"stable/{TARGET}"
SETTINGS = {"REGISTRY_BRANCH": "main"}
EVENT = {"repository": {"default_branch": "main"}}


@dataclass(frozen=True)
class Origin:
    """A repository on GitHub with a registry on its main branch, and the machines for its jobs."""

    machine: Machine
    project: Path
    origin: Path
    key: Path

    @property
    def secrets(self) -> dict[str, str]:
        """Those of both environments."""
        return {
            signing.ONLINE_KEY: self.key.read_text(), "EDGEPROOF_INBOX": (self.machine.folder / "inbox").as_uri()
        }  # fmt: skip

    def run(self, workflow: str, event: str = "schedule", **payload: Any) -> Run:
        """Run a workflow."""
        return self.machine.run(
            self.project, event, {**EVENT, **payload}, workflow, secrets=self.secrets, settings=SETTINGS
        )

    def git(self, *arguments: str) -> str:
        """Call Git in the project."""
        command, environment = ["git", *arguments], self.machine.environment
        return subprocess.check_output(command, cwd=self.project, env=environment, text=True).strip()

    def push(self) -> None:
        """Commit all and push it."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "the registry")
        self.git("push", "--quiet", "origin", "main")
        self.git("fetch", "--quiet", "origin")

    def fetched(self) -> Registry:
        """The registry as it is on the main branch now."""
        self.git("fetch", "--quiet", "origin")
        self.git("reset", "--quiet", "--hard", "origin/main")
        return Registry(self.project / "releases")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    folder = tmp_path_factory.mktemp("releasing")
    copy_repository(folder / "project")
    ready_venv(folder / "venv", folder / "project")
    made = Origin(
        Machine(folder, environment(folder)), folder / "project", with_origin(folder / "project"), folder / "online.pem"
    )
    root, online = signing.make(folder / "root.pem"), signing.make(made.key)
    registry = Registry(made.project / "releases", datetime.now(timezone.utc) - timedelta(hours=8))
    registry.found(root, online)
    for version in ("v1.0.0", "v1.1.0"):
        write_release(folder / "built" / version, version, TARGET, "stable", b"weights")
        publishing.publish(registry, online, folder / "built" / version, Phases())
    made.push()
    return made


def test_the_timestamp_is_signed_anew_and_published(origin: Origin) -> None:
    before = origin.fetched().timestamp().signed
    run = origin.run("timestamp.yml")
    assert (run.code, run.jobs[0], sorted(run.jobs[1:])) == (0, "sign", ["alarm", "draw", "publish"]), run.output
    after = origin.fetched().timestamp().signed
    assert after.version == before.version + 1
    assert after.expires > before.expires
    assert origin.git("log", "-1", "--format=%s %an") == "Releases: resign github-actions[bot]"
    site = run.artifacts / "github-pages"
    assert {seen.verdict for seen in verify(Registry(site))} == {"pass", "not_measured"}  # the bundles are assets
    assert "PRIVATE KEY" not in "".join(run.output.values())


def somebody_is_faster(origin: Origin) -> None:
    """The Git server refuses the next push, and takes those after it."""
    hook = origin.origin / "hooks/pre-receive"
    hook.write_text(f"#!/bin/sh\nrm {hook}\necho somebody was faster\nexit 1\n")
    hook.chmod(0o755)


def report(origin: Origin, device: str, **fields: Any) -> None:
    status = DeviceStatus(device, TARGET, "1", datetime.now(timezone.utc).timestamp(), **fields)
    path = origin.machine.folder / "inbox" / device_status.file_name(status)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(device_status.as_json(status)))


@pytest.mark.nightly
def test_a_rollout_goes_on_and_is_taken_back(origin: Origin) -> None:
    (origin.machine.folder / "inbox").mkdir()
    first = [name for name in map(str, range(999)) if rollout.place(name, "v1.1.0") < 1]
    for name in first:
        report(origin, name, state="running", version="v1.1.0", self_test="pass")
    somebody_is_faster(origin)
    run = origin.run("rollout.yml")
    assert (run.code, run.jobs[:2]) == (0, ["active", "decide"]), run.output
    assert not (origin.origin / "hooks/pre-receive").exists()
    assert origin.fetched().offers()[PATH + NEXT].rollout.percent == 10
    report(origin, first[0], state="rolled_back", version="v1.0.0", self_test="pass", failed="v1.1.0")
    for name in first[1:]:
        report(origin, name, state="rolled_back", version="v1.0.0", self_test="pass", failed="v1.1.0")
    run = origin.run("rollout.yml")
    assert run.code == 1
    assert "halt" in run.summary
    assert {path: offer.version for path, offer in origin.fetched().offers().items()} == {PATH: "v1.0.0"}
    assert "draw" in run.jobs  # the devices get to know
    assert origin.run("rollout.yml").jobs == ["active"]


@pytest.fixture(scope="module")
def released(project: Project, both: Both) -> tuple[Origin, Run]:
    """The small project with a registry, and a tag on it."""
    folder = project.machine.folder
    made = Origin(project.machine, project.folder, with_origin(project.folder), folder / "online.pem")
    Registry(project.folder / "releases").found(signing.make(folder / "root.pem"), signing.make(made.key))
    made.push()
    made.git("tag", "v1.0.0")
    return made, made.run("release.yml", "push", ref="refs/tags/v1.0.0")


@pytest.mark.nightly
def test_a_tag_becomes_a_release(released: tuple[Origin, Run]) -> None:
    origin, run = released
    assert run.code == 0, run.output
    assert run.jobs == ["build", f"attest {TARGET}", "publish", "draw", "publish"]
    registry = origin.fetched()
    [(path, offer)] = registry.offers().items()
    assert (path, offer.version) == (PATH, "v1.0.0")
    [bundle] = (origin.machine.releases / "v1.0.0").glob("*.tar")
    sha256 = registry.targets().signed.targets[path].hashes["sha256"]
    assert bundle.name == f"{sha256}.{offer.name}"  # where python-tuf asks for it below releases/download/
    statement = json.loads((run.artifacts / f"attestations/{sha256}.json").read_text())
    assert statement["predicate"]["configuration"][0]["digest"]["sha256"] == offer.evidence
    assert "FAIL" not in (origin.machine.releases / "v1.0.0/notes.md").read_text()
    registry.file(offer, sha256).parent.mkdir(parents=True)
    registry.file(offer, sha256).write_bytes(bundle.read_bytes())
    assert {seen.verdict for seen in verify(registry)} == {"pass"}
