"""Messages name options only that the commands which print them have."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

from pipeline.cli import cli

PIPELINE = Path(__file__).resolve().parents[2] / "pipeline"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
# Rooms whose messages reach who gives a file: `check` and `compress` open files and data by the same functions.
OF_FILES = {"formats", "data/own", "check"}


def options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


def shared(*names: str) -> set[str]:
    """The options that mean the same in commands: `--output` is a folder to one and a name in the graph to another."""
    meant = [
        {(name, parameter.name) for parameter in cli.commands[command].params for name in parameter.opts}
        for command in names
    ]
    return {name for name, _ in set.intersection(*meant)}


def commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands(command)
        yield command


def sentences(file: Path) -> Iterator[str]:
    """The texts in a file that are for people: neither comments and docstrings nor arguments of programs."""
    tree = ast.parse(file.read_text())
    unread = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in unread else None
        if isinstance(text, str) and " " in text.strip():
            yield text


def test_every_option_that_a_message_names_is_there() -> None:
    assert isinstance(cli, click.Group)
    known = set().union(*(options(command) for command in commands(cli)))
    both = shared("check", "compress")
    named = 0
    for file in sorted(PIPELINE.rglob("*.py")):
        place = file.relative_to(PIPELINE).as_posix()
        of_files = any(place.startswith(f"{room}/") for room in OF_FILES)
        for sentence in sentences(file):
            found = set(OPTION.findall(sentence.replace("--output FOLDER`", "")))  # behind `edgeproof convert`
            named += len(found)
            assert found <= (both if of_files else known), f"{place}: {sentence!r}"
    assert named > 5
