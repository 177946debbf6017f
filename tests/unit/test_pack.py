"""Packed downloads: all comes back bit for bit, weights take little more than their entropy, damage is one line."""

import hashlib
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from pipeline.errors import InputError
from pipeline.pack import pack
from runners.edge import unpack as device
from runners.edge.unpack import PackError, unpack
from tests.damage import damaged

REPOSITORY = Path(__file__).parents[2]
HEADER_AT = len(device.MAGIC + device.VERSION) + 32
TYPES = [np.float32, np.float16, np.int8, np.uint8, np.float64, np.int64]
NAMES = st.from_regex(device.PATH, fullmatch=True).filter(lambda name: len(name) < 50)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def there_and_back(folder: Path) -> bytes:
    """The packed `folder`, after a look at what it unpacks to."""
    file, again = folder.parent / "it.pack", folder.parent / "again"
    pack(folder, file)
    unpack(str(file), str(again))
    assert content(again) == content(folder)
    return file.read_bytes()


def clustered(shape: tuple[int, ...], distinct: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Normal weights, each rounded to one of `distinct` values that stand close where weights are dense."""
    weights = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    values = np.quantile(weights, (np.arange(distinct) + 0.5) / distinct).astype(np.float32)
    return values[np.abs(weights[..., None] - values).argmin(-1)]


def entropy_bytes(values: np.ndarray[Any, Any]) -> float:
    counts = np.unique(values, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


def network(weights: np.ndarray[Any, Any]) -> onnx.ModelProto:
    """One convolution with these weights, in the way that exporters write it."""
    channels = weights.shape[1]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, channels, 8, 8))],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1, len(weights), 6, 6))],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


def parts(packed: bytes) -> dict[str, list[list[int]]]:
    (size,) = struct.unpack_from("<I", packed, HEADER_AT)
    header = json.loads(packed[HEADER_AT + 4 : HEADER_AT + 4 + size])
    return {file["path"]: file["parts"] for file in header["files"]}


def sealed(body: bytes) -> bytes:
    """A packed file whose own hash is right, whatever is in it."""
    return device.MAGIC + device.VERSION + hashlib.sha256(body).digest() + body


def forged(packed: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """`packed` with another header, by somebody who knows the format."""
    (size,) = struct.unpack_from("<I", packed, HEADER_AT)
    header = json.loads(packed[HEADER_AT + 4 : HEADER_AT + 4 + size])
    change(header)
    text = json.dumps(header).encode()
    return sealed(struct.pack("<I", len(text)) + text + packed[HEADER_AT + 4 + size :])


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A clustered network as an IR, with what else there may be in an export, and the same packed."""
    import openvino

    folder = tmp_path_factory.mktemp("packed") / "export"
    (folder / "more").mkdir(parents=True)
    onnx.save(network(clustered((16, 8, 3, 3), 16)), folder.parent / "model.onnx")
    model = openvino.convert_model(folder.parent / "model.onnx")
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    (folder / "more" / "recipe.json").write_text("{}")
    (folder / "empty").touch()
    return folder, there_and_back(folder)


@pytest.fixture
def folder(prepared: tuple[Path, bytes], tmp_path: Path) -> Path:
    """A copy of that folder that a test may change."""
    return Path(shutil.copytree(prepared[0], tmp_path / "export"))


@pytest.fixture
def packed(prepared: tuple[Path, bytes]) -> bytes:
    return prepared[1]


class TestRoundTrip:
    @settings(max_examples=25)
    @given(contents=st.dictionaries(NAMES, st.binary(max_size=2000), max_size=4))
    def test_any_folder(self, tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]) -> None:
        folder = tmp_path_factory.mktemp("any") / "folder"
        folder.mkdir()
        for name, data in contents.items():
            path = folder / name
            if not any(parent.is_file() for parent in path.parents) and not path.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        there_and_back(folder)

    @settings(max_examples=40)
    @given(
        dtype=st.sampled_from(TYPES),
        count=st.integers(1, 3000),
        distinct=st.sampled_from([1, 2, 3, 4, 5, 15, 16, 17, 255, 256, 257, 3000]),
        seed=st.integers(0, 99),
        external=st.booleans(),
    )
    def test_any_tensor(
        self, tmp_path_factory: pytest.TempPathFactory, dtype: Any, count: int, distinct: int, seed: int, external: bool
    ) -> None:
        random = np.random.default_rng(seed)
        # Any bits that are finite numbers, so with 0 and -0.
        values = random.integers(0, 1 << 14, distinct, np.uint64).astype(f"u{np.dtype(dtype).itemsize}").view(dtype)
        values[0] = -0.0 if np.dtype(dtype).kind == "f" else 0
        graph = helper.make_graph([], "g", [], [], [numpy_helper.from_array(random.choice(values, count), "w")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        folder = tmp_path_factory.mktemp("any") / "folder"
        folder.mkdir()
        onnx.save(model, folder / "m.onnx", save_as_external_data=external, location="m.data", size_threshold=0)
        there_and_back(folder)

    def test_longer_than_a_block(self, tmp_path: Path) -> None:
        """Tensors of more values than are worked on at a time, of which the last block ends within a byte."""
        (tmp_path / "folder").mkdir()
        onnx.save(network(clustered((331, 331, 3, 3), 3)), tmp_path / "folder" / "model.onnx")
        assert 3 * device.BLOCK < 331 * 331 * 9
        packed = there_and_back(tmp_path / "folder")
        assert [331 * 331 * 9 * 4, 4, 3] in parts(packed)["model.onnx"]

    def test_the_same_files_give_the_same_bytes(self, folder: Path, tmp_path: Path) -> None:
        first = there_and_back(folder)
        pack(folder, tmp_path / "second.pack")
        assert (tmp_path / "second.pack").read_bytes() == first

    def test_names_that_a_device_refuses(self, folder: Path, tmp_path: Path) -> None:
        (folder / ".hidden").touch()
        with pytest.raises(InputError, match=r"the file name '\.hidden' is not taken"):
            pack(folder, tmp_path / "it.pack")
        assert not list(tmp_path.glob("*.pack"))


class TestSize:
    @pytest.mark.parametrize("distinct", [2, 4, 16])
    @pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
    def test_clustered_floats_take_their_entropy(self, tmp_path: Path, distinct: int, runtime: str) -> None:
        import openvino

        weights = clustered((256, 64, 3, 3), distinct)
        folder = tmp_path / "folder"
        folder.mkdir()
        onnx.save(network(weights), folder / "model.onnx")
        if runtime == "openvino":
            model = openvino.convert_model(folder / "model.onnx")
            (folder / "model.onnx").unlink()
            openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
        packed = there_and_back(folder)
        assert entropy_bytes(weights) < len(packed) < 1.02 * entropy_bytes(weights) + 2500

    def test_an_entropy_below_that_of_the_indices(self, tmp_path: Path) -> None:
        """As in pruned layers, where most weights are zero: fewer bits than an index has."""
        weights = clustered((256, 64, 3, 3), 16)
        weights[np.random.default_rng(1).random(weights.shape) < 0.9] = 0
        (tmp_path / "folder").mkdir()
        onnx.save(network(weights), tmp_path / "folder" / "model.onnx")
        assert len(there_and_back(tmp_path / "folder")) < 1.1 * entropy_bytes(weights) + 2500

    def test_quantized_weights(self, tmp_path: Path) -> None:
        """Bytes as they are take their entropy too; those of few values take less than their half."""
        import openvino
        from openvino import opset13 as op

        for distinct, most in ((200, 1.0), (16, 0.5)):
            levels = np.linspace(-127, 127, distinct).round().astype(np.int8)
            random = np.random.default_rng(0)
            weights = levels[
                np.clip(random.normal(distinct / 2, distinct / 8, (64, 64, 3, 3)), 0, distinct - 1).astype(int)
            ]
            data = op.parameter([1, 64, 8, 8], np.float32)
            scaled = op.multiply(op.convert(op.constant(weights), np.float32), op.constant(np.float32(0.01)))
            answer = op.convolution(data, scaled, [1, 1], [0, 0], [0, 0], [1, 1])
            folder = tmp_path / str(distinct) / "folder"
            openvino.save_model(openvino.Model([answer], [data]), folder / "model.xml", compress_to_fp16=False)
            packed = there_and_back(folder)
            assert (folder / "model.bin").stat().st_size >= weights.size
            assert len(packed) < min(most * weights.size, 1.03 * entropy_bytes(weights) + 2500)

    def test_floats_that_are_not_clustered(self, tmp_path: Path) -> None:
        weights = np.random.default_rng(0).standard_normal((64, 64, 3, 3)).astype(np.float32)
        (tmp_path / "folder").mkdir()
        onnx.save(network(weights), tmp_path / "folder" / "model.onnx")
        assert len(there_and_back(tmp_path / "folder")) < 0.9 * weights.nbytes


class TestDamage:
    def refused(self, tmp_path: Path, data: bytes) -> str:
        """Why `data` is refused; nothing is left behind."""
        where = tmp_path / "where"
        where.mkdir(exist_ok=True)
        (tmp_path / "damaged").write_bytes(data)
        with pytest.raises(PackError) as caught:
            unpack(str(tmp_path / "damaged"), str(where / "new"))
        assert not list(where.iterdir())
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_truncation_anywhere(self, packed: bytes, tmp_path: Path) -> None:
        for size in range(len(packed)):
            self.refused(tmp_path, packed[:size])

    def test_any_accident(self, packed: bytes, tmp_path: Path) -> None:
        @settings(max_examples=100)
        @given(data=damaged(packed))
        def check(data: bytes) -> None:
            if data != packed:
                self.refused(tmp_path, data)

        check()

    def test_forgeries_leave_nothing_or_what_was_packed(self, packed: bytes, folder: Path, tmp_path: Path) -> None:
        """With a right hash of the whole, every check behind it has to hold alone."""
        start = HEADER_AT

        @settings(max_examples=150)
        @given(body=damaged(packed[start:]))
        def check(body: bytes) -> None:
            made = tmp_path / "forged"
            (tmp_path / "damaged").write_bytes(sealed(body))
            try:
                unpack(str(tmp_path / "damaged"), str(made))
            except PackError:
                assert not made.exists()
                assert not list(tmp_path.glob(".forged*"))
            else:
                found = sorted(content(made).values())
                shutil.rmtree(made)
                assert found == sorted(content(folder).values())

        check()

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "no packed file"),
            (b"PK\x03\x04" + bytes(100), "no packed file"),
            (b"edgeproof pack 2\n" + bytes(100), "another version"),
            (sealed(b""), "header has 0 bytes"),
            (sealed(b"\0\0"), "header has 0 bytes"),
            (sealed(b"\xff\xff\xff\xff{}"), "header has 4294967295 bytes"),
            (sealed(b"\x02\0\0\0{}"), "header is invalid"),
            (sealed(struct.pack("<I", 1 << 19) + b"[" * (1 << 19)), "header is invalid"),
            (sealed(struct.pack("<I", 1 << 19) + b"9" * (1 << 19)), "a number has 524288 digits"),
        ],
    )
    def test_files_that_are_none(self, tmp_path: Path, data: bytes, words: str) -> None:
        assert words in self.refused(tmp_path, data)

    @pytest.mark.parametrize(
        "name",
        ["../evil", "/tmp/evil", "a/../../evil", "", ".", "..", "a//b", "a\\b", "a\0b", ".ssh/keys", "a" * 201, 7],
    )
    def test_names_that_lead_elsewhere(self, packed: bytes, tmp_path: Path, name: Any) -> None:
        data = forged(packed, lambda header: header["files"][0].update(path=name))
        assert "is not taken" in self.refused(tmp_path, data)

    @pytest.mark.parametrize(
        ("parts", "words"),
        [
            ([[2**31 + 1, 0, 0]], "at most 2147483648 are taken"),
            ([[2**30, 0, 0]] * 3, "at most 2147483648 are taken"),
            ([[10**15, 0, 0]], "a number has 16 digits"),
            ([[2**20, 0, 0]], "damaged; download it again"),
            ([[4, 0, 1]], "1 distinct values"),
            ([[1024, 4, 257]], "257 distinct values"),
            ([[1023, 4, 16]], "values of 4 bytes"),
            ([[1024, 3, 16]], "values of 3 bytes"),
            ([[-4, 4, 0]], "-4 is no size"),
            ([[4.0, 4, 0]], "4.0 is no size"),
            ([[True, 1, 0]], "True is no size"),
            ([[4, 4]], "header is invalid"),
            ([4], "header is invalid"),
            ("text", "header is invalid"),
            ([[64, 4, 9]], "SHA-256|index"),
        ],
    )
    def test_headers_that_lie(self, packed: bytes, tmp_path: Path, parts: Any, words: str) -> None:
        data = forged(packed, lambda header: header["files"][0].update(parts=parts))
        assert any(word in self.refused(tmp_path, data) for word in words.split("|"))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda header: header["files"].append(header["files"][0]), "the same name"),
            (lambda header: header["files"][0].update(path="model.bin/x"), "cannot be unpacked"),
            (lambda header: header["streams"].append(0), "not as long as"),
            (lambda header: header.update(streams=[10**9] * 5), "not as long as"),
            (lambda header: header["files"][0].update(sha256="0" * 64), "does not have the SHA-256"),
            (lambda header: header["files"][0].update(sha256=0), "a hash is no text"),
        ],
    )
    def test_headers_that_contradict_the_file(
        self, packed: bytes, tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
    ) -> None:
        assert words in self.refused(tmp_path, forged(packed, change))

    def test_not_enough_space(self, packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = type("Usage", (), {"free": 100})
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        assert "not enough space" in self.refused(tmp_path, packed)

    def test_what_exists_stays(self, packed: bytes, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "it.pack").write_bytes(packed)
        (folder / "own").touch()
        with pytest.raises(PackError, match="exists already"):
            unpack(str(tmp_path / "it.pack"), str(folder))
        assert (folder / "own").exists()


class TestDevice:
    CODE = (
        "import sys; from runners.edge import unpack; code = unpack.main(sys.argv[1:]);"
        "own = {name.split('.')[0] for name in sys.modules};"
        "assert not own & {'pipeline', 'models', 'torch', 'onnx', 'openvino', 'cv2'}, own; sys.exit(code)"
    )

    def test_it_needs_numpy_only(self, folder: Path, tmp_path: Path) -> None:
        pack(folder, tmp_path / "it.pack")
        command = [sys.executable, "-c", self.CODE, str(tmp_path / "it.pack"), str(tmp_path / "new")]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        assert content(tmp_path / "new") == content(folder)

    def test_as_a_script_without_the_repository(self, folder: Path, tmp_path: Path) -> None:
        pack(folder, tmp_path / "it.pack")
        command = [sys.executable, "-I", device.__file__, "it.pack", "new"]
        subprocess.run(command, cwd=tmp_path, check=True)
        assert content(tmp_path / "new") == content(folder)
        assert (tmp_path / "new").stat().st_mode == folder.stat().st_mode

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [((), "usage"), (("missing", "new"), "No such file"), (("junk", "new"), "no packed file")],
    )
    def test_bad_input_is_one_line_and_exit_code_2(
        self, tmp_path: Path, arguments: tuple[str, ...], words: str
    ) -> None:
        (tmp_path / "junk").write_bytes(b"junk")
        command = [sys.executable, "-m", "runners.edge.unpack", *arguments]
        found = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(REPOSITORY)}, check=False
        )
        assert found.returncode == 2
        assert words in found.stderr
        assert len(found.stderr.splitlines()) == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == ["junk"]
