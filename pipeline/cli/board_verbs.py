"""Real boards, and what stands for them: which there are, and what one says of a model."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from pipeline.cli.group import Group
from pipeline.system.errors import shown


@click.command()
@click.option("--state", is_flag=True, help="Ask each how it is; one that does not answer is away after 10 s.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, such as for a workflow's matrix.")
def boards(state: bool, as_json: bool) -> None:
    """List the boards, each a file in runners/boards/: over SSH, this machine, or emulated.

    \b
    edgeproof boards --state
    edgeproof boards --json

    With --state each is ready, away, throttled, sick (by the last check of its golden bundle) or unusable, with the
    reason. A `required` board's verdict blocks a change, an `advisory` one's is only told.
    """
    from pipeline.boards.board_file import board_names, load_board
    from pipeline.boards.presence import presence

    rows = []
    for name in board_names():
        board = load_board(name)
        row: dict[str, Any] = {
            "name": name,
            "target": board.target,
            "place": board.place,
            "required": board.required,
            "labels": board.labels,
            "meter": board.power.model_dump(),
            "description": board.description,
        }
        if state:
            found = presence(board)
            row |= {"state": found.state, "reason": found.reason, "fingerprint": found.fingerprint}
        rows.append(row)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        kind = "required" if row["required"] else "advisory"
        click.echo(f"{row['name']:26} {row['place']:9} {kind:9} {row['description']}")
        if state:
            reason = f": {row['reason']}" if row["reason"] else ""
            click.echo(f"{'':26} {row['state']}{shown(reason)}")


@click.group(cls=Group)
def device() -> None:
    """Ask a board what it makes of a model."""


@device.command("run")
@click.argument("model")
@click.option("--board", required=True, help="A name in runners/boards/ (`edgeproof boards`), or a file like those.")
@click.option("--base", type=click.Path(path_type=Path), help="Checkout of a commit to compare with, by turns.")
@click.option("--seconds", type=click.FloatRange(0, 3600, min_open=True), default=10.0, show_default=True,
              help="Of each measurement of speed.")  # fmt: skip
@click.option("--power-seconds", type=click.FloatRange(0, 3600, min_open=True), default=75.0, show_default=True,
              help="Of full work under the power meter; 600 need no steady temperature.")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the record here.")
def run(
    model: str, board: str, base: Path | None, seconds: float, power_seconds: float, json_file: Path | None
) -> None:
    """What does MODEL do on a board: answers, frames a second, watts?

    MODEL is a candidate of params.yaml, such as mobilenet-v2/int8, or an exported folder. Looks at the board, loads
    the model, has it answer the test split (of a folder: noise), holds the answers against the emulated lane, and
    measures the whole program with 0 to 4 regions of a frame, its memory and its power. On an emulated board speed and
    watts are predicted, and said to be.

    \b
    edgeproof device run mobilenet-v2/int8-atom --board emulated-atom-x5-e3940
    edgeproof device run artifacts/export/mobilenet-v2/fp16/tensorrt --board tx2-1

    The exit code is the verdict's: 3 where the board is away, sick, throttled or hangs. Nothing is kept but what --json
    asks for; `make device-test` keeps records.
    """
    import tempfile

    from pipeline.boards.board_file import load_board
    from pipeline.device import subject, verdicts
    from pipeline.device.on_board import OnBoard
    from pipeline.device.session import Session
    from pipeline.records.gates import EXIT_CODES
    from pipeline.system import files, workflow_commands

    workflow_commands.stop()
    if json_file:
        files.check_writable(json_file, "JSON")
    found = load_board(board)
    with tempfile.TemporaryDirectory(prefix="edgeproof-") as room, OnBoard(found) as on:
        tested = subject.named(model, found.profile, Path(room))
        before = None if base is None else subject.at_base(tested, found.profile, base)
        session = Session(on, tested, before, seconds, power_seconds)
        session.all()
        judged = verdicts.judged(session, verdicts.gates_of(session))
    if json_file:
        files.write_json(json_file, verdicts.as_json(session, judged))
    for line in verdicts.lines(session, judged):
        click.echo(shown(line))
    sys.exit(EXIT_CODES[judged.verdict])


COMMANDS = [boards, device]
