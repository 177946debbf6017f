"""The captures that were pulled: `captures/DEVICE/ID.png`, written by us, in a store with the facts ID.json beside it.

It holds copies only. The inbox keeps what it has until a person has decided and somebody asks to clean it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.data import captured
from pipeline.data.images import Image, read_image
from pipeline.system import files
from pipeline.system.errors import InputError
from runners.contract import capture_facts, records
from runners.contract.capture_facts import Capture

FOLDER = "captures"


@dataclass(frozen=True)
class Pulled:
    """One capture, DEVICE/ID, with its re-encoded picture."""

    facts: Capture
    picture: Path

    @property
    def name(self) -> str:
        """DEVICE/ID."""
        return f"{self.facts.device}/{self.facts.id}"

    def image(self) -> Image:
        """(H, W, 3) uint8 BGR.

        Raises:
            InputError: the file is damaged by now.
        """
        return read_image(self.picture)


def has(store: Path, name: str) -> bool:
    """Whether the capture DEVICE/ID was pulled; its facts are written last."""
    return (store / FOLDER / f"{name}.json").is_file()


def add(store: Path, facts: Capture, png: bytes) -> None:
    """Keep a capture: its picture first, so that facts never lack one."""
    place = store / FOLDER / facts.device
    files.write_bytes(place / f"{facts.id}.png", png)
    files.write_json(place / f"{facts.id}.json", capture_facts.as_json(facts))


def read(store: Path) -> list[Pulled]:
    """All that were pulled, by name. Facts that turned bad meanwhile are deleted: the next pull brings them again."""
    found = []
    for path in sorted((store / FOLDER).glob("*/*.json")):
        try:
            facts = capture_facts.from_json(records.load(str(path)))
        except ValueError:
            path.unlink()
            continue
        found.append(Pulled(facts, path.with_suffix(".png")))
    return found


def waiting(store: Path, data: Path) -> list[Pulled]:
    """Those for which nobody has decided yet."""
    decided = settled(data)
    return [one for one in read(store) if one.name not in decided]


def settled(data: Path) -> dict[str, str]:
    """What has been decided about, DEVICE/ID, with the SHA-256 of each picture as it was sent."""
    done = {one.name: one.sha256 for one in captured.read_rejected(data)}
    return done | {one.name: one.sha256 for one in captured.read(data)}


@contextmanager
def claimed(store: Path) -> Iterator[None]:
    """The folder for this process alone.

    Raises:
        InputError: another one has it.
    """
    from filelock import FileLock, Timeout

    store.mkdir(parents=True, exist_ok=True)
    lock = FileLock(store / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(f"{store}: another `edgeproof ingest` is at work here; wait for it to end") from None
    try:
        yield
    finally:
        lock.release()
