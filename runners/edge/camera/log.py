"""What a reader says: read so that it never waits for us, and kept in part."""

import os
import re
from typing import Any, List, Optional

from runners.edge.camera.readers import Size

LAST_WORDS, LONGEST_WORD = 20, 300
TELLING = re.compile(r"error|fail|refused|denied|not found|no such|invalid|unable|cannot", re.IGNORECASE)


class Resized(Exception):
    """The camera now sends frames of another size; `size` is its width and height."""

    def __init__(self, size: Size) -> None:
        super().__init__("{}x{}".format(*size))
        self.size = size


class Log:
    """Reads the pipe `fd` and gives it back at the end; a line that `size_line` matches tells the camera's size."""

    def __init__(self, fd: int, size_line: Any) -> None:
        self.size: Optional[Size] = None
        self._changed = False
        self._fd, self._size_line = fd, size_line
        self._words: List[str] = []
        self._unread = b""
        os.set_blocking(fd, False)

    def read(self) -> None:
        """Read all that was said, without waiting.

        Raises:
            Resized: the camera's size is another than before.
        """
        while True:
            try:
                part = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                break
            if not part:
                break
            *lines, rest = (self._unread + part).split(b"\n")
            self._unread = rest[-LONGEST_WORD:]
            for line in lines:
                self._keep(line)
        if self.size is not None and self._changed:  # perhaps within what was read at once
            raise Resized(self.size)

    def _keep(self, line: bytes) -> None:
        found = self._size_line.search(line)
        if found:
            size = int(found.group(1)), int(found.group(2))
            self._changed = self._changed or self.size not in (None, size)
            self.size = size
        elif line.strip():
            self._words.append(line[:LONGEST_WORD].decode("utf-8", "replace").strip())
            del self._words[:-LAST_WORDS]

    @property
    def reason(self) -> str:
        """The line that says most: GStreamer's first error is the cause, ffmpeg's last."""
        errors = [word for word in self._words if word.startswith("ERROR: ")]
        telling = [word for word in self._words if TELLING.search(word)]
        said = errors[:1] or telling[-1:] or self._words[-1:]
        return re.sub(r"^\[[^]]*\] ", "", said[0]) if said else ""

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._fd)
