"""What unit tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.boards import recorded_boards
from pipeline.data.cutting import build
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.data.importing import import_data
from pipeline.project import layout
from pipeline.project.params import Params, load_params
from pipeline.system import workflow_commands


@pytest.fixture(scope="module", autouse=True)
def threads_of_torch() -> Iterator[None]:
    """The FP16 emulation has a process of its own and sets their number there; here other tests follow."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def atom(tmp_path: Path) -> Path:
    """The files of an Atom's system, as recorded; so for the others."""
    return recorded_boards.atom(tmp_path)


@pytest.fixture
def tx2(tmp_path: Path) -> Path:
    return recorded_boards.tx2(tmp_path)


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    return recorded_boards.orin(tmp_path)


@pytest.fixture
def job_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, as in a job of GitHub's: what ends with a command's process there goes on with this one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workflow_commands, "stop", lambda: None)
    return tmp_path


@pytest.fixture
def ready(images: Path) -> tuple[Params, Dataset]:
    """What a search starts from: parameters and data; the parent is there in name only, as nothing is calculated."""
    params = load_params()
    import_data(images, layout.DATA)
    build(layout.DATA, layout.DATASET, params.split)
    layout.parent("lenet-5").mkdir(parents=True)
    layout.parent_weights("lenet-5").write_bytes(b"weights")
    return params, open_dataset(layout.DATASET)
