"""Accuracy and how sure one can be of it.

    top1 = (ranks(logits, speakers) < 1).mean()
    low, high = wilson_interval(correct, total)
"""
from __future__ import annotations

import math
from typing import Any, Optional, Sequence, Tuple

import numpy as np

TEMPERATURES = 0.25, 10.0  # the least and the most that is looked for
BINS = 15  # of probabilities, from 0 to 1


def ranks(logits: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """For each utterance how many speakers score above the right one, int64 (N,); 0 is a hit.

    A tie counts against the right speaker, and so does NaN: logits that are constant or no numbers
    score nothing.
    """
    right = np.take_along_axis(logits, speakers[:, np.newaxis].astype(np.int64), axis=1)  # (N, 1)
    return (~(logits < right)).sum(axis=1) - 1


def probabilities(logits: np.ndarray, temperature: Optional[float], weights: Optional[np.ndarray] = None) -> np.ndarray:
    """Of each speaker in what was heard in pieces: logits (..., pieces, num_speakers) to float64 (..., num_speakers).

    The mean of softmax(logits / temperature), 1 without one; weights: of the pieces (None: all the same)
    """
    from scipy.special import softmax  # slow to import

    return np.average(softmax(logits.astype(np.float64) / (temperature or 1.0), axis=-1), axis=-2, weights=weights)


def cross_entropy(logits: np.ndarray, speakers: np.ndarray) -> float:
    """Mean negative log-probability of the right speaker, in nats."""
    from scipy.special import log_softmax  # slow to import

    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(speakers)), speakers].mean())


def loss_differences(losses: Sequence[float], others: Sequence[float]) -> np.ndarray:
    """Of each step's loss in two runs, relative to that of the first: (steps,)."""
    return np.abs(np.subtract(losses, others)) / np.abs(losses)


def fit_temperature(logits: np.ndarray, speakers: np.ndarray) -> float:
    """The temperature T whose softmax(logits / T) has the least cross entropy (Guo et al. 2017, section 4.2).

    Within bounds: where every answer is right, ever smaller ones are ever better.
    """
    from scipy.optimize import minimize_scalar  # slow to import

    wide = logits.astype(np.float64)
    return math.exp(minimize_scalar(lambda log: cross_entropy(wide / math.exp(log), speakers), method="bounded",
                                    bounds=tuple(map(math.log, TEMPERATURES))).x)


def is_temperature(value: Any) -> bool:
    """Whether a value out of a file is one that `fit_temperature` finds."""
    return type(value) in (int, float) and TEMPERATURES[0] <= value <= TEMPERATURES[1]


def calibration_error(logits: np.ndarray, speakers: np.ndarray) -> float:
    """Expected calibration error: how far the probability of the answer is from its being right (Guo et al. 2017, section 2).

    The mean over utterances of |share right - mean probability| of their bin, bins being equally wide.
    """
    from scipy.special import softmax

    return miscalibration(softmax(logits.astype(np.float64), axis=1).max(axis=1), ranks(logits, speakers) < 1)


def miscalibration(probability: np.ndarray, right: np.ndarray) -> float:
    """The same of the answers' probabilities (N,) and whether each is right."""
    counts, probabilities, hits = reliability(probability, right)
    return float(np.abs(hits - probabilities).sum() / counts.sum())


def reliability(probability: np.ndarray, right: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bins of that: how many answers are in each, the sum of their probabilities, how many are right."""
    which = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    counts, probabilities, hits = (np.bincount(which, weights, minlength=BINS) for weights in (None, probability, right))
    return counts, probabilities, hits


def wilson_interval(correct: int, total: int) -> Tuple[float, float]:
    """95 % interval of a share (Wilson 1927); unlike the normal one sound near 0 and 1.

    By hand: importing scipy.stats for it takes a second.
    """
    if total == 0:
        return 0.0, 1.0
    share, z = correct / total, 1.96
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2) / (1 + z * z / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def as_good(accuracy: float, best: float, total: int) -> bool:
    """Whether an accuracy (0 to 1) of so many utterances is at most a standard error below the best of several.

    The rule of one standard error (Breiman et al., 1984, Classification and Regression Trees, section 3.4.3): what is so
    near was not measured to be worse. The error as Agresti and Coull (1998) estimate it, which is not 0 where all is right.
    """
    share = (max(best, 0.0) * total + 2) / (total + 4)  # -1 before the first
    return accuracy >= best - math.sqrt(share * (1 - share) / (total + 4))


def confusion_matrix(logits: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """Counts int64 (speakers, speakers): row = who spoke, column = who was named."""
    num = logits.shape[1]
    counts = np.bincount(speakers.astype(np.int64) * num + logits.argmax(axis=1),
                         minlength=num * num)
    return counts.reshape(num, num)
