"""Why a network cannot run here. Standard library only: it is also imported in an emulator with a bare system."""

_LONGEST = 300  # characters of what a runtime says


class Unusable(Exception):
    """A runtime, its device or a network cannot be used; the message is one line that says why and what to do."""


class NotInstalled(Unusable):
    """A runtime is not there for this Python, so that nothing is known of the network."""


def in_one_line(error: object) -> str:
    """What a runtime says, which may have many lines."""
    return " ".join(str(error).split())[:_LONGEST]
