"""Cameras that stall, die, stutter and change, read through a stand-in for ffmpeg that is as strict as the real one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from runners.edge.bell import Bell
from runners.edge.camera import readers, y4m
from runners.edge.camera import supervisor as module
from runners.edge.camera.camera import Camera
from runners.edge.camera.readers import ffmpeg, nvv4l2, vaapi
from runners.edge.camera.slot import Slot
from runners.edge.camera.source import parse
from tests.scenes import stand_ins
from tests.waiting import has_ended, until

REPOSITORY = Path(__file__).resolve().parents[2]
SIZE = ["size", 64, 48]
LIMIT_S = 30.0


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with cameras that can be played; ffmpeg and GStreamer are stand-ins, and pauses are short."""
    for name, value in stand_ins(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.1)
    return tmp_path


@pytest.fixture
def opened(scenes: Path) -> Iterator[Callable[..., "Watched"]]:
    """Plays a scene: `opened([steps of the first start], ...)`."""
    cameras: list[Watched] = []

    def play(*starts: list[Any], source: str = "rtsp://u:secret@cam/door", **options: Any) -> Watched:
        file = scenes / (source.rsplit("/", 1)[1] if "/" in source else source)
        file.write_text(json.dumps(starts))
        address = source if "/" in source else str(file)
        cameras.append(Watched(address, file, **{"reader": "ffmpeg", "patience_s": 0.4, **options}))
        return cameras[-1]

    yield play
    for watched in cameras:
        watched.camera.close()


class Watched:
    """A camera, all that it told, and what its frames looked like."""

    def __init__(self, address: str, file: Path, bell: Bell | None = None, **options: Any) -> None:
        self.bell, self.file = bell or Bell(), file
        self.camera = Camera(parse(address), self.bell, **options)
        self.news: list[tuple[str, dict[str, Any]]] = []
        self.frames: list[tuple[int, int, tuple[int, ...]]] = []  # number, luminance, shape

        self.memory: set[int] = set()

    def look(self) -> None:
        frame = self.camera.newest()
        if frame is not None:
            assert frame.grey.min() == frame.grey.max(), "a frame put together from two"
            assert set(frame.i420[frame.grey.shape[0] :].flat) == {128}
            self.memory.add(frame.i420.ctypes.data)
            self.frames.append((frame.number, int(frame.grey[0, 0]), frame.grey.shape))
        self.news += self.camera.news()

    def until(self, wanted: str, times: int = 1) -> dict[str, Any]:
        """Look at frames until an event was told for the `times`-th time; its facts."""
        self.wait(lambda: self.events.count(wanted) >= times)
        return [facts for event, facts in self.news if event == wanted][times - 1]

    def wait(self, condition: Callable[[], bool]) -> None:
        limit_s = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < limit_s, self.news
            self.bell.wait(0.05)
            self.look()

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.news]

    @property
    def started(self) -> list[int]:
        return [int(line) for line in Path(f"{self.file}.started").read_text().split()]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_newest_frame_is_handed_out_and_older_ones_are_counted(opened: Callable[..., Watched]) -> None:
    door = opened([SIZE, ["frames", 200, 0.001], ["stall"]], patience_s=60)
    door.wait(lambda: door.camera.counts.received == 200)
    door.look()
    assert door.frames[-1][:2] == (200, 200)
    counts = door.camera.counts
    assert counts.delivered == len(door.frames)
    assert counts.received == counts.delivered + counts.dropped
    assert [number for number, *_ in door.frames] == [luminance for _, luminance, _ in door.frames]
    assert door.camera.newest() is None, "handed out once"


def test_a_slow_program_gets_every_frame_of_a_file(opened: Callable[..., Watched]) -> None:
    clip = opened([SIZE, ["frames", 30]], source="clip.mkv", every_frame=True)
    while not clip.camera.is_over:
        clip.bell.wait(0.1)
        time.sleep(0.002)
        clip.look()
    assert [luminance for _, luminance, _ in clip.frames] == list(range(1, 31))
    assert clip.camera.counts == (30, 30, 0, 0, 0)
    assert clip.events == ["camera_opened", "camera_ended"]
    assert len(clip.started) == 1, "a file is read once"


@pytest.mark.parametrize("taken_every", [1, 3])
def test_a_frame_is_the_programs_until_it_takes_the_next_and_memory_is_three_frames(taken_every: int) -> None:
    slot, memory, held = Slot("door", Bell(), False), set(), None
    buffer = y4m.Buffer(64, 48)
    for number in range(1, 50):
        buffer.i420[:] = number
        memory.add(buffer.i420.ctypes.data)
        buffer = slot.put(buffer, 0.0)
        if held is not None:
            assert (held.i420 == held.number).all()
        if number % taken_every == 0:
            held = slot.take()
            assert held is not None
            assert held.number == number
            assert held.bgr().shape == (48, 64, 3)
    assert len(memory) == 3
    assert slot.received == slot.delivered + slot.dropped + slot.is_fresh


def test_a_camera_that_stalls_is_killed_with_all_it_started_and_comes_back(
    opened: Callable[..., Watched], tmp_path: Path
) -> None:
    helpers = tmp_path / "helpers"
    stalls = [SIZE, ["frames", 3], ["helper", str(helpers)], ["stall"]]
    door = opened(stalls, stalls, [SIZE, ["frames", 3000, 0.01]])
    lost = door.until("camera_lost")
    back = door.until("camera_back", 2)
    assert lost == {"reason": "no frame for 0.4 s", "camera": "rtsp://cam/door", "reader": "ffmpeg"}
    assert back["away_s"] > 0
    assert back["tries"] == 1
    assert door.camera.counts.lost >= 2
    for process in [*door.started[:2], *(int(line) for line in helpers.read_text().split())]:
        until(lambda process=process: has_ended(process))


def test_an_outage_is_told_once_however_long(opened: Callable[..., Watched]) -> None:
    refused = [["exit", 1, "ADDRESS: Connection refused"]]
    door = opened(refused, refused, refused, [SIZE, ["frames", 3], ["stall"]], patience_s=60)
    lost, first = door.until("camera_lost"), door.until("camera_opened")
    assert lost["reason"] == "it ended with 1: rtsp://cam/door: Connection refused"
    assert door.events.count("camera_lost") == 1
    assert (first["size"], first["tries"]) == ([64, 48], 4)
    assert first["away_s"] > 0


@pytest.mark.parametrize("source", ["rtsp://cam/door", "clip.mkv"])
def test_half_a_frame_is_counted_and_never_handed_out(opened: Callable[..., Watched], source: str) -> None:
    door = opened([SIZE, ["frames", 4, 0.01], ["half"], ["exit", 0]], [SIZE, ["stall"]], source=source)
    told = door.until("camera_ended" if source == "clip.mkv" else "camera_lost")
    assert told["reason"].startswith("it ended with 0 within a frame")
    door.look()
    assert door.camera.counts.damaged == 1
    assert door.camera.counts.received == 4
    assert max(luminance for _, luminance, _ in door.frames) == 4


def test_a_frame_that_arrives_in_part_only_is_no_frame(opened: Callable[..., Watched]) -> None:
    door = opened([SIZE, ["frames", 2], ["half"], ["stall"]], [SIZE, ["frames", 1], ["stall"]])
    assert door.until("camera_lost")["reason"] == "no frame for 0.4 s, only a part of one"
    assert door.camera.counts.damaged == 1


def test_frames_out_of_step_start_the_reader_anew(opened: Callable[..., Watched]) -> None:
    door = opened([SIZE, ["frames", 2], ["junk"], ["stall"]], [SIZE, ["frames", 2], ["stall"]])
    assert "out of step" in door.until("camera_lost")["reason"]
    door.until("camera_back")
    assert door.camera.counts.damaged == 1


@pytest.mark.parametrize("reader", ["ffmpeg", "nvv4l2"])
def test_a_new_size_is_told_and_no_stretched_frame_handed_out(
    opened: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    monkeypatch.setattr(nvv4l2, "missing", lambda source: "")
    wide, small = [SIZE, ["frames", 3, 0.01], ["resize", 32, 32], ["frames", 3], ["stall"]], ["size", 32, 32]
    door = opened(wide, [small, ["frames", 3], ["stall"]], reader=reader, patience_s=60)
    assert door.until("camera_resized")["source"] == [32, 32]
    door.wait(lambda: door.frames[-1:] != [] and door.frames[-1][2] == (32, 32))
    assert all(luminance <= 3 for _, luminance, _ in door.frames)
    assert "camera_lost" not in door.events


def test_a_size_that_changes_within_a_file_ends_it(opened: Callable[..., Watched]) -> None:
    clip = opened([SIZE, ["frames", 3], ["resize", 32, 32], ["frames", 3]], source="clip.mkv", every_frame=True)
    assert "its frames become 32x32" in clip.until("camera_ended")["reason"]


def test_a_reader_that_talks_without_end_is_not_held_up(opened: Callable[..., Watched]) -> None:
    door = opened(
        [["chatter", 800], SIZE, ["frames", 2, 0.01], ["chatter", 800], ["frames", 2, 0.01], ["stall"]], patience_s=60
    )
    door.wait(lambda: door.camera.counts.received == 4)


def test_what_all_its_readers_took_is_added_up(opened: Callable[..., Watched]) -> None:
    door = opened([SIZE, ["frames", 300], ["exit", 1, "gone"]])
    door.until("camera_back")
    first = door.camera.spent
    assert first.cpu_s > 0
    assert first.peak_memory_mib > 1
    door.until("camera_back", 3)
    door.camera.close()
    last = door.camera.spent
    assert last.cpu_s >= 2 * first.cpu_s / 3
    assert last.cpu_s > first.cpu_s
    assert last.peak_memory_mib >= first.peak_memory_mib


def test_a_killed_reader_is_started_again(opened: Callable[..., Watched]) -> None:
    door = opened([SIZE, ["frames", 2], ["stall"]], patience_s=60)
    door.until("camera_opened")
    os.kill(door.started[0], signal.SIGKILL)
    assert door.until("camera_lost")["reason"].startswith("it was killed by signal 9")
    door.until("camera_back")


def test_a_killed_program_leaves_no_reader(scenes: Path) -> None:
    (scenes / "door").write_text(json.dumps([[SIZE, ["frames", 1], ["stall"]]]))
    program = (
        "import time\nfrom runners.edge.bell import Bell\nfrom runners.edge.camera.camera import Camera\n"
        "from runners.edge.camera.source import parse\n"
        "camera = Camera(parse('rtsp://cam/door'), Bell(), reader='ffmpeg', patience_s=60)\n"
        "while not camera.counts.received:\n    time.sleep(0.01)\n"
        "print('reads', flush=True)\ntime.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        assert owner.stdout.readline() == b"reads\n"
        reader = int((scenes / "door.started").read_text())
        assert not has_ended(reader)
        owner.kill()
        owner.wait()
    until(lambda: has_ended(reader))


def test_one_camera_that_stalls_slows_no_other(opened: Callable[..., Watched]) -> None:
    bell = Bell()
    stalled = opened([SIZE, ["frames", 1], ["stall"]], source="rtsp://cam/stalled", bell=bell, patience_s=60)
    stalled.until("camera_opened")
    others = [opened([SIZE, ["frames", 100, 0.005], ["stall"]], source=f"rtsp://cam/{n}", bell=bell) for n in "abc"]
    for other in others:
        other.wait(lambda other=other: other.camera.counts.received >= 100)
    assert (stalled.camera.counts.received, stalled.camera.counts.lost) == (1, 0)


def test_the_wall_clock_is_nobodys_business(opened: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: pytest.fail("asked the wall clock"))
    door = opened([SIZE, ["frames", 20, 0.01], ["stall"]], [SIZE, ["frames", 1], ["stall"]])
    door.until("camera_back")
    assert door.camera.counts.received >= 2


def test_nothing_grows_however_often_a_camera_is_lost(opened: Callable[..., Watched]) -> None:
    door = opened([SIZE, ["frames", 3], ["exit", 1, "gone"]])
    door.until("camera_lost")
    before = open_files(), threading.active_count()
    door.wait(lambda: door.camera.counts.lost >= 8)
    assert len(door.memory) <= 3
    door.camera.close()
    assert open_files() <= before[0]
    assert threading.active_count() < before[1]
    assert all(has_ended(process) for process in door.started)


def test_a_closed_camera_ends_at_once_whatever_it_does(
    opened: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runners.edge.camera.reader.WAIT_S", 60.0)
    waits = opened([SIZE, ["frames", 30]], source="clip.mkv", every_frame=True)  # for the program to take a frame
    stalls = opened([["stall"]])
    until(lambda: waits.camera.counts.received == 1)
    time.sleep(0.1)
    began_s = time.monotonic()
    waits.camera.close()
    stalls.camera.close()
    assert time.monotonic() - began_s < 30


def test_a_file_is_read_with_opencv_where_nothing_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for level in (40, 120, 200):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    bell, levels = Bell(), []
    clip = Camera(parse(str(tmp_path / "clip.avi")), bell, every_frame=True)
    while not clip.is_over:
        bell.wait(0.1)
        frame = clip.newest()
        if frame is not None:
            levels.append(float(frame.bgr().mean()))
    clip.close()
    assert clip.reader == "opencv"
    assert levels == pytest.approx([40, 120, 200], abs=3)
    with pytest.raises(ValueError, match="apt-get install ffmpeg"):
        readers.choose(parse("rtsp://cam/door"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing.mp4", "no such file"), ("http://u:secret@cam/x", r"http://cam/x: .* by rtsp:// only"),
        ("rtsp:///door", "no address"), ("rtsp://[cam/door", "no address"),
    ],
)  # fmt: skip
def test_what_is_no_source_is_said_in_a_line(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as told:
        parse(text)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"RIFF....AVI \n", "no YUV4MPEG2"), (b"YUV4MPEG2 H48\n", "without a size"),
        (b"YUV4MPEG2 W64 H48 C444\n", "444"), (b"YUV4MPEG2 W64 H48 C420p10\n", "420p10"),
        (b"YUV4MPEG2 W63 H48\n", "even"), (b"YUV4MPEG2 W64000 H48\n", "at most 8192"),
    ],
)  # fmt: skip
def test_a_stream_that_cannot_be_used_is_refused(line: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        y4m.size(line)


def test_each_version_of_ffmpeg_is_asked_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "_libavformat", lambda: (58, 76))  # 4.4
    device = ffmpeg.command(parse("/dev/video0"), (1280, 720), False, 7)
    assert " ".join(device.arguments[6:]) == (
        "-f v4l2 -video_size 1280x720 -i /dev/video0 "
        "-map 0:v:0 -vf scale=out_range=tv -vsync passthrough -pix_fmt yuv420p -f yuv4mpegpipe pipe:7"
    )
    monkeypatch.setattr(ffmpeg, "_libavformat", lambda: (63, 1))  # 9
    gpu = vaapi.command(parse("rtsp://cam/door"), (640, 360), False, 7)
    assert gpu.environment == {"LIBVA_DRIVER_NAME": "i965"}
    assert " ".join(gpu.arguments[6:]) == (
        "-hwaccel vaapi -hwaccel_device /dev/dri/renderD128 -hwaccel_output_format vaapi "
        "-fflags +genpts+discardcorrupt+nobuffer -flags low_delay -rtsp_transport tcp -i rtsp://cam/door "
        "-map 0:v:0 -vf scale_vaapi=w=640:h=360:format=nv12,hwdownload,format=nv12,scale=out_range=tv "
        "-fps_mode passthrough -pix_fmt yuv420p -f yuv4mpegpipe pipe:7"
    )


@pytest.mark.parametrize("libavformat", ["58.76", "59.27", "63.1"])
def test_a_strict_ffmpeg_takes_what_we_say(
    opened: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch, libavformat: str
) -> None:
    monkeypatch.setenv("FAKE_LIBAVFORMAT", libavformat)
    monkeypatch.setattr(vaapi, "missing", lambda source: "")
    for reader, size in (("ffmpeg", None), ("ffmpeg", (64, 48)), ("vaapi", (64, 48))):
        door = opened([SIZE, ["frames", 1], ["stall"]], reader=reader, size=size, patience_s=60)
        door.until("camera_opened")


def test_what_a_machine_lacks_is_said_with_the_fix(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = parse("rtsp://cam/door")
    assert readers.choose(door) == "ffmpeg"
    with pytest.raises(ValueError, match="no nvv4l2decoder here: apt-get install nvidia-l4t-gstreamer"):
        readers.choose(door, "nvv4l2")
    monkeypatch.setattr(vaapi, "NODE", "/dev/null")
    monkeypatch.setattr(vaapi, "DRIVERS", "/nowhere")
    with pytest.raises(ValueError, match="apt-get install i965-va-driver"):
        readers.choose(door, "vaapi")
    monkeypatch.setattr(vaapi, "DRIVERS", "/dev/null")
    assert readers.choose(door) == "vaapi"
    with pytest.raises(ValueError, match="no reader called vlc: there are ffmpeg, nvv4l2, opencv, vaapi"):
        readers.choose(door, "vlc")
    with pytest.raises(ValueError, match="every-frame is for files"):
        Camera(door, Bell(), every_frame=True)
