"""Work on a stranger's file in a process of its own: libraries that crash or dead-lock over it take nothing with them.

For what is neither asked in batches nor held to a target's limits: conversions, calibrations, comparisons.
"""

import ctypes
import math
import os
import pickle
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from pipeline.processes import limits
from pipeline.processes.child import INSTALLED
from pipeline.processes.failures import SIGNALS
from pipeline.processes.pace import duration
from pipeline.processes.process import Ended, Process, Stuck
from pipeline.processes.worker import PR_SET_PDEATHSIG
from pipeline.system import errors, library_warnings
from pipeline.system.errors import BadModel, InputError, shown

DONE = b"done"
ADVICE = "simplify its graph (onnxslim), or export it again with another opset"


@contextmanager
def done_apart(
    source: Path, work: Callable[..., Any], *arguments: Any, cpu_limit_s: float, advice: str = ADVICE
) -> Iterator[tuple[Path, Any]]:
    """What `work(folder, *arguments)` answered, and that folder with what it wrote, which is there for the block.

    `work` is a function at the top of a module; its arguments and its answer can be pickled. Its progress is seen, and
    what it raises is raised here. It may use `cpu_limit_s` of CPU time, which is said before it begins. `advice` says
    what to do about a file that it crashes over.

    Raises:
        InputError: it did, or it crashed, stopped working or ran out of time or memory over the file `source`.
    """
    tqdm.write(f"{shown(source)}: takes {duration(cpu_limit_s)} of CPU time at most", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="edgeproof-") as folder:
        room = Path(folder)
        made = room / "made"
        made.mkdir()
        (room / "job").write_bytes(pickle.dumps((Path.cwd(), work, (made, *arguments))))
        command = [sys.executable, "-m", __name__, folder]
        process = Process(command, dict(os.environ), INSTALLED, room, before=limits.without_core, shows_errors=True)
        try:
            process.read(math.inf, cpu_limit_s)
        except Stuck as stuck:
            raise BadModel(f"{source}: working on it stopped ({stuck.how}); {advice}") from None
        except Ended as ended:
            _fail(source, ended.code, advice)
        finally:
            process.close()
        answer, error = pickle.loads((room / "answer").read_bytes())
        if error is not None:
            raise error
        yield made, answer


def _fail(source: Path, code: int, advice: str) -> NoReturn:
    if code == -signal.SIGKILL:
        raise BadModel(f"{source}: working on it was killed, most likely since the memory ran out")
    how = SIGNALS.get(-code, f"signal {-code}") if code < 0 else f"ended with {code}"
    raise BadModel(f"{source}: a library crashed over it ({how}); {advice}")


def main(room: Path) -> None:
    """The other process: do the job in `room` and leave the answer there."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    library_warnings.hide()
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print must not mix with the answer
    directory, work, arguments = pickle.loads((room / "job").read_bytes())
    os.chdir(directory)
    answer = room / "answer"
    try:
        answer.write_bytes(pickle.dumps((work(*arguments), None)))
    except Exception as raised:  # whatever it is, the caller deals with it
        shutil.rmtree(room / "made", ignore_errors=True)  # a full disk would take no word of it either
        answer.write_bytes(pickle.dumps((None, _told(raised))))
    os.write(answers, DONE + b"\n")


def _told(error: Exception) -> Exception:
    """An error that can be raised on the other side: one of ours by its nearest kind, without what led to it."""
    if isinstance(error, InputError):
        kind: type[Exception] = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
        return kind(str(error))
    with suppress(Exception):  # some exceptions cannot be pickled, or not be made again
        again: Exception = pickle.loads(pickle.dumps(error))
        if str(again) == str(error):
            return again
    return RuntimeError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
