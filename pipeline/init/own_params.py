"""params.yaml for the targets that somebody has: its text with the comments, changed in as few places as can be."""

import re
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.compress.recipe import Recipe
from pipeline.project.params import Params
from pipeline.records.targets import describe, load_target
from pipeline.system.errors import InputError


def for_targets(text: str, targets: Sequence[str]) -> str:
    """The text with these targets, the methods that one of them takes, and recipes that are fitted to one of them.

    Raises:
        InputError: there is no target of such a name, or none of the methods fits.
    """
    profiles = [load_target(name) for name in targets]
    text = _set(text, "targets", list(dict.fromkeys(targets)))
    if fitted := next((profile.name for profile in profiles if not profile.refusal("int8")), None):
        named = set(re.findall(r"\btarget: ([\w.-]+)", text))
        for name in named - set(targets):
            text = re.sub(rf"\btarget: {re.escape(name)}(?![\w.-])", f"target: {fitted}", text)
    values = yaml.safe_load(text)
    recipes = {name: Recipe.model_validate({"steps": steps}) for name, steps in values["recipes"].items()}
    methods = [
        name for name in values["methods"] if not all(profile.refusal(recipes[name].precision) for profile in profiles)
    ]
    if methods != values["methods"]:
        text = _set(text, "methods", methods)
    try:
        Params.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        raise InputError(f"params.yaml for {', '.join(targets)}: {describe(error)}") from error
    return text


def _set(text: str, key: str, values: Sequence[Any]) -> str:
    """The list under a key of the first level, in one line, in whichever form it was."""
    return re.sub(rf"^{key}:.*(?:\n *- .*)*", f"{key}: [{', '.join(values)}]", text, count=1, flags=re.MULTILINE)
