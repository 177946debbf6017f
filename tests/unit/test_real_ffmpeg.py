"""What a device's ffmpeg decodes: the reader's command with the real program."""

import subprocess
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from runners.edge.bell import Bell
from runners.edge.camera.camera import Camera
from runners.edge.camera.source import parse
from tests.real_ffmpeg import path_with_it
from tests.waiting import until

FRAMES = 12
SIZE = (96, 64)


@pytest.fixture(autouse=True)
def _ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_with_it(tmp_path / "bin"))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Frames in JPEG that get brighter from one to the next."""
    file = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 10, SIZE)
    for number in range(FRAMES):
        writer.write(np.full((SIZE[1], SIZE[0], 3), 20 * number, np.uint8))
    writer.release()
    return file


def seen(film: Path, size: tuple[int, int] | None = None) -> tuple[list[Any], dict[str, Any]]:
    """The pictures of a film, and what was told."""
    camera = Camera(parse(str(film)), Bell(), size=size, reader="ffmpeg", patience_s=60, every_frame=True)
    pictures, news = [], {}

    def over() -> bool:
        frame = camera.newest()
        if frame is not None:
            pictures.append(frame.bgr().copy())
        news.update(camera.news())
        return camera.is_over

    try:
        until(over)
    finally:
        camera.close()
    return pictures, news


@pytest.mark.parametrize("size", [None, (48, 32)])
def test_every_frame_of_a_film_comes_in_its_order(film: Path, size: tuple[int, int] | None) -> None:
    pictures, news = seen(film, size)
    width, height = size or SIZE
    assert np.shape(pictures) == (FRAMES, height, width, 3)
    assert np.allclose(np.mean(pictures, (1, 2, 3)), 20 * np.arange(FRAMES), atol=3)
    assert news["camera_opened"]["source"] == list(SIZE)
    assert "reason" not in news["camera_ended"]


@pytest.mark.parametrize("levels", ["tv", "pc"])
def test_a_picture_has_the_levels_that_training_saw(tmp_path: Path, levels: str) -> None:
    picture, film = tmp_path / "picture.png", tmp_path / "film.mp4"
    cv2.imwrite(str(picture), cv2.resize(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8), SIZE))
    scaled = ["-vf", f"scale=out_color_matrix=bt601:out_range={levels}", "-pix_fmt", "yuv420p"]
    encoded = ["-c:v", "libx264", "-qp", "1", "-colorspace", "smpte170m", "-color_range", levels]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", picture, *scaled, *encoded, film]
    subprocess.run(command, check=True)

    [found], _ = seen(film)

    _, trained = cv2.VideoCapture(str(film)).read()
    assert np.abs(found.astype(int) - trained).mean() < 1.5


def test_a_film_that_was_cut_short_gives_what_it_has(film: Path) -> None:
    film.write_bytes(film.read_bytes()[: film.stat().st_size - 1500])
    pictures, _ = seen(film)
    assert 0 < len(pictures) < FRAMES


def test_what_is_no_film_ends_with_ffmpegs_own_words(film: Path) -> None:
    film.write_bytes(b"nothing of the kind" * 100)
    pictures, news = seen(film)
    assert not pictures
    assert "Invalid data" in news["camera_ended"]["reason"]
