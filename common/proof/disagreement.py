"""Two models on the same utterances: where they differ, and whether that means anything.

    result = analyse(logits_a, logits_b, speakers)
    print(result.verdict)
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from common.training import metrics

_NOISE = 1e-3  # logit difference, relative to their scale, that float32 rounding explains
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Dispute:
    """An utterance that the two models take for different speakers."""

    position: int  # in the arrays given
    speaker: int  # the right one
    answers: Tuple[int, int]
    margins: Tuple[float, float]  # each model's best logit above its second best


@dataclass(frozen=True)
class Disagreement:
    """Counts over utterances, and statistics of the accuracy difference a - b."""

    utterances: int
    both_right: int
    only_a_right: int
    only_b_right: int
    both_wrong: int
    largest_logit_difference: float
    logit_scale: float
    p_value: float  # McNemar's exact test: are the two equally often right alone?
    difference: float  # of top-1 accuracy, a - b
    low: float  # 95 % interval of the difference, paired
    high: float
    confusion_difference: np.ndarray  # (speakers, speakers), a's confusion matrix minus b's
    disputes: List[Dispute]

    @property
    def counts(self) -> str:
        """Who is right where, and McNemar's test, in words."""
        return (f"{self.utterances} utterances: both right {self.both_right}, only the first {self.only_a_right}, only the "
                f"second {self.only_b_right}, both wrong {self.both_wrong}\n"
                f"accuracy difference {100 * self.difference:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}], "
                f"McNemar's p: {p_told(self.p_value)}")

    @property
    def verdict(self) -> str:
        """What the numbers say, in words."""
        if self.largest_logit_difference <= _NOISE * self.logit_scale:
            return "numerical noise: the same model to rounding"
        if self.p_value < _SIGNIFICANT:
            better = "first" if self.difference > 0 else "second"
            return f"different training: the {better} is right more often than chance explains"
        return ("different weights, but no detectable difference in accuracy on "
                f"{self.utterances} utterances")


def analyse(logits_a: np.ndarray, logits_b: np.ndarray, speakers: np.ndarray) -> Disagreement:
    """Compare logits (N, num_speakers) of two models on utterances of `speakers` (N,)."""
    answers = [logits.argmax(axis=1) for logits in (logits_a, logits_b)]
    right = [answer == speakers for answer in answers]
    only_a, only_b = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    difference, low, high = _paired_interval(only_a, only_b, len(speakers))
    margins = [_margins(logits) for logits in (logits_a, logits_b)]
    disputes = [Dispute(int(i), int(speakers[i]), (int(answers[0][i]), int(answers[1][i])),
                        (float(margins[0][i]), float(margins[1][i])))
                for i in np.flatnonzero(answers[0] != answers[1])]
    return Disagreement(
        len(speakers), int((right[0] & right[1]).sum()), only_a, only_b,
        int((~right[0] & ~right[1]).sum()), float(np.abs(logits_a - logits_b).max()),
        float(np.abs(logits_a).max()), _mcnemar(only_a, only_b), difference, low, high,
        metrics.confusion_matrix(logits_a, speakers) - metrics.confusion_matrix(logits_b, speakers),
        disputes)


def p_told(p_value: float) -> str:
    """To three decimals; what rounds to none of them is not 0."""
    return "below 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _margins(logits: np.ndarray) -> np.ndarray:
    best = np.sort(logits, axis=1)
    return best[:, -1] - best[:, -2]


def _mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value that disputes fall to either side with equal chance."""
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def _paired_interval(only_a: int, only_b: int, total: int) -> Tuple[float, float, float]:
    """Difference of two paired shares with its 95 % interval (Agresti and Min 2005, one added)."""
    difference = (only_a - only_b) / total
    a, b, n = only_a + 0.5, only_b + 0.5, total + 2
    centre = (a - b) / n
    half = 1.96 * math.sqrt((a + b) - (a - b) ** 2 / n) / n
    return difference, centre - half, centre + half
