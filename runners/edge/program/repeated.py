"""A video file without an end, to measure with: every frame, as fast as the program takes them, again and again."""

import time
from typing import Optional

from runners.edge.bell import Bell
from runners.edge.camera.camera import Camera
from runners.edge.camera.reader import Spent
from runners.edge.camera.slot import Frame
from runners.edge.camera.source import Source
from runners.edge.refused import Refused

WAIT_S = 30.0  # for a frame


class Repeated:
    """Frames of a file. The reader for the next time is started early, and waits with its first frame."""

    def __init__(self, source: Source, reader: Optional[str] = None) -> None:
        """Open the file.

        Raises:
            Refused: this machine cannot read it.
        """
        self._source, self._reader, self._bell = source, reader, Bell()
        self._before = Spent(0.0, 0.0)  # by the readers before this one
        self._now, self._next = self._open(), None  # type: Camera, Optional[Camera]
        self._began_s: Optional[float] = None
        self.received = 0

    def frame(self) -> Frame:
        """The next frame, valid until the next call.

        Raises:
            Refused: no frame can be read.
        """
        frame = self._wait()
        if frame is None:
            self._turn()
            frame = self._wait()
        if frame is None:
            reasons = [facts["reason"] for _, facts in self._now.news() if "reason" in facts]
            raise Refused("{}: no frame can be read{}".format(self._source.shown, "".join(": " + r for r in reasons)))
        if self._began_s is None:
            self._began_s = self._now.spent.cpu_s
            self._next = self._open()
        self.received += 1
        return frame

    @property
    def spent(self) -> Spent:
        """What readers took: CPU time without what their start takes, and the most memory of one."""
        now = self._now.spent
        cpu_s = 0.0 if self._began_s is None else now.cpu_s - self._began_s
        return Spent(self._before.cpu_s + cpu_s, max(self._before.peak_memory_mib, now.peak_memory_mib))

    def close(self) -> None:
        """End the readers."""
        self._now.close()
        if self._next is not None:
            self._next.close()

    def _wait(self) -> Optional[Frame]:
        give_up_s = time.monotonic() + WAIT_S
        while True:
            frame = self._now.newest()
            if frame is not None or self._now.is_over or time.monotonic() > give_up_s:
                return frame
            self._bell.wait(1.0)

    def _turn(self) -> None:
        """Go on with the next reader."""
        if self._next is not None:
            self._before = self.spent
            self._now.close()
            self._now, self._next, self._began_s = self._next, None, None

    def _open(self) -> Camera:
        try:
            return Camera(self._source, self._bell, reader=self._reader, every_frame=True)
        except ValueError as error:
            raise Refused(str(error)) from error
