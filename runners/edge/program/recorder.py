"""An annotated video of each camera, written on a thread of its own. Must run on Python 3.6.

Ten pictures a second at their true times, however many the program looked at. The disk is the events' first: a
recording ends where little room is left, or where it has become large.
"""

import os
import queue
import shutil
import threading
from typing import Dict, List, Optional, Tuple

import cv2

from runners.edge.loop.regions import FRAME_HEIGHT, FRAME_WIDTH
from runners.edge.program.shown import Shown
from runners.edge.program.view import Tell, View
from runners.edge.refused import Refused

RATE = 10.0  # pictures a second
CODECS = ("XVID", "MJPG")  # the second is in every OpenCV
WAITING = 4  # pictures; more would be memory, and the disk will not catch up
LONGEST_GAP_S = 2.0  # a camera that is away for longer leaves a cut
LEAST_ROOM, MOST_BYTES = 256 << 20, 2 << 30  # free on the disk, and in a file: some players read no larger AVI
LOOK_EVERY = 20  # pictures


class Film:
    """One camera's file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.wanted_s = -float("inf")  # no picture before that
        self._count = 0
        self._began_s: Optional[float] = None
        for codec in CODECS:
            self._writer = cv2.VideoWriter(
                file, cv2.VideoWriter.fourcc(*codec), RATE, (FRAME_WIDTH, FRAME_HEIGHT)
            )  # fmt: skip
            if self._writer.isOpened():
                return
        raise Refused("{}: no video can be written there".format(file))

    def write(self, shown: Shown) -> None:
        """The picture, as often as it takes to come to its time."""
        picture = shown.drawn()
        if self._began_s is None or shown.time_s - self._began_s - self._count / RATE > LONGEST_GAP_S:
            self._began_s = shown.time_s - self._count / RATE
        while self._count < (shown.time_s - self._began_s) * RATE + 0.5:
            self._writer.write(picture)
            self._count += 1

    def trouble(self) -> str:
        """Why it has to end, if it has."""
        if self._count % LOOK_EVERY:
            return ""
        try:
            free = shutil.disk_usage(os.path.dirname(os.path.abspath(self.file))).free
            size = os.path.getsize(self.file)
        except OSError as error:
            return "it cannot be written: {}".format(error.strerror)
        if free < LEAST_ROOM:
            return "the disk is nearly full"
        return "it is as large as it may be" if size > MOST_BYTES else ""

    def close(self) -> None:
        """End the file."""
        self._writer.release()


class Recorder:
    """Writes what it is shown; drops pictures where that takes too long."""

    def __init__(self, file: str, cameras: List[str], tell: Tell) -> None:
        """Open `file` for the first of these cameras, and for the others files with a number before the suffix.

        Raises:
            Refused: no video can be written there.
        """
        stem, suffix = os.path.splitext(file)
        if suffix.lower() != ".avi":
            raise Refused("{}: a recording is an .avi".format(file))
        self._tell = tell
        self._films: Dict[str, Film] = {}
        for index, name in enumerate(cameras):
            self._films[name] = Film("{}-{}{}".format(stem, index + 1, suffix) if index else file)
        self._pictures: "queue.Queue[Optional[Tuple[str, Shown]]]" = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def show(self, view: View) -> None:
        """Take a view's picture, if it is time."""
        film = self._films.get(view.name)
        if film is not None and view.time_s >= film.wanted_s and not self._pictures.full():
            film.wanted_s = max(film.wanted_s + 1 / RATE, view.time_s)
            self._pictures.put((view.name, view.shown()))

    def close(self) -> None:
        """Write what waits, and end the files."""
        self._pictures.put(None)
        self._thread.join()

    def _work(self) -> None:
        for name, shown in iter(self._pictures.get, None):  # type: Any
            film = self._films.get(name)
            if film is not None:
                film.write(shown)
                why = film.trouble()
                if why:
                    film.close()
                    del self._films[name]
                    self._tell("recording_ended", camera=name, file=film.file, reason=why)
        for film in self._films.values():
            film.close()
