"""A static host on the loopback that serves a folder, with ranges, and may be told to serve something else instead."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

from tests.loopback import listening

Answer = Callable[[BaseHTTPRequestHandler], None]


class Host(NamedTuple):
    """`instead` answers for paths that match a pattern; `asked` are the requests so far: path and Range."""

    url: str
    instead: dict[str, Answer]
    asked: list[tuple[str, str]]


@contextmanager
def serving(folder: Path) -> Iterator[Host]:
    """A host for the block."""
    instead: dict[str, Answer] = {}
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Range", "")))
            for pattern, answer in instead.items():
                if re.search(pattern, self.path):
                    with suppress(ConnectionError):
                        answer(self)
                    return
            file = folder / self.path[1:]
            if file.is_file():
                send(self, file.read_bytes())
            else:
                self.send_error(404)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with listening(Handler) as port:
        yield Host(f"http://127.0.0.1:{port}", instead, asked)


def send(to: BaseHTTPRequestHandler, content: bytes, *, sent: int | None = None) -> None:
    """The content, or the part of it that was asked for; no more than `sent` bytes of that, and then hang up."""
    wanted = re.fullmatch(r"bytes=(\d+)-", to.headers.get("Range", ""))
    start = int(wanted[1]) if wanted else 0
    to.send_response(206 if wanted else 200)
    if wanted:
        to.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    to.send_header("Content-Length", str(len(content) - start))
    to.end_headers()
    to.wfile.write(content[start:][:sent])
    to.close_connection = True
