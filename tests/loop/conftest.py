"""What the tests of the running program share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import clips
from tests.loop.program import Program
from tests.scenes import stand_ins


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.bundle(tmp_path_factory.mktemp("exported") / "onnxruntime", "onnxruntime")


@pytest.fixture
def cameras(tmp_path: Path) -> dict[str, str]:
    """The environment in which stand-ins play the scenes that lie in `tmp_path`."""
    return stand_ins(tmp_path)


@pytest.fixture
def start(bundle: Path, cameras: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts the program on some sources."""
    started: list[Program] = []

    def program(*sources: str, environment: dict[str, str] | None = None, folder: str = "events") -> Program:
        given = [f"--bundle={bundle}", "--threads=1", "--reader=ffmpeg", *(f"--source={source}" for source in sources)]
        started.append(Program(tmp_path / folder, {**cameras, **(environment or {})}, *given))
        return started[-1]

    yield program
    for one in started:
        one.process.kill()
        one.wait_for_the_end()
