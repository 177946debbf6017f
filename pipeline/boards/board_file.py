"""Boards: one YAML file each in `runners/boards/`, which says how a board is reached and what it stands for.

A board over SSH is a labgrid environment (https://labgrid.readthedocs.io, its own `targets`, `resources` and
`drivers`), with a section `board` beside. One without `targets` is this machine, as it is or as its target.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from pipeline.boards import lab_environment, recorded_boards
from pipeline.records.targets import Target, describe, load_target, target_names
from pipeline.system.errors import InputError, unknown
from runners.edge import meters

FOLDER = Path(__file__).resolve().parents[2] / "runners" / "boards"
OWN = "board"  # the section that labgrid does not read

Place = Literal["ssh", "here", "emulated"]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Meter(_Strict):
    """What reads the board's power where it is not what the target says: a lab's own instrument, for one."""

    sampler: str
    rails: list[str] = Field(min_length=1)


class Board(_Strict):
    """One piece of hardware, or what stands for it.

    `soc` is a word in its own name of its SoC, such as E3940: without that it is another machine. `labels` are those
    that jobs for it ask for; without any, no job does. A `required` board's verdict blocks a change, an advisory one's
    is only told. `folder` is where files are put, below the home of its user; `python` is what starts a program there,
    with `environment` added to its own. `known_hosts` is the file that holds the board's host key; without it the key
    is not checked. It has `answer_s` to answer, and `boot_s` after its power was off. `recorded` names what an emulated
    board's /sys and /proc show.
    """

    name: str
    file: Path
    description: str
    place: Place
    target: str
    soc: str | None = None
    labels: list[Label] = Field(default=[], max_length=20)
    meter: Meter | None = None
    required: bool = False
    folder: str = Field(default="work", pattern=r"^[\w.][\w./-]*$")
    python: str | None = None
    environment: dict[str, str] = {}
    known_hosts: Path | None = None
    answer_s: float = Field(default=30, gt=0, le=600)
    boot_s: float = Field(default=180, gt=0, le=1800)
    recorded: str | None = None

    @property
    def measures(self) -> bool:
        """Whether what it does is what the target does, so that its speed and watts count."""
        return self.place != "emulated"

    def is_the_one(self, fingerprint: Mapping[str, Any]) -> bool:
        """Whether what answers is the hardware that it is to be."""
        return self.soc is None or self.soc.lower() in (fingerprint["soc"] or "").lower()

    @property
    def profile(self) -> Target:
        """The target that it is one of."""
        return load_target(self.target)

    @property
    def power(self) -> Meter:
        """What reads its power: its own meter, else its target's."""
        power = self.profile.power
        return self.meter or Meter(sampler=power.sampler, rails=power.rails)


class _Loader(yaml.SafeLoader):
    """Reads all but labgrid's own tags (`!template`), which are for labgrid."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: lab_environment.LATER)


def board_names(folder: Path = FOLDER) -> list[str]:
    """Names of all boards that there is a file for."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_board(name: str, folder: Path = FOLDER) -> Board:
    """Read and check the board called `name`, or the file of that path.

    Raises:
        InputError: there is no such board, or its file is not a valid one, by us or by labgrid where that is installed.
    """
    path = Path(name) if name.endswith(".yaml") else folder / f"{name}.yaml"
    if not path.is_file():
        if path.parent != folder:
            raise InputError(f"{path}: no such file")
        raise unknown("board", name, board_names(folder))
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        board = _board(path, content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise InputError(f"{path}: {OWN}: {describe(error)}") from error
    return board


def _board(path: Path, content: Any) -> Board:
    if not isinstance(content, dict) or not isinstance(content.get(OWN), dict):
        raise InputError(f"{path}: has no section `{OWN}` with the target; docs/boards.md shows one")
    own = dict(content[OWN])
    if "targets" in content:
        if own.get("place", "ssh") != "ssh":
            raise InputError(f"{path}: {OWN}.place: a board with labgrid's `targets` is reached over ssh")
        own["place"] = "ssh"
    elif own.get("place") not in ("here", "emulated"):
        raise InputError(f"{path}: has neither labgrid's `targets` nor {OWN}.place: here or emulated")
    board = Board.model_validate({**own, "name": path.stem, "file": path})
    if board.measures and board.soc is None:
        raise InputError(f"{path}: {OWN}.soc: say what its SoC is called, so that no other machine passes for it")
    if board.target not in target_names():
        raise unknown(f"target in {path}:", board.target, target_names())
    if board.meter is not None and board.meter.sampler not in meters.names():
        raise unknown(f"meter in {path}:", board.meter.sampler, meters.names())
    if board.recorded is not None and board.recorded not in recorded_boards.TREES:
        raise unknown(f"recorded board in {path}:", board.recorded, sorted(recorded_boards.TREES))
    if "targets" in content:
        lab_environment.check(path, content)
    return board
