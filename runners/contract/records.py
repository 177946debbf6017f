"""Reading a record that the other side wrote: small, whole, each value of the kind that it should be.

Both sides take what they read as hostile: a device may have been taken over, a file cut short when power went.
"""

import json
import math
import os
import re
import stat
from typing import Any, Dict, Mapping, Tuple, Union

MOST_BYTES = 1 << 20
NAME = re.compile(r"\w[\w.+-]{0,99}", re.ASCII)  # of versions, targets, devices: safe as a part of a path and of a URL
SHA256 = re.compile(r"[0-9a-f]{64}")

Kinds = Mapping[str, Union[type, Tuple[type, ...]]]  # float stands for every finite number


def load(file: str, most: int = MOST_BYTES) -> Dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ValueError: it is missing, too large, damaged or no object; the message is one line without the file's name.
    """
    try:
        found = os.stat(file)
        if not stat.S_ISREG(found.st_mode):  # a pipe is read until somebody writes
            raise ValueError("it is a folder, a device or a pipe")
        if found.st_size > most:
            raise ValueError("it has more than {} bytes".format(most))
        with open(file, "rb") as stream:
            return parse(stream.read(most + 1), most)
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error


def parse(content: bytes, most: int = MOST_BYTES) -> Dict[str, Any]:
    """The same of bytes.

    Raises:
        ValueError: see `load`.
    """
    if len(content) > most:
        raise ValueError("it has more than {} bytes".format(most))
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON: {}".format(error)) from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def checked(content: Any, kinds: Kinds) -> Dict[str, Any]:
    """Those values of `content` that `kinds` names; what else is there is left to newer readers.

    Raises:
        ValueError: it is no object, a value is missing or of another kind, or a number is not finite.
    """
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    found = {}
    for name, kind in kinds.items():
        if name not in content:
            raise ValueError("{} is missing".format(name))
        value, wanted = content[name], kind if isinstance(kind, tuple) else (kind,)
        number = float in wanted and is_finite(value)
        if not number and (type(value) not in wanted or type(value) is float):
            raise ValueError("{} is of another kind: {}".format(name, repr(value)[:60]))
        found[name] = value
    return found


def is_finite(value: Any) -> bool:
    """Whether it is a number that a float can hold."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def is_name(value: Any) -> bool:
    """Whether it can stand for a version, a target or a device."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def is_sha256(value: Any) -> bool:
    """Whether it is a SHA-256 in hexadecimal digits."""
    return isinstance(value, str) and SHA256.fullmatch(value) is not None
