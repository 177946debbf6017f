"""An HTTP server on a free port of this machine's loopback."""

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from threading import Thread
from typing import Any


def free_port() -> int:
    """For a program that cannot take any and say which."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


class Server(ThreadingHTTPServer):
    """Its threads' troubles are printed; a client that has read enough and hangs up is none."""

    def handle_error(self, *about: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*about)


@contextmanager
def listening(handler: Callable[..., BaseHTTPRequestHandler], tls: SSLContext | None = None) -> Iterator[int]:
    """Serve until the block ends, by HTTPS if asked; the port."""
    with Server(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
