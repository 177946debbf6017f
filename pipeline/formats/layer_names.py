"""Layers as their author named them."""

from typing import Any

BIASED = "/WithoutBiases"  # what a layer's name gets when OpenVINO makes a layer of its own of the biases
# OpenVINO's operations that multiply by weights.
LAYERS = ("Convolution", "GroupConvolution", "MatMul", "ConvolutionBackpropData", "GroupConvolutionBackpropData")
_BEFORE_WEIGHTS = ("Convert", "Subtract", "Multiply", "Reshape", "Transpose", "Unsqueeze", "FakeQuantize")


def clean_name(name: str) -> str:
    """A layer's name without what OpenVINO's conversion adds."""
    return name.removesuffix(BIASED)


def layers_in(model: Any) -> list[Any]:
    """The operations of an `openvino.Model` that multiply by weights, in an order that is the same in every process.

    Their names need not be: where a batch normalisation is folded into a layer, OpenVINO names it by a counter.
    """
    return [op for op in model.get_ordered_ops() if op.get_type_name() in LAYERS]


def weights_name(op: Any) -> str | None:
    """The name of the constant that a layer's weights are stored as, None where they are calculated."""
    op = op.input_value(1).get_node()
    while op.get_type_name() in _BEFORE_WEIGHTS:
        op = op.input_value(0).get_node()
    return str(op.get_friendly_name()) if op.get_type_name() == "Constant" else None
