"""The timed loop, throughput, and ratios that claim a difference only where there is one."""
from __future__ import annotations

import gc
import time
from typing import List

import numpy as np
import pytest

from common.compare.benchmark import Ratio, Speed, rate_ratio, time_inference, time_training


def drawn_times(mean: float, spread: float, steps: int, seed: int) -> List[float]:
    return list(mean * np.random.default_rng(seed).lognormal(0, spread, steps))


def test_speed_is_utterances_per_second() -> None:
    speed = Speed.of([0.5, 2.0, 1.0], batch_size=8)
    assert (speed.median, speed.low, speed.high, speed.steps) == (8, 4, 16, 3)
    assert speed.seconds == [0.5, 2.0, 1.0]


def test_ratio_is_how_many_times_faster_the_first_is() -> None:
    ratio = rate_ratio([0.5] * 4, [1.0] * 4)
    assert (ratio.ratio, ratio.low, ratio.high) == (2, 2, 2)
    assert ratio.detectable and "no detectable difference" not in str(ratio)


def test_equal_samples_show_no_difference() -> None:
    times = drawn_times(1.0, 0.1, 8, seed=1)
    ratio = rate_ratio(times, times)
    assert ratio.ratio == 1 and ratio.low < 1 < ratio.high
    assert str(ratio).endswith("no detectable difference")


@pytest.mark.parametrize("true_ratio", [0.5, 0.8, 1.25, 2.0])
def test_a_real_difference_is_detected_and_covered(true_ratio: float) -> None:
    faster, slower = drawn_times(1.0, 0.05, 12, seed=2), drawn_times(true_ratio, 0.05, 12, seed=3)
    ratio = rate_ratio(faster, slower)
    assert ratio.detectable
    assert ratio.low < true_ratio < ratio.high


def test_false_alarms_are_rare() -> None:
    """Of equal machines, about one comparison in twenty may show a difference; not one in five."""
    alarms = [rate_ratio(drawn_times(1.0, 0.1, 8, 2 * i), drawn_times(1.0, 0.1, 8, 2 * i + 1)
                         ).detectable for i in range(200)]
    assert np.mean(alarms) < 0.12


def test_one_slow_step_does_not_make_a_difference() -> None:
    assert not rate_ratio([1.0, 1.1, 0.9, 1.0, 30.0], [1.0, 0.9, 1.1, 1.0, 1.0]).detectable


def test_the_same_times_give_the_same_interval() -> None:
    a, b = drawn_times(1, 0.1, 8, seed=4), drawn_times(1.1, 0.1, 8, seed=5)
    assert rate_ratio(a, b) == rate_ratio(a, b)


@pytest.mark.parametrize("low, high, detectable", [(0.9, 1.1, False), (1.0, 1.2, False), (1.01, 1.2, True),
                                                   (0.8, 0.99, True)])
def test_detectable_is_an_interval_without_1(low: float, high: float, detectable: bool) -> None:
    assert Ratio(1.0, low, high).detectable is detectable


class SlowModel:
    """Sleeps longer to train than to predict."""

    def __init__(self) -> None:
        self.learning_rates: List[float] = []
        self.collecting: List[bool] = []

    def train_staged(self, learning_rate: float) -> None:
        self.learning_rates.append(learning_rate)
        self.collecting.append(gc.isenabled())
        time.sleep(0.02)

    def predict_staged(self) -> None:
        time.sleep(0.01)


def test_every_step_is_timed_without_garbage_collection() -> None:
    model = SlowModel()
    training, inference = time_training(model, 0.1, 3), time_inference(model, 2)
    assert (len(training), len(inference)) == (3, 2)
    assert min(training) >= 0.02 and min(inference) >= 0.01
    assert model.learning_rates == [0.1] * 3
    assert model.collecting == [False] * 3 and gc.isenabled()


def test_garbage_collection_comes_back_after_an_error() -> None:
    def fail() -> None:
        raise RuntimeError("out of memory")

    model = SlowModel()
    model.predict_staged = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        time_inference(model, 1)
    assert gc.isenabled()
