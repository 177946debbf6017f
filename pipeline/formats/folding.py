"""What comes behind a layer and can be part of its weights is made part of them, as every runtime does."""

import onnx
import onnxslim

from pipeline.formats import node_names


def slim(model: onnx.ModelProto) -> onnx.ModelProto:
    """What onnxslim makes of a model, by no other shapes than those that follow from its inputs.

    What files say of the shapes in between may be stale, and what onnxslim works out is wrong for uneven splits.
    Runtimes believe neither. Raises whatever onnxslim does.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    slimmed: onnx.ModelProto = onnxslim.slim(_without_shapes(copy))
    return onnx.shape_inference.infer_shapes(_without_shapes(slimmed))


def _without_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return model


def folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with constants calculated and batch normalisations and constant factors merged into convolutions.

    All nodes have names, layers those that they had. A graph that cannot be simplified comes back as it is.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    node_names.complete(copy)
    makers = {output: node for node in copy.graph.node for output in node.output}
    try:
        slimmed = slim(copy)
    except Exception:  # its own kinds share no base; OpenVINO may fold it all the same
        return copy
    taken = {node.name for node in slimmed.graph.node}
    for node in slimmed.graph.node:
        # onnxslim names a layer by a tensor between it and what was folded into it.
        own = makers.get(node.name)
        while own is not None and own.op_type != node.op_type and own.input:
            own = makers.get(own.input[0])
        if own is not None and own.name not in taken:
            node.name = own.name
            taken.add(own.name)
    node_names.complete(slimmed)
    return slimmed
