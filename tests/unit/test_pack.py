"""Downloads: all comes back bit for bit, also by GNU tar; hostile and damaged ones are one line and leave nothing."""

import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats.pack import pack
from pipeline.system.errors import InputError
from runners.edge.update import unpack as device
from runners.edge.update.unpack import PackError, unpack
from tests.damage import damaged

REPOSITORY = Path(__file__).parents[2]
NAMES = st.from_regex(device.PATH, fullmatch=True).filter(lambda name: len(name) < 50)
TYPE, SIZE = 156, 124  # where they are in a header
FILES = {"empty": b"", "model.bin": bytes(range(256)) * 3, "more/recipe.json": b"{}"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make(folder: Path, contents: dict[str, bytes]) -> Path:
    """A new folder of these files, but for those whose names contradict another's."""
    folder.mkdir(parents=True)
    for name, data in contents.items():
        path = folder / name
        if not any(parent.is_file() for parent in path.parents) and not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return folder


def there_and_back(folder: Path) -> bytes:
    """The download of `folder`, after a look at what it unpacks to."""
    file, again = folder.parent / "it.tar.xz", folder.parent / "again"
    pack(folder, file)
    unpack(str(file), str(again))
    assert content(again) == content(folder)
    return file.read_bytes()


def plain(name: str = "name", data: bytes = b"", size: int | None = None) -> bytes:
    """One entry of a tar as it is packed, of which the size may be a lie."""
    return device.header(name, len(data) if size is None else size) + data + bytes(-len(data) % 512)


def forged(place: int, value: bytes, data: bytes = b"") -> bytes:
    """An entry with another value in its header, and the checksum that is right for it."""
    entry = plain("name", data)
    entry = entry[:place] + value + entry[place + len(value) :]
    checksum = sum(entry[:148]) + 8 * ord(" ") + sum(entry[156:512])
    return entry[:148] + b"%06o\0 " % checksum + entry[156:]


def xz(tar: bytes, check: int = lzma.CHECK_SHA256) -> bytes:
    return lzma.compress(tar, lzma.FORMAT_XZ, check, preset=0)


def whole(*entries: bytes) -> bytes:
    return xz(b"".join(entries) + device.END)


def with_dictionary(packed: bytes, code: int) -> bytes:
    """`packed` as if it had been made with a larger dictionary; 40 is one of 4 GiB."""
    header = packed[12:16] + bytes([code]) + packed[17:20]
    return packed[:12] + header + zlib.crc32(header).to_bytes(4, "little") + packed[24:]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "export", FILES)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return there_and_back(make(tmp_path_factory.mktemp("packed") / "export", FILES))


class TestRoundTrip:
    @settings(max_examples=25)
    @given(contents=st.dictionaries(NAMES, st.binary(max_size=2000), max_size=4))
    def test_any_folder_and_always_as_the_same_bytes(
        self, tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]
    ) -> None:
        first, second = (make(tmp_path_factory.mktemp("any") / name, contents) for name in ("one", "another"))
        os.utime(second, (1, 1))
        assert there_and_back(first) == there_and_back(second)

    def test_any_length_of_what_is_read_at_a_time(
        self, packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "it.tar.xz").write_bytes(packed)
        for block in (*range(1, 40), 511, 512, 513, *range(len(packed) - 40, len(packed) + 1)):
            monkeypatch.setattr(device, "BLOCK", block)
            unpack(str(tmp_path / "it.tar.xz"), str(tmp_path / str(block)))
            assert content(tmp_path / str(block)) == FILES

    def test_gnu_tar_reads_it(self, folder: Path, tmp_path: Path) -> None:
        pack(folder, tmp_path / "it.tar.xz")
        (tmp_path / "by tar").mkdir()
        subprocess.run(["tar", "xf", tmp_path / "it.tar.xz", "-C", tmp_path / "by tar"], check=True)
        assert content(tmp_path / "by tar") == FILES

    @pytest.mark.parametrize("name", [".hidden", "a name", "å", "a" * 101])
    def test_names_that_a_device_refuses(self, folder: Path, tmp_path: Path, name: str) -> None:
        (folder / name).touch()
        with pytest.raises(InputError, match=r"the file name .* is not taken"):
            pack(folder, tmp_path / "it.tar.xz")
        assert list(tmp_path.iterdir()) == [folder]

    def test_what_is_no_file_is_not_left_out(self, folder: Path, tmp_path: Path) -> None:
        (folder / "model.xml").symlink_to("missing")
        with pytest.raises(InputError, match=r"model\.xml: no regular file"):
            pack(folder, tmp_path / "it.tar.xz")

    def test_more_files_than_a_device_takes(self, tmp_path: Path) -> None:
        folder = make(tmp_path / "export", {str(number): b"" for number in range(device.MOST_FILES + 1)})
        with pytest.raises(InputError, match="more than 1000 files"):
            pack(folder, tmp_path / "it.tar.xz")


@pytest.mark.parametrize(
    ("kind", "distinct", "share"),
    [(np.float32, 0, 0.94), (np.float16, 0, 0.96), (np.int8, 32, 1.0), (np.int8, 16, 0.95)],
)
def test_weights_take_less_than_in_xz_as_it_comes(tmp_path: Path, kind: Any, distinct: int, share: float) -> None:
    """Floats do, and bytes of few values, which take little more than their entropy."""
    weights = np.random.default_rng(0).standard_normal(200_000)
    if distinct:
        values = np.quantile(weights, (np.arange(distinct) + 0.5) / distinct)
        weights = np.rint(40 * values[np.abs(weights[:, None] - values).argmin(-1)])
    data = weights.astype(kind).tobytes()
    size = len(there_and_back(make(tmp_path / "folder", {"weights": data})))
    assert size < share * len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    if distinct:
        parts = np.unique(weights, return_counts=True)[1] / len(weights)
        entropy = -(parts * np.log2(parts)).sum() * len(weights) / 8
        assert entropy < size < 1.05 * entropy


class TestDamage:
    def attempt(self, tmp_path: Path, data: bytes) -> dict[str, bytes] | str:
        """What `data` is unpacked to, or why not in one line, which leaves nothing behind."""
        where = tmp_path / "where"
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir()
        (tmp_path / "it.tar.xz").write_bytes(data)
        before = sorted(tmp_path.iterdir())
        refusal = ""
        try:
            unpack(str(tmp_path / "it.tar.xz"), str(where / "new"))
        except PackError as error:
            refusal = str(error)
        assert sorted(tmp_path.iterdir()) == before
        assert [path.name for path in where.iterdir()] == ([] if refusal else ["new"])
        assert not any(path.is_symlink() for path in where.rglob("*"))
        assert "\n" not in refusal
        return refusal or content(where / "new")

    def test_truncation_anywhere(self, packed: bytes, tmp_path: Path) -> None:
        for size in range(len(packed)):
            assert "damaged" in self.attempt(tmp_path, packed[:size])

    def test_a_flipped_byte_anywhere(self, packed: bytes, tmp_path: Path) -> None:
        for place, byte in enumerate(packed):
            flipped = packed[:place] + bytes([byte ^ 0xFF]) + packed[place + 1 :]
            assert "damaged" in self.attempt(tmp_path, flipped)

    def test_any_accident(self, packed: bytes, tmp_path: Path) -> None:
        @settings(max_examples=100)
        @given(data=damaged(packed))
        def check(data: bytes) -> None:
            found = self.attempt(tmp_path, data)
            assert found == FILES or isinstance(found, str)

        check()

    def test_forgeries_hold_no_name_that_leads_elsewhere(self, packed: bytes, tmp_path: Path) -> None:
        """With right checks of the whole, every check of what is in it has to hold alone."""

        @settings(max_examples=150)
        @given(tar=damaged(lzma.decompress(packed)))
        def check(tar: bytes) -> None:
            found = self.attempt(tmp_path, xz(tar))
            assert isinstance(found, str) or all(device.PATH.fullmatch(name) for name in found)

        check()

    @pytest.mark.parametrize(
        "name",
        ["../evil", "/tmp/evil", "a/../../evil", "", ".", "..", "a//b", "a/", "a\\b", "a\0b", "a\nb", "å", ".ssh/keys"],
    )
    def test_names_that_lead_elsewhere(self, tmp_path: Path, name: str) -> None:
        forgery = forged(0, name.encode()[:100].ljust(100, b"\0"))
        assert "is not taken" in self.attempt(tmp_path, whole(forgery))

    @pytest.mark.parametrize(
        "hostile",
        [
            pytest.param(forged(TYPE, tarfile.SYMTYPE + b"/etc/passwd"), id="a link"),
            pytest.param(forged(TYPE, tarfile.LNKTYPE + b"/etc/passwd"), id="a hard link"),
            pytest.param(forged(TYPE, tarfile.CHRTYPE), id="a device"),
            pytest.param(forged(TYPE, tarfile.FIFOTYPE), id="a pipe"),
            pytest.param(forged(TYPE, tarfile.DIRTYPE), id="a folder"),
            pytest.param(forged(TYPE, tarfile.AREGTYPE), id="a file as before POSIX"),
            pytest.param(forged(TYPE, tarfile.GNUTYPE_SPARSE), id="a file with holes"),
            pytest.param(forged(TYPE, tarfile.GNUTYPE_LONGNAME, b"../evil\0"), id="a long name"),
            pytest.param(forged(TYPE, tarfile.GNUTYPE_LONGLINK, b"../evil\0"), id="the long name of a link"),
            pytest.param(forged(TYPE, tarfile.XHDTYPE, b"16 path=../evil\n"), id="an extended header"),
            pytest.param(forged(TYPE, tarfile.XHDTYPE, b"9" * 5000 + b" size=1\n"), id="one with a huge number"),
            pytest.param(forged(TYPE, tarfile.XGLTYPE, b"16 path=../evil\n"), id="an extended header for all"),
            pytest.param(forged(100, b"0004755"), id="the rights of root"),
            pytest.param(forged(108, b"0001750"), id="an owner"),
            pytest.param(forged(345, b"/tmp"), id="the start of a longer name"),
            pytest.param(forged(SIZE, b"-0000000001"), id="less than nothing"),
            pytest.param(forged(SIZE, b"0o000000000"), id="a size that is no number"),
            pytest.param(forged(SIZE, b"          1"), id="a size in other digits"),
            pytest.param(forged(SIZE, b"\x80" + bytes(10) + b"\x01"), id="a size in binary"),
            pytest.param(plain()[:148] + b"000000\0 " + plain()[156:], id="a wrong checksum"),
        ],
    )
    def test_what_is_no_regular_file(self, tmp_path: Path, hostile: bytes) -> None:
        assert "no regular file as it is packed" in self.attempt(tmp_path, whole(hostile, plain("z")))

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            pytest.param(b"", "damaged", id="nothing"),
            pytest.param(b"PK\x03\x04" + bytes(100), "damaged", id="a zip"),
            pytest.param(plain() + device.END, "damaged", id="not compressed"),
            pytest.param(lzma.compress(plain() + device.END, lzma.FORMAT_ALONE), "damaged", id="lzma without checks"),
            pytest.param(xz(plain() + device.END, lzma.CHECK_NONE), "no SHA-256", id="xz without checks"),
            pytest.param(xz(plain() + device.END, lzma.CHECK_CRC64), "no SHA-256", id="xz with a weak check"),
            pytest.param(xz(b""), "too early", id="empty"),
            pytest.param(xz(plain()), "too early", id="no end"),
            pytest.param(xz(plain() + bytes(512)), "too early", id="half an end"),
            pytest.param(xz(bytes(512) + plain()), "where it should end", id="an end in the middle"),
            pytest.param(whole(plain()) + b"\0", "where it should end", id="one byte more"),
            pytest.param(whole(plain()) + bytes(4), "where it should end", id="padding of xz"),
            pytest.param(whole(plain()) * 2, "where it should end", id="twice"),
            pytest.param(xz(device.END * 8), "where it should end", id="an end that goes on"),
            pytest.param(whole(plain("a"), plain("a")), "twice", id="the same name"),
            pytest.param(whole(plain("b"), plain("a")), "wrong place", id="another order"),
            pytest.param(whole(plain("a"), plain("a/b")), "cannot be unpacked", id="a file that is a folder"),
            pytest.param(whole(plain("a", b"x")[:-1] + b"x"), "between", id="a secret"),
            pytest.param(whole(plain("a", b"x" * 512, 1)), "between", id="more than it says"),
            pytest.param(whole(plain("a", b"x" * 512, 0)), "no regular file", id="more than none"),
            pytest.param(whole(plain("a", b"x" * 512, 5000)), "too early", id="less than it says"),
            pytest.param(whole(plain("a", size=device.MOST_BYTES + 1)), "2147483648 bytes", id="too large"),
            pytest.param(whole(*(plain(f"{n:04}") for n in range(1001))), "1000 files", id="too many"),
            pytest.param(with_dictionary(whole(plain()), 40), "Memory usage limit", id="4 GiB of memory"),
        ],
    )
    def test_tars_that_are_not_as_they_are_packed(self, tmp_path: Path, data: bytes, words: str) -> None:
        assert words in self.attempt(tmp_path, data)

    def test_all_files_together_are_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(device, "MOST_BYTES", 2000)
        assert "2000 bytes" in self.attempt(tmp_path, whole(*(plain(name, b"x" * 900) for name in "abc")))

    def test_not_enough_space(self, packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100}))
        assert "not enough space" in self.attempt(tmp_path, packed)

    def test_a_disk_that_fails_at_any_time(
        self, packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The folder is there only if all of it is on the disk: three files, two folders, and the one that it is in."""
        real, calls = os.fsync, []
        for fails_at in range(1, 8):

            def fsync(handle: int, last: int = fails_at) -> None:
                calls.append(Path(f"/proc/self/fd/{handle}").readlink())
                if len(calls) == last:
                    raise OSError("the disk is gone")
                real(handle)

            monkeypatch.setattr(os, "fsync", fsync)
            calls.clear()
            found = self.attempt(tmp_path, packed)
            assert found == FILES if fails_at == 7 else "the disk is gone" in found
        assert calls[-1] == tmp_path / "where"

    def test_no_other_thread_gets_another_umask_for_a_moment(
        self, packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "usual").mkdir()
        monkeypatch.delattr(os, "umask")  # it is the whole process's
        assert self.attempt(tmp_path, packed) == FILES
        assert (tmp_path / "where" / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode

    def test_what_exists_stays(self, packed: bytes, tmp_path: Path) -> None:
        (tmp_path / "it.tar.xz").write_bytes(packed)
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to("missing")
        before = sorted(tmp_path.rglob("*"))
        for name in ("folder", "folder/", "file", "link", "link/"):
            with pytest.raises(PackError, match="exists already"):
                unpack(str(tmp_path / "it.tar.xz"), f"{tmp_path}/{name}")
        assert sorted(tmp_path.rglob("*")) == before


class TestDevice:
    LIBRARY_ONLY = (
        "import sys; from runners.edge.update import unpack; code = unpack.main(sys.argv[1:]);"
        "own = {name.split('.')[0] for name in sys.modules};"
        "assert not own & {'pipeline', 'models', 'numpy', 'torch', 'onnx', 'openvino', 'cv2'}, own; sys.exit(code)"
    )
    # 24 MiB more than Python itself.
    LITTLE_MEMORY = (
        "import resource, sys; from runners.edge.update import unpack;"
        "own = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize();"
        "resource.setrlimit(resource.RLIMIT_AS, (own + (24 << 20),) * 2); sys.exit(unpack.main(sys.argv[1:]))"
    )

    def run(self, code: str, file: Path, data: bytes) -> subprocess.CompletedProcess[str]:
        file.write_bytes(data)
        command = [sys.executable, "-c", code, str(file), str(file.parent / "new")]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    def test_it_needs_the_standard_library_only(self, packed: bytes, tmp_path: Path) -> None:
        assert self.run(self.LIBRARY_ONLY, tmp_path / "it.tar.xz", packed).returncode == 0
        assert content(tmp_path / "new") == FILES

    def test_memory_stays_small_for_large_files(self, tmp_path: Path) -> None:
        data = whole(plain("zeros", bytes(64 << 20)))
        assert len(data) < 20_000
        assert self.run(self.LITTLE_MEMORY, tmp_path / "it.tar.xz", data).returncode == 0
        assert (tmp_path / "new" / "zeros").stat().st_size == 64 << 20

    @pytest.mark.parametrize(
        "entries",
        [
            pytest.param([plain("zeros", bytes(64 << 20), 1)], id="in a file"),
            pytest.param([plain(), device.END, bytes(64 << 20)], id="behind the end"),
            pytest.param([forged(TYPE, tarfile.GNUTYPE_LONGNAME, bytes(64 << 20))], id="in a name"),
            pytest.param([forged(TYPE, tarfile.XHDTYPE, bytes(64 << 20))], id="in a header"),
            pytest.param([plain("zeros", bytes(64 << 20), device.MOST_BYTES)], id="less than it claims"),
        ],
    )
    def test_bombs(self, tmp_path: Path, entries: list[bytes]) -> None:
        found = self.run(self.LITTLE_MEMORY, tmp_path / "it.tar.xz", whole(*entries))
        assert (found.returncode, len(found.stderr.splitlines())) == (2, 1), found.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["it.tar.xz"]

    def test_as_a_script_without_the_repository(self, packed: bytes, tmp_path: Path) -> None:
        (tmp_path / "it.tar.xz").write_bytes(packed)
        subprocess.run([sys.executable, "-I", device.__file__, "it.tar.xz", "new"], cwd=tmp_path, check=True)
        assert content(tmp_path / "new") == FILES
        (tmp_path / "usual").mkdir()
        assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [((), "usage"), (("missing", "new"), "No such file"), (("junk", "new"), "no download")],
    )
    def test_bad_input_is_one_line_and_exit_code_2(
        self, tmp_path: Path, arguments: tuple[str, ...], words: str
    ) -> None:
        (tmp_path / "junk").write_bytes(b"junk")
        command = [sys.executable, "-m", "runners.edge.update.unpack", *arguments]
        found = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(REPOSITORY)}, check=False
        )
        assert found.returncode == 2
        assert words in found.stderr
        assert len(found.stderr.splitlines()) == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == ["junk"]
