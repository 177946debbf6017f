"""A device asks a bundle's samples: what the camera program does with a picture is tested with the model."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runners.contract import bundle, model_input
from runners.edge import __main__ as edge
from runners.edge.loop import kept_regions
from runners.edge.loop.regions import normalise
from runners.edge.update.unpack import unpack
from tests.agent import bundles


@pytest.fixture
def slot(tmp_path: Path) -> Path:
    """A bundle that has been unpacked."""
    for name, content in bundles.files("1.0").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    unpack(str(tmp_path / bundle.PACKED), str(tmp_path / bundle.MODEL))
    return tmp_path


def asked(slot: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    """The exit status, and what it found, or the line that says why it could not."""
    status = edge.main(["selftest", f"--bundle={slot}", "--threads=1"])
    out, err = capfd.readouterr()
    return status, json.loads(out) if status < 2 else err


@pytest.mark.parametrize("package", ["numpy", "onnxruntime"])
def test_a_python_without_a_package_knows_nothing_of_the_bundle(
    slot: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "runners.edge.backends.onnxruntime_session", raising=False)
    status, said = asked(slot, capfd)
    assert (status, said.count("\n")) == (3, 1)
    assert package in said


def test_pictures_are_answered_as_promised_in_every_bit(slot: Path, capfd: pytest.CaptureFixture[str]) -> None:
    regions = np.load(slot / bundle.REGIONS)
    assert (regions.dtype, regions.shape[-1]) == (np.uint8, 3)
    status, found = asked(slot, capfd)
    assert (status, found["verdict"], found["samples"], found["differ"]) == (0, "pass", 6, 0)


def test_what_the_network_takes_may_lie_there_as_it_is(slot: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wanted = model_input.read(str(slot / bundle.MODEL / model_input.NAME))
    taken = normalise(np.load(slot / bundle.REGIONS), wanted.mean, wanted.std)
    assert taken.nbytes == 4 * np.load(slot / bundle.REGIONS).nbytes
    np.save(slot / bundle.REGIONS, taken)
    status, found = asked(slot, capfd)
    assert (status, found["verdict"], found["differ"]) == (0, "pass", 0)


def test_a_device_that_normalises_otherwise_does_not_pass(
    slot: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = lambda images, mean, std: normalise(images[..., ::-1], mean, std)  # noqa: E731
    monkeypatch.setattr(kept_regions, "normalise", turned)
    status, found = asked(slot, capfd)
    assert (status, found["verdict"], found["differ"]) == (1, "fail", 6)


@pytest.mark.parametrize("program", ["selftest", "logits"])
def test_a_runtime_that_fails_is_told_in_one_line(
    slot: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("the driver\nis gone")

    monkeypatch.setattr("runners.edge.backends.onnxruntime_session.Backend.infer", fail)
    if program == "selftest":
        status, found = asked(slot, capfd)
        assert (status, found["verdict"]) == (1, "fail")
        assert found["reason"] == "the network failed: the driver is gone"
        return
    options = [f"--bundle={slot / bundle.MODEL}", f"--regions={slot / bundle.REGIONS}", f"--output={slot / 'out.npy'}"]
    assert edge.main(["logits", *options]) == 1
    out, err = capfd.readouterr()
    assert (out, err) == ("", "edge logits: the network failed: the driver is gone\n")
    assert not (slot / "out.npy").exists()


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, regions=np.zeros((6, 16, 16, 3), np.uint8))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no regions can be read there"),
        (b"", "no regions can be read there"),
        (b"PK\3\4", "no regions can be read there"),
        (npz(), "no regions can be read there"),
        (np.zeros((6, 3, 16, 16), np.uint8), "the model takes regions of 16 pixels, and these are (6, 3, 16, 16)"),
        (np.zeros((6, 16, 16, 3), np.float32), "the model takes regions of 16 pixels, and these are (6, 16, 16, 3)"),
        (np.zeros((6, 8, 8, 3), np.uint8), "the model takes regions of 16 pixels, and these are (6, 8, 8, 3) in uint8"),
        (np.zeros((), np.uint8), "the model takes regions of 16 pixels, and these are () in uint8"),
        (np.zeros((5, 16, 16, 3), np.uint8), "has 5 regions and 6 answers"),
    ],
)
def test_samples_that_are_none_are_named(
    slot: Path, capfd: pytest.CaptureFixture[str], content: bytes | np.ndarray[Any, Any] | None, said: str
) -> None:
    (slot / bundle.REGIONS).unlink()
    if isinstance(content, bytes):
        (slot / bundle.REGIONS).write_bytes(content)
    elif content is not None:
        np.save(slot / bundle.REGIONS, content)
    status, line = asked(slot, capfd)
    assert status == 2
    assert said in line
    assert line.count("\n") == 1
