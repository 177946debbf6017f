"""What a measurement rests on: the commit that is checked out, or none."""

import subprocess
from pathlib import Path

import pytest

from pipeline.system.versions import git_commit


def test_the_commit_is_none_where_there_is_none_yet_and_where_there_is_no_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert git_commit() is None
    git = ["git", "-c", "user.name=somebody", "-c", "user.email=nobody@localhost"]
    subprocess.run([*git, "init", "--quiet", "."], check=True)
    assert git_commit() is None, "Git prints HEAD itself"
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    assert len(git_commit() or "") == 40
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() is None
