"""Does a board answer, and is it well? Without keeping it from its work."""

from dataclasses import dataclass
from typing import Any

from pipeline.boards.access import SHORT_S, Away, State, Unmeasured
from pipeline.boards.board_file import Board
from pipeline.boards.kit import Kit
from pipeline.boards.past import Past
from pipeline.boards.ways import open_access
from pipeline.system.errors import InputError

WITHIN_S = 10.0


@dataclass(frozen=True)
class Presence:
    """How a board is, with the reason where it is not ready, and its fingerprint where it answers."""

    state: State
    reason: str | None = None
    fingerprint: dict[str, Any] | None = None


def presence(board: Board) -> Presence:
    """Ask a board how it is; it has WITHIN_S to answer. Whether it is sick is what its last check said."""
    try:
        access = open_access(board, WITHIN_S)
    except Away as error:
        return Presence("away", str(error))
    except (Unmeasured, InputError) as error:
        return Presence("unusable", str(error))
    try:
        facts = Kit(access).ask("facts", {"json": True, "root": access.root}, SHORT_S)
    except (Unmeasured, InputError) as error:
        return Presence("unusable", str(error))
    finally:
        access.close()
    fingerprint = facts["fingerprint"]
    if facts["throttled_by"]:
        return Presence("throttled", "; ".join(facts["throttled_by"]), fingerprint)
    if not board.is_the_one(fingerprint):
        return Presence("unusable", f"is to be {board.soc}, and is {fingerprint['soc']}", fingerprint)
    if sick := Past(board).sick_since:
        return Presence("sick", f"since {sick[0]}: {sick[1]}", fingerprint)
    return Presence("ready", None, fingerprint)
