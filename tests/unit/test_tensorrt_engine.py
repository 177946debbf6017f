"""TensorRT on a Jetson TX2: its engine is built once, kept, loaded, and run, against strict stand-ins.

The stand-ins (tests/jetson) are of TensorRT 8.2's Python package and of CUDA's runtime, a C library. Their engine is a
matrix product on the "device", so that a copy of the wrong bytes, in the wrong direction or at the wrong time shows.
"""

import ctypes
import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.system import files
from runners.contract import engine_recipe, model_input
from runners.contract.engine_recipe import Recipe
from runners.contract.model_input import ModelInput
from runners.edge.backends import build_engine, cuda_memory, engine_cache, engine_key, open_backend
from runners.edge.backends.unusable import Unusable
from tests.jetson import tensorrt as standin

JETSON = Path(standin.__file__).parent
SIZE, VALUES = 8, 3
HALF = Recipe(SIZE, True, [])
COMPATIBLE = b"nvidia,p2597-0000+p3310-1000\0nvidia,tegra186\0"
RELEASE = "# R32 (release), REVISION: {}, GCID: 38171779, BOARD: t186ref, EABI: aarch64\nmore\n"


@pytest.fixture(scope="module")
def cudart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("cudart") / "libcudart.so.10.2"
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", library, JETSON / "cudart.c"], check=True)
    return library


@pytest.fixture(autouse=True)
def gpu(cudart: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ctypes.CDLL]:
    """The GPU, which at the end of each test has nothing left and was never used wrongly."""
    monkeypatch.setattr(cuda_memory, "LIBRARY", str(cudart))
    monkeypatch.setenv("CUDART_STANDIN", str(cudart))
    monkeypatch.setenv("PYTHONPATH", str(JETSON))
    monkeypatch.setitem(sys.modules, "tensorrt", standin)
    library = ctypes.CDLL(str(cudart))
    library.standin_reset()
    yield library
    assert (library.standin_live(), library.standin_faults()) == (0, 0)


@pytest.fixture(autouse=True)
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Jetson TX2's files."""
    (tmp_path / "compatible").write_bytes(COMPATIBLE)
    (tmp_path / "release").write_text(RELEASE.format("7.6"))
    monkeypatch.setattr(engine_key, "SOC", str(tmp_path / "compatible"))
    monkeypatch.setattr(engine_key, "JETPACK", str(tmp_path / "release"))
    monkeypatch.setenv("TENSORRT_STANDIN", json.dumps({"log": str(tmp_path / "log")}))
    return tmp_path


def exported(folder: Path, seed: int = 1, recipe: Recipe = HALF) -> Path:
    """An exported model."""
    folder.mkdir()
    (folder / engine_recipe.MODEL).write_bytes(standin.model(VALUES, seed))
    files.write_json(folder / engine_recipe.NAME, engine_recipe.as_json(recipe))
    wanted = ModelInput(SIZE, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0), ["a", "b", "c"])
    files.write_json(folder / model_input.NAME, model_input.as_json(wanted))
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build in this process, which takes no time, where the test is not about the process."""

    def run_builder(folder: str, built: str, lock: Any) -> None:
        source = Path(folder)
        recipe = engine_recipe.read(str(source / engine_recipe.NAME))
        build_engine.build(str(source / engine_recipe.MODEL), built, recipe)

    monkeypatch.setattr(engine_cache, "_run_builder", run_builder)


@pytest.fixture
def folder(board: Path) -> Path:
    return exported(board / "model")


def opened(folder: Path, **options: Any) -> Any:
    return open_backend(str(folder), cache=str(folder.parent / "cache"), **options)


def behave(monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    said = json.loads(os.environ["TENSORRT_STANDIN"])
    monkeypatch.setenv("TENSORRT_STANDIN", json.dumps({**said, **how}))


def builds(board: Path) -> int:
    log = board / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def refused(folder: Path, words: str, **options: Any) -> str:
    with pytest.raises(Unusable, match=words) as caught:
        opened(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def regions(count: int, seed: int = 0) -> np.ndarray:
    """Whole numbers, whose sums are exact in float32."""
    return np.random.default_rng(seed).integers(-9, 10, (count, 3, SIZE, SIZE)).astype(np.float32)


def expected(batch: np.ndarray, seed: int = 1) -> np.ndarray:
    flat = batch.reshape(len(batch), -1)
    found: np.ndarray = flat @ standin.weights(VALUES, flat.shape[1], seed).T
    return found


@pytest.mark.usefixtures("quick")
class TestRuns:
    @pytest.mark.parametrize("output_first", [False, True])
    def test_one_to_four_regions_in_any_order(
        self, folder: Path, output_first: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        behave(monkeypatch, output_first=output_first)
        backend = opened(folder)
        for seed, count in enumerate((4, 1, 3, 2, 4)):
            found = backend.infer(regions(count, seed))
            np.testing.assert_array_equal(found, expected(regions(count, seed)))
            assert (found.dtype, found.shape) == (np.float32, (count, VALUES))
        backend.close()

    def test_a_view_of_a_picture_is_copied_as_it_looks(self, folder: Path) -> None:
        pictures = np.ascontiguousarray(regions(2).transpose(0, 2, 3, 1))
        backend = opened(folder)
        np.testing.assert_array_equal(backend.infer(pictures.transpose(0, 3, 1, 2)), expected(regions(2)))
        backend.close()

    def test_answers_are_not_written_over_by_the_next(self, folder: Path) -> None:
        backend = opened(folder)
        first = backend.infer(regions(2, 1))
        backend.infer(regions(2, 2))
        np.testing.assert_array_equal(first, expected(regions(2, 1)))
        backend.close()

    @pytest.mark.parametrize(
        "batch",
        [regions(0), regions(5), regions(1)[:, :, :7], regions(1)[:, :2], regions(1).astype(np.float64), regions(1)[0]],
    )
    def test_what_is_no_batch_is_refused(self, folder: Path, batch: np.ndarray) -> None:
        backend = opened(folder)
        with pytest.raises(Unusable, match=r"wants 1 to 4 regions of 3 x 8 x 8 in float32, and got \("):
            backend.infer(batch)
        backend.close()

    def test_it_tells_what_computes_and_from_what_it_was_built(self, folder: Path) -> None:
        backend = opened(folder)
        facts = backend.facts()
        backend.close()
        assert facts["runtime"] == "TensorRT 8.2.1.9"
        assert facts["device"] == "NVIDIA Tegra X2 (compute capability 6.2)"
        assert (facts["precision"], facts["half_layers"], facts["layers"]) == ("f16", 2, 5)
        engine = facts["engine"]
        assert engine["soc"] == "nvidia,p2597-0000+p3310-1000 nvidia,tegra186"
        assert engine["jetpack"].startswith("# R32 (release), REVISION: 7.6")
        assert engine["model"] == files.sha256(folder / engine_recipe.MODEL)
        assert engine["recipe"] == {"size": SIZE, "half": True, "fp32_layers": []}

    def test_fp32_is_told_as_fp32(self, board: Path) -> None:
        backend = opened(exported(board / "fp32", recipe=Recipe(SIZE, False, [])))
        assert (backend.facts()["precision"], backend.facts()["half_layers"]) == ("f32", 0)
        backend.close()


@pytest.mark.usefixtures("quick")
class TestErrors:
    @pytest.mark.parametrize(
        ("call", "code", "words"),
        [
            ("cudaMalloc", 2, r"cudaMalloc failed: out of memory \(2\)"),
            ("cudaGetDevice", 100, "no CUDA-capable device is detected"),
            ("cudaStreamCreate", 2, "cudaStreamCreate failed: out of memory"),
        ],
    )
    def test_what_cuda_refuses_at_first_is_said_and_given_back(
        self, folder: Path, gpu: ctypes.CDLL, call: str, code: int, words: str
    ) -> None:
        gpu.standin_fail(call.encode(), code)
        refused(folder, words)

    def test_a_second_allocation_that_fails_gives_the_first_back(
        self, folder: Path, gpu: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        allocate = cuda_memory.Cuda.allocate

        def once(cuda: Any, size: int) -> int:
            address = allocate(cuda, size)
            gpu.standin_fail(b"cudaMalloc", 2)
            return address

        monkeypatch.setattr(cuda_memory.Cuda, "allocate", once)
        refused(folder, "out of memory")

    @pytest.mark.parametrize("call", ["cudaMemcpyAsync", "cudaStreamSynchronize"])
    def test_an_error_while_it_runs(self, folder: Path, gpu: ctypes.CDLL, call: str) -> None:
        backend = opened(folder)
        gpu.standin_fail(call.encode(), 700)
        with pytest.raises(Unusable, match=f"{call} failed: an illegal memory access was encountered"):
            backend.infer(regions(1))
        backend.close()

    def test_tensorrt_s_own_words(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        backend = opened(folder)
        behave(monkeypatch, run="refuse")
        with pytest.raises(Unusable, match=r"did not run the engine; .*Parameter check failed"):
            backend.infer(regions(1))
        backend.close()

    def test_fp16_that_is_not_there_is_no_fp16(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        behave(monkeypatch, uses_fp16=False)
        refused(folder, "asks for FP16, and no layer of the engine has it")

    def test_another_gpu(self, folder: Path, board: Path, gpu: ctypes.CDLL) -> None:
        gpu.standin_capability(7, 2)
        refused(folder, r"compute capability 7\.2\): the model was tested for 6\.2, a Jetson TX2")
        assert builds(board) == 0

    def test_another_tensorrt(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(standin, "__version__", "10.3.0")
        refused(folder, r"TensorRT 10\.3\.0 is here, and the model is for 8\.2\.x")

    def test_another_device(self, folder: Path) -> None:
        refused(folder, "on the GPU alone, not on CPU", device="CPU")

    def test_no_cuda(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cuda_memory, "LIBRARY", "libcudart.so.0.0")
        refused(folder, r"no libcudart\.so\.0\.0 here: install JetPack 4\.6's package cuda-cudart-10-2")

    def test_no_tensorrt(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        monkeypatch.delitem(sys.modules, "runners.edge.backends.tensorrt_engine", raising=False)
        refused(folder, r"TensorRT 8\.2 is not installed for .*python3-libnvinfer on JetPack 4\.6")

    def test_no_jetson(self, folder: Path, board: Path) -> None:
        (board / "release").unlink()
        refused(folder, "no Jetson with JetPack 4: .*release cannot be read")

    def test_an_engine_for_other_regions(self, folder: Path) -> None:
        files.write_json(folder / engine_recipe.NAME, engine_recipe.as_json(Recipe(16, True, [])))
        refused(folder, r"wants \[\(1, 3, 16, 16\).* not \[\(1, 3, 8, 8\)")

    @pytest.mark.parametrize(
        ("how", "words"),
        [
            ({"binding_dtype": "float16"}, "in float16 and float16, not .* in float32"),
            ({"context": "none"}, "has not the memory to run"),
        ],
    )
    def test_an_engine_that_cannot_be_used(
        self, folder: Path, how: Any, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        behave(monkeypatch, **how)
        refused(folder, words)


def once(folder: Path) -> str:
    """Open, run and close; the answer is the name of the only engine that is kept."""
    backend = opened(folder)
    np.testing.assert_array_equal(backend.infer(regions(2)), expected(regions(2)))
    backend.close()
    [entry] = entries(folder.parent)
    return entry


def entries(board: Path) -> list[str]:
    return sorted(path.stem for path in (board / "cache").glob("*.engine"))


@pytest.mark.usefixtures("quick")
class TestCache:
    def test_an_engine_is_built_once(self, folder: Path, board: Path) -> None:
        assert once(folder) == once(folder)
        assert builds(board) == 1
        assert sorted(path.suffix for path in (board / "cache").iterdir()) == ["", ".engine", ".json"]

    def test_another_system_gets_another_engine_and_the_old_one_goes(self, folder: Path, board: Path) -> None:
        first = once(folder)
        (board / "release").write_text(RELEASE.format("7.7"))
        assert once(folder) != first
        (board / "compatible").write_bytes(b"nvidia,other\0nvidia,tegra186\0")
        once(folder)
        assert builds(board) == 3

    def test_another_model_recipe_or_builder_has_another_key(
        self, folder: Path, board: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def key(of: Path, version: str = "8.2.1.9") -> str:
            return engine_key.key(engine_key.facts(str(of), version))

        keys = {key(folder), key(folder, "8.2.3.0"), key(exported(board / "other", seed=2))}
        keys |= {key(exported(board / f"{half}", recipe=Recipe(SIZE, half, ["fc"]))) for half in (False, True)}
        builder = board / "builder.py"
        builder.write_text("another")
        monkeypatch.setattr(build_engine, "__file__", str(builder))
        keys.add(key(folder))
        assert len(keys) == 6
        assert key(folder) == key(exported(board / "same")), "a folder's name and time are no part of it"

    def test_the_ones_used_last_are_kept(self, folder: Path, board: Path) -> None:
        first = once(folder)
        for seed in range(2, 2 + engine_cache.KEPT - 1):
            opened(exported(board / f"{seed}", seed)).close()
        for name in entries(board):
            age = int(name != first)
            os.utime(board / "cache" / f"{name}.json", (age, age))
        opened(folder).close()
        unused = [name for name in entries(board) if name != first]
        opened(exported(board / "new", 99)).close()
        left = entries(board)
        assert len(left) == engine_cache.KEPT
        assert first in left
        assert len(set(unused) & set(left)) == engine_cache.KEPT - 2

    @pytest.mark.parametrize("suffix", ["engine", "json"])
    @pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "empty", "deep"])
    def test_a_damaged_entry_is_built_again(self, folder: Path, board: Path, suffix: str, damage: str) -> None:
        name = once(folder)
        path = board / "cache" / f"{name}.{suffix}"
        content = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            flipped = content.replace(b'"sha256": "', b'"sha256": "0') if suffix == "json" else b"\1" + content[1:]
            path.write_bytes({"cut": content[:40], "flipped": flipped, "empty": b"", "deep": b"[" * 100_000}[damage])
        once(folder)
        once(folder)
        assert builds(board) == 2

    def test_an_engine_that_never_loads_is_built_twice_and_no_more(
        self, folder: Path, board: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        behave(monkeypatch, loads="never")
        refused(folder, "does not load the engine that it built: .*Serialization assertion failed")
        assert builds(board) == 2

    def test_a_missing_model_or_recipe_is_named(self, folder: Path) -> None:
        (folder / engine_recipe.MODEL).unlink()
        refused(folder, r"no model for TensorRT \(.*model\.onnx")
        (folder / engine_recipe.NAME).write_text("{")
        refused(folder, "no recipe for an engine")

    def test_what_a_killed_build_left_goes_and_what_is_not_ours_stays(self, folder: Path, board: Path) -> None:
        (board / "cache" / "building-dead").mkdir(parents=True)
        (board / "cache" / "notes.engine").write_text("mine")
        opened(folder).close()
        assert not (board / "cache" / "building-dead").exists()
        assert (board / "cache" / "notes.engine").exists()

    def test_a_cache_that_cannot_be_written(self, folder: Path, board: Path) -> None:
        (board / "cache").write_text("a file")
        refused(folder, "cannot keep engines of TensorRT")


class TestBuilder:
    """The process that builds."""

    def test_the_builder_s_words_do_not_mix_with_what_we_print(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        once(folder)
        said = capfd.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"building the TensorRT engine of {folder}: minutes, once\n")

    def test_it_builds_where_nobody_can_be_told(
        self, folder: Path, board: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(sys.stderr, "write", full)
        once(folder)
        assert builds(board) == 1

    def test_of_several_at_once_one_builds(self, folder: Path, board: Path) -> None:
        arguments = (str(folder), str(board / "cache"), "8.2.1.9")
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda _: engine_cache.engine(*arguments)[0], range(3)))
        assert builds(board) == 1
        assert len(set(found)) == 1

    @pytest.mark.parametrize(
        ("build", "words"),
        [("refuse", "no engine: .*could not build an engine"), ("crash", "builder was killed by signal 6")],
    )
    def test_a_build_that_fails_leaves_nothing(
        self, folder: Path, board: Path, build: str, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        behave(monkeypatch, build=build)
        refused(folder, words)
        assert [path.name for path in (board / "cache").iterdir()] == ["lock"]

    def test_a_truncated_model_is_named(self, folder: Path, board: Path) -> None:
        model = folder / engine_recipe.MODEL
        model.write_bytes(model.read_bytes()[:-3])
        refused(folder, r"no engine: .*model\.onnx: Failed to parse ONNX model")

    def test_a_build_that_hangs_is_stopped(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_cache, "BUILD_LIMIT_S", 0.01)
        refused(folder, r"no engine of TensorRT within 0\.01 s")

    def test_one_whose_program_is_killed_keeps_others_from_building_until_it_ends(
        self, folder: Path, board: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        behave(monkeypatch, waits_for=str(board / "go"))
        code = """
import sys
from runners.edge.backends import engine_cache, engine_key
engine_key.SOC, engine_key.JETPACK = sys.argv[4:]
engine_cache.engine(*sys.argv[1:4])
"""
        arguments = [folder, board / "cache", standin.__version__, engine_key.SOC, engine_key.JETPACK]
        program = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=JETSON.parents[1])
        while not builds(board) and program.poll() is None:
            time.sleep(0.01)
        program.kill()
        program.wait()
        with (board / "cache" / "lock").open("w") as lock:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (board / "go").touch()
            fcntl.flock(lock, fcntl.LOCK_EX)
        opened(folder).close()
        assert builds(board) == 2
        assert not list((board / "cache").glob("building-*"))
