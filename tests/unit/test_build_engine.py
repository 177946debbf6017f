"""The engine builder for the Jetson, against a strict stand-in of TensorRT 8.2's Python API.

The stand-in knows only what TensorRT 8.2 documents and refuses any other attribute, so that a call which JetPack 4.6
does not have fails here too.
"""

import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.system import files
from runners.contract import engine_recipe
from runners.contract.engine_recipe import Recipe
from runners.edge.backends import build_engine


class Strict:
    """An object with only the attributes that its class names in `allowed`."""

    allowed: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.allowed:
            raise AttributeError(f"TensorRT 8.2's {type(self).__name__} has no {name}")
        object.__setattr__(self, name, value)


class Logger(Strict):
    WARNING = 2

    def __init__(self, severity: int) -> None:
        assert severity == Logger.WARNING


class Profile(Strict):
    def set_shape(self, name: str, least: Any, best: Any, most: Any) -> None:
        shapes[name] = (least, best, most)


class Config(Strict):
    allowed = ("max_workspace_size",)

    def set_flag(self, flag: str) -> None:
        flags.append(flag)

    def add_optimization_profile(self, profile: Profile) -> int:
        assert isinstance(profile, Profile)
        return 0


class Input(Strict):
    name = "input"


@dataclass
class Output(Strict):
    dtype: str
    allowed = ("dtype",)


class Layer(Strict):
    allowed = ("name", "dtypes", "precision", "set_types")

    def __init__(self, name: str, *dtypes: str) -> None:
        self.name, self.dtypes, self.precision = name, dtypes, "any"
        self.set_types: dict[int, str] = {}

    @property
    def num_outputs(self) -> int:
        return len(self.dtypes)

    def get_output(self, index: int) -> Output:
        return Output(self.dtypes[index])

    def set_output_type(self, index: int, dtype: str) -> None:
        assert 0 <= index < self.num_outputs
        self.set_types[index] = dtype


class Network(Strict):
    @property
    def num_layers(self) -> int:
        return len(layers)

    def get_layer(self, index: int) -> Layer:
        return layers[index]

    def get_input(self, index: int) -> Input:
        assert index == 0
        return Input()


class Builder(Strict):
    platform_has_fast_fp16 = True

    def __init__(self, logger: Logger) -> None:
        assert isinstance(logger, Logger)

    def create_network(self, flags: int) -> Network:
        assert flags == 1, "TensorRT 8.2 parses ONNX only with an explicit batch"
        return Network()

    def create_builder_config(self) -> Config:
        return Config()

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
        assert config.max_workspace_size == 1 << 30
        return engine


class OnnxParser(Strict):
    def __init__(self, network: Network, logger: Logger) -> None:
        self_errors.clear()

    def parse(self, content: bytes) -> bool:
        if content != b"onnx":
            self_errors.append("Failed to parse ONNX model")
        return not self_errors

    @property
    def num_errors(self) -> int:
        return len(self_errors)

    def get_error(self, index: int) -> str:
        return self_errors[index]


layers: list[Layer] = []
shapes: dict[str, Any] = {}
flags: list[str] = []
self_errors: list[str] = []
engine: bytes | None = b"engine"


@pytest.fixture(autouse=True)
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("tensorrt")
    for part in (Logger, Builder, OnnxParser):
        setattr(module, part.__name__, part)
    module.NetworkDefinitionCreationFlag = types.SimpleNamespace(EXPLICIT_BATCH=0)  # type: ignore[attr-defined]
    module.BuilderFlag = types.SimpleNamespace(FP16="FP16", OBEY_PRECISION_CONSTRAINTS="OBEY")  # type: ignore[attr-defined]
    module.float32, module.float16, module.int32 = "float32", "float16", "int32"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr(sys.modules[__name__], "engine", b"engine")
    shapes.clear()
    flags.clear()
    layers[:] = [
        Layer("stem", "float16"),
        Layer("fc", "float32"),
        Layer("fc_3", "float32", "float32"),  # another layer that the parser makes of `fc`
        Layer("fc_4", "int32"),
        Layer("fc_bias", "float16"),
    ]


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"onnx")
    return path


def test_an_engine_for_one_to_four_regions(onnx: Path, tmp_path: Path) -> None:
    build_engine.build(str(onnx), str(tmp_path / "model.engine"), Recipe(224, True, []))
    assert (tmp_path / "model.engine").read_bytes() == b"engine"
    assert shapes == {"input": ((1, 3, 224, 224), (4, 3, 224, 224), (4, 3, 224, 224))}
    assert flags == ["FP16"]


def held() -> dict[str, dict[int, str]]:
    """The layers held to FP32, with the types of their outputs."""
    assert {layer.precision for layer in layers} <= {"any", "float32"}
    return {layer.name: layer.set_types for layer in layers if layer.precision == "float32" or layer.set_types}


def test_layers_that_overflow_are_held_to_fp32_and_no_others(onnx: Path, tmp_path: Path) -> None:
    build_engine.build(str(onnx), str(tmp_path / "model.engine"), Recipe(224, True, ["fc"]))
    assert flags == ["FP16", "OBEY"]
    assert held() == {"fc": {0: "float32"}, "fc_3": {0: "float32", 1: "float32"}}


def test_a_layer_to_hold_that_is_not_there_stops_the_build(onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no layer of the network has the name conv"):
        build_engine.build(str(onnx), str(tmp_path / "model.engine"), Recipe(224, True, ["conv", "fc"]))
    assert list(tmp_path.iterdir()) == [onnx]


def test_the_recipe_of_an_export_is_what_the_program_takes(
    onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = engine_recipe.as_json(Recipe(32, True, ["stem"]))
    files.write_json(tmp_path / "recipe.json", recipe)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", recipe["python"].split()[2:])
    build_engine.main()
    assert (tmp_path / "model.engine").read_bytes() == b"engine"
    assert shapes["input"][0] == (1, 3, 32, 32)
    assert held() == {"stem": {0: "float32"}}
    assert recipe["python"].split()[2] == build_engine.__name__
    assert "trtexec" not in recipe


@pytest.mark.parametrize(
    "content",
    [
        None, "{", "[]", "{}", '{"fp32_layers": 3}', '{"size": 224, "half": 1, "fp32_layers": []}',
        '{"size": "224", "half": true, "fp32_layers": []}', '{"size": 224, "half": true, "fp32_layers": [1]}',
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_read_is_one_line(
    tmp_path: Path, content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recipe.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(sys, "argv", ["build_engine.py", str(path), "model.engine"])
    with pytest.raises(SystemExit, match=r"recipe\.json: no recipe for an engine") as stopped:
        build_engine.main()
    assert "\n" not in str(stopped.value.code)


def test_a_recipe_is_read_as_it_was_written_and_the_onnx_file_lies_beside_it(
    onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for recipe in (Recipe(32, True, ["stem"]), Recipe(224, False, [])):
        files.write_json(tmp_path / "recipe.json", engine_recipe.as_json(recipe))
        assert engine_recipe.read(str(tmp_path / "recipe.json")) == recipe
    monkeypatch.setattr(sys, "argv", ["build_engine.py", str(tmp_path / "recipe.json"), str(tmp_path / "new.engine")])
    build_engine.main()
    assert (tmp_path / "new.engine").read_bytes() == b"engine"
    assert flags == []


def test_the_ways_are_equal_where_no_layer_is_held() -> None:
    recipe = engine_recipe.as_json(Recipe(32, True, []))
    assert recipe["fp32_layers"] == []
    assert "--fp16" in recipe["trtexec"]
    assert "--optShapes=input:4x3x32x32" in recipe["trtexec"]
    assert "--fp16" not in engine_recipe.as_json(Recipe(32, False, []))["trtexec"]


def test_fp32_sets_no_flag(onnx: Path, tmp_path: Path) -> None:
    build_engine.build(str(onnx), str(tmp_path / "model.engine"), Recipe(224, False, []))
    assert flags == []


def test_fp16_is_refused_where_it_is_not_fast(onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Builder, "platform_has_fast_fp16", False)
    with pytest.raises(SystemExit, match="no fast FP16"):
        build_engine.build(str(onnx), str(tmp_path / "model.engine"), Recipe(224, True, []))


@pytest.mark.parametrize("kind", ["damaged", "unbuildable"])
def test_a_failure_leaves_no_engine(onnx: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "damaged":
        onnx.write_bytes(b"on")
    else:
        monkeypatch.setattr(sys.modules[__name__], "engine", None)
    with pytest.raises(SystemExit, match=r"model\.onnx"):
        build_engine.build(str(onnx), str(tmp_path / "model.engine"), Recipe(224, False, []))
    assert list(tmp_path.iterdir()) == [onnx]
