"""Nothing half-written: what fails leaves the old file or folder as it was, and no temporary behind."""

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline.system import files


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"a": float("nan")})
    with suppress(KeyboardInterrupt), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_has_the_usual_rights_without_a_moment_in_which_others_have_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "usual").touch()
    monkeypatch.delattr(os, "umask")  # it is the whole process's
    files.write_json(tmp_path / "new", {})
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_failed_folder_keeps_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with files.replacing_folder(out) as folder:
        (folder / "old").touch()
    with suppress(KeyboardInterrupt), files.replacing_folder(out) as folder:
        (folder / "new").touch()
        raise KeyboardInterrupt
    assert [path.name for path in out.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [out]


def test_an_end_while_the_old_folder_is_deleted_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, rmtree = tmp_path / "out", shutil.rmtree
    with files.replacing_folder(out) as folder:
        (folder / "old").touch()

    def interrupted(path: Path, **values: Any) -> None:
        monkeypatch.setattr(shutil, "rmtree", rmtree)
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with suppress(KeyboardInterrupt), files.replacing_folder(out) as folder:
        (folder / "new").touch()
    assert [path.name for path in out.iterdir()] == ["new"]


def test_a_link_to_a_folder_gives_way_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    (elsewhere / "old").touch()
    out.symlink_to(elsewhere)
    with files.replacing_folder(out) as folder:
        (folder / "new").touch()
    assert [path.name for path in out.iterdir()] == ["new"]
    assert [path.name for path in elsewhere.iterdir()] == ["old"]
    assert sorted(tmp_path.iterdir()) == [elsewhere, out]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("first", "second"):
        with files.replacing_folder(out) as folder:
            (folder / name).touch()
    assert [path.name for path in out.iterdir()] == ["second"]


def test_sha256(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 3_000_000)
    assert files.sha256(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
