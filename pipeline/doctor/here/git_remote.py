"""Whether Git holds the project, and GitHub gets it."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.doctor.examined import Subject, git
from pipeline.doctor.finding import Finding, Unasked, well, wrong

COMMIT = 'git add -A && git commit -m "Start with edgeproof"'


def look(subject: Subject) -> Iterator[Finding]:
    """A repository of its own, with a commit and a remote."""
    top = Path(git("rev-parse", "--show-toplevel"))
    if top != Path.cwd():
        yield wrong(
            f"this folder lies in the repository {top}",
            "GitHub runs only the workflows at the top of a repository",
            "make it a repository of its own: git init",
        )
        return
    try:
        commit = git("rev-parse", "--short", "--verify", "HEAD")
    except Unasked:
        yield wrong("nothing is committed yet", "nothing of it can reach GitHub, or be gone back to", COMMIT)
    else:
        yield well(f"at commit {commit}")
    try:
        remote = git("remote", "get-url", "origin")
    except Unasked:
        yield wrong(
            "Git has no remote `origin`",
            "without it no pull request is ever tested",
            "git remote add origin https://github.com/OWNER/NAME.git",
        )
        return
    if subject.github.repository:
        yield well(f"origin is {subject.github.repository}")
    else:
        yield wrong(
            f"origin ({remote}) is no repository on {subject.github.server}",
            "the workflows run on GitHub only",
            "git remote set-url origin https://github.com/OWNER/NAME.git (or set GITHUB_SERVER_URL)",
        )
