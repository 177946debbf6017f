"""The graphs that are inside the nodes of an ONNX graph, such as the branches of an If."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from onnx import FunctionProto, GraphProto

Graph = TypeVar("Graph", GraphProto, GraphProto | FunctionProto)


def with_subgraphs(graphs: Iterable[Graph]) -> Iterator[Graph]:
    """Each of the graphs (or functions), and the graphs inside of its nodes, at any depth."""
    waiting = list(graphs)
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += attribute.graphs
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
