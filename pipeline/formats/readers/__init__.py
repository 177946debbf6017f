"""The model file formats that are read: one file each, found by its name.

A reader's file says the suffix of its files (`SUFFIX`), how people call the format (`TITLE`) and the backend that runs
it on this machine (`BACKEND`), and has two functions: `contents(path)` tells what is in a file, `graph(path)` gives it
as a graph whose costs can be told. Neither loads a runtime: a hostile file could crash it, and the program with it.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol, cast

from pipeline.formats.contents import Contents
from pipeline.formats.graph.graph import Graph
from pipeline.system.errors import BadModel


class Reader(Protocol):
    """What each file here is, as a module."""

    SUFFIX: str
    TITLE: str
    BACKEND: str

    def contents(self, path: Path) -> Contents:
        """What a file holds; BadModel if it is damaged or none of this format."""

    def graph(self, path: Path, sample_shape: Sequence[int] | None = None) -> Graph:
        """The file as a graph, with images of `sample_shape` where it leaves their size open.

        BadModel likewise, Unpredictable where a size stays open.
        """


@cache
def names() -> tuple[str, ...]:
    """The formats that there are, sorted."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def name_of(path: Path) -> str:
    """The format of a file, by its suffix.

    Raises:
        BadModel: no format has such a suffix.
    """
    for name in names():
        if path.suffix.lower() == reader(name).SUFFIX:
            return name
    titles = [f"{reader(name).TITLE} ({reader(name).SUFFIX})" for name in names()]
    raise BadModel(f"{path}: neither {' nor '.join(titles)}; export it to ONNX")


@cache
def reader(name: str) -> Reader:
    """The reader of the format called `name`."""
    return cast(Reader, import_module(f"{__name__}.{name}"))


def of(path: Path) -> Reader:
    """The reader of a file; BadModel if there is none."""
    return reader(name_of(path))
