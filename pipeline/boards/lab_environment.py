"""labgrid's part of a board's file, held against labgrid's own classes. Nothing is made of it, and nothing is reached.

labgrid itself goes on without a key that it does not know, and tells of all else when the board is to be reached. A
machine without labgrid, which reaches no board, sees what can be seen without it.
"""

import difflib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.system.errors import InputError, some

ROLE = "main"  # labgrid's name for the one target of an environment
DRIVER = "SSHDriver"
LATER = object()  # a value that labgrid fills in, by `!template`
KINDS = {"resources": "resource", "drivers": "driver"}
KEYS = (*KINDS, "features", "options")
OF_ANY = {"resources": ("cls", "name"), "drivers": ("cls", "name", "bindings")}


class BadBoard(InputError):
    """labgrid does not take a board's file."""


def check(path: Path, content: Mapping[str, Any]) -> None:
    """Hold the whole content of a board's file, whose templates are LATER, against what labgrid takes.

    Raises:
        BadBoard: a class or a key that labgrid does not know, a value of another type, or none where it needs one.
    """
    targets = content["targets"]
    if not isinstance(targets, dict) or not isinstance(targets.get(ROLE), dict):
        raise BadBoard(f"{path}: labgrid's `targets` has no `{ROLE}` with resources and drivers")
    known, main = _classes(), targets[ROLE]
    for key in main:
        if key not in KEYS:
            raise _unknown(path, f"targets.{ROLE}", "key", key, KEYS)
    for kind, what in KINDS.items():
        place, names = f"targets.{ROLE}.{kind}", []
        for name, given in _each(path, place, main.get(kind, {})):
            names.append(name)
            found = known.get(kind, {}).get(name)
            if found is not None:
                own = {key: value for key, value in given.items() if key not in OF_ANY[kind]}
                _check_keys(path, f"{place}.{name}", found, own)
            elif known and "imports" not in content:  # a file of one's own may bring more classes
                raise _unknown(path, place, what, name, sorted(known[kind]))
        if kind == "drivers" and DRIVER not in names:
            raise BadBoard(f"{path}: {place}: has no {DRIVER}, by which programs are started there")


def _classes() -> dict[str, dict[str, Any]]:
    """labgrid's own, by kind and name; none where it is not installed."""
    try:
        import labgrid
    except ModuleNotFoundError:
        return {}
    factory = labgrid.target_factory
    return {"resources": factory.resources, "drivers": factory.drivers}


def _each(path: Path, place: str, listed: Any) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Class and settings of each entry: a mapping by class, or a list of entries that name theirs."""
    entries = listed if isinstance(listed, list) else [listed]
    for entry in entries:
        if not isinstance(entry, dict):
            raise BadBoard(f"{path}: {place}: is to be a mapping of classes to their settings, or a list of such")
        named = [(entry["cls"], entry)] if isinstance(listed, list) and "cls" in entry else list(entry.items())
        if isinstance(listed, list) and len(named) != 1:
            raise BadBoard(f"{path}: {place}: an entry of the list is to have one class")
        for name, given in named:
            if not isinstance(given, dict):
                raise BadBoard(f"{path}: {place}.{name}: is to be a mapping of its settings, {{}} where it has none")
            yield str(given.get("cls", name)), given


def _check_keys(path: Path, place: str, found: Any, given: Mapping[Any, Any]) -> None:
    import attr

    fields = {one.name: one for one in attr.fields(found) if one.init and one.name not in ("target", "name")}
    for key, value in given.items():
        if key not in fields:
            raise _unknown(path, place, "key", key, sorted(fields))
        if why := _refusal(fields[key], value):
            raise BadBoard(f"{path}: {place}.{key}: {why}")
    for name, one in fields.items():
        if one.default is attr.NOTHING and name not in given:
            raise BadBoard(f"{path}: {place}.{name}: is missing")


def _refusal(field: Any, value: Any) -> str | None:
    """What a field's own check says of a value."""
    if field.validator is None or field.converter is not None or _is_later(value):
        return None
    with suppress(Exception):  # one that asks the object, which is not there: labgrid asks it when it is
        try:
            field.validator(None, field, value)
        except (TypeError, ValueError) as error:
            if len(error.args) == 4 and isinstance(error.args[2], type):  # of attrs' own `instance_of`
                return f"is to be of type {error.args[2].__name__}, not {value!r}"
            return " ".join(str(error.args[0] if error.args else error).split())
    return None


def _is_later(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is LATER or any(map(_is_later, parts))


def _unknown(path: Path, place: str, what: str, name: Any, known: Any) -> BadBoard:
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {some(known, 8)}"
    return BadBoard(f"{path}: {place}.{name}: labgrid knows no such {what}; {hint}")
