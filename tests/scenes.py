"""Cameras that can be played: stand-ins for ffmpeg and GStreamer (`fake_ffmpeg.py`) in place of the real ones."""

import json
import os
import sys
from pathlib import Path
from typing import Any

FAKE = Path(__file__).with_name("fake_ffmpeg.py")


def stand_ins(folder: Path) -> dict[str, str]:
    """Make them in a folder, in which scenes lie too; the environment in which they are found."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("ffmpeg", "gst-launch-1.0"):
        (programs / name).write_text(f"#!{sys.executable} -IS\n{FAKE.read_text()}")
    (programs / "gst-inspect-1.0").write_text("#!/bin/sh\nexit 1\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    return {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "FAKE_SCENES": str(folder)}


def scene(folder: Path, name: str, *starts: list[Any]) -> str:
    """Write what a camera does at each of its starts (the last one at all further ones); its address."""
    (folder / name).write_text(json.dumps(starts))
    return f"rtsp://user:secret@cam/{name}"


def readers(folder: Path, name: str) -> list[int]:
    """The processes that played a scene so far."""
    started = folder / f"{name}.started"
    return [int(line) for line in started.read_text().split()] if started.exists() else []
