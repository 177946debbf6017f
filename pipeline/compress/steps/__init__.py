"""The steps of a recipe: one file each, found by its name, with its settings, its place in the order and its work.

    - prune: {macs: 0.5}        a step called `prune` is in pipeline/compress/steps/prune.py, as its class `Prune`

Settings are read before anything heavy is imported, so a step imports what it works with inside `apply`.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from pipeline.compress.step import Step
from pipeline.system.errors import Refused, unknown


def names() -> list[str]:
    """The steps that there are, sorted."""
    return sorted(module.name for module in iter_modules(__path__))


@cache
def step(name: str) -> type[Step]:
    """The class of the step called `name`; InputError if there is none, or its file has none."""
    if name not in names():
        raise unknown("step", name, names())
    module = import_module(f"{__name__}.{name}")
    found = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Step) and item.__module__ == module.__name__
    ]
    chosen = [item for item in found if not any(issubclass(other, item) and other is not item for other in found)]
    if len(chosen) != 1:
        raise Refused(f"{module.__file__}: a step's file has one class of Step, this one has {len(chosen)}")
    return chosen[0]
