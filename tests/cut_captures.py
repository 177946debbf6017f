"""`cut_captures.py FOLDER OPERATIONS MOMENTS SEED`: keep and send captures in a process that ends at any moment.

First the power goes at each of its operations on files (OPERATIONS: 0 for all, else so many of them by chance), with
what was not synced lost by chance. Then it is killed with SIGKILL at MOMENTS random moments. Afterwards every capture
that the spool called kept must be whole in the spool or in the inbox, the inbox must have nothing half, and a further
start must bring all of them there. Prints the counts. Forks, so it is a program of its own; standard library.
"""

import hashlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from runners.agent.upload.inbox_url import parse
from runners.agent.upload.uploading import Uploads
from runners.contract import capture_facts, device_folder, records
from runners.contract.capture_facts import Capture
from runners.edge.capture.allowance import Allowance
from runners.edge.capture.spool import Spool
from runners.edge.capture.wanted import Wanted
from tests.power_cuts import Disk

DEVICE = "camera-17"
LONGEST_S = 0.2
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


def whole(folder: Path) -> set[str]:
    """The captures in a folder; a picture under its name without facts is none, but must be no half one either."""
    found = set()
    for path in folder.glob("[0-9]*.json"):
        facts = capture_facts.from_json(records.load(str(path)))
        assert hashlib.sha256(path.with_suffix(".png").read_bytes()).hexdigest() == facts.sha256, f"{path} is half"
        found.add(facts.id)
    return found


def spooled(folder: Path) -> set[str]:
    """Those that a reader takes, as the agent does: both files are there."""
    return (
        {path.stem for path in folder.glob("[0-9]*.json") if path.with_suffix(".png").exists()}
        if folder.is_dir()
        else set()
    )


def check(root: Path, kept: set[str]) -> None:
    home, inbox = root / "home", root / "inbox/captures" / DEVICE
    for path in [root / "home" / device_folder.SPOOL / f"{stem}.json" for stem in spooled(home / device_folder.SPOOL)]:
        facts = capture_facts.from_json(records.load(str(path)))
        assert hashlib.sha256(path.with_suffix(".png").read_bytes()).hexdigest() == facts.sha256, f"{path} is half"
    lost = kept - spooled(home / device_folder.SPOOL) - whole(inbox)
    assert not lost, f"lost: {lost}"


def begin(root: Path) -> None:
    (root / "inbox").mkdir(parents=True)
    for name in (device_folder.SPOOL, device_folder.AGENT):
        (root / "home" / name).mkdir(parents=True)


def in_a_child(work: Callable[[Callable[[str], object]], None], then: Callable[[int], None]) -> tuple[set[str], int]:
    """What it called kept before it ended, and the signal that ended it."""
    heard, told = os.pipe()
    write = os.write
    child = os.fork()
    if child == 0:
        os.close(heard)
        try:
            work(lambda stem: write(told, f"{stem}\n".encode()))
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    os.close(told)
    then(child)
    with os.fdopen(heard) as stream:
        kept = {line.strip() for line in stream if line.endswith("\n")}
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), f"it ended with {status}"
    return kept, status


def afterwards(root: Path, kept: set[str]) -> None:
    """The next start brings all of it into the inbox."""
    check(root, kept)

    def work(told: Callable[[str], object]) -> None:
        os.fsync = lambda _: None  # it takes long, and no power goes
        live(root, told, 2, 1)

    more, status = in_a_child(work, lambda _: None)
    assert status == 0
    assert kept | more <= whole(root / "inbox/captures" / DEVICE)
    assert not spooled(root / "home" / device_folder.SPOOL)


def operations(root: Path, seed: int) -> int:
    """How many a whole life takes."""
    heard, told = os.pipe()

    def work(_: Callable[[str], object]) -> None:
        disk = Disk(root, root, -1, seed)
        live(root, lambda _: None, 4, seed)
        disk.real["write"](told, b"%d" % disk.count)

    in_a_child(work, lambda _: None)
    os.close(told)
    with os.fdopen(heard) as stream:
        return int(stream.read())


def main(folder: Path, some: int, moments: int, seed: int) -> None:
    chance, total = random.Random(seed), 0
    begin(folder / "counted")
    count = operations(folder / "counted", seed)
    places = range(1, count + 1) if not some else sorted(chance.sample(range(1, count + 1), some))
    for place in places:
        root, left = folder / "whole", folder / "left"
        begin(root)

        def work(told: Callable[[str], object], root: Path = root, left: Path = left, place: int = place) -> None:
            Disk(root, left, place, seed + place)
            live(root, told, 4, seed)

        kept, status = in_a_child(work, lambda _: None)
        assert status == signal.SIGKILL, "the power did not go"
        afterwards(left, kept)
        total += len(kept)
        shutil.rmtree(root)
        shutil.rmtree(left)
    root, all_kept = folder / "killed", set[str]()
    begin(root)
    for moment in range(moments):

        def kill(child: int) -> None:
            time.sleep(chance.uniform(0, LONGEST_S))
            os.kill(child, signal.SIGKILL)

        def endless(told: Callable[[str], object], moment: int = moment) -> None:
            live(root, told, 1 << 30, moment)

        kept, _ = in_a_child(endless, kill)
        all_kept |= kept
        check(root, all_kept)
    if moments:
        afterwards(root, all_kept)
    print(f"{len(places)} of {count} operations, {moments} moments, {total + len(all_kept)} captures kept, none lost")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
