"""What a network's scores for one region say about the class of a track. Must run on Python 3.6."""

import numpy as np

# Share of a track's regions that look like another class: a bag is behind its bearer, a neighbour's bag in the picture.
# The probabilities that the default network gives the right class on the validation split have a mean of 0.88.
MISTAKEN = 0.1


def probabilities(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Of each class, by scores (K,) before softmax at the network's temperature."""
    scaled = np.asarray(scores, np.float64) / temperature
    shares = np.exp(scaled - scaled.max())
    return np.asarray(shares / shares.sum())


def log_likelihoods(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """How well each class explains a region with these scores (K,) before softmax, up to a constant.

    No single region is proof: none makes a class more than (K - 1) * (1 - MISTAKEN) / MISTAKEN times as likely.
    """
    other = MISTAKEN / (len(scores) - 1)
    return np.asarray(np.log(other + (1 - MISTAKEN - other) * probabilities(scores, temperature)))


def calibrated_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes scores (N, K) most likely for labels (N,) (Guo et al. 2017), between 0.1 and 10."""
    temperatures = np.exp(np.linspace(np.log(0.1), np.log(10), 200))
    return float(min(temperatures, key=lambda temperature: cross_entropy(scores / temperature, labels)))


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean surprise in nats of labels (N,) by scores (N, K) before softmax."""
    highest = scores.max(axis=1, keepdims=True)
    total = np.log(np.exp(scores - highest).sum(axis=1)) + highest[:, 0]
    return float(np.mean(total - scores[np.arange(len(labels)), labels]))
