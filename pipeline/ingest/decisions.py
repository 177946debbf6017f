"""What a person decided, as a file that anybody may have written: the review page's, or what another tool made of it.

    {"by": "edgeproof ingest review", "decisions": [
        {"capture": "DEVICE/ID", "sha256": "...", "class": "person"}, {"capture": ..., "sha256": ..., "class": null}]}

A class of null rejects the capture. The SHA-256 is of the picture that was looked at, so that a decision never labels
another one that came under the same name.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.data.tables import read_table
from pipeline.records.targets import describe
from pipeline.system import files
from pipeline.system.errors import BadData, shown, some

BY = "edgeproof ingest review"
NAMED = "class"  # label-studio's name of the choice
REJECTED = "_rejected"  # the folder beside those of the classes
LISTED, LISTED_COLUMNS = "captures.csv", ("file", "capture", "sha256")
MOST_BYTES = 64 << 20  # label-studio sends the pictures back with its labels
MOST = 100_000
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Decision(BaseModel):
    """One capture: its class, or None where it is not to be learned from."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    capture: str
    sha256: Sha256
    label: Annotated[str | None, Field(alias="class")]


class Decisions(BaseModel):
    """The review page's file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    by: str
    decisions: Annotated[list[Decision], Field(max_length=MOST)]


def read(path: Path) -> list[Decision]:
    """The decisions in the review page's file, in label-studio's JSON export, or in a folder of class folders.

    Raises:
        InputError: it is none of them, or decides about a capture twice.
    """
    found = _of_folder(path) if path.is_dir() else _of_file(path)
    if twice := sorted(name for name, times in Counter(one.capture for one in found).items() if times > 1):
        raise BadData(f"{path}: decides about captures more than once: {some(twice)}")
    return found


def check(decisions: Collection[Decision], known: Mapping[str, str], classes: Collection[str], path: Path) -> None:
    """Hold decisions against the captures that are `known`, with the SHA-256 of their pictures, and the classes.

    Raises:
        InputError: one is about a capture or a class that there is not, or about another picture.
    """
    if lost := [one.capture for one in decisions if one.capture not in known]:
        raise BadData(f"{path}: no such captures were pulled: {some(lost)}; run `edgeproof ingest pull` first")
    if other := [one.capture for one in decisions if known[one.capture] != one.sha256]:
        raise BadData(f"{path}: these pictures are others than those that were decided about: {some(other)}")
    wrong = sorted({one.label for one in decisions if one.label is not None and one.label not in classes})
    if wrong:
        raise BadData(f"{path}: classes that the data has not: {some(wrong)}; it has {', '.join(classes)}")


def _of_file(path: Path) -> list[Decision]:
    files.check_file(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadData(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(content) > MOST_BYTES:
        raise BadData(f"{path}: has more than {MOST_BYTES >> 20} MiB; decisions have not")
    try:
        if content.lstrip()[:1] == b"[":
            return [one for task in _TASKS.validate_json(content) for one in task.decisions()]
        found = Decisions.model_validate_json(content)
    except ValidationError as error:
        raise BadData(f"{path}: holds no decisions: {shown(describe(error))}") from error
    if found.by != BY:
        raise BadData(f"{path}: holds no decisions: it was written by {found.by[:60]!r}")
    return found.decisions


class _Asked(BaseModel):
    capture: str
    sha256: Sha256


class _Annotation(BaseModel):
    result: list[dict[str, Any]]
    was_cancelled: bool = False


class _Task(BaseModel):
    """Of label-studio's export what counts here; where several people labelled a task, they have to agree."""

    data: _Asked
    annotations: list[_Annotation]

    def decisions(self) -> list[Decision]:
        """One, or none where nobody has labelled it yet."""
        chosen = {
            str(choice)
            for annotation in self.annotations
            if not annotation.was_cancelled
            for result in annotation.result
            if result.get("from_name") == NAMED and isinstance(result.get("value"), dict)
            for choice in result["value"].get("choices") or ()
        }
        if len(chosen) > 1:
            raise BadData(f"{shown(self.data.capture)}: labelled as {some(sorted(chosen))}; settle that first")
        return [Decision.model_validate({**self.data.model_dump(), "class": label}) for label in chosen]


_TASKS = TypeAdapter(Annotated[list[_Task], Field(max_length=MOST)])


def _of_folder(folder: Path) -> list[Decision]:
    """A picture has the class of the folder that it is in; one that was deleted is asked about again."""
    if not (folder / LISTED).is_file():
        raise BadData(f"{folder}: has no {LISTED}; give the folder that `edgeproof ingest export folder` wrote")
    listed = {row["file"]: row for row in read_table(folder / LISTED, LISTED_COLUMNS)}
    found = []
    for path in sorted(folder.glob("*/*.png")):
        if path.name not in listed:
            raise BadData(f"{path}: is none of the captures in {LISTED}")
        row, name = listed[path.name], path.parent.name
        label = None if name == REJECTED else name
        values = {"capture": row["capture"], "sha256": row["sha256"], "class": label}
        try:
            found.append(Decision.model_validate(values))
        except ValidationError as error:
            raise BadData(f"{folder / LISTED}: {shown(describe(error))}") from error
    return found
