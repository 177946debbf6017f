"""docs/reference.md, written from the program itself so that it is never out of date: `make docs`."""

import sys
from pathlib import Path
from typing import Any

import click

from pipeline import files
from pipeline.cli import cli
from pipeline.results import Result


def reference() -> str:
    """Every command's help and every field of the result record, as Markdown."""
    lines = ["# Reference", "", "Written by `make docs`; do not edit.", "", "## Commands", ""]
    for path, command in _commands(cli, "edgeproof"):
        settings: Any = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "terminal_width": 100}
        with click.Context(command, info_name=path, **settings) as context:
            lines += [f"### `{path}`", "", "```text", command.get_help(context), "```", ""]
    lines += [
        "## The result record",
        "",
        "`artifacts/results/MODEL/METHOD/TARGET.json`; see `pipeline/results.py`.",
        "",
    ]
    schema = Result.model_json_schema()
    for name, part in [("Result", schema), *schema["$defs"].items()]:
        lines += [f"### {name}", "", part.get("description", ""), "", "| Field | Type |", "|---|---|"]
        lines += [f"| `{field}` | {_type(facts)} |" for field, facts in part["properties"].items()]
        lines.append("")
    return "\n".join(lines)


def _commands(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            found += _commands(child, f"{path} {name}")
    return found


def _type(facts: Any) -> str:
    """A JSON schema's type in words."""
    match facts:
        case {"anyOf": [*options]}:
            return " or ".join(_type(option) for option in options)
        case {"$ref": str(name)}:
            return name.rsplit("/", 1)[-1]
        case {"const": value}:
            return f"`{value}`"
        case {"enum": [*values]}:
            return ", ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": dict(items)}:
            return f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": dict(items)}:
            return f"{_type(items)} by name"
        case {"type": str(name)}:
            return name
    return "any"


if __name__ == "__main__":
    files.write_bytes(Path(sys.argv[1]), reference().encode())
