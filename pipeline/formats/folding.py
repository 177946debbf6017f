"""What comes behind a layer and can be part of its weights is made part of them, as every runtime does."""

from unittest.mock import patch

import onnx
import onnxruntime
import onnxslim

from pipeline.formats import node_names


def slim(model: onnx.ModelProto) -> onnx.ModelProto:
    """What onnxslim makes of a model, by no other shapes than those that follow from its inputs.

    What files say of the shapes in between may be stale, and what onnxslim works out is wrong for uneven splits.
    Runtimes believe neither. Raises whatever onnxslim does.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _say_types(copy)
    onnxruntime.set_default_logger_severity(4)  # onnxslim calculates constants with it, and goes on where it cannot
    with patch.object(onnxruntime, "set_default_logger_severity"):  # else onnxslim would let it speak again
        slimmed: onnx.ModelProto = onnxslim.slim(_without_shapes(copy))
    return onnx.shape_inference.infer_shapes(_without_shapes(slimmed))


def _say_types(model: onnx.ModelProto) -> None:
    """A CastLike becomes the Cast that it is: onnxslim calculates no constant through it, and then folds nothing."""
    if not any(node.op_type == "CastLike" for node in model.graph.node):
        return
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*graph.input, *graph.value_info]}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in model.graph.node:
        if node.op_type == "CastLike" and types.get(node.input[1]):
            node.op_type = "Cast"
            node.attribute.append(onnx.helper.make_attribute("to", types[node.input.pop()]))


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
