"""`cut_captures.py FOLDER STEPS MOMENTS SEED`: keep and send captures in a process that is killed, again and again.

It is killed before STEPS of its single writes, renames, syncs and so on, or before every one where there are not so
many, and at MOMENTS random moments. After each kill the disk is one that there may be after a power cut
(`tests/lossy_disk.py`). Then every capture that the spool called kept must be whole in the spool or in the inbox, the
inbox must have nothing half, and a further start must bring all of them there. Prints counts as JSON; forks, so it is a
program of its own. Standard library.
"""

import hashlib
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from runners.agent.upload.inbox_url import parse
from runners.agent.upload.uploading import Uploads
from runners.contract import capture_facts, device_folder, records
from runners.contract.capture_facts import Capture
from runners.edge.capture.allowance import Allowance
from runners.edge.capture.spool import Spool
from runners.edge.capture.wanted import Wanted
from tests.lossy_disk import Cut, cut_again

DEVICE = "camera-17"
LONGEST_S = 0.1
ROUNDS, FOR_EVER = 4, 1 << 30
PNG = b"\x89PNG\r\n\x1a\n"
FACTS = Capture("", DEVICE, "1-door", "aa.1-door.7", 1.5, "random", None, {"bag": 0.5, "none": 0.5}, 9, 9, "", "0" * 16)


def live(root: Path, kept: Callable[[str], object], rounds: int, seed: int) -> None:
    """As the camera program and the agent do, in turns."""
    chance, home = random.Random(seed), str(root / "home")
    spool = Spool(home, 1 << 30, least_room=0)
    allowance = Allowance(f"{home}/{device_folder.CAPTURED}", Wanted(DEVICE))
    uploads = Uploads(home, DEVICE, parse(f"file://{root}/inbox"))
    for number in range(rounds):
        allowance.take("random")
        kept(spool.keep(FACTS, PNG + chance.randbytes(chance.randrange(1, 40000))))
        if number % 2:
            assert uploads.once().why is None
            spool.forget()
    spool.close()


def spooled(folder: Path) -> set[str]:
    """Those that a reader takes, as the agent does: both files are there, and whole."""
    found = {path.stem for path in folder.glob("[0-9]*.json") if path.with_suffix(".png").exists()}
    for stem in found:
        facts = capture_facts.from_json(records.load(str(folder / f"{stem}.json")))
        picture = (folder / f"{stem}.png").read_bytes()
        assert (facts.id, facts.sha256) == (stem, hashlib.sha256(picture).hexdigest()), f"{folder}/{stem} is half"
    return found


def whole(folder: Path) -> set[str]:
    """The captures in an inbox's folder; a picture may be there without its facts, and no facts without a picture."""
    found = spooled(folder)
    assert found == {path.stem for path in folder.glob("[0-9]*.json")}, f"facts without a picture are in {folder}"
    return found


def main(folder: Path, steps: int, moments: int, seed: int) -> dict[str, int]:
    """All of it; the counts."""
    chance, root = random.Random(seed), folder / "device"
    os.fsync = lambda _: None  # what is synced is written down where it counts
    counts = {"kills": 0, "changes lost": 0, "kept": 0, "steps": 0}

    def once(rounds: int, kill_at: int, within_s: float) -> Cut:
        (root / "inbox").mkdir(parents=True)
        (root / "home").mkdir()
        cuts = cut_again(
            root,
            lambda recording: live(root, lambda stem: recording.say("kept", stem), rounds, seed),
            chance, at=kill_at, within_s=within_s,
        )  # fmt: skip
        kept = {stem for one in cuts for _, stem in one.said}
        counts["kills"] += sum(one.was_killed for one in cuts)
        counts["changes lost"] += sum(one.lost for one in cuts)
        counts["kept"] += len(kept)
        spool, inbox = root / "home" / device_folder.SPOOL, root / "inbox/captures" / DEVICE
        lost = kept - spooled(spool) - whole(inbox)
        assert not lost, f"lost: {lost}"
        live(root, kept.add, 2, 1)  # the next start brings all of it into the inbox
        assert kept <= whole(inbox)
        assert not spooled(spool)
        shutil.rmtree(root)
        return cuts[0]

    counts["steps"] = count = once(ROUNDS, -1, 0.0).steps
    for step in range(count) if steps >= count else chance.sample(range(count), steps):
        assert once(ROUNDS, step, 0.0).was_killed
    for _ in range(moments):
        assert once(FOR_EVER, -1, chance.uniform(0.001, LONGEST_S)).was_killed
    return counts


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]).resolve(), *map(int, sys.argv[2:5]))))
