"""What a measurement rests on: the packages that are installed, and the commit that is checked out."""

import importlib.metadata
import subprocess


def git_commit() -> str | None:
    """The commit checked out here, or None outside a Git repository."""
    answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of the packages a measurement rests on."""
    return {name: importlib.metadata.version(name) for name in packages}
