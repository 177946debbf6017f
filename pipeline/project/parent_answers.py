"""What a trained FP32 parent answers, as its training left it."""

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import SplitName
from pipeline.project import layout
from pipeline.system import npy
from pipeline.system.errors import Missing


def parent_answers(model: str, split: SplitName, samples: int) -> NDArray[np.float32]:
    """The logits (`samples`, classes) of a split.

    Raises:
        Missing: they are not there, damaged, or of another number of samples.
    """
    path = layout.parent_logits(model, split)
    try:
        logits: NDArray[np.float32] = npy.read(path)
    except (OSError, ValueError) as error:
        raise Missing(f"{path}: missing or damaged; run `dvc repro train@{model}`") from error
    if len(logits) != samples:
        raise Missing(f"{path}: has {len(logits)} answers for {samples} {split} samples; run `dvc repro train@{model}`")
    return logits
