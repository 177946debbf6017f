"""Readers: the programs that decode, one file each. They write YUV4MPEG2 to a file descriptor, and talk on a log.

A reader's file has `suits(source)`, whether it is worth choosing unasked; `missing(source)`, one line with what this
machine lacks for it and how to get it, or nothing; `command(source, size, every_frame, fd)`; and `SIZE`, the line of
the log that tells the size of what the camera sends: where that changes, the frames alone do not show it.
"""

import re
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from runners.edge.camera.source import Source

Size = Tuple[int, int]  # width and height in pixels
BEST_FIRST = ("nvv4l2", "vaapi", "ffmpeg", "opencv")


class Command(NamedTuple):
    """A program with its arguments, and what it finds in its environment beside ours."""

    arguments: List[str]
    environment: Dict[str, str]


def size_of(text: str) -> Size:
    """The size that WIDTHxHEIGHT means.

    Raises:
        ValueError: it is none that a frame can have; the message is one line.
    """
    found = re.match(r"(\d{1,5})x(\d{1,5})$", text)
    width, height = (int(found.group(1)), int(found.group(2))) if found else (0, 0)
    if not width or not height or width % 8 or height % 2:
        raise ValueError("{}: no size for frames; give WIDTHxHEIGHT, a multiple of 8 and an even number".format(text))
    return width, height


def names() -> List[str]:
    """The readers that there are, sorted."""
    return sorted(module.name for module in iter_modules(__path__))


def named(name: str) -> Any:
    """The reader called so.

    Raises:
        ValueError: there is none.
    """
    if name not in names():
        raise ValueError("no reader called {}: there are {}".format(name, ", ".join(names())))
    return import_module("{}.{}".format(__name__, name))


def choose(source: Source, name: Optional[str] = None) -> str:
    """The reader called `name`, or the best that this machine has for this source.

    Raises:
        ValueError: there is none; the message is one line and says what to install.
    """
    if name is not None:
        lacking = named(name).missing(source)
        if lacking:
            raise ValueError(lacking)
        return name
    for name in BEST_FIRST:
        if named(name).suits(source) and not named(name).missing(source):
            return name
    raise ValueError(named("ffmpeg").missing(source))
