"""HTTP as the agent wants it: bounded in time, no slower than can be borne; `file://` is a folder of the same shape."""

import os
import re
import time
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from typing import Any, Dict, Iterator, Optional
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass, url2pathname

import urllib3
from tuf.api import exceptions
from tuf.ngclient import FetcherInterface

PATIENCE_S = 30.0  # with a connection that says nothing
SLOW_S, LEAST_BYTES_PER_S = 30.0, 1024  # within so long, else it is a host that keeps a device busy on purpose
BLOCK = 1 << 16
AGENT = "edgeproof-agent"
CERTIFICATE_TIME = re.compile("certificate (has expired|is not yet valid)")


class Slow(Exception):
    """A host sends less than `LEAST_BYTES_PER_S`."""


class Pace:
    """Counts bytes; at most `most` a second (None: as many as come), and no fewer than can be borne."""

    def __init__(self, most: Optional[int] = None) -> None:
        self._most, self._began_s, self._bytes = most, time.monotonic(), 0
        self._window_s, self._window_bytes = self._began_s, 0

    @property
    def block(self) -> int:
        """How many bytes to ask for at a time."""
        return min(BLOCK, self._most or BLOCK)

    def took(self, count: int) -> None:
        """Wait where that was too fast.

        Raises:
            Slow: it was too slow.
        """
        self._bytes += count
        now_s = time.monotonic()
        if now_s - self._window_s > SLOW_S:
            if self._bytes - self._window_bytes < LEAST_BYTES_PER_S * (now_s - self._window_s):
                raise Slow("it sends less than {} bytes a second".format(LEAST_BYTES_PER_S))
            self._window_s, self._window_bytes = now_s, self._bytes
        if self._most:
            time.sleep(max(0.0, self._began_s + self._bytes / self._most - now_s))


def opened(url: str, headers: Dict[str, str]) -> Any:
    """The answer to a GET, of which nothing was read yet; close it.

    Raises:
        urllib3.exceptions.HTTPError: there is none.
    """
    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    timeout = urllib3.Timeout(PATIENCE_S)
    pool = urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity", **headers}
    return pool.request("GET", url, preload_content=False, timeout=timeout, headers=headers, retries=urllib3.Retry(2))


def why(error: BaseException) -> str:
    """Why nothing came, in one line: what is at the bottom, since every layer of a request quotes the one below."""
    while True:
        below = error.__cause__ or getattr(error, "reason", None)  # the second is urllib3's
        if not isinstance(below, BaseException):
            said = re.sub(r"^\[Errno -?\d+\] ", "", " ".join(str(error).split()) or type(error).__name__)[:200]
            if CERTIFICATE_TIME.search(said):
                said += time.strftime("; the device's clock says %Y-%m-%d %H:%M UTC", time.gmtime())
            return said
        error = below


def local(url: str) -> Optional[str]:
    """The path that a `file://` URL names."""
    parts = urlsplit(url)
    return url2pathname(parts.path) if parts.scheme == "file" else None


class Fetcher(FetcherInterface):
    """What python-tuf fetches metadata with; its lengths are bounded there.

    `host_s` is what the host took the time for, in seconds since 1970; None where it never said.
    """

    host_s: Optional[float] = None

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = local(url)
        if path is not None:
            if not os.path.isfile(path):
                raise exceptions.DownloadHTTPError("{} is not there".format(path), 404)
            with open(path, "rb") as stream:
                return iter([stream.read(1 << 24)])
        answer = opened(url, {})
        with suppress(ValueError, TypeError, IndexError):  # of Python 3.8, too
            self.host_s = parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
        if answer.status != 200:
            answer.close()
            raise exceptions.DownloadHTTPError("{} answers {}".format(url, answer.status), answer.status)
        return self._blocks(url, answer)

    def _blocks(self, url: str, answer: Any) -> Iterator[bytes]:
        pace = Pace()
        with closing(answer):
            try:
                for block in iter(lambda: answer.read1(BLOCK), b""):
                    pace.took(len(block))
                    yield block
            except Slow as error:
                raise exceptions.SlowRetrievalError("{}: {}".format(url, error)) from error
            except urllib3.exceptions.HTTPError as error:
                raise exceptions.DownloadError("{}: {}".format(url, error)) from error
