"""What our jobs have written on GitHub themselves, found again by a mark at its end among what its bot wrote."""

from typing import Any

BOT = "github-actions[bot]"  # whom a job's token speaks as


def signed(text: str, mark: str) -> str:
    """A text with the mark by which it is found again."""
    return f"{text}\n{mark}\n"


def is_ours(one: dict[str, Any], mark: str) -> bool:
    """Whether an issue or a comment is one that a job signed. The bot of another workflow may quote the mark."""
    return bool(one["user"]) and one["user"]["login"] == BOT and _plain(one).endswith(mark)


def says(one: dict[str, Any], body: str) -> bool:
    """Whether this is its text already; GitHub keeps another line's end."""
    return _plain(one) == body.strip()


def _plain(one: dict[str, Any]) -> str:
    return (one["body"] or "").replace("\r\n", "\n").strip()
