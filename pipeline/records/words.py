"""Numbers, verdicts and names as people read them, the same everywhere."""

import math

from pipeline.records.gates import Check, Verdict
from pipeline.records.paired import Interval, Paired
from pipeline.records.results import Result

NOT_MEASURED = "not measured"
VERDICTS: dict[Verdict, str] = {"pass": "PASS", "fail": "FAIL", "not_measured": NOT_MEASURED}
STYLES: dict[Verdict, str] = {"pass": "bold green", "fail": "bold red", "not_measured": "bold yellow"}
LIMITS = {
    "proof": "proof",
    "accuracy_drop_points": "accuracy",
    "frames_per_s": "speed",
    "power_w": "power",
    "changed_answers_percent": "changed answers",
    "unreadable_nodes": "runtime",
    "difference_percent": "difference of the outputs",
}
UNITS = {"accuracy_drop_points": "points", "frames_per_s": "frames/s", "power_w": "W"}  # of a limit; else per cent
FIELDS = {
    "measured": "speed and power on the board",
    "predicted": "predicted speed",
    "accuracy": "accuracy",
    "accuracy.fp32": "accuracy of the FP32 parent",
    "accuracy.target": "accuracy on target",
    "accuracy.cloud": "accuracy in the cloud",
    "accuracy.host": "accuracy on this machine",
    "agreement_percent": "agreement with the FP32 parent",
    "size_bytes": "size",
    "download_bytes": "size of the download",
}
GRADES = {
    "exact": "calculated on an emulated processor of the target's kind, or compared with one on samples of this model",
    "bounded": "the hardware cannot be emulated exactly; the number is the worse end of the interval it lies in",
    "unaudited": "calculated with the target's instruction set, but not compared with an emulated processor",
    NOT_MEASURED: "there is no emulation, or an emulated processor of the target's kind gave other answers or none in "
    "the time it had",
    "fails": "an emulated processor of the target's kind does not run it, or it needs more memory than the target has",
}
POWER = "power is measured on boards only"
SMALLEST_PERCENT = 0.0001


def number(value: float, digits: int = 2) -> str:
    """A number with a fixed count of decimals; what rounds to zero has no sign."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def give_or_take(value: float, interval: Interval | None, digits: int = 2) -> str:
    """A number with half the width of the interval that it lies in, where one is known."""
    if interval is None:
        return number(value, digits)
    return f"{number(value, digits)} ± {number((interval[1] - interval[0]) / 2, max(digits - 1, 0))}"


def uncertain(check: Check, paired: Paired | None, confidence: float) -> str:
    """Why a limit on an accuracy is left open: the interval, and how many samples would tell."""
    assert check.interval is not None
    low, high = (number(end) for end in check.interval)
    needed = None if paired is None else paired.needed(check.limit, confidence)
    more = f"about {needed:,} would do" if needed else "the limit is too near for any number to tell"
    found = f"with {confidence:.0%} confidence it is {low} to {high}, the limit {check.limit:g}"
    return f"too few test samples, {more}: {found}"


def percent(value: float) -> str:
    """A share, from a millionth to a multiple, with two digits that mean something; only zero is written as zero."""
    if value < SMALLEST_PERCENT:
        return f"< {SMALLEST_PERCENT} %" if value else "0 %"
    return f"{number(value, max(0, 1 - math.floor(math.log10(value))))} %"


def rate(value: float) -> str:
    """Regions a second with as many digits as mean something."""
    return number(value, 0 if value >= 10 else 1 if value >= 1 else 2)


def broken(checks: tuple[Check, ...]) -> list[str]:
    """What a failing candidate fails by."""
    return [LIMITS.get(check.name, check.name) for check in checks if check.verdict == "fail"]


def reason(result: Result, field: str) -> str:
    """Why a field of the record holds no measurement: its own reason, or else the one for the whole accuracy."""
    if field == "measured" and result.measured is not None and result.measured.throttled:
        return f"the board held itself back: {'; '.join(result.measured.signs) or 'by what is not told'}"
    keys = [field, *(["accuracy", "accuracy.target"] if field.startswith("accuracy") else [])]
    return next((result.not_measured[key] for key in keys if key in result.not_measured), "the record gives no reason")
