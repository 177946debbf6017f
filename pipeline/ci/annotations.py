"""Limits that are not kept, each on the line of the file that sets it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.check.printout import told
from pipeline.project import layout
from pipeline.records.gates import Check, Judgement, Quantity, Verdict
from pipeline.records.targets import TARGETS_FOLDER, Target
from pipeline.records.words import LIMITS, VERDICTS
from pipeline.report.collect import Collected, OnTarget
from pipeline.system import workflow_commands
from pipeline.system.workflow_commands import Level

LEVELS: dict[Verdict, Level] = {"fail": "error", "not_measured": "warning"}
# Where params.yaml or a target's file sets a limit, as keys; what is not written down is taken from what it stands in.
IN_PARAMS: dict[Quantity, tuple[str, ...]] = {
    "accuracy_drop_points": ("gates", "accuracy_drop_points"),
    "proof": ("gates", "accept_unaudited"),
}
IN_TARGET: dict[Quantity, tuple[str, ...]] = {
    "frames_per_s": ("objective", "frames_per_s"),
    "power_w": ("objective", "power_w"),
}


@dataclass(frozen=True)
class Annotation:
    """A message on a line of a file, which is named as the repository's pages name it."""

    level: Level
    file: str
    line: int
    title: str
    message: str

    def tell(self) -> None:
        """To the runner, where there is one."""
        workflow_commands.annotate(self.level, self.message, file=self.file, line=str(self.line), title=self.title)


def annotations(collected: Collected) -> list[Annotation]:
    """One for each target that does not pass and each limit that its candidates do not keep; errors come first."""
    found = [one for target in collected.targets if target.verdict != "pass" for one in _of_target(target)]
    return sorted(found, key=lambda one: one.level)  # a runner shows the first ten of each kind


def line_of(path: Path, keys: tuple[str, ...]) -> int:
    """The line, counted from 1, where a YAML file has a key in a key; of the last one that it has."""
    node, line = yaml.compose(path.read_text(encoding="utf-8")), 1
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        for name, value in pairs:
            if name.value == key:
                node, line = value, name.start_mark.line + 1
                break
        else:
            break
    return line


def _of_target(target: OnTarget) -> Iterator[Annotation]:
    names = dict.fromkeys(check.name for judgement in target.tested for check in judgement.checks)
    for name in names:
        not_kept = [(judgement, check) for judgement, check in _checks(target, name) if check.verdict != "pass"]
        if not not_kept:
            continue
        verdict: Verdict = "fail" if any(check.verdict == "fail" for _, check in not_kept) else "not_measured"
        path, line = _where(name, target.profile)
        yield Annotation(
            # A target is not measured although one candidate fails: then no limit of it is an error.
            LEVELS[verdict if target.verdict == "fail" else "not_measured"],
            path,
            line,
            f"{target.name}: {VERDICTS[target.verdict]} ({LIMITS.get(name, name)})",
            "\n".join(f"{judgement.result.candidate}: {'; '.join(told([check]))}" for judgement, check in not_kept),
        )


def _checks(target: OnTarget, name: Quantity) -> Iterator[tuple[Judgement, Check]]:
    for judgement in target.tested:
        yield from ((judgement, check) for check in judgement.checks if check.name == name)


def _where(name: Quantity, target: Target) -> tuple[str, int]:
    if name in IN_TARGET:
        path, keys = TARGETS_FOLDER / f"{target.name}.yaml", IN_TARGET[name]
    else:
        path, keys = layout.PARAMS.absolute(), IN_PARAMS.get(name, ("gates",))
    return os.path.relpath(path, os.environ.get("GITHUB_WORKSPACE", ".")), line_of(path, keys)
