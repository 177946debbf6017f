"""What is tested on a board: a candidate of the project with its test split, or any exported folder with noise."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.boards.kit import CODE
from pipeline.formats.pack import pack
from pipeline.processes.samples import Floats
from pipeline.project import layout
from pipeline.project.candidate import MODELS, weights_of
from pipeline.project.parent_answers import parent_answers
from pipeline.records.results import Result, read_result
from pipeline.records.targets import Precision, Target
from pipeline.system.errors import InputError, Missing
from pipeline.system.files import sha256
from runners.contract import model_input
from runners.contract.model_input import ModelInput
from runners.edge.loop.regions import normalise

NOISE = 32  # regions where nobody gave any


@dataclass(frozen=True)
class Subject:
    """A model as a device downloads it, with regions (N, S, S, 3) in uint8 RGB to ask it about.

    `labels` (N,), `parent` (N, classes) and `emulated`, the re-test's record of this very file and of these regions,
    are None where there are none.
    `code` is the checkout whose device programs it comes with.
    """

    model: str
    method: str
    precision: Precision
    folder: Path
    download: Path
    wanted: ModelInput
    regions: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None
    groups: NDArray[np.int64] | None = None
    parent: Floats | None = None
    emulated: Result | None = None
    code: Path = CODE
    data_sha256: str | None = None

    @property
    def name(self) -> str:
        """Model and method as one name."""
        return f"{self.model}/{self.method}" if self.method else self.model

    @property
    def file(self) -> Path:
        """What the runtime loads."""
        return next(self.folder / name for name in MODELS.values() if (self.folder / name).exists())

    @property
    def model_sha256(self) -> str:
        """That of its weights, as records have it."""
        return sha256(weights_of(self.file))


class Prepared:
    """Regions as a network takes them, a batch at a time."""

    def __init__(self, regions: NDArray[np.uint8], wanted: ModelInput) -> None:
        self._regions, self._wanted = regions, wanted

    def __len__(self) -> int:
        return len(self._regions)

    def batches(self, size: int) -> Iterator[Floats]:
        """Batches (n <= size, 3, S, S)."""
        for start in range(0, len(self._regions), size):
            yield normalise(self._regions[start : start + size], self._wanted.mean, self._wanted.std)


def named(name: str, target: Target, room: Path) -> Subject:
    """A candidate by its name, or an exported folder by its path; what is made on the way goes into `room`."""
    return of_folder(Path(name), target, room) if Path(name).exists() else of_project(name, target)


def of_project(name: str, target: Target) -> Subject:
    """A candidate MODEL/METHOD of params.yaml, with the test split.

    Raises:
        InputError: there is no such candidate, the target does not run it, or its files are missing.
    """
    from pipeline.data.dataset import open_dataset
    from pipeline.project.candidate import candidate
    from pipeline.project.params import load_params

    model, _, method = name.partition("/")
    params = load_params()
    if model not in params.models or not method:
        raise InputError(f"no candidate {name!r}: give MODEL/METHOD; models in params.yaml: {', '.join(params.models)}")
    found = candidate(model, method, params)
    if refusal := target.refusal(found.precision):
        raise InputError(refusal)
    file, download = found.loaded_by(target.runtime.name), found.download(target.runtime.name)
    for needed in (file, download):
        if not needed.exists():
            raise Missing(f"{needed} not found: run `dvc repro`")
    wanted = _wanted(file.parent)
    dataset = open_dataset(layout.DATASET)
    regions, labels = dataset.load("test", wanted.size)
    record, data_sha256 = layout.result("emulated", model, method, target.name), sha256(layout.DATASET / "samples.csv")
    emulated = read_result(record) if record.exists() else None
    if emulated and (emulated.model_sha256, emulated.data_sha256) != (sha256(weights_of(file)), data_sha256):
        emulated = None  # it was made again since, and nothing is proven of it
    return Subject(
        model=model,
        method=method,
        precision=found.precision,
        folder=file.parent,
        download=download,
        wanted=wanted,
        regions=regions,
        labels=labels,
        groups=dataset.groups("test"),
        parent=parent_answers(model, "test", len(labels)),
        emulated=emulated,
        data_sha256=data_sha256,
    )


def of_folder(path: Path, target: Target, room: Path) -> Subject:
    """An exported folder, with noise; what is packed of it goes into the folder `room`.

    Raises:
        InputError: it holds no model for this target's runtime, or none that says how it wants its images.
    """
    from pipeline.formats.network_file import held_precision
    from pipeline.records.targets import calculated_in

    folder = path if path.is_dir() else path.parent
    file = folder / MODELS[target.runtime.name]
    if not file.exists() or (path.is_file() and path.name != file.name):
        raise InputError(f"{path}: {target.name} runs {target.runtime.name}; give the exported folder with {file.name}")
    precision = calculated_in(held_precision(file), target)
    if refusal := target.refusal(precision):
        raise InputError(refusal)
    wanted = _wanted(folder)
    download = room / f"{target.runtime.name}.tar.xz"
    copied = room / "bundle"
    copied.mkdir()
    for one in sorted(folder.iterdir()):
        if one.is_file():
            shutil.copyfile(one, copied / one.name)
    pack(copied, download)
    shape = (NOISE, wanted.size, wanted.size, 3)
    regions = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return Subject(str(path), "", precision, folder, download, wanted, regions)


def at_base(subject: Subject, target: Target, checkout: Path) -> Subject | None:
    """The same candidate in a checkout of the base commit with its artifacts; None where it did not exist there.

    Raises:
        InputError: that is no checkout.
    """
    if not (checkout / "runners" / "edge").is_dir():
        raise InputError(f"{checkout}: no checkout of this repository: it has no runners/edge")
    exported = checkout / layout.ARTIFACTS / "export" / subject.model / subject.method
    folder, download = exported / target.runtime.name, exported / f"{target.runtime.name}.tar.xz"
    if not subject.method or not download.exists():
        return None
    # A base without this program is measured by ours.
    has_program = (checkout / "runners/edge/commands/speed.py").exists()
    return replace(
        subject, folder=folder, download=download, wanted=_wanted(folder), code=checkout if has_program else CODE
    )


def _wanted(folder: Path) -> ModelInput:
    try:
        return model_input.read(str(folder / model_input.NAME))
    except ValueError as error:
        raise InputError(str(error)) from error
