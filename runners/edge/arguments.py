"""What several programs take on their command lines. Python 3.6."""

import argparse

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
