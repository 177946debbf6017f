"""Which code and which packages decide an outcome. The one list of code is what dvc.yaml says each stage depends on.

All else follows it, and a test holds it against what the stages really import.
"""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml

from pipeline.system import files
from pipeline.system.errors import Missing

REPOSITORY = Path(__file__).resolve().parents[2]
CODE = ("pipeline", "models", "runners")
# Packages that another version of may come to other weights or other answers.
PACKAGES = ("nncf", "numpy", "onnx", "onnxruntime", "onnxslim", "openvino", "torch", "torch-pruning")
# What is downloaded once and kept on hosted machines: the default clip, pretrained weights and emulators.
DOWNLOADS = ("data.dvc", "pipeline/data/fetch.py", "models/weights.py", "pipeline/emulators")


@cache
def of_stages(*stages: str) -> tuple[str, ...]:
    """The files and folders of the repository's code that these stages of dvc.yaml depend on, sorted.

    A path that differs from target to target, such as its YAML, is none of them.
    """
    try:
        described = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    except FileNotFoundError as error:
        raise Missing(f"{error.filename} not found: the pipeline runs in a checkout of the repository") from error
    paths = {path for stage in stages for path in described[stage]["deps"]}
    return tuple(sorted(path for path in paths if path.split("/")[0] in CODE and "${" not in path))


@cache
def identity(*stages: str) -> str:
    """A hash of all code that these stages depend on: another one means that their outcome may be another."""
    return content(REPOSITORY, of_stages(*stages))


def content(root: Path, names: Iterable[str]) -> str:
    """A hash of all files that are, or are in, the `names` below `root`, and of where they lie."""
    paths = {file for name in names for file in (_files(root / name))}
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(root)} {files.sha256(path)}\n".encode())
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
