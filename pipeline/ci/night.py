"""What a night does beyond a change: more samples audited, and once more what came to no measurement."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipeline.project import layout
from pipeline.project.params import load_params
from pipeline.records.gates import Judgement
from pipeline.report.collect import collect
from pipeline.system import files
from pipeline.system.errors import Refused

KEY, AUDITED = "audit_samples", 64


def ask_for_more(path: Path = layout.PARAMS) -> int:
    """Have params.yaml ask for more audited samples; how many. All other lines stay where they are, with their remarks.

    Raises:
        InputError: params.yaml is missing or bad.
    """
    samples = max(AUDITED, load_params(path).audit_samples)
    text = path.read_text(encoding="utf-8")
    document: Any = yaml.compose(text)
    for key, value in document.value:
        if key.value == KEY:
            text = f"{text[: value.start_mark.index]}{samples}{text[value.end_mark.index :]}"
            break
    else:
        text = f"{text.rstrip()}\n{KEY}: {samples}\n"
    files.write_bytes(path, text.encode())
    return samples


def unmeasured() -> Iterator[Judgement]:
    """The results of re-tests that have no answers, or answers that nobody has proven.

    A network that the target's processor does not take is none of them: that is an answer.
    """
    for judgement in collect(load_params()).judgements:
        result = judgement.result
        if result.refused or result.lane != "emulated" or result.grade == "fails":
            continue
        if result.accuracy.target is None or result.grade in ("unaudited", "not_measured"):
            yield judgement


def retry() -> list[Judgement]:
    """Re-test those once more, and report anew; what they are.

    Raises:
        Refused: DVC fails.
    """
    found = list(unmeasured())
    for result in (judgement.result for judgement in found):
        _dvc("--single-item", "--force", f"retest@{result.model}-{result.method}-{result.target}")
    if found:
        _dvc("report")
    return found


def _dvc(*arguments: str) -> None:
    if subprocess.run([sys.executable, "-m", "dvc", "repro", *arguments]).returncode:
        raise Refused(f"dvc repro {' '.join(arguments)} failed, for the reason above; nothing is lost")
