"""Which nodes of an ONNX graph with FP16 tensors calculate in FP32."""

import onnx
from onnx import TensorProto


def fp32_layers(graph: onnx.ModelProto) -> list[str]:
    """Names of the nodes that calculate in FP32, in their order; none if the graph has no FP16 at all."""
    types = _types(graph)
    if TensorProto.FLOAT16 not in types.values():
        return []
    return [
        node.name
        for node in graph.graph.node
        if node.op_type != "Cast" and any(types.get(name) == TensorProto.FLOAT for name in node.output)
    ]


def _types(graph: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(graph).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}
