"""What a search varies: the model, the pixels it sees, how far it is pruned, how it is re-trained, and what becomes of
its numbers.

Widths are not varied: a pruned network is narrower too, and inherits its parent's weights instead of starting anew.
"""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

import models
from pipeline.compress.recipe import Recipe
from pipeline.project.params import Params
from pipeline.records.targets import Precision, Target

if TYPE_CHECKING:
    from optuna import Trial

PRECISIONS: tuple[Precision, ...] = ("int8", "fp16", "fp32")  # the fastest first
CALIBRATION_SAMPLES = 128
SIZES = (1.0, 6 / 7, 5 / 7, 4 / 7)  # of the regions' width and height: 224, 192, 160, 128 pixels
RUNGS = (0, 1, 2)  # without re-training; with a short one; with the whole of it


class Point(BaseModel):
    """One choice of everything that is varied, for a target and the precision that it is fastest in.

    `size` is the width and height of the regions in pixels, by default the model's own. `speed` is what pruning aims
    at, as a multiple of the objective; where nobody can predict the target's speed, `macs` is the share of the
    multiply-accumulates that stays. `aware`: re-trained once more after quantization and
    clustering.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    size: int | None = None
    speed: float | None = None
    macs: float | None = None
    learning_rate: float
    distill: float
    aware: bool = False
    cluster_bits: int | None = None

    def recipe(self, target: Target, params: Params, rung: int) -> Recipe:
        """The recipe that a rung evaluates; that of the last rung is the trial's own.

        Lengths of re-training follow `train` in params.yaml: half of its epochs at first, twice as many in the end. In
        the target's 8 bits it is a quarter of that: an epoch takes about three times as long, and only mends.
        """
        steps: list[Any] = [{"resize": {"size": self.size}}] if self.size else []
        steps.append(self._prune(target))
        if rung > 0:
            epochs = 2 * params.train.epochs if rung == RUNGS[-1] else -(-params.train.epochs // 2)
            steps.append(self._retrain(params, epochs, self.learning_rate))
        precision = best_precision(target)
        if precision == "int8":
            steps.append({"quantize": {"target": target.name, "calibration_samples": CALIBRATION_SAMPLES}})
            if self.cluster_bits:
                steps.append({"cluster": {"bits": self.cluster_bits}})
            if self.aware and rung > 0:
                steps.append(self._retrain(params, -(-epochs // 4), self.learning_rate / 10))
        if precision == "fp16":
            steps.append("fp16")
        return Recipe.model_validate({"steps": steps})

    def _prune(self, target: Target) -> dict[str, Any]:
        if self.speed is None:
            return {"prune": {"macs": self.macs}}
        rate = round(self.speed * target.objective.frames_per_s, 1)
        return {"prune": {"target": target.name, "frames_per_s": rate}}

    def _retrain(self, params: Params, epochs: int, learning_rate: float) -> dict[str, Any]:
        settings = {
            "epochs": epochs,
            "batch": params.train.batch,
            "learning_rate": float(f"{learning_rate:.2g}"),
            "samples_per_epoch": params.train.samples_per_epoch,
            "distill": self.distill,
        }
        return {"retrain": settings}


def propose(trial: "Trial", target: Target, params: Params) -> Point:
    """A point of Optuna's choice."""
    chosen: dict[str, Any] = {"model": trial.suggest_categorical("model", params.models)}
    spec = models.spec(chosen["model"])
    if spec.any_size:
        share = trial.suggest_categorical("pixels", SIZES)
        chosen["size"] = None if share == 1 else round(share * spec.input_size)
    if _predictable(target):
        chosen["speed"] = round(trial.suggest_float("speed", 1.0, 1.3, step=0.05), 2)
    else:
        chosen["macs"] = round(trial.suggest_float("macs", 0.3, 0.9, step=0.1), 1)
    chosen["learning_rate"] = trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True)
    chosen["distill"] = round(trial.suggest_float("distill", 0.4, 1.0, step=0.2), 1)
    if best_precision(target) == "int8":
        chosen["aware"] = trial.suggest_categorical("aware", [False, True])
        chosen["cluster_bits"] = trial.suggest_categorical("cluster_bits", [None, 6, 5, 4])
    return Point.model_validate(chosen)


def best_precision(target: Target) -> Precision:
    """The fastest precision that the target takes."""
    return next(precision for precision in PRECISIONS if not target.refusal(precision))


def _predictable(target: Target) -> bool:
    from pipeline.predict import family_fit
    from pipeline.predict.frame import slowdown

    fitted = family_fit(target.measured_as, best_precision(target))
    return fitted is not None and slowdown(target.cpu) is not None
