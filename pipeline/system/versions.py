"""What a measurement rests on: the packages that are installed, and the commit that is checked out."""

import importlib.metadata

from pipeline.system import programs

GIT_S = 20.0


def git_commit() -> str | None:
    """The commit checked out here; None without Git, outside of a repository, and in one that has no commit yet."""
    try:
        return programs.run(["git", "rev-parse", "--verify", "HEAD"], GIT_S).strip()
    except programs.Failed:
        return None


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of the packages a measurement rests on."""
    return {name: importlib.metadata.version(name) for name in packages}
