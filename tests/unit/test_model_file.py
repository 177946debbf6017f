"""Opening model files: what they say of themselves, and that damage never goes further than one line."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pipeline.formats.model_file import open_model
from pipeline.formats.readers.onnx import graph as graph_of
from pipeline.predict.layers import layers_of
from pipeline.system.errors import BadModel, InputError
from pipeline.system.files import sha256, write_json
from runners.contract import model_input
from runners.contract.model_input import ModelInput
from tests.damage import damaged
from tests.graphs import Arrays

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.standard_normal((8, 3, 3, 3)).astype(np.float32)
HEAD = RANDOM.standard_normal((8, 4)).astype(np.float32)


def graph(
    shape: tuple[Any, ...] | None = ("N", 3, 16, 16),
    type_: int = TensorProto.FLOAT,
    output: tuple[Any, ...] = ("N", 4),
    weights: np.ndarray[Any, Any] = WEIGHTS,
) -> onnx.ModelProto:
    """A small network; the checker does not mind whether `shape` fits its nodes."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "h"], ["y"]),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", type_, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
            [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(HEAD, "h")],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
    )
    model.ir_version = 8
    return model


def save_external(path: Path) -> None:
    onnx.save(graph(), path, save_as_external_data=True, location="model.data", size_threshold=0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(graph(), path)
    return path


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network as every tool writes it: torch, NNCF, ONNX Runtime, OpenVINO and the pipeline's FP16 step."""
    import nncf
    import openvino
    import torch
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    from pipeline.arithmetic import kinds
    from pipeline.compress.half_precision import to_half_precision

    folder = tmp_path_factory.mktemp("models")
    onnx.save(graph(), folder / "fp32.onnx")
    inputs = [RANDOM.standard_normal((1, 3, 16, 16)).astype(np.float32) for _ in range(2)]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(inputs)

        def get_next(self) -> dict[str, Any] | None:
            value = next(self.left, None)
            return None if value is None else {"x": value}

    quantize_static(folder / "fp32.onnx", folder / "ort.onnx", Reader())
    onnx.save(nncf.quantize(graph(), nncf.Dataset([{"x": value} for value in inputs])), folder / "nncf.onnx")
    boundaries = kinds.named("fp16-boundaries")
    onnx.save(to_half_precision(graph(), Arrays(np.concatenate(inputs)), [boundaries]), folder / "fp16.onnx")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 16), torch.nn.Flatten()).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            *(network, (torch.zeros(1, 3, 16, 16),), folder / "torch.onnx"),
            **{"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}},
        )
    model = openvino.convert_model(folder / "fp32.onnx")
    openvino.save_model(model, folder / "fp32.xml", compress_to_fp16=False)
    openvino.save_model(model, folder / "fp16.xml")
    openvino.save_model(nncf.quantize(model, nncf.Dataset(inputs)), folder / "int8.xml")
    return folder


class TestDescription:
    @pytest.mark.parametrize(
        ("name", "precision"),
        [
            *(("fp32.onnx", "fp32"), ("fp16.onnx", "fp16"), ("torch.onnx", "fp32")),
            *(("nncf.onnx", "int8"), ("ort.onnx", "int8")),
            *(("fp32.xml", "fp32"), ("fp16.xml", "fp16"), ("int8.xml", "int8")),
        ],
    )
    def test_what_the_tools_write(self, saved: Path, name: str, precision: str) -> None:
        model = open_model(saved / name)
        assert model.precision == precision
        assert model.format == ("onnx" if name.endswith(".onnx") else "openvino")
        assert (model.input_name, model.input_shape, model.batch) == ("x", (None, 3, 16, 16), None)
        assert (model.layout, model.sample_shape, len(model.outputs), model.classes) == ("nchw", (3, 16, 16), 1, 4)

    def test_hash_and_size_are_of_all_files(self, saved: Path, tmp_path: Path, file: Path) -> None:
        assert (open_model(file).sha256, open_model(file).size_bytes) == (sha256(file), file.stat().st_size)
        ir = open_model(saved / "fp32.xml")
        assert ir.size_bytes == sum((saved / f"fp32{suffix}").stat().st_size for suffix in (".xml", ".bin"))
        save_external(tmp_path / "external.onnx")
        before = open_model(tmp_path / "external.onnx")
        assert before.size_bytes > (tmp_path / "external.onnx").stat().st_size
        data = bytearray((tmp_path / "model.data").read_bytes())
        data[0] ^= 1
        (tmp_path / "model.data").write_bytes(data)
        assert open_model(tmp_path / "external.onnx").sha256 != before.sha256

    @pytest.mark.parametrize(
        ("shape", "options", "layout", "sample"),
        [
            ((1, 3, 20, 24), {}, "nchw", (3, 20, 24)),
            ((1, 20, 24, 3), {}, "nhwc", (20, 24, 3)),
            ((4, 1, 28, 28), {}, "nchw", (1, 28, 28)),
            ((1, 3, 8, 3), {}, "nchw", (3, 8, 3)),
            ((1, 12, 8, 8), {}, "nchw", (12, 8, 8)),
            ((1, 12, 8, 16), {"layout": "nhwc"}, "nhwc", (12, 8, 16)),
            (("N", 3, "H", "W"), {"size": (20, 24)}, "nchw", (3, 20, 24)),
            ((0, "H", -1, 3), {"size": (20, 24)}, "nhwc", (20, 24, 3)),
            ((1, 3, 20, 24), {"size": (20, 24)}, "nchw", (3, 20, 24)),
        ],
    )
    def test_layout_and_size(
        self, file: Path, shape: tuple[Any, ...], options: dict[str, Any], layout: str, sample: tuple[int, ...]
    ) -> None:
        onnx.save(graph(shape), file)
        model = open_model(file, **options)
        assert (model.layout, model.sample_shape) == (layout, sample)
        assert model.batch == (shape[0] or None if isinstance(shape[0], int) else None)

    @pytest.mark.parametrize(
        ("output", "classes"),
        [
            *(((1, 1000), 1000), ((1, 5, 1, 1), 5), ((1, 1, 1, 7), 7), (("N", 1), 1)),
            *((("N", "C"), None), (("N", 21, 8, 8), None), ((10,), None)),
        ],
    )
    def test_classes(self, file: Path, output: tuple[Any, ...], classes: int | None) -> None:
        onnx.save(graph(output=output), file)
        assert open_model(file).classes == classes

    def test_an_old_file_lists_its_weights_as_inputs(self, file: Path) -> None:
        model = graph()
        model.ir_version = 3
        model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, WEIGHTS.shape))
        model.graph.input.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, HEAD.shape))
        onnx.save(model, file)
        assert open_model(file).input_name == "x"

    def test_no_runtime_is_loaded(self, saved: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from pipeline.formats.model_file import open_model;"
            "[open_model(Path(name)) for name in sys.argv[1:]];"
            "assert not {'openvino', 'onnxruntime', 'torch'} & set(sys.modules)"
        )
        names = [str(saved / name) for name in ("int8.xml", "nncf.onnx")]
        subprocess.run([sys.executable, "-c", code, *names], check=True, cwd=Path(__file__).parents[2])


WANTED = ModelInput(16, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), ["cat", "dog", "bird", "none"], 1.5)


def wanted(**values: Any) -> str:
    """An input.json with some values changed."""
    return json.dumps({**model_input.as_json(WANTED), **values})


class TestInputBeside:
    """input.json, by which a model that this project exported says how it wants its images."""

    def test_what_was_exported_is_read(self, file: Path) -> None:
        write_json(file.parent / "input.json", model_input.as_json(WANTED))
        assert open_model(file).wanted == WANTED

    def test_an_ir_has_it_too(self, saved: Path, tmp_path: Path) -> None:
        for suffix in (".xml", ".bin"):
            (tmp_path / f"model{suffix}").write_bytes((saved / f"fp32{suffix}").read_bytes())
        write_json(tmp_path / "input.json", model_input.as_json(WANTED))
        assert open_model(tmp_path / "model.xml").wanted == WANTED

    def test_one_that_was_written_before_there_were_temperatures(self, file: Path) -> None:
        content = model_input.as_json(WANTED)
        del content["temperature"]
        write_json(file.parent / "input.json", content)
        assert open_model(file).wanted == WANTED._replace(temperature=1.0)

    def test_anybody_elses_model_says_nothing(self, file: Path) -> None:
        assert open_model(file).wanted is None
        (file.parent / "input.json").mkdir()
        assert open_model(file).wanted is None

    def test_it_is_no_part_of_the_model(self, file: Path) -> None:
        before = open_model(file)
        (file.parent / "input.json").write_text(wanted())
        assert replace(open_model(file), wanted=None) == before

    @pytest.mark.parametrize(
        "content",
        [
            *(b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe", b"[" * 100_000, b" " * (2 << 20)),
            *(wanted(size=size) for size in (0, -1, 16.0, "16", True, None)),
            *(wanted(mean=mean) for mean in (None, 0.5, "abc", [0.5], [0.5] * 4, ["0", "0", "0"], [True] * 3)),
            *(wanted(mean=[0, 0, value]) for value in (float("nan"), float("inf"), 10**400)),
            *(wanted(std=[1, 1, value]) for value in (0, -0.1, float("nan"), float("inf"), None)),
            *(wanted(temperature=value) for value in (0, -1, float("nan"), float("inf"), "1", None, True)),
            *(wanted(classes=classes) for classes in (None, "cat", {"cat": 1}, [1, 2], ["cat", None])),
        ],
        ids=lambda content: str(content)[:60],
    )
    def test_a_damaged_one_is_one_line(self, file: Path, content: bytes | str) -> None:
        (file.parent / "input.json").write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(
            BadModel, match=r"input\.json: does not say how .* export it again, or take that file"
        ) as found:
            open_model(file)
        assert "\n" not in str(found.value)

    @settings(max_examples=200)
    @given(content=damaged(wanted().encode()))
    def test_no_damage_goes_further_than_one_line(
        self, tmp_path_factory: pytest.TempPathFactory, content: bytes
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "input.json"
        path.write_bytes(content)
        with suppress(ValueError):
            found = model_input.read(str(path))
            assert found.size > 0
            assert len(found.mean) == len(found.std) == 3
            assert min(*found.std, found.temperature) > 0


class TestInput:
    @pytest.mark.parametrize(
        ("shape", "type_", "options", "words"),
        [
            (
                (1, 3, 16, 16),
                TensorProto.INT64,
                {},
                "its input 'x' is int64; export it with one of float32, or of uint8",
            ),
            ((1, 3, 16, 16), TensorProto.BFLOAT16, {}, "bfloat16"),
            ((1, 3), TensorProto.FLOAT, {}, r"the shape \(1, 3\); images need four dimensions"),
            ((1, 3, 8, 16, 16), TensorProto.FLOAT, {}, "four dimensions"),
            (None, TensorProto.FLOAT, {}, "has no shape; images need four dimensions"),
            (("N", 3, "H", "W"), TensorProto.FLOAT, {}, r"\(\?, 3, \?, \?\) takes any height and width; .* --size"),
            ((1, 3, "H", 16), TensorProto.FLOAT, {"size": (8, 8)}, "does not take --size 8x8"),
            (("N", "C", "H", "W"), TensorProto.FLOAT, {"size": (8, 8)}, "leaves the channels open"),
            ((1, 3, 10**6, 10**6), TensorProto.FLOAT, {}, "not one of images"),
            ((10**9, 3, 16, 16), TensorProto.FLOAT, {}, "not one of images"),
            ((1, 3, "H", "W"), TensorProto.FLOAT, {"size": (0, 8)}, "not one of images"),
        ],
    )
    def test_inputs_that_cannot_be_fed(
        self, file: Path, shape: tuple[Any, ...], type_: int, options: dict[str, Any], words: str
    ) -> None:
        onnx.save(graph(shape, type_), file)
        with pytest.raises(InputError, match=words):
            open_model(file, **options)

    def test_more_than_one_input(self, file: Path) -> None:
        model = graph()
        model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, (1, 4)))
        onnx.save(model, file)
        with pytest.raises(InputError, match="2 inputs 'x' 'mask'; it must have one"):
            open_model(file)


class TestWhatOnlyOnnxMinds:
    def changed(self, *, shapes: bool, order: bool) -> onnx.ModelProto:
        model = graph()
        if not shapes:
            model.graph.output[0].type.tensor_type.ClearField("shape")
        if not order:
            nodes = list(model.graph.node)[::-1]
            del model.graph.node[:]
            model.graph.node.extend(nodes)
        return model

    @pytest.mark.parametrize("beside", [False, True])
    @pytest.mark.parametrize("wanting", [{"shapes": False, "order": True}, {"shapes": True, "order": False}])
    def test_outputs_without_a_shape_and_nodes_in_any_order(
        self, file: Path, wanting: dict[str, bool], beside: bool
    ) -> None:
        layers = layers_of(graph_of(file))
        options = {"save_as_external_data": True, "location": "net.data", "size_threshold": 0} if beside else {}
        onnx.save(self.changed(**wanting), file, **options)
        [output] = open_model(file).outputs
        assert (output.name, output.shape) == ("y", (None, 4))
        assert layers_of(graph_of(file)) == layers

    def test_the_rest_is_checked_all_the_same(self, file: Path) -> None:
        model = self.changed(shapes=False, order=False)
        model.graph.node[0].op_type = "Cnov"
        onnx.save(model, file)
        with pytest.raises(InputError, match="No Op registered for Cnov"):
            open_model(file)

    def test_a_circle(self, file: Path) -> None:
        model = graph()
        model.graph.node[0].input[0] = "f"
        onnx.save(model, file)
        with pytest.raises(InputError, match="not a valid ONNX model"):
            open_model(file)


class TestDamagedOnnx:
    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda path: path.unlink(), "no such file"),
            (lambda path: path.write_bytes(b""), "is empty"),
            (lambda path: path.write_bytes(path.read_bytes()[:-40]), "not a valid ONNX model"),
            (
                lambda path: path.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(range(256))),
                "not a valid ONNX model",
            ),
            (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(64)), "not a valid ONNX model"),
            (lambda path: os.truncate(path, 3 << 30), "over 2 GiB"),
            (lambda path: path.unlink() or path.mkdir(), "is a folder"),
        ],
    )
    def test_files_that_are_no_models(self, file: Path, damage: Callable[[Path], object], words: str) -> None:
        damage(file)
        with pytest.raises(InputError, match=words):
            open_model(file)

    @pytest.mark.parametrize("name", ["model.pt", "model.tflite", "photo.jpg", "model.bin", "model"])
    def test_formats_that_are_not_taken(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"PK\x03\x04")
        with pytest.raises(InputError, match="export it to ONNX"):
            open_model(tmp_path / name)

    @pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_weights_that_are_no_numbers(self, file: Path, value: float, dtype: Any) -> None:
        weights = WEIGHTS.astype(dtype)
        weights[0, 0, 0, 0] = value
        onnx.save(graph(weights=weights), file)
        with pytest.raises(InputError, match="the weights 'w' hold NaN or infinity"):
            open_model(file)

    def test_weights_in_nodes_are_looked_at(self, file: Path) -> None:
        model = graph()
        tensor = numpy_helper.from_array(np.array([1, np.nan], np.float32), "t")
        model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))
        onnx.save(model, file)
        with pytest.raises(InputError, match="'t' hold NaN"):
            open_model(file)

    @pytest.mark.parametrize("beside", [False, True])
    def test_weights_that_nobody_reads_may_be_anything(self, file: Path, beside: bool) -> None:
        model = graph()
        model.graph.initializer.append(numpy_helper.from_array(np.full(9, np.nan, np.float32), "left over"))
        onnx.save(model, file, save_as_external_data=beside, location="weights", size_threshold=0)
        assert open_model(file).precision == "fp32"
        model.graph.node.append(helper.make_node("Relu", ["left over"], ["read"]))
        onnx.save(model, file)
        with pytest.raises(InputError, match="'left over' hold NaN"):
            open_model(file)

    def test_a_mask_may_be_infinite_beside_zeros(self, file: Path) -> None:
        model = graph()
        model.graph.node.append(helper.make_node("Relu", ["mask"], ["read"]))
        model.graph.initializer.append(
            numpy_helper.from_array(np.triu(np.full((3, 3), -np.inf, np.float32), 1), "mask")
        )
        onnx.save(model, file)
        assert open_model(file).precision == "fp32"

    def test_a_clamp_may_have_an_infinite_bound(self, file: Path) -> None:
        model = graph()
        model.graph.node.append(helper.make_node("Relu", ["most"], ["read"]))
        model.graph.initializer.append(numpy_helper.from_array(np.array(np.inf, np.float32), "most"))
        onnx.save(model, file)
        assert open_model(file).precision == "fp32"

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda folder: (folder / "model.data").unlink(), "model.data, which is missing; put it there"),
            (lambda folder: os.truncate(folder / "model.data", 900), "model.data: does not hold the weights 'h'"),
            (lambda folder: os.truncate(folder / "model.data", 0), "does not hold the weights 'w'"),
            (
                lambda folder: (folder / "model.data").write_bytes(np.full(1000, np.nan, np.float32).tobytes()),
                "the weights 'w' hold NaN",
            ),
        ],
    )
    def test_external_weights(self, tmp_path: Path, change: Callable[[Path], object], words: str) -> None:
        save_external(tmp_path / "model.onnx")
        assert open_model(tmp_path / "model.onnx").precision == "fp32"
        change(tmp_path)
        with pytest.raises(InputError, match=words):
            open_model(tmp_path / "model.onnx")

    @pytest.mark.parametrize(
        ("entries", "words"),
        [
            ({"location": "../secret"}, "outside its folder"),
            ({"location": "sub/../../secret"}, "outside its folder"),
            ({"location": "/etc/passwd"}, "outside its folder"),
            ({"location": "a\nb"}, "outside its folder"),
            ({"location": ""}, "which is missing"),
            ({"location": "link"}, "symbolic link"),
            ({"location": "model.data", "offset": "-4"}, "does not hold"),
            ({"location": "model.data", "offset": "many"}, "not a valid ONNX model"),
            ({"location": "model.data", "length": str(2 << 30)}, "does not hold"),
            ({"location": "model.data", "length": "8"}, "not as long as their shape"),
        ],
    )
    def test_external_weights_stay_in_the_folder_and_in_the_file(
        self, tmp_path: Path, entries: dict[str, str], words: str
    ) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        (tmp_path / "secret").write_bytes(bytes(4096))
        (folder / "link").symlink_to(tmp_path / "secret")
        save_external(folder / "model.onnx")
        model = onnx.load(folder / "model.onnx", load_external_data=False)
        tensor = model.graph.initializer[0]
        del tensor.external_data[:]
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(InputError, match=words):
            open_model(folder / "model.onnx")

    def test_weights_that_overlap_would_be_read_without_end(self, tmp_path: Path) -> None:
        save_external(tmp_path / "model.onnx")
        model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
        for offset in range(64):
            tensor = model.graph.initializer.add(name=f"t{offset}", data_type=TensorProto.FLOAT, dims=[100])
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="model.data")
            tensor.external_data.add(key="offset", value=str(offset))
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(InputError, match="overlap"):
            open_model(tmp_path / "model.onnx")

    def test_a_shape_larger_than_its_values_takes_no_memory(self, file: Path) -> None:
        model = graph()
        model.graph.initializer[0].dims[0] = 10**12
        onnx.save(model, file)
        with pytest.raises(InputError, match="not a valid ONNX model"):
            open_model(file)


class TestDamagedIr:
    @pytest.fixture
    def ir(self, saved: Path, tmp_path: Path) -> Path:
        for suffix in (".xml", ".bin"):
            (tmp_path / f"model{suffix}").write_bytes((saved / f"fp32{suffix}").read_bytes())
        return tmp_path / "model.xml"

    @pytest.mark.parametrize(
        ("size", "words"),
        [
            (None, r"model\.bin, which is missing; put it there"),
            (0, r"model\.bin: does not hold the weights"),
            (900, r"model\.bin: does not hold the weights"),
        ],
    )
    def test_the_bin_is_missing_or_too_short(self, ir: Path, size: int | None, words: str) -> None:
        if size is None:
            ir.with_suffix(".bin").unlink()
        else:
            os.truncate(ir.with_suffix(".bin"), size)
        with pytest.raises(InputError, match=words):
            open_model(ir)

    def test_weights_that_are_no_numbers(self, ir: Path) -> None:
        data = np.fromfile(ir.with_suffix(".bin"), np.float32)
        data[5] = np.nan
        data.tofile(ir.with_suffix(".bin"))
        with pytest.raises(InputError, match="hold NaN or infinity"):
            open_model(ir)

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("</net>", "", "not an OpenVINO IR"),
            ("<net ", "<html ", "not an OpenVINO IR"),
            ('version="11"', 'version="7"', "convert the model anew"),
            ('version="11"', f'version="{"9" * 5000}"', "convert the model anew"),
            ('<?xml version="1.0"?>', '<!DOCTYPE a [<!ENTITY b "bb">]>', "DOCTYPE or entities"),
            ('size="864"', 'size="863"', "not as long as their shape"),
            ('size="864"', 'size="-864"', "does not hold"),
            ('offset="0"', 'offset="9000000000000"', "does not hold the weights 'w'"),
            ('offset="0"', 'offset="zero"', "not a valid OpenVINO IR"),
            ('offset="0"', "", "the layer 'w' has no offset"),
            ('type="Result"', 'type="Other"', "no outputs"),
            ('type="Parameter"', 'type="Other"', "0 inputs"),
            ('type="ReLU"', 'type="Parameter"', "has no element_type"),
            ('shape="?,3,16,16"', 'shape="..."', "has no shape"),
            ('shape="?,3,16,16"', 'shape="1,3,16"', "four dimensions"),
            ('shape="?,3,16,16"', 'shape="0,3,16,16"', "is empty"),
            ('shape="?,3,16,16"', 'shape="1..8,3,?,?"', "--size"),
            ('shape="?,3,16,16" element_type="f32"', 'shape="?,3,16,16" element_type="i8"', "is i8"),
        ],
    )
    def test_damaged_xml(self, ir: Path, old: str, new: str, words: str) -> None:
        text = ir.read_text()
        assert old in text
        ir.write_text(text.replace(old, new, 1))
        with pytest.raises(InputError, match=words):
            open_model(ir)

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-7"])
    def test_entities_do_not_hide_in_another_encoding(self, ir: Path, encoding: str) -> None:
        text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE n [<!ENTITY b "b">]><net version="11">&b;</net>'
        ir.write_bytes(text.encode(encoding))
        with pytest.raises(InputError, match=r"not an OpenVINO IR|DOCTYPE"):
            open_model(ir)

    @pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\xff\xd8\xff\xe0", b"<net", b"text"])
    def test_files_that_are_no_xml(self, ir: Path, content: bytes) -> None:
        ir.write_bytes(content)
        with pytest.raises(InputError, match=r"no OpenVINO IR|not an OpenVINO IR"):
            open_model(ir)

    def test_a_file_too_large_to_be_one(self, ir: Path) -> None:
        os.truncate(ir, 1 << 30)
        with pytest.raises(InputError, match="over 16 MiB"):
            open_model(ir)

    def test_half_precision_inputs_are_fed_as_openvino_does(self, ir: Path) -> None:
        ir.write_text(
            ir.read_text().replace('shape="?,3,16,16" element_type="f32"', 'shape="?,3,16,16" element_type="f16"')
        )
        assert open_model(ir).sample_shape == (3, 16, 16)


@settings(max_examples=250)
@given(data=st.data())
def test_no_damage_goes_further_than_one_line(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    if not (folder / "external.onnx").exists():
        save_external(folder / "external.onnx")
    kind = data.draw(st.sampled_from(["onnx", "xml", "bin"]))
    if kind == "onnx":
        originals = [saved / "fp32.onnx", saved / "nncf.onnx", folder / "external.onnx"]
        (folder / "model.onnx").write_bytes(data.draw(damaged(*(path.read_bytes() for path in originals))))
    else:
        name = data.draw(st.sampled_from(["fp32", "fp16", "int8"]))
        parts = {suffix: (saved / f"{name}.{suffix}").read_bytes() for suffix in ("xml", "bin")}
        parts[kind] = data.draw(damaged(parts[kind]))
        for suffix, content in parts.items():
            (folder / f"model.{suffix}").write_bytes(content)
    with suppress(InputError):
        open_model(folder / ("model.onnx" if kind == "onnx" else "model.xml"))
