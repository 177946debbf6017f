"""A network's file as a graph, whichever format it has."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pipeline.formats import readers
from pipeline.formats.graph.graph import Graph
from pipeline.records.targets import Precision
from pipeline.system import files
from pipeline.system.errors import BadModel, InputError, reason

_Found = TypeVar("_Found")


def load(path: Path, sample_shape: Sequence[int] | None = None) -> Graph:
    """Read a model file without its weights' values, for images of `sample_shape` where it leaves their size open.

    Raises:
        BadModel: the file is missing, damaged, or of no format that is read.
        Unpredictable: a size in it stays open.
    """
    return _read(path, lambda reader: reader.graph(path, sample_shape))


def held_precision(path: Path) -> Precision:
    """The precision of a file's weights.

    Raises:
        BadModel: see `load`.
    """
    return _read(path, lambda reader: reader.contents(path).precision)


def _read(path: Path, read: Callable[[readers.Reader], _Found]) -> _Found:
    try:
        if not path.is_file():
            raise BadModel(f"{path}: no such file")
        files.check_name(path)
        return read(readers.of(path))
    except InputError:
        raise
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # what libraries raise over a damaged value has no base of its own
        raise BadModel(f"{path}: a value in it is damaged{reason(error)}") from error
