"""The temperature of a candidate makes its probabilities hold what they promise."""

import numpy as np
import pytest

from pipeline.compress.temperature import temperature
from tests.graphs import Arrays, model, node


class Labelled(Arrays):
    """Samples whose scores a graph without weights passes on."""

    def __init__(self, scores: np.ndarray, labels: np.ndarray) -> None:
        super().__init__(scores.reshape(len(scores), 3, 1, 1).astype(np.float32))
        self.__dict__["labels"] = labels


GRAPH = model([node("Flatten", "x", "y")], shape=("n", 3, 1, 1))


@pytest.mark.parametrize("sharpness", [1.0, 2.0, 8.0])
def test_one_that_is_right_four_times_in_five_says_so(sharpness: float) -> None:
    said = np.arange(300) % 3
    labels = np.where(np.arange(300) % 5, said, (said + 1) % 3)
    found = temperature(GRAPH, Labelled(sharpness * np.eye(3)[said], labels))  # type: ignore[arg-type]
    shares = np.exp(sharpness / found * np.eye(3)[0])
    assert shares[0] / shares.sum() == pytest.approx(0.8, abs=0.01)


def test_scores_that_are_no_numbers_leave_it_at_one() -> None:
    assert temperature(GRAPH, Labelled(np.full((6, 3), np.nan), np.zeros(6, int))) == 1.0  # type: ignore[arg-type]
