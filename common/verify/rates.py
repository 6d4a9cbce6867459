"""How often a verifier errs: false accepts and false rejects at every threshold, EER and minimum detection cost.

    curve = DetCurve.of(targets, scores)       # whether one voice speaks in both, and how alike they are
    curve.eer, curve.min_dcf(0.01), curve.threshold()
    interval(targets, scores, units)           # of the EER, 95 %

A trial is accepted where its score is at least the threshold. The equal error rate is where the curve's
straight pieces between thresholds cross the diagonal. The detection cost is NIST's (speaker recognition
evaluations, both errors cost 1): P_target * false rejects + (1 - P_target) * false accepts, divided by
what the better of accepting all and accepting none costs, so that 1 is a verifier of no use.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np

P_TARGETS = (0.01, 0.05)
DRAWS = 300  # of an interval


@dataclass(frozen=True)
class DetCurve:
    """Detection error trade-off (DET): error rates by threshold, each float64 (n,).

    Thresholds fall from infinity, where nothing is accepted.
    """

    thresholds: np.ndarray
    false_accepts: np.ndarray
    false_rejects: np.ndarray

    @staticmethod
    def of(targets: np.ndarray, scores: np.ndarray, weights: Optional[np.ndarray] = None) -> DetCurve:
        """Of trials: bool (n,), float (n,) and, if some count more than once, how often (n,). Both kinds are needed."""
        from sklearn.metrics import roc_curve  # slow to import

        false_accepts, accepts, thresholds = roc_curve(targets, scores, sample_weight=weights, drop_intermediate=False)
        return DetCurve(thresholds, false_accepts, 1 - accepts)

    @property
    def eer(self) -> float:
        """The rate at which false accepts and false rejects are equal."""
        after = self._crossing
        apart = self.false_rejects - self.false_accepts  # falls from 1 to -1
        share = apart[after - 1] / (apart[after - 1] - apart[after])
        return float(self.false_accepts[after - 1]
                     + share * (self.false_accepts[after] - self.false_accepts[after - 1]))

    def min_dcf(self, p_target: float) -> float:
        """The least normalised detection cost of all thresholds."""
        costs = p_target * self.false_rejects + (1 - p_target) * self.false_accepts
        return float(costs.min() / min(p_target, 1 - p_target))

    def threshold(self, false_accepts: Optional[float] = None) -> float:
        """Where the two errors are closest to equal, or where at most this share of non-target trials is accepted.

        It lies halfway to the next lower score: any value between the two gives the same decisions.
        """
        if false_accepts is None:
            pair = [self._crossing - 1, self._crossing]
            chosen = min(pair, key=lambda at: max(self.false_accepts[at], self.false_rejects[at]))
        else:
            chosen = int(np.flatnonzero(self.false_accepts <= false_accepts)[-1])
        return self._halfway(chosen)

    @property
    def _crossing(self) -> int:
        """The first threshold at which no more targets are rejected than others are accepted; never 0."""
        return int(np.argmax(self.false_rejects <= self.false_accepts))

    def _halfway(self, at: int) -> float:
        if at == len(self.thresholds) - 1:
            return float(self.thresholds[at])
        if at == 0:  # infinity: just above the highest score
            return math.nextafter(float(self.thresholds[1]), math.inf)
        return float(self.thresholds[at:at + 2].mean())


def interval(targets: np.ndarray, scores: np.ndarray, units: Sequence[Tuple[str, str]]) -> Tuple[float, float]:
    """95 % interval of the EER if other voices had been met: bootstrap over what trials have in common.

    units: of each trial, whose voices (or which recordings) it compares. Trials of one voice are much alike,
    so an interval that counted them one by one would be far too narrow. Of each draw of as many units, with
    repetition, a trial counts as often as both of its units were drawn; NaN where no draw has both kinds.
    """
    names = {name: number for number, name in enumerate(sorted({name for pair in units for name in pair}))}
    first, second = (np.array([names[pair[side]] for pair in units]) for side in (0, 1))
    random = np.random.default_rng(0)
    order = np.argsort(-scores, kind="stable")  # a curve sorts what is sorted in a fraction of the time
    targets, scores, first, second = targets[order], scores[order], first[order], second[order]
    rates = []
    for _ in range(DRAWS):
        times = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names))
        weights = np.where(first == second, times[first], times[first] * times[second])
        if weights[targets].any() and weights[~targets].any():
            rates.append(DetCurve.of(targets, scores, weights).eer)
    return tuple(np.percentile(rates, (2.5, 97.5)).tolist()) if rates else (math.nan, math.nan)
