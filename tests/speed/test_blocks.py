"""The timed loop, throughput, turns, and ratios that claim a difference only where there is one."""
from __future__ import annotations

import gc
import json
import mmap
import time
from itertools import permutations
from typing import List

import numpy as np
import pytest

from common.speed.blocks import Block, Ratio, Speed, rate_ratio, repeat, timed, turns


def speed(*blocks: List[float], batch_size: int = 1) -> Speed:
    return Speed.of([Block(list(block), 0, 0, 0, None) for block in blocks], batch_size)


def drawn_speeds(ratio: float, rounds: int, seed: int, steps: int = 2, step_noise: float = 0.02,
                 round_noise: float = 0.1, own_noise: float = 0.0) -> List[Speed]:
    """Two engines whose rounds both have a slow or quick machine, and whose blocks have moods of their own."""
    random = np.random.default_rng(seed)
    machine = random.lognormal(0, round_noise, (rounds, 1))
    return [speed(*(factor * machine * random.lognormal(0, own_noise, (rounds, 1))
                    * random.lognormal(0, step_noise, (rounds, steps)))) for factor in (1.0, ratio)]


def test_speed_is_utterances_per_second() -> None:
    made = speed([0.5, 2.0], [1.0, 1.0], batch_size=8)
    assert (made.median, made.low, made.high, made.steps, made.blocks) == (8, 4, 16, 4, 2)
    assert made.seconds == [0.5, 2.0, 1.0, 1.0] and made.by_block().tolist() == [[0.5, 2.0], [1.0, 1.0]]
    assert made.percentile(50) == 1.0 and made.percentile(100) == 2.0


def test_what_happened_to_the_process_is_by_step_and_energy_by_utterance() -> None:
    blocks = [Block([1.0, 1.0], 10, 1, 3, 50.0), Block([1.0, 1.0], 30, 0, 0, 30.0)]
    made = Speed.of(blocks, 4)
    assert (made.minor_faults, made.major_faults, made.involuntary_switches, made.joules) == (10, 0.25, 0.75, 5.0)
    assert Speed.of([blocks[0], Block([1.0, 1.0], 0, 0, 0, None)], 4).joules is None


def test_ratio_is_how_many_times_faster_the_first_is() -> None:
    ratio = rate_ratio(speed([0.5] * 2, [0.5] * 2), speed([1.0] * 2, [1.0] * 2))
    assert (ratio.ratio, ratio.low, ratio.high) == pytest.approx((2, 2, 2))
    assert ratio.detectable and "no detectable difference" not in str(ratio)


@pytest.mark.parametrize("true_ratio", [0.5, 0.8, 1.25, 2.0])
def test_a_real_difference_is_detected_and_covered(true_ratio: float) -> None:
    ratio = rate_ratio(*drawn_speeds(true_ratio, rounds=6, seed=2))
    assert ratio.detectable and ratio.low < true_ratio < ratio.high


@pytest.mark.parametrize("rounds", [3, 6, 10])
def test_false_alarms_are_as_rare_as_promised(rounds: int) -> None:
    """Of equal engines, one comparison in twenty may show a difference, though blocks have moods."""
    alarms = [rate_ratio(*drawn_speeds(1.0, rounds, seed, own_noise=0.05)).detectable for seed in range(150)]
    assert np.mean(alarms) < 0.12


def test_rounds_are_paired() -> None:
    """Machine phases that hit both alike leave the ratio sharp, however large they are."""
    ratio = rate_ratio(*drawn_speeds(1.2, rounds=6, seed=3, round_noise=0.5))
    assert ratio.detectable and ratio.high / ratio.low < 1.15


def test_one_slow_round_of_one_does_not_make_a_difference() -> None:
    assert not rate_ratio(speed([1.0], [1.1], [0.9], [30.0]), speed([1.0], [0.9], [1.1], [1.0])).detectable


def test_one_ruined_round_of_many_does_not_hide_a_difference() -> None:
    fast, slow = drawn_speeds(1.5, rounds=6, seed=5)
    ruined = speed(*fast.by_block()[:5].tolist(), [20.0, 20.0])
    assert rate_ratio(ruined, slow).detectable


def test_the_same_times_give_the_same_interval() -> None:
    pair = drawn_speeds(1.1, 5, seed=4)
    assert rate_ratio(*pair) == rate_ratio(*pair)


def test_one_round_says_nothing() -> None:
    with pytest.raises(ValueError, match="two rounds"):
        rate_ratio(speed([1.0]), speed([2.0]))


@pytest.mark.parametrize("low, high, detectable", [(0.9, 1.1, False), (1.0, 1.2, False), (1.01, 1.2, True),
                                                   (0.8, 0.99, True)])
def test_detectable_is_an_interval_without_1(low: float, high: float, detectable: bool) -> None:
    assert Ratio(1.0, low, high).detectable is detectable


def test_two_take_turns_a_b_b_a() -> None:
    assert [turns("AB", number) for number in range(4)] == [["A", "B"], ["B", "A"], ["B", "A"], ["A", "B"]]


@pytest.mark.parametrize("names", ["A", "AB", "ABC", "ABCDE"])
def test_every_one_comes_before_every_other_equally_often(names: str) -> None:
    rounds = [turns(names, number) for number in range(2 * len(names))]
    assert all(sorted(order) == sorted(names) for order in rounds)
    for a, b in permutations(names, 2):
        assert sum(order.index(a) < order.index(b) for order in rounds) == len(names)
    for place in range(len(names)):  # and at every place of a round
        assert {order[place] for order in rounds} == set(names)


def test_every_step_is_timed_without_garbage_collection() -> None:
    collecting: List[bool] = []

    def step() -> None:
        collecting.append(gc.isenabled())
        time.sleep(0.01)

    block = timed(lambda tick: repeat(step, 3, tick))
    assert len(block.seconds) == 3 and min(block.seconds) >= 0.01
    assert collecting == [False] * 3 and gc.isenabled()


def test_what_was_there_at_the_first_block_is_not_looked_at_again() -> None:
    """A framework's objects by the hundred thousand: garbage among them is found once."""
    gc.unfreeze()
    timed(lambda tick: repeat(lambda: None, 1, tick))
    assert len(gc.get_objects()) < 0.01 * gc.get_freeze_count()


def test_what_comes_before_the_first_tick_is_not_timed() -> None:
    def run(tick) -> None:
        time.sleep(0.05)
        repeat(lambda: None, 2, tick)

    assert sum(timed(run).seconds) < 0.04


def test_page_faults_are_counted() -> None:
    def touch() -> None:
        with mmap.mmap(-1, 2**26) as fresh:  # not from malloc, which may have pages of old ones left
            fresh[::2**12] = bytes(2**14)

    block = timed(lambda tick: repeat(touch, 1, tick))
    assert block.minor_faults >= 32  # huge pages, or 16,384 small ones
    quiet = timed(lambda tick: repeat(lambda: None, 1, tick))
    assert quiet.minor_faults < block.minor_faults and json.dumps(quiet.__dict__)


def test_garbage_collection_comes_back_after_an_error() -> None:
    def fail() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        timed(lambda tick: repeat(fail, 1, tick))
    assert gc.isenabled()
