"""What a target's runtime reads of an ONNX file, operator by operator and rule by rule."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from pipeline.check.readability import remedy
from pipeline.formats import runtimes
from pipeline.formats.runtimes import Reading, knowledge, read_by, words
from pipeline.records.targets import load_target, target_names

# What TensorRT 8.2 has no importer for, out of its parser's table and of what came to ONNX later.
WITHOUT_IMPORTER = [
    "BitShift",
    "Compress",
    "Det",
    "DynamicQuantizeLinear",
    "Gelu",
    "GridSample",
    "GroupNormalization",
    "HardSwish",
    "Hardmax",
    "IsInf",
    "LayerNormalization",
    "MatMulInteger",
    "MeanVarianceNormalization",
    "Mish",
    "Mod",
    "NonZero",
    "OneHot",
    "QLinearConv",
    "RandomNormal",
    "RoiAlign",
    "Shrink",
    "Trilu",
    "Unique",
    "Xor",
]
WITH_IMPORTER = [
    "Conv",
    "Gemm",
    "HardSigmoid",
    "Reciprocal",
    "Relu",
    "Resize",
    "Softmax",
    "Upsample",
    "Celu",
    "If",
    "Einsum",
]


def model(*nodes: NodeProto, opset: int = 13, ir: int = 8, kind: int = TensorProto.FLOAT, **weights: Any) -> ModelProto:
    """A graph from x to y; weights by name."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def node(op: str, inputs: str = "x", outputs: str = "y", **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.replace("-", "").split(" "), outputs.split(), name=f"my_{op}", **attributes)


def tensorrt(of: ModelProto) -> Reading:
    return read_by(of, "tensorrt", "8.2.1")


def reasons(of: ModelProto) -> list[str]:
    return [item.reason for item in tensorrt(of).unreadable or []]


def test_the_runtime_of_every_target_is_known_with_its_sources() -> None:
    for name in target_names():
        runtime = load_target(name).runtime
        known = knowledge(runtime.name, runtime.version)
        assert known is not None
        assert known.judged_by == ("these facts" if runtime.name == "tensorrt" else "running it")
        for fact in ("opset", "operators", "rules", "types", "newest_opset"):
            assert not getattr(known, fact) or fact in known.sources


def test_a_version_is_found_by_its_beginning_and_not_by_one_like_it() -> None:
    assert knowledge("tensorrt", "8.2.1") is knowledge("tensorrt", "8.2.1") is not None
    assert knowledge("tensorrt", "8.2") is not None
    for other in ("8.20.1", "8.20", "10.3.0", "8"):
        assert knowledge("tensorrt", other) is None


def test_of_a_runtime_that_nobody_described_nothing_is_known() -> None:
    found = read_by(model(node("Relu")), "tensorrt", "10.3.0")
    assert found.unreadable is None
    assert "not known here" in found.notes[0]


@pytest.mark.parametrize("op", WITHOUT_IMPORTER)
def test_tensorrt_does_not_read_what_it_has_no_importer_for(op: str) -> None:
    [found] = tensorrt(model(node(op), opset=20)).unreadable or []
    assert (found.node, found.operator, found.reason) == (f"my_{op}", op, f"has no importer for {op}")


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21])
@pytest.mark.parametrize("op", WITH_IMPORTER)
def test_tensorrt_reads_what_it_has_an_importer_for_at_any_opset(op: str, opset: int) -> None:
    found = tensorrt(model(node(op), opset=opset))
    assert found.unreadable == []
    assert bool(found.notes) == (opset > 13)


def test_every_operator_that_tensorrt_reads_is_one_of_onnx_or_of_its_early_days() -> None:
    known = knowledge("tensorrt", "8.2.1")
    assert known is not None
    schemas = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    assert set(known.operators) - schemas <= {"ImageScaler", "ParametricSoftplus", "ScaledTanh"}
    assert {name for rule in known.rules for name in rule.of} <= set(known.operators)


def test_an_operator_of_somebody_else_has_no_importer() -> None:
    foreign = helper.make_node("FusedConv", ["x"], ["y"], name="fused", domain="com.microsoft")
    assert words(tensorrt(model(foreign)), "TensorRT 8.2.1") == [
        "TensorRT 8.2.1 has no importer for com.microsoft.FusedConv (fused)"
    ]


def test_nodes_of_one_kind_are_told_together() -> None:
    nodes = [node("HardSwish", "x", "a"), node("HardSwish", "a", "b"), node("Mod", "b x", "y")]
    assert words(tensorrt(model(*nodes)), "TensorRT") == [
        "TensorRT has no importer for HardSwish (my_HardSwish and 1 more)",
        "TensorRT has no importer for Mod (my_Mod)",
    ]


def test_a_graph_inside_of_a_node_is_read_too_and_knows_the_constants_outside() -> None:
    inner = [node("HardSwish", "x", "a"), node("Unsqueeze", "a axes", "b")]
    body = helper.make_graph(inner, "body", [], [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)])
    outer = node("If", "yes", then_branch=body, else_branch=body)
    found = tensorrt(model(outer, yes=True, axes=np.array([0]))).unreadable or []
    assert [item.operator for item in found] == ["HardSwish", "HardSwish"]


CONSTANT = {"c": np.array([1])}
RULES: list[tuple[NodeProto, int, dict[str, Any], str | None]] = [
    (node("Resize", "x - c", mode="linear"), 11, CONSTANT, None),
    (node("Resize", "x - c", mode="cubic"), 11, CONSTANT, "other modes"),
    (node("Resize", "x - c", coordinate_transformation_mode="tf_crop_and_resize"), 11, CONSTANT, "coordinates"),
    (node("Resize", "x - c", antialias=1), 18, CONSTANT, "opset 18"),
    (node("ReduceMean", "x", axes=[1]), 13, {}, None),
    (node("ReduceMean", "x c"), 18, CONSTANT, "as an input"),
    (node("ReduceMax", "x c"), 20, CONSTANT, "as an input"),
    (node("ReduceSum", "x c"), 13, CONSTANT, None),
    (node("ReduceSum", "x x"), 13, CONSTANT, "as a constant"),
    (node("ReduceSum", "x", noop_with_empty_axes=1), 13, {}, "noop"),
    (node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), 13, {}, "dilations"),
    (node("MaxPool", kernel_shape=[2, 2], dilations=[1, 1]), 13, {}, None),
    (node("MaxPool", "x", "y i", kernel_shape=[2, 2]), 13, {}, "indices"),
    (node("AveragePool", kernel_shape=[2, 2], pads=[0, 0, 1, 1]), 13, {}, None),
    (node("AveragePool", kernel_shape=[2, 2], pads=[1, 1, 0, 0]), 13, {}, "uneven"),
    (node("TopK", "x c", "v y"), 13, CONSTANT, None),
    (node("TopK", "x c", "v y", largest=0), 13, CONSTANT, "largest"),
    (node("TopK", "x x", "v y"), 13, {}, "K as a constant"),
    (node("Pad", "x c", mode="edge"), 13, CONSTANT, None),
    (node("Pad", "x c", mode="wrap"), 19, CONSTANT, "in this mode"),
    (node("Pad", "x c - c"), 18, CONSTANT, "axes of a Pad"),
    (node("Shape", start=1), 15, {}, "start and end"),
    (node("Shape"), 15, {}, None),
    (node("ScatterND", "x c c", reduction="add"), 16, CONSTANT, "reduction"),
    (node("QuantizeLinear", "x c"), 13, CONSTANT, "needs a zero point"),
    (node("QuantizeLinear", "x c c"), 13, CONSTANT, "symmetrically"),
    (node("QuantizeLinear", "x c z"), 13, {**CONSTANT, "z": np.zeros(1, np.int8)}, None),
    (node("Einsum", "x x", equation="bchw,bchw->bc"), 13, {}, None),
    (node("Einsum", "x x", equation="...hw,...hw->..."), 13, {}, "ellipsis"),
    (node("Cast", to=TensorProto.UINT8), 13, {}, "casts nothing to UINT8"),
    (node("Cast", to=TensorProto.INT64), 13, {}, None),
    (node("BatchNormalization", "x c c c c", training_mode=1), 15, CONSTANT, "does not train"),
    (node("Conv", "x c x"), 13, CONSTANT, "bias"),
]


@pytest.mark.parametrize(("of", "opset", "weights", "reason"), RULES, ids=lambda value: getattr(value, "op_type", None))
def test_what_an_importer_would_ignore_or_refuse_is_not_read(
    of: NodeProto, opset: int, weights: dict[str, Any], reason: str | None
) -> None:
    found = reasons(model(of, opset=opset, **weights))
    assert (found == []) if reason is None else any(reason in text for text in found)


@pytest.mark.parametrize(
    ("axis", "inputs", "parts", "reads"),
    [(1, "x", 2, True), (1, "x", 4, False), (-3, "x", 5, False), (1, "x sizes", 2, True), (0, "x", 3, True)],
)
def test_what_is_split_into_parts_that_do_not_come_out_even(axis: int, inputs: str, parts: int, reads: bool) -> None:
    """Since opset 18 the last part may be smaller; an open size is not held against a file."""
    outputs = " ".join(f"o{index}" for index in range(parts))
    of = model(
        node("Relu"), node("Split", inputs.replace("x", "y"), outputs, axis=axis), opset=18, sizes=np.array([2, 4])
    )
    of.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6, 8, 8]))
    if inputs == "x":
        of.graph.node[1].attribute.append(helper.make_attribute("num_outputs", parts))
    assert reasons(of) == ([] if reads else ["splits into equal parts only where their sizes are not given"])


def test_constants_may_be_nodes_but_not_what_is_calculated_of_them() -> None:
    value = numpy_helper.from_array(np.array([1]))
    nodes = [node("Constant", "", "a", value=value), node("Identity", "a", "b"), node("Squeeze", "x b")]
    nodes[0].input.pop()
    assert reasons(model(*nodes)) == []
    assert reasons(model(*nodes[:2], node("Neg", "b", "c"), node("Squeeze", "x c"))) == [
        "takes axes as a constant only"
    ]


def test_inputs_of_a_type_that_it_does_not_have_are_named() -> None:
    assert reasons(model(node("Cast", to=1), kind=TensorProto.UINT8)) == ["takes no tensors of UINT8 in or out"]


def test_a_damaged_constant_stops_nothing() -> None:
    damaged = model(node("QuantizeLinear", "x c z"), c=np.array([1.0]), z=np.array([0], np.int8))
    damaged.graph.initializer[1].dims[0] = 7
    assert reasons(damaged) == []


def test_onnx_runtime_on_the_a57_loads_nothing_newer_than_it_was_made_for() -> None:
    def loads(opset: int, ir: int) -> list[str]:
        return words(read_by(model(node("Gelu"), opset=opset, ir=ir), "onnxruntime", "1.23.2"), "ONNX Runtime")

    assert loads(23, 11) == []
    assert "loads opset 23 at most, and this file has 24" in loads(24, 11)[0]
    assert "loads IR version 11 at most, and this file has 12" in loads(21, 12)[0]
    quantizer = model(node("QuantizeLinear", "x s z"), opset=23, ir=10, s=np.float32(1), z=np.int8(0))
    found = words(read_by(quantizer, "onnxruntime", "1.23.2"), "ONNX Runtime")
    assert found[0].startswith(
        "ONNX Runtime has QuantizeLinear up to opset 22, and this file has 23: export it with an"
    )
    quantizer.opset_import[0].version = 22
    assert read_by(quantizer, "onnxruntime", "1.23.2").unreadable == []


def test_no_older_opset_is_offered_to_a_file_with_operators_that_it_has_not() -> None:
    quantizer, constants = node("QuantizeLinear", "x s z"), {"s": np.float32(1), "z": np.int8(0)}
    attention, swish = node("Attention", "x x x"), node("Swish")  # since 23 and 24
    for nodes, opset, converted in (
        ([quantizer], 23, True),
        ([quantizer, attention], 23, False),
        ([attention], 24, True),
        ([swish], 24, False),
    ):
        of = model(*nodes, opset=opset, ir=10, **(constants if quantizer in nodes else {}))
        reading = read_by(of, "onnxruntime", "1.23.2")
        assert [item.converted for item in reading.unreadable or []] == [converted]
        assert ("edgeproof convert" in remedy(reading, load_target("tegra-parker-a57"))) is converted


def test_what_was_exported_in_training_mode_is_told_to_whatever_runtime() -> None:
    """PyTorch's exporter leaves a Dropout behind where model.eval() was forgotten, and OpenVINO says only its name."""
    dropout = node("Dropout", "x r t")
    batch = node("BatchNormalization", "x c c c c", training_mode=1)
    for network, name in (
        (model(dropout, opset=13, r=np.float32(0.1), t=np.array(True)), "Dropout my_Dropout"),
        (model(batch, opset=15, c=np.ones(3, np.float32)), "BatchNormalization my_BatchNormalization"),
    ):
        for runtime in (("openvino", "2026.4.1"), ("tensorrt", "8.2.1"), ("onnxruntime", "1.23.2")):
            [note] = read_by(network, *runtime).notes[:1]
            assert note == f"it is in training mode ({name}): call model.eval() before the export"
    idle = model(dropout, opset=13, r=np.float32(0.1), t=np.array(False))
    assert read_by(idle, "openvino", "2026.4.1").notes == []


def test_data_files_lie_beside_the_code_and_each_says_how_it_judges() -> None:
    files = list(Path(runtimes.__file__).parent.glob("*.yaml"))
    assert {path.stem for path in files} == {"tensorrt-8.2", "onnxruntime-1.23", "openvino-2026.4"}
