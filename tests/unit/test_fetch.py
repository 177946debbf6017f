"""Fetching the default clip: each source's failure leads to the next, a wrong file is never kept."""

import hashlib
import http.server
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.data import fetch
from pipeline.data.clip import CLIP_NAME
from pipeline.system import cache, files
from pipeline.system.errors import InputError
from tests.loopback import listening

CLIP_MD5 = "d401fe2028f78dd585e2ade0a0d678c0"  # of the real clip, by which DVC knows it
CLIP = b"RIFF" + bytes(range(256)) * 400


@pytest.fixture
def clip(project: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A stand-in for the clip, with its hash in place of the real one's."""
    original = project / "original.avi"
    original.write_bytes(CLIP)
    monkeypatch.setattr(fetch, "CLIP_SHA256", files.sha256(original))
    return CLIP


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without apt-get."""
    monkeypatch.setattr(shutil, "which", lambda tool: None)


class RangeServer(http.server.SimpleHTTPRequestHandler):
    """Serves files with Range requests, as GitHub does, and remembers which ranges were asked for."""

    ranges: list[str | None]

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str | None]]:
    """A local HTTP server in place of OpenCV's repository; the list fills with the ranges asked for."""
    folder = project / "served"
    folder.mkdir()
    handler = type("Handler", (RangeServer,), {"ranges": []})
    with listening(partial(handler, directory=str(folder))) as port:
        monkeypatch.setattr(fetch, "URL", f"http://127.0.0.1:{port}/vtest.avi")
        yield handler.ranges


@pytest.mark.usefixtures("no_package")
class TestFromTheRepository:
    def test_download(self, clip: bytes, project: Path, server: list[str | None]) -> None:
        (project / "served" / "vtest.avi").write_bytes(clip)
        assert fetch.fetch(Path("data")) == "OpenCV's repository"
        assert (project / "data" / "vtest.avi").read_bytes() == clip
        assert (project / "data" / "labels.csv").read_bytes() == fetch.LABELS.read_bytes()
        assert fetch.fetch(Path("data")) == "already there"
        assert server == [None]

    def test_a_broken_download_goes_on_where_it_stopped(
        self, clip: bytes, project: Path, server: list[str | None]
    ) -> None:
        (project / "served" / "vtest.avi").write_bytes(clip)
        (cache.folder("downloads") / "vtest.avi.part").write_bytes(clip[:1000])
        fetch.fetch(Path("data"))
        assert server == ["bytes=1000-"]
        assert (project / "data" / "vtest.avi").read_bytes() == clip

    def test_a_wrong_file_is_refused_and_thrown_away(
        self, clip: bytes, project: Path, server: list[str | None]
    ) -> None:
        (project / "served" / "vtest.avi").write_bytes(clip[:-1] + b"?")
        with pytest.raises(InputError, match="wrong SHA-256"):
            fetch.fetch(Path("data"))
        assert not (project / "data" / "vtest.avi").exists()
        assert not list(cache.folder("downloads").iterdir())

    @pytest.mark.parametrize("name", ["vtest.avi", "labels.csv"])
    def test_what_is_there_and_not_the_default_s_is_never_written_over(
        self, clip: bytes, project: Path, server: list[str | None], name: str
    ) -> None:
        (project / "data").mkdir()
        (project / "data" / name).write_bytes(b"somebody's own")
        with pytest.raises(InputError, match=f"data/{name}: is not the default data's; move it away"):
            fetch.fetch(Path("data"))
        assert [(path.name, path.read_bytes()) for path in (project / "data").iterdir()] == [(name, b"somebody's own")]
        assert server == [], "nothing was fetched in vain"

    def test_labels_of_an_earlier_version_give_way(
        self, clip: bytes, project: Path, server: list[str | None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (project / "served" / "vtest.avi").write_bytes(clip)
        (project / "data").mkdir()
        (project / "data" / "labels.csv").write_bytes(b"earlier")
        monkeypatch.setattr(fetch, "EARLIER_LABELS", (hashlib.sha256(b"earlier").hexdigest(),))
        fetch.fetch(Path("data"))
        assert (project / "data" / "labels.csv").read_bytes() == fetch.LABELS.read_bytes()

    def test_other_files_stay_where_they_are(self, clip: bytes, project: Path, server: list[str | None]) -> None:
        (project / "served" / "vtest.avi").write_bytes(clip)
        (project / "data" / "cats").mkdir(parents=True)
        (project / "data" / "cats" / "mine.png").write_bytes(b"mine")
        fetch.fetch(Path("data"))
        assert (project / "data" / "cats" / "mine.png").read_bytes() == b"mine"

    def test_a_file_in_the_folder_s_place(self, project: Path) -> None:
        (project / "data").write_text("mine")
        with pytest.raises(InputError, match="data: is a file"):
            fetch.fetch(Path("data"))
        assert (project / "data").read_text() == "mine"

    def test_no_source_at_all_names_each_reason(
        self, clip: bytes, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fetch, "URL", "http://127.0.0.1:9/vtest.avi")
        with pytest.raises(InputError) as caught:
            fetch.fetch(Path("data"))
        for reason in ("DVC remote: none", "no apt-get", "download failed", "data/vtest.avi"):
            assert reason in str(caught.value)


def test_from_the_debian_package(clip: bytes, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a package of the same layout, made by dpkg-deb, and apt-get replaced by a copy of it."""
    tree = project / "package"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: opencv-doc\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: d\n"
    )
    target = tree / fetch.MEMBER
    target.parent.mkdir(parents=True)
    target.write_bytes(clip)
    package = project / "opencv-doc_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", tree, package], check=True, capture_output=True)
    run = subprocess.run

    def apt_get(command: Any, **options: Any) -> Any:
        if command[0] != "apt-get":
            return run(command, **options)
        shutil.copy(package, Path(options["cwd"]) / package.name)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", apt_get)
    assert fetch.fetch(Path("data")) == "Debian package opencv-doc"
    assert (project / "data" / "vtest.avi").read_bytes() == clip


def test_data_dvc_names_the_clip_with_today_s_labels() -> None:
    """As DVC hashes a folder; where the labels change, `dvc add data` has to follow."""
    labels = hashlib.md5(fetch.LABELS.read_bytes()).hexdigest()
    listed = [{"md5": labels, "relpath": "labels.csv"}, {"md5": CLIP_MD5, "relpath": CLIP_NAME}]
    folder = hashlib.md5(json.dumps(listed, sort_keys=True).encode()).hexdigest()
    pointer = yaml.safe_load((Path(__file__).resolve().parents[2] / "data.dvc").read_text())
    assert pointer["outs"][0]["md5"] == f"{folder}.dir"


class TestInADvcRepository:
    @pytest.fixture(autouse=True)
    def repository(self, clip: bytes, project: Path, no_package: None, server: list[str | None]) -> None:
        (project / "served" / "vtest.avi").write_bytes(clip)
        dvc("init", "--no-scm", "--quiet")
        dvc("config", "core.analytics", "false")

    def test_a_fresh_clone_gets_what_its_data_dvc_names(self, project: Path) -> None:
        fetch.fetch(Path("data"))
        pointer = (project / "data.dvc").read_bytes()
        shutil.rmtree("data")
        shutil.rmtree(".dvc/cache")
        fetch.fetch(Path("data"))
        assert (project / "data.dvc").read_bytes() == pointer
        shutil.rmtree("data")
        dvc("checkout", "--quiet", "data.dvc")
        assert (project / "data" / "vtest.avi").exists(), "DVC's cache has it now"

    def test_a_project_with_other_data_is_not_pointed_at_the_default(self, project: Path) -> None:
        (project / "data").mkdir()
        (project / "data" / "manifest.csv").write_text("file,class,split\n")
        fetch.track(Path("data"), new=True)
        pointer = (project / "data.dvc").read_bytes()
        shutil.rmtree("data")
        with pytest.raises(InputError, match="names other data"):
            fetch.fetch(Path("data"))
        assert (project / "data.dvc").read_bytes() == pointer

    def test_what_dvc_refuses_is_one_line(self, project: Path) -> None:
        (project / ".dvc" / "config").write_text("[core")
        with pytest.raises(InputError, match="dvc add failed") as caught:
            fetch.fetch(Path("data"))
        assert "\n" not in str(caught.value)

    def test_a_configured_remote_is_asked_first(self, project: Path, server: list[str | None]) -> None:
        fetch.fetch(Path("data"))
        dvc("remote", "add", "--default", "store", str(project / "store"))
        dvc("push", "--quiet")
        shutil.rmtree("data")
        shutil.rmtree(".dvc/cache")
        server.clear()
        assert fetch.fetch(Path("data")) == "the DVC remote"
        assert (project / "data" / "vtest.avi").exists()
        assert server == []


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)


def test_imported_data_stays(project: Path) -> None:
    (project / "data").mkdir()
    (project / "data" / "manifest.csv").write_text("file,class,split\n")
    assert "imported" in fetch.fetch(Path("data"))
    assert not (project / "data" / "vtest.avi").exists()
