"""How much of two workers' time goes into trials, of all that a search with them takes: connecting, asking and handing
over included. Beside it the processes of this machine, with the same jobs.
"""

import os
import time
from pathlib import Path

import pytest

from pipeline.search.remote import Cluster
from pipeline.search.workers import Workers
from tests import jobs
from tests.machines import scheduler_in

WORKERS = 2
JOBS = [(products,) for products in (450, 300, 300, 450, 300, 450, 450, 300)]  # some ten seconds each


def share(at_work: Workers | Cluster) -> float:
    """The seconds of all jobs, over those of all workers."""
    start = time.monotonic()
    with at_work:
        seconds = list(at_work.run(jobs.calculate, JOBS, WORKERS, "benchmark"))
    return sum(seconds) / (WORKERS * (time.monotonic() - start))


@pytest.mark.skipif((os.cpu_count() or 1) < WORKERS, reason="two workers need two cores")
def test_two_workers_are_nearly_twice_as_fast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scheduler_in(tmp_path) as machines:
        for _ in range(WORKERS):
            machines.start(tmp_path, 1)
        machines.wait_for(WORKERS)
        cluster = share(Cluster(machines.address, tmp_path / "log.txt", jobs.accept))
    local = share(Workers(tmp_path / "log.txt"))
    with capsys.disabled():
        print(f"\nof the ideal speed of {WORKERS} workers: {cluster:.1%} on a cluster, {local:.1%} on this machine")
    assert cluster >= 0.85
