"""What several programs take on their command lines. Python 3.6."""

import argparse

from runners.edge import meters

LONGEST_S = 86400.0


def seconds(text: str) -> float:
    """How long something is to take: above 0, at most a day; for `type` of argparse."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= LONGEST_S:
        raise argparse.ArgumentTypeError("{}: give seconds, above 0 and at most a day".format(text))
    return found


def meter(text: str) -> str:
    """The name of a power meter; for `type` of argparse."""
    if text not in meters.names():
        raise argparse.ArgumentTypeError("no meter {}: there are {}".format(text, ", ".join(meters.names())))
    return text
