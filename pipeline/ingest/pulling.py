"""Takes captures out of an inbox. Whoever has a device, or its key, may have put there what they like.

So names, sizes, facts and the picture's bytes are checked before anything is decoded, the picture is decoded apart and
written anew, and what shows the same as the data, or as another capture, is left out. Everything that is left out is
listed with its reason and stays in the inbox. Pulling again changes nothing.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline.data import captured, look_alikes
from pipeline.data.dataset import Quarantined, open_dataset
from pipeline.data.images import read_image
from pipeline.data.look_alikes import Print
from pipeline.data.tables import read_table, write_table
from pipeline.ingest import picture, pulled
from pipeline.ingest.picture import Sent
from pipeline.ingest.png import picture_only
from pipeline.system import files
from pipeline.system.errors import BadData, InputError, Missing, shown
from pipeline.system.inbox import Inbox, Listed
from runners.contract import capture_facts, records
from runners.contract.capture_facts import FACTS, FOLDER, PICTURE, Capture

QUARANTINE, LISTED = "quarantine.csv", ("file", "reason")
MOST = 5000  # captures of one pull, in turns from every device, so that none keeps the others out
AT_ONCE, BYTES_AT_ONCE = 512, 128 << 20  # of pictures in memory
LATEST_S = 4102444800.0  # 2100: no clock is further off


@dataclass
class Outcome:
    """Of one pull, in captures. `waiting` are still on their way into the inbox, `left` are for the next pull."""

    new: list[str] = field(default_factory=list)
    known: int = 0
    settled: int = 0
    waiting: int = 0
    left: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)


@dataclass(frozen=True)
class _Candidate:
    facts: Capture
    png: bytes  # without metadata, then written anew

    @property
    def name(self) -> str:
        return f"{self.facts.device}/{self.facts.id}"


def pull(inbox: Inbox, data: Path, dataset: Path, store: Path) -> Outcome:
    """Pull what is new in the `inbox` into the folder `store`, and write the list of what was left out beside it.

    `dataset` is the data set that stage `dataset` made of `data`.

    Raises:
        InputError: the inbox does not answer, or there is no data set.
    """
    seen = _seen(data, dataset, store)
    done = pulled.settled(data)
    before = _left_out_before(store)
    outcome = Outcome()
    found = list(_in_turns(_devices(inbox, outcome, done, store)))
    # What was left out before stays in the inbox: it is looked at again, but takes no place of what is new.
    old = {name for name in found if not before.keys().isdisjoint(_listed_as(name))}
    wanted = sorted(found, key=old.__contains__)
    outcome.left = max(len(found) - len(old) - MOST, 0)
    good = list(_decoded(_fetched(inbox, tqdm(wanted[:MOST], desc="captures", disable=None), outcome), outcome))
    for one in _unlike(good, seen, outcome):
        pulled.add(store, one.facts, one.png)
        outcome.new.append(one.name)
    for name in filter(old.__contains__, wanted[MOST:]):
        outcome.quarantined.extend(before[file] for file in _listed_as(name) if file in before)
    outcome.quarantined.sort(key=lambda one: one.file)
    with files.replacing(store / QUARANTINE) as temporary:
        write_table(temporary, list(LISTED), ((one.file, one.reason) for one in outcome.quarantined))
    return outcome


def clean(inbox: Inbox, data: Path) -> int:
    """Delete from the inbox what has been decided about; how many captures that were.

    Raises:
        InputError: nothing was decided about here, the inbox does not answer, or files may not be deleted.
    """
    if not (data / captured.FOLDER).is_dir():
        raise Missing(f"{data / captured.FOLDER}/ is not there, so nothing was decided about: run this in the project")
    done = pulled.settled(data)
    gone = set()
    for device in (entry for entry in inbox.entries(FOLDER) if entry.kind == "directory"):
        # The picture first: its facts, left behind by a cut, still say that the capture is settled.
        for entry in sorted(inbox.entries(f"{FOLDER}/{device.name}"), key=lambda entry: entry.name.endswith(FACTS)):
            name = f"{device.name}/{entry.name.removesuffix(PICTURE).removesuffix(FACTS)}"
            if name in done and entry.kind == "file":
                inbox.remove(f"{FOLDER}/{device.name}/{entry.name}")
                gone.add(name)
    return len(gone)


def _left_out_before(store: Path) -> dict[str, Quarantined]:
    """What the pull before left out, by file."""
    table = store / QUARANTINE
    if not table.is_file():
        return {}
    return {row["file"]: Quarantined(row["file"], row["reason"]) for row in read_table(table, LISTED)}


def _listed_as(name: str) -> list[str]:
    """The files of a capture, as the list of what was left out names them."""
    return [f"{FOLDER}/{shown(name + suffix)}" for suffix in (PICTURE, FACTS)]


def _devices(inbox: Inbox, outcome: Outcome, done: dict[str, str], store: Path) -> Iterator[list[str]]:
    """For each device the captures that are to be fetched, by name; what cannot be any is quarantined."""
    for device in inbox.entries(FOLDER):
        if device.kind != "directory" or not records.is_name(device.name):
            _out(outcome, device.name, "is no device's folder")
            continue
        try:
            entries = inbox.entries(f"{FOLDER}/{device.name}")
        except BadData as error:
            _out(outcome, device.name, str(error))
            continue
        files_of = {entry.name: entry for entry in entries if _is_capture_s(entry)}
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith(".part"):
                outcome.waiting += entry.kind == "file"
            elif entry.name not in files_of:
                _out(outcome, f"{device.name}/{entry.name}", "is no file of a capture: ID.png or ID.json")
        wanted = []
        for stem in sorted({name.rsplit(".", 1)[0] for name in files_of}):
            name, sizes = f"{device.name}/{stem}", (files_of.get(stem + PICTURE), files_of.get(stem + FACTS))
            if name in done:
                outcome.settled += 1
            elif pulled.has(store, name):
                outcome.known += 1
            elif sizes[1] is None:
                outcome.waiting += 1  # facts come last
            elif sizes[0] is None:
                _out(outcome, name + FACTS, "its picture is missing")
            elif (size := sizes[1].size or 0) > capture_facts.MOST_BYTES:
                _out(outcome, name + FACTS, f"has {size:,} bytes, more than facts have")
            elif (size := sizes[0].size or 0) > capture_facts.MOST_PICTURE_BYTES:
                _out(outcome, name + PICTURE, f"has {size:,} bytes, more than a picture of a capture has")
            else:
                wanted.append(name)
        yield wanted


def _is_capture_s(entry: Listed) -> bool:
    stem, dot, suffix = entry.name.rpartition(".")
    return entry.kind == "file" and records.is_name(stem) and dot + suffix in (PICTURE, FACTS)


def _in_turns(devices: Iterable[list[str]]) -> Iterator[str]:
    return (name for turn in zip_longest(*devices) for name in turn if name is not None)


def _fetched(inbox: Inbox, names: Iterable[str], outcome: Outcome) -> Iterator[_Candidate]:
    """Those whose facts and bytes are in order, with pictures that nobody has decoded."""
    for name in names:
        place = f"{FOLDER}/{name}"
        try:
            facts = _facts(name, inbox.read(place + FACTS, capture_facts.MOST_BYTES + 1))
        except BadData as error:
            _out(outcome, name + FACTS, str(error))
            continue
        try:
            content = inbox.read(place + PICTURE, capture_facts.MOST_PICTURE_BYTES + 1)
            if len(content) > capture_facts.MOST_PICTURE_BYTES:
                raise BadData("has more bytes than a picture of a capture has")
            if hashlib.sha256(content).hexdigest() != facts.sha256:
                raise BadData("is not the picture that its facts name: another SHA-256")
            yield _Candidate(facts, picture_only(content, facts.width, facts.height))
        except BadData as error:
            _out(outcome, name + PICTURE, str(error))


def _facts(name: str, content: bytes) -> Capture:
    try:
        facts = capture_facts.from_json(records.parse(content, capture_facts.MOST_BYTES))
    except ValueError as error:
        raise BadData(f"is no capture's facts: {error}") from error
    if f"{facts.device}/{facts.id}" != name:
        raise BadData(f"is of another capture: {facts.device}/{facts.id}")
    if not 0 <= facts.time_s < LATEST_S:
        raise BadData("its time is none")
    if not all(0 <= share <= 1 for share in facts.answer.values()):
        raise BadData("its answer has no probabilities")
    return facts


def _decoded(candidates: Iterable[_Candidate], outcome: Outcome) -> Iterator[_Candidate]:
    for batch in _batches(candidates):
        found = picture.decoded([Sent(one.png, one.facts.dhash) for one in batch])
        for one, made in zip(batch, found, strict=True):
            if isinstance(made, str):
                _out(outcome, one.name + PICTURE, made)
            else:
                yield _Candidate(one.facts, made)


def _batches(candidates: Iterable[_Candidate]) -> Iterator[list[_Candidate]]:
    batch: list[_Candidate] = []
    for one in candidates:
        batch.append(one)
        if len(batch) == AT_ONCE or sum(len(each.png) for each in batch) >= BYTES_AT_ONCE:
            yield batch
            batch = []
    yield batch


@dataclass(frozen=True)
class _Seen:
    """A picture that is there already, by what a person would call it."""

    called: str
    print: Print
    sha256: str


def _seen(data: Path, dataset: Path, store: Path) -> list[_Seen]:
    """All pictures of the data set, and captures that it has not been made of yet."""
    if not (dataset / "samples.csv").is_file():
        raise Missing(f"{dataset}/ is not there, and captures are compared with it: run `dvc repro dataset`")
    found = [(f"{dataset}/{sample.file}", dataset / sample.file) for sample in open_dataset(dataset).samples]
    labelled = {one.name: data / captured.FOLDER / one.file for one in captured.read(data)}
    found += [(f"the capture {name}", path) for name, path in labelled.items()]
    found += [(f"the capture {one.name}", one.picture) for one in pulled.read(store) if one.name not in labelled]
    seen = []
    for called, path in tqdm(found, desc="reading the data set", unit="image", disable=None):
        try:
            seen.append(_Seen(called, Print.of(read_image(path)), files.sha256(path)))
        except InputError:
            continue  # it was listed when the data set was made
    return seen


def _unlike(candidates: Sequence[_Candidate], seen: Sequence[_Seen], outcome: Outcome) -> Iterator[_Candidate]:
    """Those that show what nothing else shows; of several alike the first."""
    prints = [Print.of(picture.read(one.png)) for one in candidates]
    numbers = [-1] * len(seen) + list(range(len(candidates)))
    pairs = look_alikes.find([one.print for one in seen] + prints, np.array(numbers, np.int64))
    called = [one.called for one in seen] + [f"the capture {one.name}" for one in candidates]
    alike: dict[int, list[int]] = {}
    for pair in pairs:
        alike.setdefault(pair.second, []).append(pair.first)
    bytes_of = {one.sha256: index for index, one in reversed(list(enumerate(seen)))}
    dropped = set()
    for index, one in enumerate(candidates, start=len(seen)):
        sha256 = hashlib.sha256(one.png).hexdigest()
        same = chain([bytes_of[sha256]] if sha256 in bytes_of else [], alike.get(index, []))
        if (first := next((other for other in same if other not in dropped), None)) is not None:
            dropped.add(index)
            _out(outcome, one.name + PICTURE, f"shows the same as {called[first]}")
            continue
        bytes_of.setdefault(sha256, index)
        yield one


def _out(outcome: Outcome, file: str, reason: str) -> None:
    outcome.quarantined.append(Quarantined(f"{FOLDER}/{shown(file)}", shown(reason)))
