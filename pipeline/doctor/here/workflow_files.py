"""Whether the workflow files are there, committed, and run pinned actions only."""

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.doctor.examined import WORKFLOWS, Subject, git
from pipeline.doctor.finding import Finding, well, wrong
from pipeline.system.errors import some

USES = re.compile(r"^\s*(?:-\s+)?uses:\s*['\"]?([^\s'\"#]+)", re.MULTILINE)
PINNED = re.compile(r"\./|docker://\S+@sha256:|\S+@[0-9a-f]{40}$")


def look(subject: Subject) -> Iterator[Finding]:
    """Of all in .github, local actions too."""
    if not subject.workflows:
        yield wrong(f"no file in {WORKFLOWS}", "GitHub then runs nothing", "edgeproof init")
        return
    loose = [
        f"{name} in {path}"
        for path in sorted(Path(".github").rglob("*.y*ml"))
        for name in USES.findall(path.read_text(encoding="utf-8", errors="replace"))
        if not PINNED.match(name)
    ]
    if loose:
        yield wrong(
            f"actions that no commit pins: {some(loose)}",
            "whoever can move the tag runs his code with your repository's token",
            "name the commit behind the @, and the version in a comment",
        )
    else:
        yield well(f"{len(subject.workflows)} workflows, all actions pinned by commit")
    if changed := git("status", "--porcelain", "--", ".github").splitlines():
        yield wrong(
            f"not committed: {some([line[3:] for line in changed])}",
            "GitHub runs what is committed, not what lies here",
            "git add .github && git commit",
        )
