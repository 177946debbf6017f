"""All checks, one after the other; each is a file, found by its name, with a function `look`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from pipeline.doctor import here, on_github
from pipeline.doctor.examined import Subject
from pipeline.doctor.finding import Finding, Unasked, not_measured, wrong
from pipeline.records.gates import Verdict, worst
from pipeline.system.errors import InputError

PLACES = {"here": here, "on GitHub": on_github}


@dataclass(frozen=True)
class Examined:
    """What one check found, and in which place it looked."""

    place: str
    check: str
    finding: Finding


def examine(subject: Subject, places: Mapping[str, ModuleType] = PLACES) -> list[Examined]:
    """What all checks find, in the order of their names. A check that cannot look is none that passes."""
    return [
        Examined(place, name.replace("_", "-"), finding)
        for place, room in places.items()
        for name in names(room)
        for finding in look(import_module(f"{room.__name__}.{name}"), subject)
    ]


def names(room: ModuleType) -> list[str]:
    """The checks in a room, sorted."""
    return sorted(module.name for module in iter_modules(room.__path__))


def verdict(found: list[Examined]) -> Verdict:
    """The worst of all verdicts."""
    return worst(each.finding.verdict for each in found)


def look(check: ModuleType, subject: Subject) -> Iterator[Finding]:
    """What one check finds: that nobody could look, where it could not."""
    try:
        yield from check.look(subject)
    except Unasked as error:
        yield not_measured(str(error), error.fix)
    except InputError as error:
        yield wrong(str(error), "nothing runs with it", "mend what the line names")
