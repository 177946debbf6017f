"""A search on other machines: who gets a trial, and what becomes of it when a worker or the search itself is killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.search import remote
from pipeline.search.remote import Cluster
from pipeline.system.errors import InputError
from tests import jobs
from tests.machines import REPOSITORY, Machines, scheduler_in
from tests.waiting import has_ended, until

KILLED_SEARCH = """
import sys
from pathlib import Path
from pipeline.search.remote import Cluster
from tests import jobs
address, folder = sys.argv[1], Path(sys.argv[2])
with Cluster(address, folder / "log.txt", jobs.accept) as at_work:
    list(at_work.run(jobs.work, [(0, folder, 600)], 1, "test"))
"""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Two workers with one and with two threads, in the folders `1` and `2` below the scheduler's."""
    folder = tmp_path_factory.mktemp("machines")
    with scheduler_in(folder) as found:
        for threads in (1, 2):
            (folder / str(threads)).mkdir()
            found.start(folder / str(threads), threads)
        found.wait_for(2)
        yield found


def started(folder: Path, times: int) -> list[tuple[int, int]]:
    """The processes of so many jobs that have started, with the numbers of their workers; waits for them."""

    def written() -> list[list[str]]:
        found = [path.read_text().split() for path in sorted(folder.glob("*-*"), key=lambda path: path.stat().st_mtime)]
        return found if len(found) >= times and all(found) else []

    return [(int(process), int(worker)) for process, worker in until(written, 150)]


def test_a_worker_does_one_trial_at_a_time_with_all_of_its_threads(machines: Machines, tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    with Cluster(machines.address, tmp_path / "log.txt", jobs.accept) as at_work:
        found = list(at_work.run(jobs.conditions, [(number, folder, 2) for number in range(8)], 8, "test"))
    assert sorted(number for number, *_ in found) == list(range(8))
    assert {tuple(threads.values()) for _, threads, _, _ in found} == {("1",) * 3, ("2",) * 3}
    assert not any(heavy for _, _, heavy, _ in found), "a library has read how many threads there are before it was set"
    assert len({process for *_, process in found}) == 2, "a worker's process was not kept for its next trial"


def test_whoever_refuses_gets_no_trial_and_is_named(
    machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Cluster(machines.address, tmp_path / "log.txt", jobs.only_in, ("1",)) as at_work:
        found, said, deadline = [], "", time.monotonic() + 60
        while not said and time.monotonic() < deadline:  # its answer may come after that of many jobs
            found += at_work.run(jobs.conditions, [(number, tmp_path) for number in range(3)], 3, "test")
            said = capsys.readouterr().err
    assert {threads["OMP_NUM_THREADS"] for _, threads, _, _ in found} == {"1"}
    [line] = said.splitlines()
    assert line.startswith("worker tcp://127.0.0.1:")
    assert line.endswith(" does no trials: 2 is elsewhere")
    with (
        Cluster(machines.address, tmp_path / "log.txt", jobs.only_in, ("3",)) as at_work,
        pytest.raises(
            InputError, match=r"worker tcp://\S+ does no trials: .*worker tcp://\S+ does no trials: "
        ) as nobody,
    ):
        list(at_work.run(jobs.conditions, [(0, tmp_path)], 1, "test"))
    assert "\n" not in str(nobody.value)
    assert capsys.readouterr().err == ""


def test_a_worker_without_this_code_refuses(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "newer.py").write_text("def accept(): pass")
    monkeypatch.syspath_prepend(tmp_path)
    import newer  # type: ignore[import-not-found]

    with (
        Cluster(machines.address, tmp_path / "log.txt", newer.accept) as at_work,
        pytest.raises(InputError, match="No module named 'newer'"),
    ):
        list(at_work.run(jobs.conditions, [(0, tmp_path)], 1, "test"))


def test_what_a_machine_lacks_is_said_with_its_name(machines: Machines, tmp_path: Path) -> None:
    with (
        Cluster(machines.address, tmp_path / "log.txt", jobs.accept) as at_work,
        pytest.raises(InputError, match=r"worker tcp://\S+: .*No space left on device: 'file0'"),
    ):
        list(at_work.run(jobs.fail, [(0,)], 1, "test"))


@pytest.mark.parametrize("victim", ["worker", "process"])
def test_a_killed_trial_is_done_again_and_no_other(machines: Machines, tmp_path: Path, victim: str) -> None:
    def strike() -> int:
        process, worker = started(tmp_path, 2)[-1]
        os.kill(worker if victim == "worker" else process, signal.SIGKILL)
        return process

    with Cluster(machines.address, tmp_path / "log.txt", jobs.accept) as at_work, ThreadPoolExecutor() as beside:
        struck = beside.submit(strike)
        found = list(at_work.run(jobs.work, [(number, tmp_path, 1.0) for number in range(4)], 4, "test"))
        until(lambda: has_ended(struck.result()))
    assert sorted(found) == list(range(4))
    starts = Counter(path.name.partition("-")[0] for path in tmp_path.glob("*-*"))
    assert sorted(starts.values()) == [1, 1, 1, 2]


def test_what_kills_every_process_ends_the_search(machines: Machines, tmp_path: Path) -> None:
    with (
        Cluster(machines.address, tmp_path / "log.txt", jobs.accept) as at_work,
        pytest.raises(
            InputError, match=r"a trial was killed 3 times, at last on the worker tcp://.* run the search again"
        ),
    ):
        list(at_work.run(os._exit, [(9,)], 1, "test"))


def test_a_trial_ends_with_the_search_that_wants_it(machines: Machines, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_SEARCH, machines.address, str(tmp_path)]
    search = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    try:
        [(process, _)] = started(tmp_path, 1)
    finally:
        search.kill()
        search.wait()
    until(lambda: has_ended(process))


@pytest.mark.nightly
def test_a_machine_without_edgeproof_refuses(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['pipeline'] = None")
    with scheduler_in(tmp_path) as found:
        found.start(tmp_path, 1, PYTHONPATH=str(tmp_path))
        found.wait_for(1)
        with (
            Cluster(found.address, tmp_path / "log.txt", jobs.accept) as at_work,
            pytest.raises(
                InputError, match=r"worker tcp://\S+ does no trials: .*is this version of edgeproof installed"
            ),
        ):
            list(at_work.run(jobs.conditions, [(0, tmp_path)], 1, "test"))


@pytest.mark.nightly
def test_a_search_without_workers_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scheduler_in(tmp_path) as found:
        found.start(tmp_path, 1, "--no-nanny")
        found.wait_for(1)
        with Cluster(found.address, tmp_path / "log.txt", jobs.accept) as at_work:
            assert list(at_work.run(jobs.conditions, [(0, tmp_path)], 1, "test"))
            monkeypatch.setattr(remote, "ALONE_S", 1.0)
            running = at_work.run(jobs.work, [(number, tmp_path, 0.1) for number in range(50)], 50, "test")
            next(running)
            found.processes[1].kill()
            with pytest.raises(InputError, match=f"no worker is left at {found.address}; .*run the search again"):
                list(running)
        with (
            Cluster(found.address, tmp_path / "log.txt", jobs.accept) as at_work,
            pytest.raises(InputError, match=f"start some with `dask worker {found.address}`"),
        ):
            list(at_work.run(jobs.conditions, [(0, tmp_path)], 1, "test"))
        monkeypatch.setattr(remote, "CONNECT_S", 0.5)
        with Cluster(found.address, tmp_path / "log.txt", jobs.accept) as at_work:
            found.processes[0].kill()
            found.processes[0].wait()
            with pytest.raises(InputError, match=f"the Dask scheduler at {found.address} is gone"):
                list(at_work.run(jobs.conditions, [(0, tmp_path)], 1, "test"))


@pytest.mark.parametrize("there", ["nobody", "somebody silent", "no address", "no port", "TLS"])
def test_no_scheduler_is_one_line(
    ready: object, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], there: str
) -> None:
    assert remote.CONNECT_S < 10
    monkeypatch.setattr(remote, "CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        if there == "nobody":
            listening.close()
        written = {"no address": "foo://bar", "no port": "tcp://127.0.0.1", "TLS": f"tls://{address}"}
        asked = written.get(there, f"tcp://{address}")
        answer = CliRunner().invoke(cli, ["search", "--target", "atom-x5-e3940", "--workers", asked])
    assert answer.exit_code == 2
    assert answer.stderr.startswith(f"edgeproof: no Dask scheduler answers at {asked}")
    assert len(answer.stderr.splitlines()) == 1
    assert capfd.readouterr().err == ""


def test_without_dask_it_says_what_to_install(ready: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    answer = CliRunner().invoke(cli, ["search", "--target", "atom-x5-e3940", "--workers", "tcp://127.0.0.1:8786"])
    assert answer.exit_code == 2
    assert answer.stderr == "edgeproof: this needs the package distributed: `pip install 'edgeproof[cluster]'`\n"
