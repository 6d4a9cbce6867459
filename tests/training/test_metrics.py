"""Accuracies and their intervals on cases small enough to work out by hand."""
from __future__ import annotations

import math
from typing import Tuple

import numpy as np
import pytest
from scipy.special import softmax

from common.training import metrics

# Speaker 2 wins, 0 comes second, 1 last; the right speakers are 2, 0, 1.
LOGITS = np.tile(np.array([2.0, 1.0, 3.0], np.float32), (3, 1))
SPEAKERS = np.array([2, 0, 1], np.int32)


def test_ranks_by_hand() -> None:
    assert metrics.ranks(LOGITS, SPEAKERS).tolist() == [0, 1, 2]


def test_as_good_as_the_best_is_what_is_within_a_standard_error() -> None:
    """Of 96 with 3 wrong: (93 + 2) / 100 are right, give or take 0.0218, so 2 more wrong are as good and 3 are not."""
    assert [metrics.as_good((93 - more) / 96, 93 / 96, 96) for more in (0, 1, 2, 3)] == [True, True, True, False]
    assert metrics.as_good(95 / 96, 1.0, 96) and not metrics.as_good(94 / 96, 1.0, 96)
    assert metrics.as_good(0.5, -1.0, 96), "the first"


def test_loss_differences_by_hand() -> None:
    assert metrics.loss_differences([2.0, 4.0], [1.0, 5.0]).tolist() == [0.5, 0.25]


def test_a_tie_scores_nothing() -> None:
    """A network that answers the same for everybody knows nothing."""
    logits, speakers = np.zeros((4, 4), np.float32), np.arange(4)
    assert metrics.ranks(logits, speakers).tolist() == [3] * 4


def test_logits_that_are_no_numbers_score_nothing() -> None:
    assert metrics.ranks(np.full((4, 4), np.nan, np.float32), np.arange(4)).tolist() == [3] * 4


def test_cross_entropy_by_hand() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]], np.float32))
    assert metrics.cross_entropy(logits, np.array([0, 2])) == pytest.approx(
        (math.log(2) + math.log(8)) / 2)


def test_cross_entropy_of_huge_logits() -> None:
    logits = np.array([[1e4, 0.0], [0.0, 1e4]], np.float32)
    assert metrics.cross_entropy(logits, np.array([0, 0])) == pytest.approx(5e3)


def drawn(temperature: float, total: int = 20_000) -> Tuple[np.ndarray, np.ndarray]:
    """Logits (N, 4), and speakers drawn by softmax(logits / temperature): that is what these mean."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (total, 4))
    bounds = softmax(logits / temperature, axis=1).cumsum(axis=1)
    return logits.astype(np.float32), (random.random((total, 1)) > bounds[:, :3]).sum(axis=1)


@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_the_temperature_of_the_data_is_found(truth: float) -> None:
    logits, speakers = drawn(truth)
    found = metrics.fit_temperature(logits, speakers)
    assert found == pytest.approx(truth, rel=0.05) and metrics.is_temperature(found)
    assert metrics.calibration_error(logits / found, speakers) < 0.015


def test_a_temperature_has_bounds() -> None:
    """Where every answer is right the least is the best, where they are worse than guesses the most is."""
    logits = np.eye(4, dtype=np.float32)
    for speakers, bound in ((np.arange(4), 0.25), (np.arange(4)[::-1], 10)):
        assert metrics.fit_temperature(logits, speakers) == pytest.approx(bound, rel=1e-3)


def test_calibration_error_by_hand() -> None:
    """Of three answers at 0.9 two are right, one at 0.6 is wrong: (|2 - 2.7| + |0 - 0.6|) / 4."""
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.6, 0.4]]))
    assert metrics.calibration_error(logits, np.array([0, 0, 0, 1])) == pytest.approx((0.7 + 0.6) / 4)


def test_calibration_error_of_one_who_is_too_sure() -> None:
    logits, speakers = drawn(3.0)
    assert metrics.calibration_error(logits, speakers) > 0.15


@pytest.mark.parametrize("correct, total, expected", [
    (50, 100, (0.4038, 0.5962)),  # published values of Wilson's interval
    (0, 10, (0.0, 0.2775)),
    (10, 10, (0.7225, 1.0)),
    (1, 1, (0.2065, 1.0)),
    (0, 0, (0.0, 1.0)),
])
def test_wilson_interval(correct: int, total: int, expected: tuple) -> None:
    assert metrics.wilson_interval(correct, total) == pytest.approx(expected, abs=1e-4)


def test_wilson_interval_covers_the_truth_as_often_as_it_says() -> None:
    truth, total, draws = 0.9, 60, 2000
    correct = np.random.default_rng(0).binomial(total, truth, draws)
    intervals = [metrics.wilson_interval(int(c), total) for c in correct]
    covered = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.93 < covered < 0.97


def test_confusion_matrix_by_hand() -> None:
    counts = metrics.confusion_matrix(LOGITS, SPEAKERS)
    assert counts.tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 1]]
    assert metrics.confusion_matrix(LOGITS, np.array([0, 0, 0]))[0].tolist() == [0, 0, 3]
