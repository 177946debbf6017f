"""pytest on a board: the fixtures `board`, `candidate` and `power_meter`, and exit codes that are verdicts.

    pytest tests/device --board NAME [--candidate MODEL/METHOD] [--base CHECKOUT]

A test that raises Unmeasured is skipped, and the run then ends with 3 unless something failed: a board that is away is
never red and never green. Bad input ends the run with 2. Numbers that boards measured go into pytest-benchmark's
statistics by `replay`.
"""

import warnings
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

NOT_MEASURED, BAD_INPUT = 3, 2
NAMES = pytest.StashKey[list[str]]()
UNMEASURED = pytest.StashKey[dict[str, str]]()
REASON = pytest.StashKey[Any]()  # the first Unmeasured of the run
SUMMARIES = pytest.StashKey[list[str]]()
FINGERPRINT = pytest.StashKey[dict[str, Any]]()


class Replay:
    """A clock for pytest-benchmark that shows times which were measured elsewhere, one after the other."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._now_s, self._running = 0.0, False

    def load(self, times_s: Sequence[float]) -> None:
        """What it shows from now on."""
        self._times, self._running = list(times_s), False

    def __call__(self) -> float:
        """Asked before and after each round."""
        if self._running and self._times:
            self._now_s += self._times.pop(0)
        self._running = not self._running
        return self._now_s


CLOCK = Replay()  # of tests with `@pytest.mark.benchmark(timer=CLOCK)`


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which board, which candidates, and what they are compared with."""
    group = parser.getgroup("edgeproof", "candidates on boards")
    group.addoption("--board", metavar="NAME", help="a board in runners/boards/, or the file of one")
    group.addoption(
        "--candidate", action="append", metavar="MODEL/METHOD",
        help="a candidate of params.yaml, or an exported folder (default: those that pass in the emulated lane)",
    )  # fmt: skip
    group.addoption("--base", type=Path, metavar="CHECKOUT", help="of the base commit with its artifacts")
    group.addoption("--how-it-was", type=Path, metavar="FILE", help="write there how the board was, as JSON")
    group.addoption("--speed-seconds", type=float, default=10.0, help="of one measurement of speed (default 10)")
    group.addoption("--power-seconds", type=float, default=75.0, help="of full work under the meter (default 75)")


def pytest_configure(config: pytest.Config) -> None:
    """Find board and candidates before anything runs."""
    config.stash[UNMEASURED], config.stash[SUMMARIES], config.stash[NAMES] = {}, [], []
    name = config.getoption("--board")
    if name is None:
        return
    from pipeline.boards.board_file import load_board
    from pipeline.project.passing import passing
    from pipeline.system.errors import InputError

    try:
        board = load_board(name)
        config.stash[NAMES] = config.getoption("--candidate") or ["/".join(pair) for pair in passing(board.profile)]
    except InputError as error:
        pytest.exit(f"edgeproof: {error}", BAD_INPUT)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test of a candidate, for each of them; other tests may call something else so."""
    if metafunc.config.stash[NAMES] and "candidate" in metafunc.fixturenames:
        metafunc.parametrize("candidate", [*metafunc.config.stash[NAMES]], indirect=True, scope="session")


@pytest.fixture(scope="session")
def board(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The board of `--board` (pipeline.device.on_board.OnBoard), open for the whole run."""
    from pipeline.boards.board_file import load_board
    from pipeline.device.on_board import OnBoard

    name = request.config.getoption("--board")
    if name is None:
        pytest.exit("edgeproof: these tests need --board NAME; `edgeproof boards` lists them", BAD_INPUT)
    with OnBoard(load_board(name)) as found:
        yield found


@pytest.fixture(scope="session")
def power_meter(board: Any) -> Any:
    """What reads the board's power: its sampler and its rails."""
    return board.board.power


@pytest.fixture(scope="session")
def candidate(request: pytest.FixtureRequest, board: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A candidate on that board (pipeline.device.session.Session), whose stages the tests go through."""
    from pipeline.device import subject
    from pipeline.device.session import Session

    config, name = request.config, request.param
    found = subject.named(name, board.target, tmp_path_factory.mktemp("bundle"))
    checkout = config.getoption("--base")
    base = None if checkout is None else subject.at_base(found, board.target, checkout)
    session = Session(board, found, base, config.getoption("--speed-seconds"), config.getoption("--power-seconds"))
    yield session
    if board.fingerprint:
        config.stash[FINGERPRINT] = board.fingerprint
    config.stash[SUMMARIES] += summary(session)


def hold(session: Any, *names: str) -> None:
    """Hold what a session has found so far against limits of gates.py, by their names; without any, against all.

    Raises:
        Open: nothing can be said yet.
    """
    from pipeline.boards.access import Open
    from pipeline.device import verdicts
    from pipeline.records.words import LIMITS

    found = verdicts.judged(session, verdicts.gates_of(session))
    pairs = [pair for pair in zip(found.checks, found.verdicts, strict=True) if not names or pair[0].name in names]
    for verdict in ("fail", "not_measured"):
        told = [verdicts.told(check) for check, own in pairs if own == verdict]
        if told and verdict == "fail":
            pytest.fail("; ".join(told), pytrace=False)
        if told:
            missing = [LIMITS.get(check.name, check.name) for check, own in pairs if own == verdict]
            reasons = dict.fromkeys(found.result.not_measured.values())
            raise Open(f"{', '.join(missing)}: {'; '.join(reasons) or '; '.join(told)}")


def summary(session: Any) -> list[str]:
    """A session in a few lines."""
    from pipeline.device import verdicts

    found = verdicts.judged(session, verdicts.gates_of(session))
    return verdicts.lines(session, found)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """A board that cannot be reached is no error."""
    with _Verdicts(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A stage that gave no measurement neither passes nor fails."""
    with _Verdicts(item):
        return (yield)


class _Verdicts:
    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: Any) -> None:
        if error is None or not self._item.config.getoption("--board"):
            return
        from pipeline.boards.access import Unmeasured
        from pipeline.device.session import Fails
        from pipeline.system.errors import InputError

        session = getattr(self._item, "funcargs", {}).get("candidate")
        if isinstance(error, Unmeasured):
            self._item.config.stash[UNMEASURED][self._item.nodeid] = str(error)
            self._item.config.stash.setdefault(REASON, error)
            pytest.skip(f"not measured: {error}")
        if isinstance(error, InputError):
            pytest.exit(f"edgeproof: {error}", BAD_INPUT)
        if session is not None and isinstance(error, Fails | pytest.fail.Exception | AssertionError):
            session.stop(getattr(self._item, "originalname", self._item.name), " ".join(str(error).split()))
        if isinstance(error, Fails):
            pytest.fail(str(error), pytrace=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """What was not measured is neither a pass nor a fail."""
    with warnings.catch_warnings():
        # pytest-benchmark warns where there are no numbers to save, and a warning may count as an error.
        warnings.filterwarnings("ignore", message="Not saving anything")
        yield
    if session.exitstatus == pytest.ExitCode.OK and session.config.stash[UNMEASURED]:
        session.exitstatus = NOT_MEASURED
    if file := session.config.getoption("--how-it-was"):
        _tell(session.config, file)


def _tell(config: pytest.Config, file: Path) -> None:
    """Its state, and of one that was not ready since when it is sick, or when it was last seen."""
    from pipeline.boards.board_file import load_board
    from pipeline.boards.past import Past
    from pipeline.system import files

    error = config.stash.get(REASON, None)
    state = "ready" if error is None else error.state
    since = None
    if state in ("sick", "away", "hangs"):
        past = Past(load_board(config.getoption("--board")))
        since = past.sick_since[0] if state == "sick" and past.sick_since else past.last_seen
    files.write_json(file, {"state": state, "since": since, "reason": None if error is None else str(error)})


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What each candidate came to."""
    if config.stash[SUMMARIES]:
        terminalreporter.section("on the board")
        for line in config.stash[SUMMARIES]:
            terminalreporter.write_line(line)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Numbers of pytest-benchmark are compared under equal fingerprints."""
    if fingerprint := config.stash.get(FINGERPRINT, None):
        machine_info["board"] = fingerprint
