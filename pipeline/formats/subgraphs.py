"""The graphs that are inside the nodes of an ONNX graph, such as the branches of an If, and the order of nodes."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from onnx import FunctionProto, GraphProto, NodeProto

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


def put_in_order(graph: GraphProto) -> None:
    """Move nodes behind those that they read from, where one is not: runtimes do that, and read such a file."""
    makers = {output: place for place, node in enumerate(graph.node) for output in node.output if output}
    needs = {place: {makers[name] for name in _read(node) if name in makers} for place, node in enumerate(graph.node)}
    if all(needed < place for place, before in needs.items() for needed in before):
        return
    with suppress(CycleError):  # damage, which every reader of the file names
        order = list(TopologicalSorter(needs).static_order())
        nodes = [NodeProto.FromString(graph.node[place].SerializeToString()) for place in order]
        del graph.node[:]
        graph.node.extend(nodes)


def _read(node: NodeProto) -> Iterator[str]:
    """The tensors that a node reads, in the graphs inside of it too."""
    yield from node.input
    inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    for graph in with_subgraphs([*inner, *(graph for attribute in node.attribute for graph in attribute.graphs)]):
        yield from (name for item in graph.node for name in item.input)
        yield from (value.name for value in graph.output)
