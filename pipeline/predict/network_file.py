"""A network's file as a graph, whichever of the two formats it has."""

from pathlib import Path

from pipeline.errors import InputError
from pipeline.predict.graph import Graph
from pipeline.predict.ir_graph import read_ir
from pipeline.predict.onnx_graph import read_onnx


def load(path: Path) -> Graph:
    """Read an ONNX file, or an OpenVINO IR (.xml), without its weights' values.

    Raises:
        InputError: the file is missing, damaged, neither of the two, or no network of fixed size.
    """
    try:
        return read_ir(path) if path.suffix.lower() == ".xml" else read_onnx(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
