"""The command line: one file a group of commands, each of which only parses, calls and prints."""

from pipeline.cli import (
    board_verbs,
    ci_verbs,
    data_verbs,
    file_verbs,
    list_verbs,
    newcomer_verbs,
    project_verbs,
    stage_verbs,
)
from pipeline.cli.group import cli

__all__ = ["cli", "main"]

for verbs in (newcomer_verbs, data_verbs, stage_verbs, project_verbs, file_verbs, board_verbs, list_verbs, ci_verbs):
    for command in verbs.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """Entry point."""
    cli(prog_name="edgeproof")
