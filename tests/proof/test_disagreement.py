"""Two models on the same utterances: counts, McNemar's test, the interval and the verdict."""
import numpy as np
import pytest
from scipy.stats import binomtest

from common.proof.disagreement import analyse

SPEAKERS = 4


def logits_for(answers, margin: float = 1.0) -> np.ndarray:
    """Logits (N, 4) whose largest is each answer's, `margin` above the others."""
    return (margin * np.eye(SPEAKERS)[np.asarray(answers)]).astype(np.float32)


def test_counts_and_disputes():
    speakers = np.array([0, 1, 2, 3, 0])
    a, b = logits_for([0, 1, 2, 0, 1], 2.0), logits_for([0, 1, 3, 3, 2], 0.5)
    result = analyse(a, b, speakers)
    assert (result.both_right, result.only_a_right, result.only_b_right, result.both_wrong) == \
        (2, 1, 1, 1)
    assert [d.position for d in result.disputes] == [2, 3, 4]
    first = result.disputes[0]
    assert (first.speaker, first.answers) == (2, (2, 3))
    assert first.margins == pytest.approx((2.0, 0.5))


def test_confusion_difference_says_who_is_mistaken_for_whom():
    result = analyse(logits_for([1, 1]), logits_for([0, 1]), np.array([0, 1]))
    expected = np.zeros((SPEAKERS, SPEAKERS), int)
    expected[0, 1], expected[0, 0] = 1, -1
    np.testing.assert_array_equal(result.confusion_difference, expected)


def test_mcnemar_is_exact_and_looks_at_disputes_only():
    speakers = np.zeros(40, int)
    a, b = np.zeros(40, int), np.zeros(40, int)
    b[:9], a[9:11] = 1, 1  # nine that only the first gets right, two that only the second does
    result = analyse(logits_for(a), logits_for(b), speakers)
    assert result.p_value == pytest.approx(binomtest(9, 11).pvalue)
    assert result.difference == pytest.approx(7 / 40)
    assert result.low < 7 / 40 < result.high


def test_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        speakers = np.zeros(120, int)
        a = (random.random(120) > 0.8).astype(int)  # right 80 % of the time
        b = (random.random(120) > 0.7).astype(int)
        result = analyse(logits_for(a), logits_for(b), speakers)
        covered += result.low <= 0.1 <= result.high
    assert 0.91 <= covered / 300 <= 0.99


def test_verdict_rounding():
    logits = np.random.default_rng(0).standard_normal((50, SPEAKERS)).astype(np.float32)
    result = analyse(logits, logits + np.float32(1e-5), logits.argmax(1))
    assert result.verdict.startswith("numerical noise")


def test_verdict_different_training():
    speakers = np.zeros(50, int)
    b = np.zeros(50, int)
    b[:15] = 1
    assert "the first is right more often" in analyse(logits_for(speakers), logits_for(b),
                                                      speakers).verdict
    assert "the second is right more often" in analyse(logits_for(b), logits_for(speakers),
                                                       speakers).verdict
    assert analyse(logits_for(speakers), logits_for(b), speakers).counts.endswith("McNemar's p: below 0.001")


def test_verdict_no_detectable_difference():
    speakers, a, b = np.zeros(50, int), np.zeros(50, int), np.zeros(50, int)
    a[:3], b[3:5] = 1, 1
    assert "no detectable difference" in analyse(logits_for(a), logits_for(b), speakers).verdict
