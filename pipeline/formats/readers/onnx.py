"""ONNX files, with weights in them or beside them."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.formats.contents import Contents
from pipeline.formats.graph.graph import Graph

SUFFIX = ".onnx"
TITLE = "ONNX"
BACKEND = "pipeline.processes.backends.onnxruntime_cpu"


def contents(path: Path) -> Contents:
    """What an ONNX file holds."""
    from pipeline.formats.onnx_file import read

    return read(path)


def graph(path: Path, sample_shape: Sequence[int] | None = None) -> Graph:
    """The graph without the values of its weights."""
    from pipeline.formats.graph.onnx_graph import read_onnx

    return read_onnx(path, sample_shape)
