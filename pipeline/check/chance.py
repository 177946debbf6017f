"""Whether a network knows its classes at all: if not, that it loses nothing on a target says nothing."""

import numpy as np
from numpy.typing import NDArray

from pipeline.records.results import Accuracy

SURE = 0.05  # the chance below which luck is ruled out

CAUSES = (
    "the order of the classes (--labels), the scaling of the pixels (--preset, --mean, --std) or of the colours "
    "(RGB, BGR) may be another than it was trained with"
)


def no_better(original: Accuracy, labels: NDArray[np.int64]) -> str | None:
    """Why an accuracy on labels (N, ...) may be luck, or None where it is clearly better.

    The rival always answers the commonest class, of each column where there are several. How likely it is to be right
    as often: Hoeffding's bound on the binomial tail, exp(-n KL(c/n, p)) (W. Hoeffding, Probability Inequalities for
    Sums of Bounded Random Variables, 1963, theorem 1), which holds for a mean of unequal shares p as well. A few
    samples are little evidence, and the bound says so.
    """
    if _one_class(labels):
        return None  # nothing to tell apart: `says_little` has the last word
    share = _commonest(labels)
    if _luck(original.correct, original.n, share) <= SURE:
        return None
    rival = f"always answering the commonest class would ({100 * share:.1f} % of {original.n:,})"
    found = f"the original gets {original.percent:.1f} % right"
    if original.correct / original.n > share:
        return f"{found}, not clearly more than {rival}: give more samples, or {CAUSES}"
    return f"{found}, no more than {rival}: {CAUSES}"


def says_little(labels: NDArray[np.int64]) -> str | None:
    """Why keeping an accuracy on labels (N, ...) proves nothing, or None where it does."""
    if _one_class(labels):
        return "all labels are of one class, which a network that always answers the same gets right: add other classes"
    return None


def constant(answers: NDArray[np.int64]) -> bool:
    """Whether every sample of answers (N, ...) gets the same one."""
    return bool((answers == answers[:1]).all())


def _one_class(labels: NDArray[np.int64]) -> bool:
    return constant(labels) and (labels.ndim < 3 or len(np.unique(labels)) == 1)


def _commonest(labels: NDArray[np.int64]) -> float:
    """The share of labels that are the commonest; of heads and tags (N, k), each has its own. Pixels are alike."""
    columns = labels.T if labels.ndim == 2 else [labels]
    return sum(int(np.unique(column, return_counts=True)[1].max()) for column in columns) / labels.size


def _luck(correct: int, n: int, share: float) -> float:
    found = correct / n
    if found <= share:
        return 1.0
    wrong = (1 - found) * np.log((1 - found) / (1 - share)) if found < 1 else 0.0
    return float(np.exp(-n * (found * np.log(found / share) + wrong)))
