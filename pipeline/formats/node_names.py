"""Names for the nodes of an ONNX graph, which ONNX does not demand, and by which layers are found."""

from collections import Counter

import onnx


def complete(graph: onnx.ModelProto) -> None:
    """Give every node without a name, or with that of another node, a name of its own."""
    names = Counter(node.name for node in graph.graph.node)
    taken = set(names)
    for index, node in enumerate(graph.graph.node):
        if not node.name or names[node.name] > 1:
            name = f"{node.op_type}_{index}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)
