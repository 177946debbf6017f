"""What a file itself calls its layers, where a runtime has lost the name."""

from pathlib import Path

import onnx
from onnx import NodeProto

# Where an operator has its weights among its inputs.
_WEIGHTS = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "ConvInteger": 1, "MatMulInteger": 1}
_WEIGHTS |= {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}
_MOST_STEPS = 8  # between weights and their layer; a damaged file may lead round in a circle


class OwnNames:
    """Names of the layers of a model file. An IR's are those that the runtime uses."""

    def __init__(self, path: Path) -> None:
        self._by_weights: dict[str, str] = {}
        self._by_output: dict[str, str] = {}
        if path.suffix.lower() != ".onnx":
            return
        nodes = onnx.load(path, load_external_data=False).graph.node
        makers = {name: node for node in nodes for name in node.output}
        shared = set()
        for node in nodes:
            own = node.name or node.output[0]
            self._by_output.update(dict.fromkeys(node.output, own))
            index = _WEIGHTS.get(node.op_type)
            for name in _stored(node.input[index], makers) if index and len(node.input) > index else ():
                if name in self._by_weights:
                    shared.add(name)
                self._by_weights[name] = own
        for name in shared:
            del self._by_weights[name]

    def of(self, name: str, weights: str | None) -> str:
        """The file's own name of the layer that a runtime calls `name`, whose weights are stored as `weights`."""
        found = self._by_weights.get(weights) if weights else None
        return found or self._by_output.get(name, name)


def _stored(name: str, makers: dict[str, NodeProto]) -> list[str]:
    """The names that the constant which `name` is calculated from may have."""
    for _ in range(_MOST_STEPS):
        maker = makers.get(name)
        if maker is None:
            return [name]
        if not maker.input:
            return [name, maker.name] if maker.name else [name]
        name = maker.input[0]
    return []
