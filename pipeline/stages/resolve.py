"""Stage resolve: a recipe with what it asks of the targets that it names, as one file that its candidates depend on.

A recipe that prunes for a target's speed gives another candidate when the target's objective changes, and no other
recipe does. dvc.yaml cannot say which targets a recipe names; this file does.
"""

from collections.abc import Callable
from typing import Any

import yaml

from pipeline.project import layout
from pipeline.records import targets
from pipeline.system import files
from pipeline.system.errors import InputError

REMARKS = ("description", "sources")  # of a target: no number comes of them


def resolve(method: str) -> None:
    """Write the resolved recipe of a method of params.yaml."""
    recipes = _mapping(layout.PARAMS.read_text(encoding="utf-8")).get("recipes", {})
    if method not in recipes:
        raise InputError(f"no recipe called {method!r} in params.yaml; recipes: {', '.join(sorted(recipes))}")
    content = resolved(
        recipes[method], lambda name: (targets.TARGETS_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    )
    files.write_json(layout.recipe(method), content)


def resolved(recipe: Any, target_yaml: Callable[[str], str]) -> dict[str, Any]:
    """A recipe as params.yaml has it, with the facts of each target that one of its steps names.

    `target_yaml` gives the text of a target's profile. What is no recipe is left for params.yaml's own check.
    """
    steps = recipe if isinstance(recipe, list) else []
    settings = [value for step in steps if isinstance(step, dict) for value in step.values()]
    names = {value["target"] for value in settings if isinstance(value, dict) and isinstance(value.get("target"), str)}
    facts = {name: _mapping(target_yaml(name)) for name in sorted(names)}
    return {
        "recipe": recipe,
        "targets": {
            name: {key: value for key, value in known.items() if key not in REMARKS} for name, known in facts.items()
        },
    }


def _mapping(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text)
    return found if isinstance(found, dict) else {}
