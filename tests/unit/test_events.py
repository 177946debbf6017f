"""Events outlive kill -9, power cuts, full and failing disks: what was acknowledged is there, whole and once."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from runners.contract.event import clock_jumps, from_line
from runners.edge.events import journal as module
from runners.edge.events.journal import Journal
from runners.edge.events.segments import Events
from runners.edge.events.writer import Writer
from tests import lossy_disk
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]


def seqs(folder: Path, after: int = 0) -> list[int]:
    return [event.seq for event in Events(str(folder)).after(after)]


def lines(first: int, count: int) -> list[bytes]:
    return [
        b'{"seq":%d,"event":"e","time":"2026-11-26T00:00:00.000000Z","monotonic_s":1.5,"boot":"b","n":%d}\n' % (n, n)
        for n in range(first, first + count)
    ]


def wait_for_writing(writer: Writer, count: int) -> None:
    until(lambda: writer.counts.acknowledged >= count, told=lambda: writer.counts)


def test_an_event_says_what_and_when_by_two_clocks(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    writer = Writer(str(tmp_path / "events"), acknowledged.append)
    before_s, before_monotonic_s = time.time(), time.monotonic()
    assert [writer.put("person", track=7, sure=0.93), writer.put("camera_lost", reason="no frame for 5 s – é")] == [
        1,
        2,
    ]
    writer.close()
    person, lost = Events(str(tmp_path / "events")).after()
    assert (person.event, person.facts) == ("person", {"track": 7, "sure": 0.93})
    assert lost.facts == {"reason": "no frame for 5 s – é"}
    assert person.time_s == pytest.approx(before_s, abs=5)
    assert person.monotonic_s == pytest.approx(before_monotonic_s, abs=5)
    assert acknowledged[-1] == 2
    assert writer.counts == (2, 2, 0, 0)


def test_who_speaks_to_nobody_goes_on() -> None:
    script = "from runners.edge.aloud import say; say('the disk is full'); say('still'); print('goes on')"
    command = [sys.executable, "-c", script]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=full, text=True)
    assert done.stdout == "goes on\n"


def test_numbers_go_on_from_run_to_run(tmp_path: Path) -> None:
    for first in (1, 2, 3):
        writer = Writer(str(tmp_path))
        assert writer.put("started") == first
        writer.close()
    assert seqs(tmp_path) == [1, 2, 3]
    assert seqs(tmp_path, after=2) == [3]


def test_a_clock_that_was_set_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(str(tmp_path))
    real = time.time
    for ahead_s in (0, 0, 3600, 3600, -10):
        monkeypatch.setattr(time, "time", lambda ahead_s=ahead_s: real() + ahead_s)
        writer.put("tick")
    writer.close()
    jumps = [(event.seq, round(jump_s)) for event, jump_s in clock_jumps(Events(str(tmp_path)).after())]
    assert jumps == [(3, 3600), (5, -3610)]


def test_a_cut_at_any_byte_of_the_last_record_costs_that_record_only(tmp_path: Path) -> None:
    whole = b"".join(lines(1, 3))
    begin = len(b"".join(lines(1, 2)))
    for cut in range(begin, len(whole) + 1):
        for left in (b"", b"\0" * 20)[: 1 + (cut % 10 == 0)]:  # zeros: the file had got longer, its content never came
            folder = tmp_path / f"{cut}-{len(left)}"
            folder.mkdir()
            (folder / "events-000000000001.jsonl").write_bytes(whole[:cut] + left)
            there = [1, 2, 3] if cut == len(whole) else [1, 2]
            assert seqs(folder) == there
            journal = Journal(str(folder))
            assert journal.last == there[-1]
            journal.append(there[-1] + 1, lines(there[-1] + 1, 2))
            journal.close()
            after = Events(str(folder))
            assert [event.facts["n"] for event in after.after()] == [*there, there[-1] + 1, there[-1] + 2]
            assert after.skipped == 0


def test_a_damaged_line_is_skipped_and_its_number_not_used_again(tmp_path: Path) -> None:
    content = b"".join(lines(1, 3)).replace(b'"seq":2', b'"seq":\xff').replace(b'"seq":3', b'"s\0q":3')
    (tmp_path / "events-000000000001.jsonl").write_bytes(content)
    events = Events(str(tmp_path))
    assert [event.seq for event in events.after()] == [1]
    assert events.skipped == 2
    journal = Journal(str(tmp_path))
    assert journal.last == 3
    journal.close()


@pytest.mark.parametrize("times", [30, pytest.param(200, marks=pytest.mark.nightly)])
def test_kill_at_a_random_moment_loses_nothing_acknowledged(tmp_path: Path, times: int) -> None:
    killing = [sys.executable, "-S", "-m", "tests.killed_writers", str(tmp_path / "events"), str(times), "7"]
    done = subprocess.run(killing, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > times


class Disk:
    """What a power cut would leave: what was synced, under names that were synced. A failed sync loses what it was for,
    and the next one on that file says all is well (as Linux does)."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, failing: Callable[[], float]) -> None:
        self.folder, self.failing, self.failures = folder, failing, 0
        self.synced: dict[int, bytes] = {}
        self.names: dict[str, int] = {}
        self.poisoned: set[int] = set()
        self.remove = os.unlink
        monkeypatch.setattr(module.os, "fdatasync", self.fdatasync)
        monkeypatch.setattr(module.os, "fsync", self.fsync)
        monkeypatch.setattr(module.os, "unlink", self.unlink)

    def fdatasync(self, fd: int) -> None:
        inode = os.fstat(fd).st_ino
        if inode in self.poisoned:
            return
        if self.failing() < 0.3:
            self.poisoned.add(inode)
            self.failures += 1
            raise OSError(5, "Input/output error")
        self.synced[inode] = Path(f"/proc/self/fd/{fd}").read_bytes()

    def fsync(self, fd: int) -> None:
        if self.failing() < 0.1:
            self.failures += 1
            raise OSError(5, "Input/output error")
        self.names = {path.name: path.stat().st_ino for path in self.folder.iterdir()}

    def unlink(self, path: str) -> None:
        self.poisoned.discard(Path(path).stat().st_ino)  # a later file may get the number
        self.remove(path)

    def after_power_cut(self, folder: Path) -> Path:
        folder.mkdir()
        for name, inode in self.names.items():
            (folder / name).write_bytes(self.synced.get(inode, b""))
        return folder


def test_what_is_acknowledged_survives_a_power_cut_on_a_failing_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "events").mkdir()
    disk = Disk(tmp_path / "events", monkeypatch, random.Random(1).random)
    journal, first = Journal(str(tmp_path / "events"), most_bytes=1 << 20), 1
    for round_ in range(60):
        count = 1 + round_ % 7
        try:
            journal.append(first, lines(first, count))
        except OSError:
            continue  # given again
        first += count
        assert seqs(disk.after_power_cut(tmp_path / f"cut-{round_}")) == list(range(1, first))
    journal.close()
    assert disk.failures > 10
    assert seqs(tmp_path / "events") == list(range(1, first))


def test_a_program_that_was_killed_leaves_no_file_whose_name_a_power_cut_takes(tmp_path: Path) -> None:
    def twice(disk: lossy_disk.Recording) -> None:
        killed = Journal(str(tmp_path / "home" / "events"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module.durable, "sync", lambda folder: 1 / 0)  # it gets no further than here
            with suppress(ZeroDivisionError):
                killed.append(1, lines(1, 2))
        killed.close()
        journal = Journal(str(tmp_path / "home" / "events"))
        journal.append(journal.last + 1, lines(journal.last + 1, 3))
        disk.say("acknowledged", journal.last + 3)

    for seed in range(20):
        (tmp_path / "home" / "events").mkdir(parents=True)
        cut = lossy_disk.cut(tmp_path / "home", twice, random.Random(seed))
        assert cut.said == [["acknowledged", 5]]
        assert seqs(tmp_path / "home" / "events") == [1, 2, 3, 4, 5]
        shutil.rmtree(tmp_path / "home")


def test_an_event_is_acknowledged_when_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "events").mkdir()
    disk = Disk(tmp_path / "events", monkeypatch, lambda: 1.0)
    left: dict[int, list[int]] = {}
    writer = Writer(
        str(tmp_path / "events"), lambda seq: left.update({seq: seqs(disk.after_power_cut(tmp_path / str(seq)))})
    )
    for count in range(1, 6):
        writer.put("tick")
        wait_for_writing(writer, count)
    writer.close()
    assert left == {seq: list(range(1, seq + 1)) for seq in range(1, 6)}


FULL = """
import os, resource, sys, time
from runners.edge.events.segments import Events
from runners.edge.events.writer import Writer
how, folder = sys.argv[1:]
def fill():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, resource.RLIM_INFINITY))
        return
    with open(os.path.join(folder, "filler"), "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            pass
def empty():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        os.unlink(os.path.join(folder, "filler"))
writer = Writer(folder, retry_s=0.02, most_waiting=50)
for _ in range(3):
    writer.put("before")
while writer.counts.acknowledged < 3:
    time.sleep(0.005)
fill()
while not writer.counts.failures:
    writer.put("during", text="x" * 800)
    time.sleep(0.002)
seen = {event.seq for event in Events(folder).after()}
assert {1, 2, 3} <= seen, seen
for _ in range(200):
    writer.put("during", text="x" * 800)
while writer.counts.failures < 4:
    time.sleep(0.005)
empty()
while writer.counts.lost + writer.counts.acknowledged < writer.counts.taken:
    time.sleep(0.005)
writer.put("after")
writer.close()
counts, events = writer.counts, list(Events(folder).after())
assert counts.lost >= 150, counts
assert len(events) == counts.acknowledged == counts.taken - counts.lost, counts
lost = [event.facts["lost"] for event in events if event.event == "events_lost"]
assert sum(lost) == counts.lost, (lost, counts)
assert events[-1].event == "after" and events[-1].seq == counts.taken
"""


@pytest.mark.parametrize("how", ["limit", "disk"])
def test_a_full_disk_is_told_once_and_written_again_when_there_is_room(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    command = [sys.executable, "-c", FULL, how, str(folder)]
    if how == "disk":
        if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
            pytest.skip("no small disk can be mounted here")
        mount = 'mount -t tmpfs -o size=256k none "$0" && exec "$@"'
        command = ["unshare", "-rm", "sh", "-c", mount, str(folder), *command]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    full, again = done.stderr.strip().splitlines()
    assert "; they wait in memory, and the program goes on" in full
    assert "written again; " in again


def test_a_disk_that_stays_full_ends_nothing_and_is_said_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fdatasync", full)
    writer = Writer(str(tmp_path), retry_s=0.01)
    for _ in range(5):
        writer.put("tick")
    began_s = time.monotonic()
    writer.close(patience_s=0.1)
    assert time.monotonic() - began_s < 5
    assert "5 events were never written" in capfd.readouterr().err
    assert writer.counts[:3] == (5, 0, 5)
    assert seqs(tmp_path) == []


def test_the_oldest_files_make_room(tmp_path: Path) -> None:
    most = 12000
    journal = Journal(str(tmp_path), most)
    for first in range(1, 301, 3):
        journal.append(first, lines(first, 3))
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= most
    journal.close()
    left = seqs(tmp_path)
    assert left == list(range(left[0], 301))
    assert left[0] > 1
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > most // 2
    assert seqs(tmp_path, after=290) == list(range(291, 301))


def test_events_are_read_while_they_are_written_and_deleted(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), most_bytes=16000)
    journal.append(1, lines(1, 8))
    reading = Events(str(tmp_path)).after()
    assert next(reading).seq == 1
    for first in range(9, 300, 4):
        journal.append(first, lines(first, 4))
    rest = [event.seq for event in reading]
    assert rest == sorted(rest)
    journal.close()


def test_one_program_writes_in_a_folder(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path))
    with pytest.raises(ValueError, match="another program writes its events here"):
        Writer(str(tmp_path))
    writer.close()
    Writer(str(tmp_path)).close()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="no events can be written here"):
        Writer(str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"sure": float("nan")}, "not JSON compliant"), ({"frame": object()}, "object is no value of JSON"),
        ({"time": 1}, "cannot be called time"), ({"text": "x" * 70000}, "more than 65536"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_where_it_is_made(tmp_path: Path, facts: dict[str, object], words: str) -> None:
    writer = Writer(str(tmp_path))
    with pytest.raises(ValueError, match=words):
        writer.put("person", **facts)
    assert writer.put("person") == 1
    writer.close()


NO_TIME = b'{"seq":1,"event":"x","time":"2026-01-01T00:00:00.000000Z","monotonic_s":null,"boot":"b"}\n'


@pytest.mark.parametrize(
    "line", [b"", b"\0\0\n", b"[1]\n", b"{}\n", b'{"seq":true}\n', NO_TIME, lines(0, 1)[0], lines(1, 1)[0][:-1]]
)
def test_what_is_no_whole_line_is_no_event(line: bytes) -> None:
    with pytest.raises(ValueError, match="no whole event"):
        from_line(line)


def test_events_are_printed(tmp_path: Path) -> None:
    (tmp_path / "events-000000000001.jsonl").write_bytes(b"".join(lines(1, 2)) + b"\0\n" + b"".join(lines(3, 1)))
    show = [sys.executable, "-m", "runners.edge.events"]
    done = subprocess.run([*show, str(tmp_path), "--after", "1"], cwd=REPOSITORY, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"".join(lines(2, 2)))
    assert b"1 damaged line" in done.stderr
    done = subprocess.run([*show, str(tmp_path / "none")], cwd=REPOSITORY, capture_output=True)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    with Path("/dev/full").open("w") as full:
        for folder, status in ((tmp_path / "none", 2), (tmp_path, 0)):
            found = subprocess.run([*show, str(folder)], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=full)
            assert found.returncode == status, "nobody can be told"
