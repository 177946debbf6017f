"""The way to a board, by where it is."""

from pipeline.boards.access import Access
from pipeline.boards.board_file import Board
from pipeline.boards.on_this_machine import OnThisMachine


def open_access(board: Board, within_s: float) -> Access:
    """The way to a board.

    Raises:
        Away: it does not answer within so many seconds.
        BadBoard: its file says something that labgrid does not take.
    """
    if board.place == "ssh":
        from pipeline.boards.over_ssh import OverSsh

        return OverSsh(board, within_s)
    return OnThisMachine(board)


def power_cycle(board: Board) -> bool:
    """Switch a board's power off and on; False where nothing can.

    Raises:
        Unmeasured: what switches it fails.
    """
    if board.place != "ssh":
        return False
    from pipeline.boards import over_ssh

    return over_ssh.power_cycle(board)
