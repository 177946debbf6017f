"""Nothing half-written: what fails leaves the old file or folder as it was, and no temporary behind."""

import hashlib
from contextlib import suppress
from pathlib import Path

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


def test_a_failed_folder_keeps_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with files.replacing_folder(out) as folder:
        (folder / "old").touch()
    with suppress(KeyboardInterrupt), files.replacing_folder(out) as folder:
        (folder / "new").touch()
        raise KeyboardInterrupt
    assert [path.name for path in out.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [out]


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
