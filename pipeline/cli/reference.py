"""docs/reference.md, written from the program itself so that it is never out of date: `make docs`."""

import sys
from pathlib import Path
from typing import Any

import click

from pipeline.check.record import CheckReport
from pipeline.cli import cli
from pipeline.records.results import Result
from pipeline.system import files


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
        "`artifacts/results/LANE/MODEL/METHOD/TARGET.json`; see `pipeline/records/results.py`.",
        "",
    ]
    described: set[str] = set()
    lines += _records(Result.model_json_schema(), described)
    lines += ["## The record of a check", "", "`edgeproof check --json FILE`; see `pipeline/check/record.py`.", ""]
    lines += _records(CheckReport.model_json_schema(), described)
    return "\n".join(lines)


def _records(schema: dict[str, Any], described: set[str]) -> list[str]:
    """A record and the parts of it that were not described before."""
    lines = []
    for name, part in [(schema["title"], schema), *schema["$defs"].items()]:
        if name not in described:
            described.add(name)
            lines += [f"### {name}", "", part.get("description", ""), "", "| Field | Type |", "|---|---|"]
            lines += [f"| `{field}` | {_type(facts)} |" for field, facts in part["properties"].items()]
            lines.append("")
    return lines


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
