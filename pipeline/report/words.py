"""Numbers and names as the report writes them, the same everywhere."""

from pipeline.gates import Check, Verdict
from pipeline.results import Result

NOT_MEASURED = "not measured"
VERDICTS: dict[Verdict, str] = {"pass": "PASS", "fail": "FAIL", "not_measured": NOT_MEASURED}
LIMITS = {"accuracy_drop_points": "accuracy", "regions_per_s": "speed", "power_w": "power"}
FIELDS = {
    "measured": "speed and power on the board",
    "predicted": "predicted speed",
    "accuracy": "accuracy",
    "accuracy.fp32": "accuracy of the FP32 parent",
    "accuracy.target": "accuracy on target",
    "accuracy.host": "accuracy on this machine",
    "accuracy.unsaturated": "unsaturated accuracy",
    "agreement_percent": "agreement with the FP32 parent",
    "size_bytes": "size",
}
GRADES = {
    "exact": "audited: bit-identical to the target's own instruction set on a sample of this very model",
    "bounded": "the hardware cannot be emulated exactly; the number is the worse end of the interval it lies in",
    "unaudited": "calculated with the target's instruction set, but not yet compared bit for bit with an emulated "
    "processor of that kind",
}
POWER = "power is measured on boards only"


def number(value: float, digits: int = 2) -> str:
    """A number with a fixed count of decimals; what rounds to zero has no sign."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def rate(value: float) -> str:
    """Regions a second with as many digits as mean something."""
    return number(value, 0 if value >= 10 else 1 if value >= 1 else 2)


def broken(checks: tuple[Check, ...]) -> list[str]:
    """What a failing candidate fails by."""
    return [LIMITS.get(check.name, check.name) for check in checks if check.verdict == "fail"]


def reason(result: Result, field: str) -> str:
    """Why a field of the record holds no measurement: its own reason, or else the one for the whole accuracy."""
    keys = [field, *(["accuracy", "accuracy.target"] if field.startswith("accuracy") else [])]
    return next((result.not_measured[key] for key in keys if key in result.not_measured), "the record gives no reason")


def one_line(text: str) -> str:
    """Reasons come from other programs and may hold line breaks."""
    return " ".join(text.split())
