"""Whether the boards' runners answer, and are new enough for GitHub to send them jobs."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from pydantic import BaseModel

from pipeline.doctor.examined import METADATA, Runner, Subject
from pipeline.doctor.finding import Finding, not_measured, well, wrong

Version = tuple[int, ...]
GRACE = timedelta(days=30)  # from a release on; https://docs.github.com/actions/reference/runners/self-hosted-runners
PROVISION = "on its machine: journalctl -u edgeproof-runner, and what docs/boards.md says"


class Release(BaseModel):
    """GET /repos/actions/runner/releases."""

    tag_name: str
    published_at: datetime | None
    draft: bool = False
    prerelease: bool = False


def look(subject: Subject) -> Iterator[Finding]:
    """Each runner that this repository's jobs may get."""
    if not subject.runners:
        # An emulated board is on GitHub's own machines.
        boards = any(board.measures for board in subject.boards.values())
        wanted = [job for job in subject.jobs if job.on_board or (job.where_its_caller_says and boards)]
        if not wanted:
            yield well("none is registered, and no workflow asks for one")
            return
        yield wrong(
            f"none is registered, and {wanted[0].file} asks for one",
            "its jobs wait for 24 hours and then fail",
            "provision a board: docs/boards.md",
        )
        return
    for runner in subject.runners:
        if runner.status != "online":
            yield wrong(f"{runner.name} is {runner.status}", "jobs for it wait for 24 hours and then fail", PROVISION)
    releases = _releases(subject)
    for runner in subject.runners:
        yield from _age(runner, releases, subject.now)


def _releases(subject: Subject) -> dict[Version, datetime]:
    """When each of the newest releases came out; the first page goes years back."""
    listed = subject.github.get("/repos/actions/runner/releases", list[Release], METADATA, per_page=100)
    return {
        version: release.published_at
        for release in listed
        if not (release.draft or release.prerelease)
        and release.published_at
        and (version := _version(release.tag_name))
    }


def _age(runner: Runner, releases: dict[Version, datetime], now: datetime) -> Iterator[Finding]:
    version = _version(runner.version or "")
    if version is None:
        yield not_measured(f"GitHub does not tell the version of {runner.name}", PROVISION)
        return
    newer = [published for release, published in releases.items() if release > version]
    ends = min(newer) + GRACE if newer else None
    if ends and ends <= now:
        yield wrong(
            f"{runner.name} has version {runner.version}, which GitHub refuses since {ends:%Y-%m-%d}",
            "GitHub sends no job to a runner that lacks a release of more than 30 days ago, and says nothing",
            "on its machine: systemctl start edgeproof-refresh",
        )
    elif runner.status == "online":
        until = f", to be replaced before {ends:%Y-%m-%d}" if ends else ""
        yield well(f"{runner.name} is online, version {runner.version}{until}")


def _version(name: str) -> Version | None:
    found = re.fullmatch(r"v?(\d+(?:\.\d+)+)", name)
    return tuple(int(part) for part in found[1].split(".")) if found else None
