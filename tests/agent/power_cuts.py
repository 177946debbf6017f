"""`power_cuts.py FOLDER STEPS MOMENTS SEED [careless]`: updates in a process that is killed, again and again.

It is killed before STEPS of its single writes, renames, syncs and so on, or before every one where there are not so
many, and at MOMENTS random moments. After each kill the disk is one that there may be after a power cut
(`tests/lossy_disk.py`). Then: `current` leads to a whole bundle if there ever was one, no version of metadata that was
once accepted is forgotten, and the next start of the agent brings the newest model that is not known to be bad. With
`careless` folders are never synced, which has to be found. Prints counts as JSON; forks, so it is a program of its own.
"""

import json
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

from runners.agent import agent_config, polling
from runners.agent.self_testing import SelfTest
from runners.agent.updating import Device
from runners.edge import durable
from tests.agent import bundles
from tests.agent.conftest import camera_says, configured
from tests.agent.registry import BASE, Registry, offer_of
from tests.lossy_disk import Cut, Recording, cut_again

ENDS = ("good", "bad trial", "bad self-test", "first good")  # the last on a device that had no model yet


class Bench:
    """A registry, and a device's disk as it was when all was well."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.registry = Registry(folder / "registry")
        self.config = agent_config.read(str(configured(folder / "etc", self.registry, trial_minutes=0)))
        self.whole: dict[str, dict[str, bytes]] = {}  # by slot
        self.versions: dict[str, str] = {}
        for version in ("1.0", "1.1"):
            self.release(version)
            run(self.device(), "good", None)

    def release(self, version: str) -> None:
        content = bundles.files(version)
        sha256 = self.registry.offer(BASE, bundles.tar(content), offer_of(content))
        self.registry.publish()
        self.versions[sha256[:12]] = version

    def device(self, tested: str = "pass") -> Device:
        return Device(str(self.home), self.config, lambda _: SelfTest(tested, "as the test wants it"))

    def learn(self) -> None:
        """How whole slots look."""
        for slot in (self.home / "slots").iterdir():
            self.whole[slot.name] = content_of(slot)


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(device: Device, end: str, recording: Recording | None) -> None:
    """Look for an update, and bring its trial to an end."""
    with device.alone():
        polling.look(device)
        if recording is not None:
            recording.say("accepted", device.trusted.versions)
        if device.state.trial is not None and end == "bad trial":
            device.roll_back("as the test wants it")
            if recording is not None:
                recording.say("gave up")
        elif device.state.trial is not None:
            for _ in range(2):
                camera_says(device)
                device.watch()
        device.tell_daily()


def check(bench: Bench, said: list[list[Any]], newest: str, had_one: bool) -> None:
    """The disk as it is now, and what the next start makes of it."""
    current = bench.home / "current"
    assert current.is_symlink() or not had_one, "current is missing"
    if current.is_symlink():
        slot = current.readlink().name
        assert content_of(bench.home / "slots" / slot) == bench.whole[slot], f"slots/{slot} is not whole"
    device = bench.device()
    for words in said:
        if words[0] == "accepted":
            behind = {role: n for role, n in words[1].items() if device.trusted.versions.get(role, 0) < n}
            assert not behind, f"rollback protection is lost: {behind}"
    gave_up = ["gave up"] in said
    run(device, "good", None)
    now = bench.versions[str(device.slots.current)]
    status = device.status()
    assert status.state in ("running", "rolled_back"), status
    if gave_up:
        assert now != newest, "what was given up came back"
    assert now == newest or status.failed == newest, (now, status)
    slots = sorted(path.name for path in (bench.home / "slots").iterdir())
    assert len(slots) <= 2, slots
    for name in slots:
        assert content_of(bench.home / "slots" / name) == bench.whole[name], f"slots/{name} is not whole"
    assert not list((bench.home / "agent/spool").iterdir())


def main(folder: Path, steps: int, moments: int, seed: int, careless: bool = False) -> dict[str, Any]:
    """All of it; the counts."""
    chance = random.Random(seed)
    bench = Bench(folder)
    os.fsync = lambda _: None  # what is synced is written down where it counts
    if careless:
        durable.sync = lambda _: None
    bench.release("1.2")
    newest = "1.2"
    kept, nothing = folder / "kept", folder / "nothing"
    nothing.mkdir()
    shutil.copytree(bench.home, kept, symlinks=True)
    accepted = ["accepted", bench.device().trusted.versions]
    run(bench.device(), "good", None)
    bench.learn()
    for slot in (kept / "slots").iterdir():
        bench.whole[slot.name] = content_of(slot)
    counts: dict[str, Any] = {"kills": 0, "ended before": 0, "changes lost": 0, "steps": {}}

    def once(end: str, kill_at: int, within_s: float) -> Cut:
        is_first = end == "first good"
        restore(bench.home, nothing if is_first else kept)

        def work(recording: Recording) -> None:
            run(bench.device("fail" if end == "bad self-test" else "pass"), end, recording)

        cuts = cut_again(bench.home, work, chance, at=kill_at, within_s=within_s)
        killed = sum(one.was_killed for one in cuts)
        counts["kills"] += killed
        counts["ended before"] += len(cuts) - killed
        counts["changes lost"] += sum(one.lost for one in cuts)
        try:
            said = [words for one in cuts for words in one.said]
            check(bench, said if is_first else [accepted, *said], newest, not is_first)
        except (AssertionError, KeyError, OSError) as error:
            raise SystemExit(f"{end}, killed at {kill_at} or after {within_s:.4f} s: {error!r}") from error
        return cuts[0]

    whole = {end: once(end, -1, 0.0) for end in ENDS}
    counts["steps"] = {end: one.steps for end, one in whole.items()}
    points = [(end, step) for end in ENDS for step in range(whole[end].steps)]
    for end, step in points if steps >= len(points) else chance.sample(points, steps):
        once(end, step, 0.0)
    longest_s, wanted = whole["good"].took_s, counts["kills"] + moments
    while counts["kills"] < wanted:
        before = counts["kills"]
        once(chance.choice(ENDS), -1, chance.uniform(0.001, longest_s))
        if counts["kills"] == before:  # it came too late
            longest_s = max(0.01, longest_s * 0.9)
    return counts


def restore(home: Path, of: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(of, home, symlinks=True)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), *map(int, sys.argv[2:5]), "careless" in sys.argv)))
