"""What the report is about: the results that params.yaml asks for, judged. Other files in the folder are stale."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.project import layout
from pipeline.records.gates import Judgement, Verdict, judge_result, target_verdict, worst
from pipeline.records.paired import CONFIDENCE
from pipeline.records.results import Lane, Result, read_result
from pipeline.records.targets import Target, load_target
from pipeline.system.errors import InputError

if TYPE_CHECKING:
    from pipeline.project.params import Params


@dataclass(frozen=True)
class OnTarget:
    """One target in one lane with the judgement of every candidate, in the order of params.yaml."""

    profile: Target
    lane: Lane
    judgements: list[Judgement]

    @property
    def name(self) -> str:
        """The target's name, with the lane's where it is a real board."""
        return self.profile.name if self.lane == "emulated" else f"{self.profile.name} (board)"

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

    params: "Params"
    targets: list[OnTarget]

    @property
    def judgements(self) -> list[Judgement]:
        """All of them, target by target."""
        return [judgement for target in self.targets for judgement in target.judgements]

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Verdict by target; a board's stands beside that of its emulation."""
        return {target.name: target.verdict for target in self.targets}

    @property
    def verdict(self) -> Verdict:
        """That of the worst target."""
        return worst(self.verdicts.values())

    @property
    def accuracy_limit(self) -> float:
        """Percentage points that a candidate may lose against its FP32 parent."""
        return self.params.gates.accuracy_drop_points

    @property
    def confidence(self) -> float:
        """Of the intervals shown, 0 to 1: what the gates ask for, or the usual one."""
        return self.params.gates.confidence or CONFIDENCE

    def name(self, result: Result) -> str:
        """What a candidate goes by: its method where there is but one model."""
        return result.method if len(self.params.models) == 1 else result.candidate


def collect(params: "Params") -> Collected:
    """Read and judge one result per model, method and target of params.yaml.

    Raises:
        InputError: one is missing, damaged, or the record of another candidate.
    """
    targets = []
    for name in params.targets:
        profile = load_target(name)
        emulated = [_read("emulated", *pair, profile) for pair in _pairs(params)]
        targets.append(_on_target(profile, "emulated", emulated, params))
        if any(layout.result("device", *pair, name).exists() for pair in _pairs(params)):
            boards = [_on_a_board(result, profile) for result in emulated]
            targets.append(_on_target(profile, "device", boards, params))
    return Collected(params, targets)


def _pairs(params: "Params") -> list[tuple[str, str]]:
    return [(model, method) for model in params.models for method in params.methods]


def _on_target(profile: Target, lane: Lane, results: list[Result], params: "Params") -> OnTarget:
    judged = [judge_result(result, profile.objective, params.gates) for result in results]
    return OnTarget(profile, lane, judged)


def _read(lane: Lane, model: str, method: str, target: Target) -> Result:
    path = layout.result(lane, model, method, target.name)
    result = read_result(path)
    if (result.lane, result.model, result.method, result.target) != (lane, model, method, target.name):
        raise InputError(
            f"{path}: is the record of {result.candidate} on {result.target} ({result.lane}); "
            "run `dvc repro` to renew it"
        )
    return result


def _on_a_board(emulated: Result, target: Target) -> Result:
    """What a board measured of a candidate. No stage renews its record: one of other weights or samples than the
    emulated lane's says nothing of this candidate."""
    model, method = emulated.model, emulated.method
    why = "no board has run this candidate"
    if layout.result("device", model, method, target.name).exists():
        found = _read("device", model, method, target)
        if (found.model_sha256, found.data_sha256) == (emulated.model_sha256, emulated.data_sha256):
            return found
        why = "a board has run an earlier state of this candidate or of its data"
    return Result(
        model=model,
        method=method,
        target=target.name,
        lane="device",
        precision=emulated.precision,
        refused=emulated.refused,
        not_measured={"accuracy": why, "measured": why},
    )
