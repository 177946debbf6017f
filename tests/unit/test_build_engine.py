"""The engine builder for the Jetson, against a strict stand-in of TensorRT 8.2's Python API."""

import sys
from pathlib import Path

import pytest

from pipeline.system import files
from runners.contract import engine_recipe
from runners.contract.engine_recipe import Recipe
from runners.edge.backends import build_engine
from tests.jetson import tensorrt as standin


@pytest.fixture(autouse=True)
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", standin)


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(standin.model())
    return path


def flags() -> list[str]:
    found: list[str] = standin.seen["flags"]
    return found


def built(path: Path) -> bool:
    """Whether this is a whole engine."""
    runtime = standin.Runtime(standin.Logger(standin.Logger.WARNING))
    return runtime.deserialize_cuda_engine(path.read_bytes()) is not None


def test_an_engine_for_one_to_four_regions(onnx: Path, tmp_path: Path) -> None:
    build_engine.build(str(onnx), str(tmp_path / "model.engine"), Recipe(224, True, []))
    assert built(tmp_path / "model.engine")
    assert standin.seen["shapes"] == {"input": ((1, 3, 224, 224), (4, 3, 224, 224), (4, 3, 224, 224))}
    assert flags() == ["FP16"]


def held() -> dict[str, dict[int, str]]:
    """The layers held to FP32, with the types of their outputs."""
    layers = standin.seen["layers"]
    assert {layer.precision for layer in layers} <= {"any", "float32"}
    return {layer.name: layer.set_types for layer in layers if layer.precision == "float32" or layer.set_types}


def test_layers_that_overflow_are_held_to_fp32_and_no_others(onnx: Path, tmp_path: Path) -> None:
    build_engine.build(str(onnx), str(tmp_path / "model.engine"), Recipe(224, True, ["fc"]))
    assert flags() == ["FP16", "OBEY"]
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
    assert built(tmp_path / "model.engine")
    assert standin.seen["shapes"]["input"][0] == (1, 3, 32, 32)
    assert held() == {"stem": {0: "float32"}}
    assert recipe["python"].split()[2] == build_engine.__name__
    assert "trtexec" not in recipe


@pytest.mark.parametrize(
    "content",
    [
        None, "{", "[]", "[" * 100_000, "{}", '{"fp32_layers": 3}', '{"size": 224, "half": 1, "fp32_layers": []}',
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
    assert built(tmp_path / "new.engine")
    assert flags() == []


def test_the_ways_are_equal_where_no_layer_is_held() -> None:
    recipe = engine_recipe.as_json(Recipe(32, True, []))
    assert recipe["fp32_layers"] == []
    assert "--fp16" in recipe["trtexec"]
    assert "--optShapes=input:4x3x32x32" in recipe["trtexec"]
    assert "--fp16" not in engine_recipe.as_json(Recipe(32, False, []))["trtexec"]


def test_fp32_sets_no_flag(onnx: Path, tmp_path: Path) -> None:
    build_engine.build(str(onnx), str(tmp_path / "model.engine"), Recipe(224, False, []))
    assert flags() == []


def test_fp16_is_refused_where_it_is_not_fast(onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENSORRT_STANDIN", '{"fast_fp16": false}')
    with pytest.raises(SystemExit, match="no fast FP16"):
        build_engine.build(str(onnx), str(tmp_path / "model.engine"), Recipe(224, True, []))


@pytest.mark.parametrize("kind", ["damaged", "unbuildable"])
def test_a_failure_leaves_no_engine(onnx: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "damaged":
        onnx.write_bytes(b"on")
    else:
        monkeypatch.setenv("TENSORRT_STANDIN", '{"build": "refuse"}')
    with pytest.raises(SystemExit, match=r"model\.onnx"):
        build_engine.build(str(onnx), str(tmp_path / "model.engine"), Recipe(224, False, []))
    assert list(tmp_path.iterdir()) == [onnx]
