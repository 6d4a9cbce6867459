"""Error rates of verification against cases worked out by hand."""
from __future__ import annotations

import math

import numpy as np
import pytest

from common.verify.rates import DetCurve, interval

TARGETS = np.array([True] * 4 + [False] * 4)
SCORES = np.array([0.9, 0.8, 0.7, 0.3, 0.6, 0.4, 0.2, 0.1])


def test_by_hand() -> None:
    # Above 0.6 three of four targets and no other: both errors are 1/4 from 0.6 down to just above 0.4.
    curve = DetCurve.of(TARGETS, SCORES)
    assert curve.eer == pytest.approx(0.25)
    # At 0.7: no false accept, a quarter of the targets lost: 0.05 * 0.25 / 0.05. A false accept costs 19 times as much.
    assert curve.min_dcf(0.05) == pytest.approx(0.25)
    assert curve.min_dcf(0.5) == pytest.approx(0.25)
    assert 0.4 < curve.threshold() < 0.7
    assert curve.threshold(0.0) == pytest.approx(0.65)  # between the last target and the first other
    assert curve.threshold(0.5) == pytest.approx(0.25)  # 0.3 still is accepted, 0.2 no more


def test_between_thresholds_the_curve_is_straight() -> None:
    # (false accepts, rejects): (0, 1/3) then (1/2, 1/3) then (1/2, 0): the diagonal is crossed at 1/3.
    curve = DetCurve.of(np.array([1, 1, 0, 1, 0], bool), np.array([5.0, 4.0, 3.0, 2.0, 1.0]))
    assert curve.eer == pytest.approx(1 / 3)


@pytest.mark.parametrize("sign, rate", [(1, 0.0), (-1, 1.0), (0, 0.5)])
def test_the_ends(sign: int, rate: float) -> None:
    targets, scores = np.array([1, 1, 0, 0], bool), sign * np.array([0.9, 0.8, 0.2, 0.1])
    curve = DetCurve.of(targets, scores)
    assert curve.eer == pytest.approx(rate)
    assert curve.min_dcf(0.01) == pytest.approx(0.0 if sign == 1 else 1.0)
    accepted = scores >= curve.threshold(0.0)
    assert not accepted[~targets].any() and accepted[targets].all() == (sign == 1)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_a_threshold_keeps_the_rate_it_was_asked_for(rate: float) -> None:
    random = np.random.default_rng(0)
    targets = random.random(2000) < 0.3
    scores = random.normal(size=2000) + targets
    threshold = DetCurve.of(targets, scores).threshold(rate)
    share = (scores[~targets] >= threshold).mean()
    assert share <= rate and share == pytest.approx(rate, abs=1e-3)


def test_normal_scores_have_the_rate_of_theory() -> None:
    random = np.random.default_rng(0)
    targets = np.arange(40_000) % 2 == 0
    curve = DetCurve.of(targets, random.normal(size=40_000) + 2 * targets)
    assert curve.eer == pytest.approx(0.1587, abs=0.006)  # beyond one deviation
    assert curve.threshold() == pytest.approx(1.0, abs=0.05)


def test_few_voices_are_less_sure_than_many() -> None:
    """The same number of trials, each voice with a shift of its own that all its trials share."""
    widths = []
    for voices in (8, 200):
        random = np.random.default_rng(1)
        shift = random.normal(size=voices)
        first, second = random.integers(0, voices, (2, 4000))
        targets = np.arange(4000) % 2 == 0
        second = np.where(targets, first, (first + 1 + second % (voices - 1)) % voices)
        scores = 2 * targets + shift[first] + shift[second] + random.normal(size=4000)
        units = [(str(one), str(other)) for one, other in zip(first, second)]
        low, high = interval(targets, scores, units)
        assert low < DetCurve.of(targets, scores).eer < high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1]


def test_an_interval_of_one_voice_is_not_made_up() -> None:
    low, high = interval(np.array([True, True]), np.array([0.5, 0.6]), [("a", "a"), ("a", "a")])
    assert math.isnan(low) and math.isnan(high)
