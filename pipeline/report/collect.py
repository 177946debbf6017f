"""What the report is about: the results that params.yaml asks for, judged. Other files in the folder are stale."""

from dataclasses import dataclass
from pathlib import Path

from pipeline import layout
from pipeline.config import Params, load_params
from pipeline.errors import InputError
from pipeline.gates import Judgement, Verdict, judge, target_verdict, worst
from pipeline.results import Result, read_result
from pipeline.targets import Target, load_target


@dataclass(frozen=True)
class OnTarget:
    """One target with the judgement of every candidate, in the order of params.yaml."""

    profile: Target
    judgements: list[Judgement]

    @property
    def verdict(self) -> Verdict:
        """Pass if one candidate does."""
        return target_verdict(self.judgements)

    @property
    def tested(self) -> list[Judgement]:
        """The candidates that the target can run at all."""
        return [judgement for judgement in self.judgements if not judgement.result.refused]

    @property
    def refused(self) -> list[Judgement]:
        """The candidates whose precision the target refuses."""
        return [judgement for judgement in self.judgements if judgement.result.refused]


@dataclass(frozen=True)
class Collected:
    """Everything the renderings are made from."""

    params: Params
    targets: list[OnTarget]

    @property
    def judgements(self) -> list[Judgement]:
        """All of them, target by target."""
        return [judgement for target in self.targets for judgement in target.judgements]

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Verdict by target."""
        return {target.profile.name: target.verdict for target in self.targets}

    @property
    def verdict(self) -> Verdict:
        """That of the worst target."""
        return worst(self.verdicts.values())

    @property
    def accuracy_limit(self) -> float:
        """Percentage points that a candidate may lose against its FP32 parent."""
        return self.params.gates.accuracy_drop_points

    def name(self, result: Result) -> str:
        """What a candidate goes by: its method where there is but one model."""
        return result.method if len(self.params.models) == 1 else result.candidate


def collect() -> Collected:
    """Read and judge one result per model, method and target of params.yaml.

    Raises:
        InputError: one is missing, damaged, or the record of another candidate.
    """
    params = load_params()
    targets = []
    for name in params.targets:
        profile = load_target(name)
        results = [_read(model, method, name) for model in params.models for method in params.methods]
        targets.append(OnTarget(profile, [judge(result, params.gates, profile) for result in results]))
    return Collected(params, targets)


def _read(model: str, method: str, target: str) -> Result:
    path: Path = layout.result(model, method, target)
    result = read_result(path)
    if (result.model, result.method, result.target) != (model, method, target):
        raise InputError(f"{path}: is the record of {result.candidate} on {result.target}; run `dvc repro` to renew it")
    return result
