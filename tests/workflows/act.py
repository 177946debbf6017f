"""Run the repository's real workflows on this machine with `act`, and tell what came of it."""

import json
import re
import resource
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.fake_github import REPOSITORY as FAKE
from tests.fake_github import TOKEN, FakeGitHub

REPOSITORY = Path(__file__).resolve().parents[2]
STANDINS = Path(__file__).parent / "standins"
TOOLS = Path(sys.executable).parent
HOSTED, OWN = "ubuntu-24.04", "self-hosted"  # the machines that this one stands for
STAGES = "stages-took"
# The shell's `times` tells its own CPU time and that of its children.
CLOCK = """#!/bin/sh
[ "$1" = stage ] || exec {real} "$@"
{real} "$@"
code=$?
times >> {kept}
exit $code
"""


@dataclass(frozen=True)
class Run:
    """What came of one workflow run. Jobs that were skipped leave no trace."""

    code: int
    jobs: list[str]  # id and matrix values of every job that ran, such as "candidate lenet-5 int8"
    output: Mapping[str, str]  # by the same name: what the job's steps printed
    warnings: list[str]
    errors: list[str]
    codes: Mapping[str, int]  # of the steps that failed, by id
    summary: str
    artifacts: Path
    machinery_s: float  # CPU time of all jobs and of act, without that of DVC's stages


@dataclass(frozen=True)
class Machine:
    """Where a workflow's jobs run, and what outlives them: the caches and `environment`."""

    folder: Path
    environment: Mapping[str, str]

    @property
    def releases(self) -> Path:
        """The releases on GitHub, a folder each."""
        return self.folder / "github-releases"

    def run(
        self,
        project: Path,
        event: str,
        payload: dict[str, Any],
        workflow: str = "pr.yml",
        actions: Mapping[str, Path] = MappingProxyType({}),
        github: FakeGitHub | None = None,
        secrets: Mapping[str, str] = MappingProxyType({}),
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Run:
        """Run one workflow of `project`, at the commit that is checked out there, for an event.

        `actions` are the repositories of other people's actions that it uses, by `owner/repository@ref`, `github` is
        where its jobs find the API, with a token of theirs, `secrets` are those of all environments, `settings` the
        repository's variables.
        """
        here = self.folder / f"run-{len(list(self.folder.glob('run-*')))}"
        (here / "artifacts").mkdir(parents=True)
        (here / "event.json").write_text(json.dumps(payload))
        (self.folder / "cache").mkdir(exist_ok=True)
        variables: dict[str, Any] = {"ACT_ARTIFACTS": here / "artifacts", "ACT_CACHE": self.folder / "cache"}
        variables |= {"GITHUB_REPOSITORY": FAKE, **({"GITHUB_API_URL": github.url} if github else {})}
        variables["ACT_RELEASES"] = self.releases
        command = [TOOLS / "act", event, "--json", "--no-cache-server", "--action-cache-path", here / "jobs"]
        command += ["--workflows", f".github/workflows/{workflow}", "--eventpath", here / "event.json"]
        for machine in (HOSTED, f"{HOSTED}-arm", OWN):
            command += ["--platform", f"{machine}=-self-hosted"]
        command += ["--secret", f"GITHUB_TOKEN={TOKEN}"] if github or secrets else []
        command += [part for name in secrets for part in ("--secret", name)]
        command += [part for setting in settings.items() for part in ("--var", "=".join(setting))]
        found = dict(actions)
        for repository in (project, *actions.values()):
            found |= standins(repository)
        for action, folder in found.items():
            command += ["--local-repository", f"{action}={folder}"]
        for name, value in variables.items():
            command += ["--env", f"{name}={value}"]
        before_s = spent_s() - self._stages_s()
        done = subprocess.run(
            command,
            cwd=project,
            env={**self.environment, **secrets},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        (here / "log").write_text(done.stdout)
        assert "Skipping unsupported platform" not in done.stdout
        shutil.rmtree(here / "jobs", ignore_errors=True)
        return _read(done, here / "artifacts", spent_s() - self._stages_s() - before_s)

    def _stages_s(self) -> float:
        """CPU time of all stages so far, where the machine's `edgeproof` keeps it (`clock_stages`)."""
        clock = self.folder / STAGES
        times = re.findall(r"(\d+)m([\d.]+)s", clock.read_text()) if clock.exists() else []
        return sum(60 * int(minutes) + float(seconds) for minutes, seconds in times)


def clock_stages(venv: Path, kept: Path) -> None:
    """Let the environment's `edgeproof` write down the CPU time of each stage that it runs."""
    programs = (venv / "bin").resolve()
    (venv / "bin").unlink()
    (venv / "bin").mkdir()
    for program in programs.iterdir():
        if program.name != "edgeproof":
            (venv / "bin" / program.name).symlink_to(program)
    real = programs / "edgeproof"
    (venv / "bin/edgeproof").write_text(CLOCK.format(real=real, kept=kept / STAGES))
    (venv / "bin/edgeproof").chmod(0o755)


def standins(project: Path) -> dict[str, Path]:
    """Our stand-in for every pinned action, by `owner/repository@commit`. Act itself skips the checkout."""
    texts = "".join(path.read_text() for path in (project / ".github").rglob("*.yml"))
    pinned = set(re.findall(r"uses: actions/([\w-]+)[\w/-]*@(\S+)", texts))
    return {f"actions/{name}@{commit}": STANDINS / name for name, commit in sorted(pinned) if name != "checkout"}


def spent_s() -> float:
    """CPU time of all processes that this one started and that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _read(done: subprocess.CompletedProcess[str], artifacts: Path, machinery_s: float) -> Run:
    jobs: list[str] = []
    output: defaultdict[str, str] = defaultdict(str)
    codes: dict[str, int] = {}
    warnings, errors, summary = [], [], ""
    for line in done.stdout.splitlines():
        record = json.loads(line) if line.startswith("{") else {}
        if record.get("command") == "summary":
            summary += record["content"]
        if "jobID" not in record:
            continue
        matrix = record.get("matrix") or {}
        job = " ".join([record["jobID"], *(matrix[key] for key in ("model", "method", "target") if key in matrix)])
        output[job] += record["msg"] if record.get("raw_output") else ""
        if record.get("command") == "warning":
            warnings.append(record["arg"])
        if record.get("command") == "error":
            errors.append(record["arg"])
        if failed := re.fullmatch(r"exit status (\d+)", record["msg"]):
            codes[record["stepID"][0]] = int(failed[1])
        if "jobResult" in record:
            jobs.append(job)
    return Run(done.returncode, jobs, output, warnings, errors, codes, summary, artifacts, machinery_s)
