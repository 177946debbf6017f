"""Where frames come from: a video file, a camera on this machine (/dev/videoN), or one on the network (rtsp://…)."""

import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

FILE, DEVICE, STREAM = "file", "device", "stream"


class Source(NamedTuple):
    """`kind` is FILE, DEVICE or STREAM; `address` a path or URL; `shown` is the same without a password."""

    kind: str
    address: str
    shown: str


def parse(text: str) -> Source:
    """What the user named.

    Raises:
        ValueError: it is none of the three, or there is no such file; the message is one line.
    """
    if re.match(r"rtsps?://", text):
        try:
            parts = urlsplit(text)
            host = parts.hostname
        except ValueError as error:
            raise ValueError("{}: no address of a camera ({})".format(_without_user(text), error)) from error
        if not host or re.search(r"[\s\x00-\x1f]", text):
            raise ValueError("{}: no address of a camera; give rtsp://HOST/PATH".format(_without_user(text)))
        return Source(STREAM, text, _without_user(text))
    if "://" in text:
        raise ValueError("{}: cameras on the network are read by rtsp:// only".format(_without_user(text)))
    if text.startswith("/dev/"):  # there or not: a camera may be plugged in later
        return Source(DEVICE, text, text)
    if not os.path.isfile(text):
        raise ValueError("{}: no such file; give a video file, /dev/videoN or rtsp://HOST/PATH".format(text))
    return Source(FILE, os.path.abspath(text), text)


def _without_user(address: str) -> str:
    return re.sub(r"://[^/]*@", "://", address)
