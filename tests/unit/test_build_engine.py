"""The engine builder for the Jetson, against a strict stand-in of TensorRT 8.2's Python API.

The stand-in knows only what TensorRT 8.2 documents and refuses any other attribute, so that a call which JetPack 4.6
does not have fails here too.
"""

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from runners.jetson import build_engine


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


class Network(Strict):
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
    module.BuilderFlag = types.SimpleNamespace(FP16="FP16")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr(sys.modules[__name__], "engine", b"engine")
    shapes.clear()
    flags.clear()


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"onnx")
    return path


def test_an_engine_for_one_to_four_regions(onnx: Path, tmp_path: Path) -> None:
    build_engine.build(str(onnx), str(tmp_path / "model.engine"), 224, True)
    assert (tmp_path / "model.engine").read_bytes() == b"engine"
    assert shapes == {"input": ((1, 3, 224, 224), (4, 3, 224, 224), (4, 3, 224, 224))}
    assert flags == ["FP16"]


def test_fp32_sets_no_flag(onnx: Path, tmp_path: Path) -> None:
    build_engine.build(str(onnx), str(tmp_path / "model.engine"), 224, False)
    assert flags == []


def test_fp16_is_refused_where_it_is_not_fast(onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Builder, "platform_has_fast_fp16", False)
    with pytest.raises(SystemExit, match="no fast FP16"):
        build_engine.build(str(onnx), str(tmp_path / "model.engine"), 224, True)


@pytest.mark.parametrize("kind", ["damaged", "unbuildable"])
def test_a_failure_leaves_no_engine(onnx: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "damaged":
        onnx.write_bytes(b"on")
    else:
        monkeypatch.setattr(sys.modules[__name__], "engine", None)
    with pytest.raises(SystemExit, match=r"model\.onnx"):
        build_engine.build(str(onnx), str(tmp_path / "model.engine"), 224, False)
    assert list(tmp_path.iterdir()) == [onnx]
