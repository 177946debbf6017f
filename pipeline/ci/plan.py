"""Which jobs a change needs: DVC's own stages, followed from those that changed to all that depend on them."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.arithmetic import kinds
from pipeline.ci import preflight
from pipeline.project import layout
from pipeline.project.params import Params, load_params
from pipeline.records.targets import load_target
from pipeline.stages.resolve import resolved
from pipeline.system.errors import InputError, Missing

if TYPE_CHECKING:
    from dvc.repo import Repo

# What only a board runs, or what says how one is measured: no stage reads it.
ON_BOARDS = ("runners", "tests/device", "pipeline/device", "pipeline/boards")
RESOLVE = "resolve@"  # the stages that write a recipe with its targets
PACKAGES = "requirements.lock"  # no stage names it, every stage runs on it


@dataclass(frozen=True)
class Plan:
    """Jobs as lists of matrix entries for GitHub Actions, and whether there is anything new to report.

    `device` says whether boards are to be asked: where there are any, and a change can change what they answer.
    """

    train: list[dict[str, str]]
    candidate: list[dict[str, str]]
    retest: list[dict[str, str]]
    report: bool
    device: bool = False

    def as_json(self) -> str:
        """One line of JSON, as a job output holds it."""
        return json.dumps(vars(self), separators=(",", ":"))


def plan(base: str | None = None) -> Plan:
    """What has to run for the difference between the commits `base` and HEAD; everything when there is no base.

    A candidate is planned when one of its stages is affected. Pairs that a target refuses are not planned.

    Raises:
        InputError: bad parameters.
        Missing: `base` is no commit of this repository.
    """
    params = load_params()
    for name in params.targets:
        kinds.of(load_target(name))
    affected = affected_stages(base) if base else None

    def needed(*stages: str) -> bool:
        return affected is None or not affected.isdisjoint(stages)

    report = needed("report")
    device = bool(preflight.declared()) and (report or _changed(str(base), ON_BOARDS))
    return Plan(
        train=[{"model": model} for model in params.models if needed(f"train@{model}")],
        candidate=[
            {"model": model, "method": method}
            for model in params.models
            for method in params.methods
            if needed(f"compress@{model}-{method}", f"export@{model}-{method}")
        ],
        retest=[
            {"model": model, "method": method, "target": target}
            for model in params.models
            for method in params.methods
            for target in _accepting(method, params)
            if needed(f"retest@{model}-{method}-{target}")
        ],
        report=report or device,
        device=device,
    )


def affected_stages(base: str) -> set[str]:
    """Names of the stages that are new or read something else than at the commit `base`, and of all that follow them.

    Raises:
        InputError: the stages cannot be read now.
        Missing: `base` is no commit of this repository.
    """
    import networkx
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import RevError, SCMError

    try:
        with Repo() as repo:
            with repo.switch(base):
                try:
                    before = _fingerprints(repo)
                except DvcException:  # what cannot be read there was never run: all is new
                    before = {}
            with repo.switch("HEAD"):
                now = _fingerprints(repo)
                graph = repo.index.graph  # its edges lead from a stage to those that it depends on
                changed = [stage for stage in graph if now[stage.addressing] != before.get(stage.addressing)]
                followers = {stage for start in changed for stage in networkx.ancestors(graph, start)}
                return {_name(stage) for stage in followers.union(changed)}
    except (RevError, SCMError) as error:
        raise Missing(
            f"no commit {base!r} to compare with: fetch it (`fetch-depth: 0`) or leave --base away"
        ) from error
    except DvcException as error:
        raise InputError(f"the stages cannot be read: {error}") from error


def _changed(base: str, paths: Sequence[str]) -> bool:
    """Whether Git has anything below these paths that was not so at the commit `base`."""
    return subprocess.run(["git", "diff", "--quiet", base, "HEAD", "--", *paths], capture_output=True).returncode != 0


def _fingerprints(repo: "Repo") -> dict[str, Any]:
    """By stage: its command and all it reads from Git. What it reads from other stages, the graph follows.

    A stage that resolves a recipe is as quick as this: what it would write counts, not what it reads.
    """
    lock = repo.fs.join(repo.root_dir, PACKAGES)
    packages = repo.fs.read_text(lock) if repo.fs.exists(lock) else None
    read: dict[str, Any] = {}  # many stages read the same file or folder
    return {
        stage.addressing: _resolved(repo, _name(stage).removeprefix(RESOLVE), read)
        if _name(stage).startswith(RESOLVE)
        else (
            packages,
            stage.cmd,
            {str(dependency): _content(dependency, read) for dependency in stage.deps},
            {str(out): out.hash_info.value for out in stage.outs if stage.is_data_source},
        )
        for stage in repo.index.stages
    }


def _name(stage: Any) -> str:
    return str(getattr(stage, "name", stage.addressing))


def _resolved(repo: "Repo", method: str, read: dict[str, Any]) -> dict[str, Any]:
    """The recipe of a method, with the targets that it names, at the commit that is looked at."""
    recipes = _value(_parameters(repo.fs, repo.fs.join(repo.root_dir, str(layout.PARAMS)), read), "recipes")

    def target_yaml(name: str) -> str:
        path = repo.fs.join(repo.root_dir, "runners", "targets", f"{name}.yaml")
        return repo.fs.read_text(path) if repo.fs.exists(path) else ""

    return resolved(recipes.get(method) if isinstance(recipes, dict) else None, target_yaml)


def _content(dependency: Any, read: dict[str, Any]) -> Any:
    """Values of parameters, the hash of a file or folder, or None for what Git does not hold; each is `read` once."""
    from dvc.dependency.param import ParamsDependency

    path = dependency.fs_path
    if isinstance(dependency, ParamsDependency):
        parameters = _parameters(dependency.fs, path, read)
        return {name: _value(parameters, name) for name in dependency.params} or parameters
    if path not in read:
        read[path] = dependency.get_hash().value if dependency.exists else None
    return read[path]


def _parameters(fs: Any, path: str, read: dict[str, Any]) -> Any:
    """What a file of parameters holds, in whichever format DVC reads; None where there is none."""
    from dvc.utils.serialize import load_path

    if path not in read:
        read[path] = load_path(path, fs) if fs.exists(path) else None
    return read[path]


def _value(parameters: Any, name: str) -> Any:
    """The parameter called `name`, with dots between what it lies in; None where there is none."""
    for part in name.split("."):
        parameters = parameters.get(part) if isinstance(parameters, dict) else None
    return parameters


def _accepting(method: str, params: Params) -> list[str]:
    """The targets that can run a method's precision."""
    precision = params.recipes[method].precision
    return [target for target in params.targets if not load_target(target).refusal(precision)]
