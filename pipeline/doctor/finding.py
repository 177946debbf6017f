"""What a check found: what is so, and where it is not well, why that matters and what mends it."""

from dataclasses import dataclass

from pipeline.records.gates import Verdict


class Unasked(Exception):
    """Something could not be looked at; the message is the reason, `fix` what it takes to look."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.fix = fix


@dataclass(frozen=True)
class Finding:
    """One sentence on one thing; `why` and `fix` (a command, or the address of a setting) where it did not pass."""

    verdict: Verdict
    what: str
    why: str = ""
    fix: str = ""


def well(what: str) -> Finding:
    """It is as it should be."""
    return Finding("pass", what)


def wrong(what: str, why: str, fix: str) -> Finding:
    """It is not, and somebody can mend it."""
    return Finding("fail", what, why, fix)


def not_measured(what: str, fix: str = "") -> Finding:
    """Nobody could look."""
    return Finding("not_measured", what, fix=fix)
