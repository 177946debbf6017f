"""What the boards' jobs left, taken in by the job that reports: outcomes, and records beside those of the cloud."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.boards.board_file import Board
from pipeline.ci import board_outcome, preflight
from pipeline.ci.board_outcome import FOLDER, Outcome
from pipeline.project import layout
from pipeline.project.params import load_params
from pipeline.records.results import Result, read_result
from pipeline.system.errors import BadData


def take_in(told: str) -> list[Outcome]:
    """Complete the outcomes in FOLDER and lay out the records; the outcomes of all boards that are to be asked.

    `told` is what the preflight said of them, empty where there was none: then boards were not asked. What a job did
    not leave, the preflight's word stands for.

    Raises:
        BadData: something is no outcome, no record, or of another board; nothing is laid out then.
    """
    declared = {board.name: board for board in preflight.declared()}
    expected = {outcome.board: outcome for outcome in board_outcome.parse(told)}
    answered = {outcome.board: outcome for outcome in board_outcome.kept()}
    records = []
    for name, outcome in answered.items():
        board = declared.get(name)
        if board is None or (outcome.target, outcome.required) != (board.target, board.required):
            raise BadData(f"{FOLDER / name}: is of no board that is to be asked")
        records += list(_records(board))
    for path, result in records:
        result.write(path)
    outcomes = []
    for name, board in declared.items():
        known = expected.get(name) or board_outcome.of_board(board, "unasked")
        answer = answered.get(name)
        if answer is None or answer.state == "unanswered":  # its job knows less than the preflight
            answer = known
        elif answer.since is None and answer.state != "measured":
            answer = answer.model_copy(update={"since": known.since})
        answer.write()
        outcomes.append(answer)
    return outcomes


def _records(board: Board) -> Iterator[tuple[Path, Result]]:
    """A board's records and where they belong, by what they say and not by where they lie."""
    for file in sorted((FOLDER / board.name / "results").rglob("*.json")):
        params, result = load_params(), read_result(file)
        if result.lane != "device" or result.target != board.target:
            raise BadData(f"{file}: is no record of {board.target} on a board")
        if result.model not in params.models or result.method not in params.methods:
            raise BadData(f"{file}: is the record of {result.candidate}, which is no candidate of {layout.PARAMS}")
        name = board.target if board.required else f"{board.target}@{board.name}"
        yield layout.result("device", result.model, result.method, name), result
