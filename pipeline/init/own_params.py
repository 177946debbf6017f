"""params.yaml for what somebody has: its text with the comments, changed in as few places as can be."""

import math
import re
from collections.abc import Sequence

import yaml
from pydantic import ValidationError

from pipeline.project.params import Params
from pipeline.records.targets import describe, load_target
from pipeline.system.errors import InputError

# With so large a share of changed answers, half of an interval over 568 test samples is 1.5 points, as candidates have
# it that are trained again (docs/certainty.md). One test split of 70 is so many standard errors worse than the truth.
CHANGED, ONE_OF_70 = 0.047, 2.2


def for_targets(text: str, targets: Sequence[str]) -> str:
    """The text with these targets, the methods that one of them takes, and recipes that are fitted to one of them.

    Raises:
        InputError: there is no target of such a name, or none of the methods fits.
    """
    before = _read(text)
    profiles = [load_target(name) for name in dict.fromkeys(targets)]
    text = _set(text, "targets", [profile.name for profile in profiles])
    if fitted := next((profile.name for profile in profiles if not profile.refusal("int8")), None):
        for name in set(re.findall(r"\btarget: ([\w.-]+)", text)) - set(targets):
            text = re.sub(rf"\btarget: {re.escape(name)}(?![\w.-])", f"target: {fitted}", text)
    taken = [
        name
        for name in before.methods
        if not all(profile.refusal(before.recipes[name].precision) for profile in profiles)
    ]
    if taken != before.methods:
        text = _set(text, "methods", taken)
    _read(text)
    return text


def for_test_images(text: str, count: int) -> str:
    """The text with a limit for lost accuracy that is no less than what so many test images can tell from luck."""
    limit = least_limit(count)
    if limit <= _read(text).gates.accuracy_drop_points:
        return text
    return re.sub(r"(\baccuracy_drop_points: )[\d.]+", rf"\g<1>{limit}", text, count=1)


def least_limit(count: int) -> float:
    """In whole points: what truly loses 1 point comes out beyond it in one of seventy sets of so many test images."""
    return float(round(1 + 100 * ONE_OF_70 * math.sqrt(CHANGED / count)))


def _read(text: str) -> Params:
    try:
        return Params.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        reason = describe(error) if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise InputError(f"params.yaml: {reason}") from error


def _set(text: str, key: str, values: Sequence[str]) -> str:
    """The list under a key of the first level, in one line, in whichever form it was."""
    return re.sub(rf"^{key}:.*(?:\n *- .*)*", f"{key}: [{', '.join(values)}]", text, count=1, flags=re.MULTILINE)
