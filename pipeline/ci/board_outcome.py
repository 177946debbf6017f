"""What became of a board that a run was to ask: measured, or why not and since when.

One small file a board, in the folder `artifacts/boards/NAME`, beside the records that it measured.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from pipeline.boards.board_file import Board
from pipeline.ci.harmless import Moment, Name, Strict
from pipeline.project import layout
from pipeline.records.gates import Verdict
from pipeline.records.targets import describe
from pipeline.records.words import VERDICTS
from pipeline.system import files
from pipeline.system.errors import BadData

FOLDER = layout.ARTIFACTS / "boards"
NAME = "outcome.json"

State = Literal[
    "measured", "away", "sick", "throttled", "hangs", "unusable", "unanswered", "unasked", "nothing to measure"
]
SINCE: dict[str, str] = {"sick": "since", "away": "not seen since", "hangs": "last seen", "unanswered": "last seen"}
WORDS: dict[State, str] = {
    "measured": "measured",
    "away": "it does not answer",
    "sick": "it is sick",
    "throttled": "it held itself back",
    "hangs": "it came to no end",
    "unusable": "it could not be used",
    "unanswered": "its job was cancelled, or nobody took it in time, or it broke off",
    "unasked": "it was not asked: no board is, for a change of a fork or where the preflight failed",
    "nothing to measure": "no candidate passes in the emulated lane",
}


class Outcome(Strict):
    """A board in a run. Of one that was not measured the verdict is `not_measured`.

    `since` is when it was found sick first, or when it was last seen.
    """

    board: Name
    target: Name
    required: bool
    state: State
    verdict: Verdict = "not_measured"
    since: Moment | None = None

    @property
    def words(self) -> str:
        """The state, and since when, in a few words."""
        when = f" ({SINCE[self.state]} {self.since})" if self.since and self.state in SINCE else ""
        return f"{WORDS[self.state]}{when}"

    @property
    def line(self) -> str:
        """All of it in a line."""
        kind = "required" if self.required else "advisory"
        return f"{self.board} ({self.target}, {kind}): {VERDICTS[self.verdict]}: {self.words}"

    def write(self) -> None:
        """Keep it in the board's folder."""
        files.write_json(FOLDER / self.board / NAME, self.model_dump(mode="json"))


def of_board(board: Board, state: State, verdict: Verdict = "not_measured", since: str | None = None) -> Outcome:
    """The outcome of a board of this repository.

    Raises:
        BadData: its name has other characters than a record may hold.
    """
    try:
        return Outcome(
            board=board.name, target=board.target, required=board.required, state=state, verdict=verdict, since=since
        )
    except ValidationError as error:
        raise BadData(f"{board.file}: {describe(error)}: rename it") from error


def read(path: Path) -> Outcome:
    """The outcome that lies there.

    Raises:
        BadData: it is none, or of another board than the folder is named after.
    """
    try:
        found = Outcome.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        said = describe(error) if isinstance(error, ValidationError) else error.strerror
        raise BadData(f"{path}: no outcome of a board: {said}") from error
    if found.board != path.parent.name:
        raise BadData(f"{path}: is the outcome of {found.board}")
    return found


def kept() -> Iterator[Outcome]:
    """All outcomes that there are, by the boards' names."""
    for path in sorted(FOLDER.glob(f"*/{NAME}")):
        yield read(path)


def parse(text: str) -> list[Outcome]:
    """A list of outcomes as JSON, as one job tells it to another.

    Raises:
        BadData: it is none.
    """
    try:
        return TypeAdapter(list[Outcome]).validate_json(text or "[]")
    except ValidationError as error:
        raise BadData(f"no list of boards: {describe(error)}") from error
