"""OpenVINO IRs: a .xml file with a .bin file beside it."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.formats.contents import Contents
from pipeline.formats.graph.graph import Graph

SUFFIX = ".xml"
TITLE = "an OpenVINO IR"
BACKEND = "pipeline.processes.backends.openvino_cpu"


def contents(path: Path) -> Contents:
    """What an IR holds."""
    from pipeline.formats.openvino_ir import read

    return read(path)


def graph(path: Path, sample_shape: Sequence[int] | None = None) -> Graph:
    """The graph; the .bin, which has only the weights' values, is not needed."""
    from pipeline.formats.graph.ir_graph import read_ir

    return read_ir(path, sample_shape)
