"""Before boards are asked: which are to be, what for, and which of them are there.

A board is to be asked where its file names labels, which its jobs ask for. Whether its runner is online only GitHub
knows, and tells it to a token with `Administration: read`. Without one the owner's word is taken: the file's.
"""

import json
import time
from dataclasses import dataclass

from pipeline.boards.board_file import Board, board_names, load_board
from pipeline.ci import board_outcome, heard
from pipeline.ci.board_outcome import Outcome, State
from pipeline.project.passing import passing
from pipeline.system.errors import Missing, Refused
from pipeline.system.github_api import GitHub

SELF_HOSTED = "self-hosted"
LOOKS, PAUSE_S = 4, 20.0  # a runner is registered for one job, so for some seconds after it there is none


@dataclass(frozen=True)
class Preflight:
    """`asked` are the boards that jobs are started for, with what each runs on; `outcomes` has all boards.

    The outcome of a board that is asked says `unanswered`, until it answers.
    """

    asked: list[Board]
    outcomes: list[Outcome]

    @property
    def matrix(self) -> str:
        """The boards that are asked as a matrix for GitHub Actions, in one line."""
        rows = [{"board": board.name, "labels": json.dumps(runs_on(board))} for board in self.asked]
        return json.dumps(rows, separators=(",", ":"))

    @property
    def told(self) -> str:
        """All boards for the job that reports, in one line."""
        return json.dumps([outcome.model_dump(mode="json") for outcome in self.outcomes], separators=(",", ":"))


def declared() -> list[Board]:
    """The boards that jobs ask for: those whose file names labels.

    Raises:
        InputError: a file is no board's, or two required boards would write the same record.
    """
    boards = [board for board in map(load_board, board_names()) if board.labels]
    of_target: dict[str, Board] = {}
    for board in boards:
        if board.required and of_target.setdefault(board.target, board) is not board:
            first = of_target[board.target].name
            raise Refused(f"{board.file}: {first} is the required board of {board.target} already; only one can be")
    return boards


def runs_on(board: Board) -> list[str]:
    """What its job runs on: an emulated one can be on a hosted machine, all others are behind a runner of one's own."""
    return board.labels if board.place == "emulated" else list(dict.fromkeys([SELF_HOSTED, *board.labels]))


def look(github: GitHub | None, lab: GitHub | None) -> Preflight:
    """Which boards are asked. `github` tells when a board last answered, `lab` which runners are online.

    Raises:
        InputError: a board's file is not a valid one.
        ApiError: GitHub refuses.
    """
    states: list[tuple[Board, State]] = []
    for board in declared():
        try:
            passing(board.profile)
        except Missing:
            states.append((board, "nothing to measure"))
        else:
            there = lab is None or SELF_HOSTED not in runs_on(board) or _online(lab, board)
            states.append((board, "unanswered" if there else "away"))
    seen = _last_seen(github, [board for board, state in states if state != "nothing to measure"])
    outcomes = [board_outcome.of_board(board, state, since=seen.get(board.name)) for board, state in states]
    return Preflight([board for board, state in states if state == "unanswered"], outcomes)


def _online(lab: GitHub, board: Board) -> bool:
    wanted = {label.lower() for label in runs_on(board)}
    for left in reversed(range(LOOKS)):
        runners = list(lab.pages("actions/runners", "runners"))
        having = [one for one in runners if wanted <= {str(label["name"]).lower() for label in one["labels"]}]
        if any(one["status"] == "online" for one in having):
            return True
        if having or not left:  # one that is off says so
            return False
        time.sleep(PAUSE_S)
    return False


def _last_seen(github: GitHub | None, boards: list[Board]) -> dict[str, str]:
    """When each last answered a run of the main branch, where GitHub can be asked and knows."""
    if github is None or not boards:
        return {}
    with heard.as_documented():
        branch = str(github.get(f"/repos/{github.repository}")["default_branch"])
    found = heard.last_heard(github, {board.name for board in boards}, branch)
    return {name: f"{moment:%Y-%m-%dT%H:%M:%SZ}" for name, moment in found.items()}
