"""What a device's ffmpeg decodes: the reader's command with the real program."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from runners.edge.bell import Bell
from runners.edge.camera.camera import Camera
from runners.edge.camera.source import parse
from tests.real_ffmpeg import path_with_it
from tests.waiting import until

FRAMES = 12


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Frames that get brighter from one to the next."""
    monkeypatch.setenv("PATH", path_with_it(tmp_path / "bin"))
    file = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for number in range(FRAMES):
        writer.write(np.full((64, 96, 3), 20 * number, np.uint8))
    writer.release()
    return file


@contextmanager
def opened(film: Path, **options: Any) -> Iterator[Camera]:
    camera = Camera(parse(str(film)), Bell(), reader="ffmpeg", patience_s=60, **options)
    try:
        yield camera
    finally:
        camera.close()


def seen(camera: Camera) -> tuple[list[float], tuple[int, ...], dict[str, Any]]:
    """Luminance of each frame, the shape of the last, and how it ended."""
    grey, shape, news = [], (0,), []

    def over() -> bool:
        nonlocal shape
        frame = camera.newest()
        if frame is not None:
            grey.append(float(frame.grey.mean()))
            shape = frame.grey.shape
        news.extend(camera.news())
        return camera.is_over

    until(over)
    return grey, shape, dict(news)


@pytest.mark.parametrize(("size", "shape"), [(None, (64, 96)), ((48, 32), (32, 48))])
def test_every_frame_of_a_film_comes_in_its_order(
    film: Path, size: tuple[int, int] | None, shape: tuple[int, int]
) -> None:
    with opened(film, size=size, every_frame=True) as camera:
        grey, found, news = seen(camera)
    assert len(grey) == FRAMES
    assert found == shape
    # JPEG has luminance from 0 to 255, what we convert to BGR has it from 16 to 235.
    assert np.allclose(grey, 16 + np.arange(FRAMES) * 20 * 219 / 255, atol=3)
    assert news["camera_opened"]["source"] == [96, 64]
    assert "reason" not in news["camera_ended"]


def test_a_film_that_was_cut_short_gives_what_it_has(film: Path) -> None:
    film.write_bytes(film.read_bytes()[: film.stat().st_size - 1500])
    with opened(film, every_frame=True) as camera:
        grey, _, _ = seen(camera)
    assert 0 < len(grey) < FRAMES


def test_what_is_no_film_ends_with_ffmpegs_own_words(film: Path) -> None:
    film.write_bytes(b"nothing of the kind" * 100)
    with opened(film, every_frame=True) as camera:
        grey, _, news = seen(camera)
    assert not grey
    assert "Invalid data" in news["camera_ended"]["reason"]
