"""The real ffmpeg, as a device has it: the machine's, or the one that the package imageio-ffmpeg brings."""

import os
import shutil
from pathlib import Path

import imageio_ffmpeg


def path_with_it(folder: Path) -> str:
    """A PATH in which `ffmpeg` is found; `folder` is made for it where the machine has none."""
    path = os.environ["PATH"]
    if shutil.which("ffmpeg"):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    return f"{folder}{os.pathsep}{path}"
