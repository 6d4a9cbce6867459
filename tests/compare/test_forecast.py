"""The time that is left: as planned at first, then as quick as the machine has shown itself to be."""
from __future__ import annotations

from typing import List

import pytest

from common.compare.forecast import STARTING, TIMING, Forecast, Phase, phases
from common.speed.rounds import TimingPlan
from common.twin import RESIDENT


def test_it_learns_how_slow_the_machine_is() -> None:
    now: List[float] = [100.0]
    planned = [Phase("tdnn", STARTING, 5), Phase("tdnn", "warming up", 10), Phase("tdnn", TIMING, 5, 30),
               Phase("vgg_m", STARTING, 5), Phase("vgg_m", "warming up", 100), Phase("vgg_m", TIMING, 50, 30)]
    forecast = Forecast(planned, lambda: now[0])
    forecast.begin("tdnn", STARTING)
    assert (forecast.spent, forecast.left) == (0, 5 + 10 + 30 + 5 + 100 + 50)
    now[0] += 10  # twice as long as planned: starting will go on so, computing is another matter
    forecast.begin("tdnn", "warming up")
    assert forecast.left == 10 + 30 + 10 + 100 + 50
    now[0] += 5  # half as long as planned
    forecast.begin("tdnn", TIMING)
    assert forecast.left == 30 + 10 + 50 + 30
    now[0] += 20
    assert (forecast.spent, forecast.left) == (35, 10 + 10 + 50 + 30)
    now[0] += 1000
    assert forecast.left is None, "longer than was thought: nobody knows how much"
    forecast.begin("vgg_m", STARTING)
    assert forecast.left == 10 + 50 + 30


def test_phases_of_a_plan() -> None:
    plan = TimingPlan(["tensorflow", "caffe2"], ["onnxruntime"], 5, 7, 1, 0.3, 10, [RESIDENT], parts=False)
    made = phases("tdnn", 10**9, 16, plan, learned=0, unchecked=0, gflops=100)
    assert [each.name for each in made] == ["preparing", "starting", "proving", "warming up", "timing", "checking", "learning"] and made[-1].seconds == 0
    assert [each.least for each in made if each.least] == [7]
    slower = phases("tdnn", 10**9, 16, plan, learned=1000, unchecked=2, gflops=50)
    assert slower[-1].seconds > 0 and slower[2].seconds == pytest.approx(2 * made[2].seconds)
    assert made[0].seconds == 0 < slower[0].seconds, "preparing takes time once on a machine"
