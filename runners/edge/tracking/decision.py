"""What a track shows, decided over several of its regions: class, confidence and since when, or nothing yet.

A hidden Markov model with a state for each class (Rabiner 1989): the belief in each grows with what a region says
(`reading.py`) and drifts back to "anything" while nobody looks, since somebody may put a bag down. Regions soon after
each other show nearly the same picture and share their mistakes. Where the correlation of mistakes falls as
exp(-t / tau), regions t apart count (1 - r) / (1 + r) = tanh(t / 2 tau) as much as independent ones (Bartlett 1946), so
looking more often does not make it surer.

Two thresholds keep the answer from flickering: it takes more to decide than to stay decided. Must run on Python 3.6.
"""

from math import exp, tanh
from typing import NamedTuple, Optional

import numpy as np

from runners.edge.tracking.reading import log_likelihoods

ENTER, LEAVE = 0.95, 0.5  # the belief that a decision takes, and below which it is taken back
LEAST_LOOKS = 3  # no decision before so many regions
CORRELATED_S = 0.8  # tau, from the autocorrelation of scores on the default clip's validation part
CHANGE_S = 60.0  # how long somebody keeps a class on average
UNDECIDED_S, DECIDED_S = 0.2, 1.0  # how soon after one look a track is due for the next


class Answer(NamedTuple):
    """The index of a track's class, or None while undecided; the belief in it or in the likeliest; and since when."""

    label: Optional[int]
    confidence: float
    since_s: float


class Decision:
    """One track's, among `classes` classes; `temperature` is the network's (`calibrated_temperature`)."""

    def __init__(self, classes: int, first_s: float, temperature: float = 1.0) -> None:
        self.answer = Answer(None, 1.0 / classes, first_s)
        self._temperature = temperature
        self._belief = np.full(classes, 1.0 / classes)
        self._looks = 0
        self._first_s = self._looked_s = first_s

    @property
    def due_s(self) -> float:
        """When the track should be looked at next: at once if it never was."""
        if not self._looks:
            return self._first_s
        return self._looked_s + (UNDECIDED_S if self.answer.label is None else DECIDED_S)

    def look(self, scores: np.ndarray, time_s: float) -> Answer:
        """The answer after one more region with scores (K,) before softmax. The region shows this track alone.

        Scores that are no numbers, as an overflow leaves them, say nothing: a belief never would be a number again.
        """
        step_s = max(time_s - self._looked_s, 0.0)
        change = 1 - exp(-step_s / CHANGE_S)
        weight = tanh(step_s / (2 * CORRELATED_S)) if self._looks else 1.0
        belief = (1 - change) * self._belief + change / len(self._belief)
        if np.isfinite(scores).all():
            belief = belief * np.exp(weight * log_likelihoods(scores, self._temperature))
        self._belief = belief / belief.sum()
        self._looks, self._looked_s = self._looks + 1, time_s
        self.answer = self._decide(time_s)
        return self.answer

    def _decide(self, time_s: float) -> Answer:
        label, best = self.answer.label, int(np.argmax(self._belief))
        if label is not None and self._belief[label] < LEAVE:
            label = None
        if self._belief[best] >= ENTER and self._looks >= LEAST_LOOKS:
            label = best
        since_s = self.answer.since_s if label == self.answer.label else time_s
        return Answer(label, float(self._belief[best if label is None else label]), since_s)
