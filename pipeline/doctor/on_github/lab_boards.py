"""Whether every board that the repository describes has a runner with its labels."""

from collections.abc import Iterator

from pipeline.doctor.examined import BOARDS, Subject
from pipeline.doctor.finding import Finding, well, wrong
from pipeline.system.errors import some


def look(subject: Subject) -> Iterator[Finding]:
    """Labels as runners/boards/*.yaml give them; an emulated one is at home on GitHub's own machines."""
    wanted = {path: set(map(str.lower, board.labels)) for path, board in subject.boards.items() if board.measures}
    if not wanted:
        yield well(f"no file in {BOARDS} names labels of a board")
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
