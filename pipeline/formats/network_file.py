"""A network's file as a graph, whichever format it has."""

from pathlib import Path

from pipeline.formats import readers
from pipeline.formats.graph.graph import Graph
from pipeline.system.errors import BadModel


def load(path: Path) -> Graph:
    """Read a model file without its weights' values.

    Raises:
        BadModel: the file is missing, damaged, or of no format that is read.
        Unpredictable: a size in it is open.
    """
    try:
        if not path.is_file():
            raise BadModel(f"{path}: no such file")
        return readers.of(path).graph(path)
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror or error})") from error
