"""A runtime may hang, die or leave processes behind, at any moment: it is told at once, and nothing stays."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.processes import activity, child, host, process, side_by_side
from pipeline.processes.child import Place
from pipeline.processes.failures import Crashed, Failed, Hung, OutOfMemory, RefusedByRuntime, TooSlow
from pipeline.processes.pace import duration
from pipeline.processes.side_by_side import Outputs, run
from tests.waiting import has_ended, until

pytestmark = pytest.mark.usefixtures("unruly")

SOON_S = 10
# Behind `-c`, what `-m` does with the arguments that follow.
ALONG = "import runpy, sys; sys.argv = sys.argv[2:]; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"


def place(tmp_path: Path, **settings: Any) -> Place:
    mark = str(tmp_path / "mark")
    return Place("unruly", "tests.unruly", 1, where="in the test", settings={"mark": mark, **settings})


def answers(
    tmp_path: Path, *places: Place, samples: int = 4, budget_s: float | None = None, first_cpu_s: float = math.inf
) -> list[Outputs]:
    """What a run gives. Every end is told soon after it, but for one that shows in the CPU time that it has used."""
    values = np.arange(3 * samples, dtype=np.float32).reshape(samples, 3)
    batches = (values[start : start + 2] for start in range(0, samples, 2))
    event = tmp_path / "mark.event"
    try:
        return run(tmp_path / "model.xml", batches, samples, (2, 3), places, budget_s, first_cpu_s)
    except Failed as error:
        if event.exists() and "of CPU used" not in error.what:
            assert time.time() - float(event.read_text()) < SOON_S
        raise


def left(tmp_path: Path) -> list[str]:
    """Processes that a backend was or forked and that still run; zombies do not."""
    found = []
    for mark in {*tmp_path.glob("mark*")} - {tmp_path / "mark.event"}:
        number = mark.read_text()
        if not number or not has_ended(int(number)):
            found.append(mark.name)
    return found


def soon_nothing_is_left(tmp_path: Path) -> None:
    until(lambda: not left(tmp_path), SOON_S, lambda: left(tmp_path))


@pytest.mark.parametrize(("at", "forks"), [("load", True), ("batch", False), ("batch", True), ("facts", True)])
def test_a_death_is_told_at_once_even_if_a_fork_holds_the_pipe(at: str, forks: bool, tmp_path: Path) -> None:
    with pytest.raises(Crashed, match=r"the runtime crashed \(signal 4\) in the test") as caught:
        answers(tmp_path, place(tmp_path, at=at, what="illegal", forks=forks))
    assert caught.value.reason == "illegal instruction"
    soon_nothing_is_left(tmp_path)


@pytest.mark.parametrize("at", ["load", "batch", "facts"])
def test_a_hang_ends_with_the_time_that_it_has(at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "TIME_LIMIT_S", 1.5)
    with pytest.raises(TooSlow, match=r"did not answer within 1\.5 s and was stopped in the test"):
        answers(tmp_path, place(tmp_path, at=at, what="hangs", forks=True))
    soon_nothing_is_left(tmp_path)


def test_a_crash_is_told_by_its_cause(tmp_path: Path) -> None:
    for at in ("load", "second batch"):
        with pytest.raises(Crashed, match=r"crashed \(signal 11\) in the test"):
            answers(tmp_path, place(tmp_path, at=at, what="segfaults"))
        with pytest.raises(Crashed, match=r"was killed, most likely since the memory ran out \(signal 9\) in the test"):
            answers(tmp_path, place(tmp_path, at=at, what="killed", forks=True))
        soon_nothing_is_left(tmp_path)


def test_one_that_leaves_or_closes_its_pipes_is_no_answer(tmp_path: Path) -> None:
    for what in ("leaves", "closes"):
        with pytest.raises(Failed, match="ended without an answer in the test"):
            answers(tmp_path, place(tmp_path, at="batch", what=what, forks=what == "leaves"))
        soon_nothing_is_left(tmp_path)


def test_a_refusal_is_in_the_runtime_s_words_and_says_where(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"refused it in the test: cannot make that kernel$"):
        answers(tmp_path, place(tmp_path, at="load", what="refuses"))


def test_a_kernel_that_is_not_there_is_told_with_what_helps(tmp_path: Path) -> None:
    """ONNX Runtime has ConvInteger for unsigned weights alone; a file quantized on purpose is not wanted in float32."""

    def told(op: str) -> str:
        said = f"Could not find an implementation for {op}(10) node with name 'c'"
        return RefusedByRuntime(tmp_path, said, "on this machine").said

    assert told("ConvInteger").endswith("quantize it statically (QDQ), or its weights to QUInt8")
    assert told("Erf").endswith("export it in float32")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead-lock is one after 1.5 s."""
    monkeypatch.setattr(activity, "SAMPLE_S", 0.3)
    monkeypatch.setattr(process, "STILL_S", 1.2)
    monkeypatch.setattr(child, "SPIN_S", 1.0)


def test_a_dead_lock_is_told_within_seconds(tmp_path: Path) -> None:
    with pytest.raises(Hung, match=r"the runtime stopped working \(no CPU used for \d s\) in the test"):
        answers(tmp_path, place(tmp_path, at="second batch", what="deadlocks"))
    soon_nothing_is_left(tmp_path)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("at", ["load", "facts"])
def test_a_dead_lock_is_told_wherever_it_happens_and_whatever_was_started(at: str, tmp_path: Path) -> None:
    with pytest.raises(Hung, match="no CPU used"):
        answers(tmp_path, place(tmp_path, at=at, what="deadlocks", forks=True))
    soon_nothing_is_left(tmp_path)


@pytest.mark.usefixtures("impatient")
def test_one_that_calculates_for_ever_is_told_by_its_earlier_batches(tmp_path: Path) -> None:
    with pytest.raises(Hung, match="of CPU used, many times what it should take"):
        answers(tmp_path, place(tmp_path, at="second batch", what="spins"))
    [outputs] = answers(tmp_path, place(tmp_path, at="batch", what="works for a while"))  # as long as ever
    assert len(outputs.values) == 4
    soon_nothing_is_left(tmp_path)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("at", ["load", "batch", "facts"])
def test_one_that_never_gets_to_an_end_is_told_by_what_there_is_to_calculate(at: str, tmp_path: Path) -> None:
    with pytest.raises(Hung, match=r"the runtime stopped working \(\d s of CPU used, .* it should take\) in the test"):
        answers(tmp_path, place(tmp_path, at=at, what="spins"), first_cpu_s=1.0)
    soon_nothing_is_left(tmp_path)


@pytest.mark.usefixtures("impatient")
def test_one_that_is_stopped_or_swapped_out_is_waited_for(tmp_path: Path) -> None:
    [outputs] = answers(tmp_path, place(tmp_path, at="second batch", what="is stopped for a while"))
    assert len(outputs.values) == 4


@pytest.mark.nightly  # on a machine that has other work, who gets a core last may get none for long
@pytest.mark.usefixtures("impatient")
def test_one_that_gets_no_core_is_waited_for(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    here = f"import os; os.sched_setaffinity(0, {{{core}}})"
    last = f"{here}; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)); {ALONG}"
    starved = replace(place(tmp_path, at="batch", what="works for a while"), launcher=[sys.executable, "-c", last])
    busy = subprocess.Popen([sys.executable, "-c", f"{here}\nwhile True: pass"])
    timer = threading.Timer(4, busy.kill)
    timer.start()
    try:
        [outputs] = answers(tmp_path, starved)
    finally:
        timer.cancel()
        busy.kill()
        busy.wait()
    assert len(outputs.values) == 4


def test_too_little_memory_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="not enough memory in the test"):
        answers(tmp_path, place(tmp_path, at="batch", what="memory"))


@pytest.mark.parametrize("fit", [0, 1, 2])
def test_copies_for_which_there_is_no_room_are_done_without(
    fit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loaded = child.Child.wait_until_loaded, count()

    def with_room(one: child.Child) -> None:
        if next(loaded) > fit:
            raise OutOfMemory(Path("model.xml"), None, "in the test")
        load(one)

    monkeypatch.setattr(child.Child, "wait_until_loaded", with_room)
    monkeypatch.setattr(side_by_side, "WORTH_S", 0.0)
    [found] = answers(tmp_path, replace(place(tmp_path), copies=3), samples=21)
    assert len(found.others) == fit
    np.testing.assert_array_equal(found.values, 2 * np.arange(63, dtype=np.float32).reshape(21, 3))
    soon_nothing_is_left(tmp_path)


def test_no_model_takes_all_the_memory_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "free_memory_mib", lambda: 3000)
    with pytest.raises(OutOfMemory, match="not enough memory in the test"):
        answers(tmp_path, place(tmp_path, at="batch", what="eats"))
    monkeypatch.setattr(host, "free_memory_mib", lambda: None)
    assert len(answers(tmp_path, place(tmp_path, at="batch", what="eats"))[0].values) == 4


def test_a_limit_that_the_machine_has_set_already_is_not_raised(tmp_path: Path) -> None:
    code = f"""
import resource, sys
from pathlib import Path
sys.path.insert(0, {str(Path.cwd())!r})
from tests.unit.test_child import answers, place
resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
print(len(answers(Path({str(tmp_path)!r}), place(Path({str(tmp_path)!r})))[0].values))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == "4\n", found.stderr


def test_what_went_well_leaves_nothing_either(tmp_path: Path) -> None:
    [outputs] = answers(tmp_path, place(tmp_path, forks=True))
    assert outputs.values[1, 0] == 6
    soon_nothing_is_left(tmp_path)


@pytest.mark.parametrize(("limit_mib", "threads"), [(4096, "1"), (None, "64")])
def test_of_a_target_s_memory_this_machine_s_cores_take_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_mib: int | None, threads: str
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "64")
    says = ["/bin/sh", "-c", 'echo "NumPy has $OPENBLAS_NUM_THREADS threads" >&2; exit 1']
    with pytest.raises(RefusedByRuntime, match=f"NumPy has {threads} threads"):
        answers(tmp_path, replace(place(tmp_path), launcher=says, memory_limit_mib=limit_mib))


def test_a_program_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="/no/qemu cannot be started"):
        answers(tmp_path, Place("nowhere", "tests.unruly", 1, launcher=["/no/qemu"]))


@pytest.mark.parametrize(("by", "at"), [(signal.SIGKILL, "load"), (signal.SIGKILL, "batch"), (signal.SIGINT, "batch")])
def test_however_the_parent_ends_nothing_is_left(by: signal.Signals, at: str, tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path.cwd())!r})
from tests.unit.test_child import answers, place
answers(Path({str(tmp_path)!r}), place(Path({str(tmp_path)!r}), at={at!r}, what="hangs", forks=True))
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    marks = (tmp_path / "mark", tmp_path / "mark.forked")
    until(lambda: all(mark.exists() and mark.read_text() for mark in marks))
    held = memory_of(int((tmp_path / "mark").read_text()))
    assert held.exists()
    parent.send_signal(by)
    parent.wait()
    soon_nothing_is_left(tmp_path)
    until(lambda: not held.exists(), SOON_S)


def memory_of(process: int) -> Path:
    """The folder of a child's mapped files: its standard error is one of them."""
    return Path(f"/proc/{process}/fd/2").readlink().parent


def test_a_budget_ends_what_will_not_fit_it_long_before_it_is_spent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TooSlow) as caught:
        answers(tmp_path, place(tmp_path, seconds=0.3), samples=2000, budget_s=30)
    assert caught.value.needed_s is not None
    assert 200 < caught.value.needed_s < 600
    assert "unruly: 2000 samples take about" in capsys.readouterr().err


def test_a_budget_that_is_spent_ends_a_hang(tmp_path: Path) -> None:
    with pytest.raises(TooSlow) as caught:
        answers(tmp_path, place(tmp_path, at="batch", what="hangs"), budget_s=1.5)
    assert caught.value.needed_s is None
    [outputs] = answers(tmp_path, place(tmp_path), budget_s=30)
    assert len(outputs.values) == 4


def test_times_are_said_as_people_do() -> None:
    assert [duration(seconds) for seconds in (0.2, 1, 59, 200)] == ["1 second", "1 second", "59 seconds", "3 minutes"]
