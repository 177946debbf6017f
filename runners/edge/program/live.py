"""A live view in a browser on this machine: MJPEG over HTTP, on the loopback only. Must run on Python 3.6.

From elsewhere through SSH: `ssh -L 8080:127.0.0.1:8080 DEVICE`. Drawing and encoding are done on the viewers' threads,
five times a second at most, and for nobody nothing is done: the program only copies a picture that somebody waits for.
"""

import html
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any, Dict, List
from urllib.parse import urlsplit

from runners.edge.program.shown import Shown
from runners.edge.program.view import View
from runners.edge.refused import Refused

ADDRESS = "127.0.0.1"
PERIOD_S = 0.2
MOST_VIEWERS = 3
PATIENCE_S = 5.0  # with a viewer that takes nothing
PART = b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


class Live(ThreadingMixIn, HTTPServer):
    """`/` shows all cameras, `/1` is the stream of the first."""

    daemon_threads = True

    def __init__(self, port: int, cameras: List[str]) -> None:
        """Listen.

        Raises:
            Refused: it cannot listen there.
        """
        self.cameras, self.is_over = cameras, False
        self.newest: Dict[str, Shown] = {}
        self.viewers: Dict[str, int] = dict.fromkeys(cameras, 0)
        self.lock = threading.Lock()
        try:
            super().__init__((ADDRESS, port), Viewer)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise Refused("--live {}: cannot listen there: {}".format(port, why)) from error
        self._thread = threading.Thread(target=self.serve_forever, name="live view", daemon=True)
        self._thread.start()

    def show(self, view: View) -> None:
        """Take a view's picture, if somebody looks and it is time."""
        last = self.newest.get(view.name)
        if self.viewers[view.name] and (last is None or view.time_s - last.time_s >= PERIOD_S):
            self.newest[view.name] = view.shown()

    def close(self) -> None:
        """Listen no longer; viewers are sent away."""
        self.is_over = True
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, *_: Any) -> None:
        """A viewer that went away is nothing to tell."""


class Viewer(BaseHTTPRequestHandler):
    """One request."""

    server: Live
    timeout = PATIENCE_S

    def do_GET(self) -> None:
        """The page, or a stream without end."""
        # A page from elsewhere may send a browser here under a name of its own (DNS rebinding).
        try:
            asked = urlsplit("//" + self.headers.get("Host", "")).hostname
        except ValueError:
            asked = None
        if asked not in (ADDRESS, "localhost"):
            self.send_error(403)
        elif self.path == "/":
            self._page()
        elif self.path[1:].isdigit() and 1 <= int(self.path[1:]) <= len(self.server.cameras):
            self._stream(self.server.cameras[int(self.path[1:]) - 1])
        else:
            self.send_error(404)

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _page(self) -> None:
        rows = [
            '<figure><img src="/{}" width="100%"><figcaption>{}</figcaption></figure>'.format(
                index + 1, html.escape(name)
            )
            for index, name in enumerate(self.server.cameras)
        ]
        content = "<!doctype html><meta charset=utf-8><title>edge</title>" + "".join(rows)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(content.encode("utf-8"))

    def _stream(self, camera: str) -> None:
        with self.server.lock:
            is_full = sum(self.server.viewers.values()) >= MOST_VIEWERS
            self.server.viewers[camera] += not is_full
        if is_full:
            self.send_error(503, "{} look already".format(MOST_VIEWERS))
            return
        try:
            self._pictures(camera)
        except (OSError, socket.timeout):
            pass  # gone, or takes nothing
        finally:
            with self.server.lock:
                self.server.viewers[camera] -= 1

    def _pictures(self, camera: str) -> None:
        last = self.server.newest.get(camera)  # from when somebody looked before
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        # A viewer that says something has closed the connection.
        while not self.server.is_over and not poll.poll(1000 * PERIOD_S / 2):
            newest = self.server.newest.get(camera)
            if newest is not None and newest is not last:
                last, content = newest, newest.jpeg()
                self.wfile.write(PART % len(content) + content + b"\r\n")
