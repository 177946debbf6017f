"""What several programs take on their command lines. Python 3.6."""

import argparse
from typing import Callable

from runners.edge import meters

LONGEST_S = 86400.0
MOST_THREADS = 1024


def seconds(text: str) -> float:
    """How long something is to take: above 0, at most a day; for `type` of argparse."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= LONGEST_S:
        raise argparse.ArgumentTypeError("{}: give seconds, above 0 and at most a day".format(text))
    return found


def whole(least: int, most: int) -> Callable[[str], int]:
    """Takes whole numbers in this range; for `type` of argparse."""

    def number(text: str) -> int:
        try:
            found = int(text)
        except ValueError:
            found = least - 1
        if not least <= found <= most:
            raise argparse.ArgumentTypeError("{}: give a whole number, {} to {}".format(text[:40], least, most))
        return found

    return number


threads = whole(0, MOST_THREADS)  # 0 stands for all cores


def meter(text: str) -> str:
    """The name of a power meter; for `type` of argparse."""
    if text not in meters.names():
        raise argparse.ArgumentTypeError("no meter {}: there are {}".format(text, ", ".join(meters.names())))
    return text
