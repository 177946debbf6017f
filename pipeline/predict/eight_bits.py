"""Which layers of a quantized network OpenVINO calculates in 8 bits, told from the file alone.

OpenVINO's low-precision transformations (docs.openvino.ai, "OpenVINO Low Precision Transformations") take a
convolution or matrix product whose weights are symmetric signed bytes and whose activations have 8 bits and one scale,
or a scale for each channel where the layer is depthwise. All else is turned back to FP32 before it is multiplied;
transposed convolutions run in FP32 kernels on CPUs without VNNI. Tests hold this against the kernels of real runs.
Where a run is at hand, it decides instead.
"""

from onnx import NodeProto

from pipeline.formats.graph.graph import Graph

# What 8-bit values pass through between their dequantization and a layer.
_MOVES = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "MaxPool", "AveragePool", "Identity", "Dropout"}
_MOVES |= {"Concat", "Split", "Slice", "Pad", "GlobalAveragePool"}
_WEIGHT_VIEWS = {"Transpose", "Reshape", "Unsqueeze", "Squeeze"}


def in_8_bits(graph: Graph, node: NodeProto, depthwise: bool) -> bool:
    """Whether a convolution or matrix product of a quantized graph is calculated in 8 bits."""
    if node.op_type == "ConvTranspose":
        return False
    weights = graph.dequantizer(node.input[1], _WEIGHT_VIEWS)
    values = graph.dequantizer(node.input[0], _MOVES)
    if weights is None or values is None or not graph.unfit.isdisjoint([*weights.output, *values.output]):
        return False
    return depthwise or graph.scales(values) == 1
