"""Mutated and malicious captures through an ingest: none crashes it, none becomes a sample that nobody looked at."""

import hashlib
from collections import Counter
from pathlib import Path

import cv2
import pytest

from pipeline.data import captured
from pipeline.data.cutting import build
from pipeline.data.importing import import_data
from pipeline.data.tables import read_table
from pipeline.ingest import pulled, pulling
from pipeline.project.params import load_params
from pipeline.system.inbox import Inbox
from tests.hostile_captures import SECRET, plant


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, with a hash of it."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.nightly)])
def test_no_hostile_capture_crashes_it_or_reaches_training(images: Path, project: Path, count: int) -> None:
    import_data(images, project / "data")
    build(project / "data", project / "artifacts/dataset", load_params().split)
    (project / "inbox").mkdir()
    faults = {f"h{seed}": plant(seed, project / "inbox") for seed in range(count)}
    sent, data, elsewhere = tree(project / "inbox"), tree(project / "data"), set(tree(project))
    store = project / "artifacts/ingest"

    outcome = pulling.pull(Inbox("inbox"), project / "data", project / "artifacts/dataset", store)
    flagged = {row["file"] for row in read_table(store / pulling.QUARANTINE, ("file", "reason"))}
    assert all(row["reason"] for row in read_table(store / pulling.QUARANTINE, ("file", "reason")))
    harmless = Counter(faults[one.facts.id] for one in pulled.read(store))
    print(f"{count} captures, {outcome.waiting} incomplete, {len(flagged)} files flagged; harmless: {dict(harmless)}")

    # What came through is what its facts say, and holds nothing but pixels.
    for one in pulled.read(store):
        content = one.picture.read_bytes()
        original = (project / "inbox/captures" / f"{one.name}.png").read_bytes()
        assert hashlib.sha256(original).hexdigest() == one.facts.sha256
        assert one.image().shape == (one.facts.height, one.facts.width, 3)
        assert SECRET.encode() not in content
        assert {content[at : at + 4] for at in _chunk_starts(content)} <= {b"IHDR", b"IDAT", b"IEND"}
        assert one.picture.resolve().is_relative_to(store / "captures")
    # All else is accounted for, nothing is lost, and nothing is anywhere but in the store.
    names = {name.removeprefix("captures/").rsplit(".", 1)[0] for name in flagged}
    plain = {Path(name).with_suffix("").as_posix() for name in sent if name.startswith("captures/cam-")}
    plain = {name.removeprefix("captures/") for name in plain}
    unknown = plain - names - {one.name for one in pulled.read(store)}
    assert len(unknown) <= outcome.waiting, sorted(unknown)
    assert tree(project / "inbox") == sent
    assert tree(project / "data") == data
    assert all(name.startswith("artifacts/ingest/") for name in set(tree(project)) - elsewhere)
    assert captured.read(project / "data") == []
    again = pulling.pull(Inbox("inbox"), project / "data", project / "artifacts/dataset", store)
    assert (again.new, again.known) == ([], len(outcome.new))
    assert again.quarantined == outcome.quarantined


def _chunk_starts(content: bytes) -> list[int]:
    at, found = 8, []
    while at < len(content):
        found.append(at + 4)
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return found


def test_what_is_written_anew_shows_the_same(tmp_path: Path) -> None:
    """The re-encoding that strips a picture of all else changes no pixel of it."""
    from pipeline.ingest.picture import Sent, decoded
    from pipeline.ingest.png import picture_only
    from tests.captures import dhash, picture, png

    image = picture("red", 1)
    [made] = decoded([Sent(picture_only(png(image), 40, 40), dhash(image))])
    assert isinstance(made, bytes)
    (tmp_path / "made.png").write_bytes(made)
    assert (cv2.imread(str(tmp_path / "made.png")) == image).all()
