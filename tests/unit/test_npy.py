"""NumPy's files, however damaged, are an array or one of two errors."""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from pipeline.system import npy
from tests.damage import damaged


def written(values: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(values))
    return stream.getvalue()


NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize("mapped", [False, True])
def test_what_was_written_is_read(mapped: bool, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", NUMBERS)
    np.testing.assert_array_equal(npy.read(tmp_path / "a.npy", mapped=mapped), NUMBERS)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=damaged(written(NUMBERS)))
def test_damaged_bytes_are_an_array_or_a_value_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    for mapped in (False, True):
        with suppress(OSError, ValueError):
            assert isinstance(npy.read(tmp_path / "a.npy", mapped=mapped), np.ndarray)


@pytest.mark.parametrize(
    "header",
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4", "{'descr': " + "(" * 300, "{'shape': (1 << 99,)}"],
)
def test_a_header_that_is_no_python(header: str, tmp_path: Path) -> None:
    whole = written(NUMBERS)
    (tmp_path / "a.npy").write_bytes(whole[:10] + header.ljust(118).encode()[:117] + b"\n" + whole[128:])
    with pytest.raises(ValueError, match=r"\w"):
        npy.read(tmp_path / "a.npy")


def test_what_is_no_single_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=NUMBERS)
    for content in ((tmp_path / "a.npz").read_bytes(), b"", b"PK\x03\x04", written([{}])):
        (tmp_path / "a.npy").write_bytes(content)
        for mapped in (False, True):
            with pytest.raises(ValueError, match=r"\w"):
                npy.read(tmp_path / "a.npy", mapped=mapped)
    with pytest.raises(OSError, match="none"):
        npy.read(tmp_path / "none.npy")
