"""What is written on standard error in the block is lost, and heard again when the last thread has left it."""

import os
from threading import Barrier, Thread

import pytest

from pipeline.system.unheard import STDERR, unheard


def test_threads_that_come_and_go_leave_standard_error_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    inside, left = Barrier(2, timeout=10), Barrier(2, timeout=10)

    def other() -> None:
        with unheard():
            inside.wait()
        left.wait()

    thread = Thread(target=other)
    with unheard():
        thread.start()
        inside.wait()
        left.wait()
        os.write(STDERR, b"lost")
    thread.join()
    os.write(STDERR, b"heard")
    assert capfd.readouterr().err == "heard"


def test_it_is_heard_again_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), unheard():
        raise ValueError("no")
    os.write(STDERR, b"heard")
    assert capfd.readouterr().err == "heard"
