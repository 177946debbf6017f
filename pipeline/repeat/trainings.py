"""Each training in a project of its own: the parent, and from it every method, compressed, exported and re-tested.

Such a project is a folder below artifacts/repeat, named for all that decides its outcome but the recipes; a method's
name in it ends in a hash of its recipe. What is finished is never repeated, and what was stopped goes on.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
import yaml
from tqdm import tqdm

from pipeline.project import code, layout
from pipeline.project.params import Params
from pipeline.records.gates import Judgement, judge_result
from pipeline.records.results import Result, read_result
from pipeline.records.targets import Target, load_target
from pipeline.repeat import machines
from pipeline.system import files, owner
from pipeline.system.errors import Refused
from pipeline.system.versions import versions

STAGES = ("train", "compress", "export", "retest")


@dataclass(frozen=True)
class Training:
    """What one training of a method came to on a target, and on which arithmetic it was trained."""

    seed: int
    method: str
    target: str
    arithmetic: str
    judgement: Judgement


def repeat(params: Params, methods: Sequence[str], seeds: int, on: Sequence[str] = ("this",)) -> list[Training]:
    """Train each model's parent and these methods from the seeds 0, 1, ..., each seed `on` all of these machines, and
    judge them on every target they fit.

    Raises:
        InputError: there is no such method, the data set is not built, or a stage fails.
    """
    recipes = {method: params.recipe(method) for method in methods}
    targets = [load_target(name) for name in params.targets]
    names = {
        method: f"{method}-{_hash([recipe.as_yaml(), [target.sha256 for target in targets]])[:8]}"
        for method, recipe in recipes.items()
    }
    found = []
    arithmetics = {machine: machines.arithmetic(machine) for machine in on}
    for machine, seed in tqdm(list(product(on, range(seeds))), desc="trainings", unit="seed", disable=None):
        project = _prepare(params, seed, names, machine, arithmetics[machine])
        for model in params.models:
            if not (project.folder / layout.parent(model) / "metrics.json").exists():
                project.run("train", model)
            for method, name in names.items():
                fitting = [target for target in targets if target.refusal(recipes[method].precision) is None]
                for result in _results(project, model, name, fitting):
                    target = next(target for target in fitting if target.name == result.target)
                    judgement = judge_result(result, target.objective, params.gates)
                    found.append(Training(seed, method, target.name, arithmetics[machine], judgement))
    return found


@dataclass(frozen=True)
class _Project:
    """A seed's folder on a machine."""

    folder: Path
    seed: int
    machine: str

    def run(self, *stage: str) -> None:
        """Run a stage there; its progress bars and its errors are shown as ever."""
        command = [sys.executable, "-m", "pipeline", "stage", *stage]
        environment = {**machines.environment(self.machine), owner.STARTER: str(os.getpid())}
        if subprocess.run(command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL).returncode:
            raise Refused(f"seed {self.seed}: stage {' '.join(stage)} failed, for the reason above; nothing is lost")


def _results(project: _Project, model: str, name: str, targets: Sequence[Target]) -> list[Result]:
    paths = {target.name: project.folder / layout.result("emulated", model, name, target.name) for target in targets}
    if not all(path.exists() for path in paths.values()):
        project.run("resolve", name)
        project.run("compress", model, name)
        project.run("export", model, name)
        for target in paths:
            project.run("retest", model, name, target)
    return [read_result(path) for path in paths.values()]


def _prepare(params: Params, seed: int, names: dict[str, str], machine: str, arithmetic: str) -> _Project:
    """A seed's folder on a machine, with params.yaml and the data set in it."""
    if not layout.DATASET.exists():
        raise Refused(f"{layout.DATASET} not found: run `dvc repro dataset`")
    settings = params.model_dump(mode="json", include={"train", "width", "models"})
    parts = [settings, seed, code.identity(*STAGES), code.content(layout.DATASET, ["."])]
    parts += [versions(*code.PACKAGES), arithmetic, torch.get_num_threads()]
    folder = layout.REPEAT / f"seed-{seed}-{_hash(parts)[:12]}"
    (folder / layout.ARTIFACTS).mkdir(parents=True, exist_ok=True)
    link = folder / layout.DATASET
    if not link.is_symlink():
        link.symlink_to(layout.DATASET.absolute())
    written = yaml.safe_load(layout.PARAMS.read_text(encoding="utf-8"))
    recipes = {name: params.recipe(method).as_yaml() for method, name in names.items()}
    written |= {"seed": seed, "methods": list(recipes), "recipes": recipes}
    files.write_bytes(folder / layout.PARAMS, yaml.safe_dump(written, sort_keys=False).encode())
    return _Project(folder, seed, machine)


def _hash(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
