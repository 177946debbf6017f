"""Many trials at once on other machines: the workers of a Dask cluster, one trial at a time on each.

Dask carries jobs there and answers back. Which worker gets which is decided here, so that a trial waits for no busy
worker while another is idle, and never runs where it would come to something else.
"""

import asyncio
import logging
import pickle
import pkgutil
import sys
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from tqdm import tqdm

from pipeline.system.errors import InputError, plain, reason, some

CARRY_OUT = "pipeline.search.node:carry_out"
CONNECT_S = 7.0
LOOK_S = 0.5
ALONE_S = 30.0  # without a worker, before the search gives up; Dask's nanny starts a killed one again within seconds
KILLS = 3  # of whatever works on a job, before the job itself is taken for the reason
AGAIN = "run the search again to go on: nothing that is finished is repeated"


class Cluster:
    """The workers of the Dask scheduler at `address`; use it in `with`. What Dask has to say goes to the file `log`.

    `refusal` is called on each worker with its `arguments`; only where it returns None, and no reason, jobs are done.
    """

    def __init__(
        self, address: str, log: Path, refusal: Callable[..., str | None], arguments: tuple[Any, ...] = ()
    ) -> None:
        self._address, self._log = address, log
        self._question = pickle.dumps((refusal, arguments))
        self._name = uuid4().hex
        self._asked: dict[str, Future[bytes]] = {}
        self._reasons: dict[str, str | None] = {}  # of who has answered
        self._told: set[str] = set()
        self._seen = 0.0  # when there was a worker, or one that may become one
        self._ever_able = False

    def __enter__(self) -> "Cluster":
        """Connect.

        Raises:
            InputError: no scheduler answers.
        """
        from distributed import Client

        _log_to(self._log)
        try:
            # A client would wait for ever for one that is connected to and says nothing.
            asyncio.run(asyncio.wait_for(_knock(self._address), CONNECT_S))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of packages of other versions: `refusal` looks at those that matter
                self._client = Client(self._address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ImportError, TypeError, ValueError, asyncio.TimeoutError) as error:
            raise InputError(
                f"no Dask scheduler answers at {self._address}{reason(error)}; `dask scheduler` starts one"
            ) from error
        self._executor = self._client.get_executor(pure=False)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, asyncio.TimeoutError):  # from a scheduler that is gone, or answers no more
            if self._client.status == "running":
                self._executor.shutdown(wait=False)
            self._client.close()

    def run(
        self, work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], at_once: int, description: str
    ) -> Iterator[Any]:
        """What `work` returns for each job's arguments, as it comes, from as many workers as there are (not `at_once`).

        A job whose worker or process dies is given to another.

        Raises:
            InputError: the scheduler or all workers are gone, or a job is killed again and again. Whatever the work
                itself raises is raised here.
        """
        waiting, running = deque(range(len(jobs))), dict[str, tuple[Future[bytes], int]]()
        killed = Counter[int]()
        self._seen = time.monotonic()
        with tqdm(desc=description, total=len(jobs), unit="trial", disable=None) as bar:
            while waiting or running:
                there = self._look()
                for address in there:
                    if waiting and address not in running and self._is_able(address):
                        number = waiting.popleft()
                        running[address] = self._submit(address, pickle.dumps((work, jobs[number]))), number
                self._wait([future for future, _ in running.values()])
                for address, (future, number) in list(running.items()):
                    if not future.done() and address in there:
                        continue
                    del running[address]
                    answer = self._answer(address, future)
                    if answer is not None:
                        bar.update()
                        yield pickle.loads(answer)
                        continue
                    waiting.appendleft(number)
                    killed[number] += 1
                    if killed[number] == KILLS:
                        raise InputError(
                            f"a trial was killed {KILLS} times, at last on the worker {address}, perhaps for lack of "
                            f"memory; {AGAIN}"
                        )

    def _submit(self, address: str, job: bytes) -> Future[bytes]:
        """`node.carry_out`, by its name: a worker that cannot load what it is sent dies instead of saying so."""
        from dask.utils import apply

        found = self._client.submit(pkgutil.resolve_name, CARRY_OUT, workers=[address], pure=False)
        submitted: Future[bytes] = self._executor.submit(apply, found, (self._name, job), workers=[address])
        return submitted

    def _answer(self, address: str, future: Future[bytes]) -> bytes | None:
        """The pickled answer; None when the worker, or its process, was killed over it."""
        from distributed import KilledWorker

        if future.cancel():
            return None
        try:
            return future.result()
        except (BrokenProcessPool, CancelledError, KilledWorker):
            return None
        except (InputError, OSError) as error:
            raise InputError(f"worker {address}: {error}") from error

    def _look(self) -> list[str]:
        """The workers that are there now, each of which is asked once whether it can do trials.

        Raises:
            InputError: the scheduler is gone, or there has been no worker for too long.
        """
        if self._client.status == "closed":
            raise InputError(f"the Dask scheduler at {self._address} is gone; start it, and {AGAIN}")
        known = self._known()
        for address, asked in list(self._asked.items()):
            if address not in known or asked.cancelled():  # for a while there was no scheduler
                self._asked.pop(address).cancel()
                self._reasons.pop(address, None)
        for address in known:
            if address not in self._asked:
                self._asked[address] = self._submit(address, self._question)
        for address, asked in self._asked.items():
            if asked.done() and address not in self._reasons:
                self._reasons[address] = _reason(asked)
        self._tell()
        return list(known)

    def _known(self) -> dict[str, Any]:
        """The workers that the scheduler knows, by address; none while the client looks for a scheduler it has lost."""
        if self._client.status != "running":
            return {}
        try:
            # Not `scheduler_info`: a timer of the client's puts one without workers into its place now and then.
            return dict(self._client.sync(self._client.scheduler.identity, n_workers=-1)["workers"])
        except OSError:  # the connection has just been lost
            return {}

    def _is_able(self, address: str) -> bool:
        return address in self._reasons and self._reasons[address] is None

    def _tell(self) -> None:
        """Say who refuses; an error when nobody is left who does not."""
        able, pending = any(map(self._is_able, self._reasons)), len(self._reasons) < len(self._asked)
        refused = {name: f"worker {name} does no trials: {why}" for name, why in self._reasons.items() if why}
        self._ever_able = self._ever_able or able
        if self._ever_able:
            for name in refused.keys() - self._told:
                tqdm.write(refused[name], file=sys.stderr)
                self._told.add(name)
        now = time.monotonic()
        if able or pending:
            self._seen = now
        elif refused and not self._ever_able:
            raise InputError(some(list(refused.values())))
        elif now - self._seen > ALONE_S:
            if self._ever_able:
                raise InputError(f"no worker is left at {self._address}; start some, and {AGAIN}")
            raise InputError(
                f"no worker at {self._address}: start some with `dask worker {self._address}` in the project's folder "
                "on each machine, and run the search again"
            )

    def _wait(self, running: list[Future[bytes]]) -> None:
        """Until an answer is there or it is time to look again."""
        open_ = [*running, *(asked for asked in self._asked.values() if not asked.done())]
        if open_:
            wait(open_, LOOK_S, FIRST_COMPLETED)
        else:
            time.sleep(LOOK_S)


async def _knock(address: str) -> None:
    from distributed.core import rpc
    from distributed.security import Security

    async with rpc(address, timeout=CONNECT_S, connection_args=Security().get_connection_args("client")) as there:
        kind = (await there.identity())["type"]
    if kind != "Scheduler":
        raise ValueError(f"a Dask {kind.lower()} does")


def _reason(asked: Future[bytes]) -> str | None:
    try:
        answer: str | None = pickle.loads(asked.result())
    except Exception as error:  # the worker cannot even load the question: no edgeproof there, or an old one
        return f"{plain(str(error))}; is this version of edgeproof installed there?"
    return answer


def _log_to(path: Path) -> None:
    """Dask sets up loggers that write to the terminal, once it is imported."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.split(".")[0] in ("distributed", "tornado"):
            logger.handlers = [handler] if logger.handlers else []
