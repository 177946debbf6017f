"""What a user can put right: raised with one clear line, printed without a traceback, exit code 2.

Programs catch the kind that they can do something about; people read the line.
"""

import difflib
import re
from collections.abc import Sequence

_LONGEST = 200  # characters of what a library says


class InputError(Exception):
    """Something given by the user is missing or wrong; the message says what it is and what to do."""


class BadModel(InputError):
    """A model file is damaged, no model, or one that a runtime or a conversion does not take."""


class BadData(InputError):
    """Images, labels or tables are damaged, or do not fit what they are given for."""


class Refused(InputError):
    """A target, a network or a step does not do what it is asked for."""


class Missing(InputError):
    """Something has to be made, fetched or installed first."""


class Unpredictable(InputError):
    """Nothing comparable was ever measured, so that no number can be given."""


def reason(error: Exception) -> str:
    """What a library says of its own error, in brackets behind a space; nothing where people cannot read it.

    A single name, which is all that some errors hold, says nothing to who does not know the library.
    """
    said = plain(str(error))
    return f" ({said[:_LONGEST].rstrip('.')})" if len(said.split()) > 2 else ""


def plain(said: str) -> str:
    """What a library says, without the names of its classes, its codes and the places in its sources."""
    said = re.sub(r"^(\w+\.)+\w+: ", "", " ".join(said.split()))
    said = re.sub(r"onnxruntime\.capi\.[\w.]+: |\[ONNXRuntimeError\] : \d+ : \w+ : ", "", said)
    said = re.sub(r"/\S+\.(cc|cpp|h|hpp):\d+ [^()]*\([^)]*\) ", "", said)
    return re.sub(r"\[?\b[\w.]*(Error|Exception)\b\]?:?\s*", "", said).removeprefix("-- ").strip()


def unknown(what: str, name: str, known: Sequence[str]) -> InputError:
    """The error for a name that is none of the `known` ones, with the nearest of them."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return InputError(f"unknown {what} {name!r}: {hint}there are {', '.join(known)}")


def shown(text: object) -> str:
    """A text of one line that does nothing to a terminal: what cannot be printed, such as bytes of a file's name that
    are no UTF-8, is escaped."""
    return "".join(character if character.isprintable() else _escaped(character) for character in str(text))


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def _escaped(character: str) -> str:
    # Python keeps a byte of a file's name that is no UTF-8 as one of these.
    number = ord(character)
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else repr(character)[1:-1]
