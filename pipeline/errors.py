"""What a user can put right: raised with one clear line, printed without a traceback, exit code 2."""

import difflib
from collections.abc import Sequence


class InputError(Exception):
    """Something given by the user is missing or wrong; the message says what it is and what to do."""


def unknown(what: str, name: str, known: Sequence[str]) -> InputError:
    """The error for a name that is none of the `known` ones, with the nearest of them."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return InputError(f"unknown {what} {name!r}: {hint}there are {', '.join(known)}")
