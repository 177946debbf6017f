"""Whether every board that the repository describes has a runner with its labels."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from pipeline.doctor.examined import Subject
from pipeline.doctor.finding import Finding, well, wrong
from pipeline.system.errors import BadData, some

BOARDS = Path("runners/boards")


class _Loader(yaml.SafeLoader):
    """Reads a board's file without the tags that labgrid has for itself (`!template`)."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def look(subject: Subject) -> Iterator[Finding]:
    """Labels as runners/boards/*.yaml give them; a board without labels is none that jobs ask for."""
    wanted = {path: labels for path in sorted(BOARDS.glob("*.yaml")) if (labels := _labels(path))}
    if not wanted:
        yield well(f"no file in {BOARDS} names labels")
        return
    runners = {runner.name: {label.name.lower() for label in runner.labels} for runner in subject.runners}
    for path, labels in wanted.items():
        found = [name for name, has in runners.items() if labels <= has]
        if found:
            yield well(f"{path.stem}: {some(found)}")
        else:
            yield wrong(
                f"no runner has the labels of {path.stem} ({', '.join(sorted(labels))})",
                "its jobs wait for 24 hours and then fail",
                f"provision it (docs/boards.md), or delete {path} if there is no such board",
            )


def _labels(path: Path) -> set[str]:
    try:
        described = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        board = described.get("board") or {}
        # An emulated one is at home on GitHub's own machines.
        labels = (board.get("labels") or []) if board.get("place") != "emulated" else []
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise BadData(f"{path}: cannot be read as a board ({' '.join(str(error).split())})") from error
    if not isinstance(labels, list):
        raise BadData(f"{path}: labels is no list")
    return {str(label).lower() for label in labels}
