"""How long lanes are timed, and whose speeds are set in relation."""
from __future__ import annotations

import itertools
import time
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from common.speed import rounds
from common.speed.rounds import Timing, TimingPlan, pairs
from common.twin import RESIDENT

PAIR = ["tensorflow", "caffe2"]


class Worker:
    """Answers as a bench would whose steps take `durations`; counts its blocks, and its seconds."""

    def __init__(self, durations: Iterator[float], settled: bool = True) -> None:
        self.durations, self.settled, self.blocks = durations, settled, {"training": 0, "inference": 0, "latency": 0}
        self.spent = 0.0

    def ask(self, command: str, **arguments: Any) -> Dict[str, Any]:
        if command == "time":
            self.blocks[arguments["kind"]] += 1
            seconds = [next(self.durations) for _ in range(arguments["steps"])]
            self.spent += sum(seconds)
            return {"seconds": seconds, "minor_faults": 0, "major_faults": 0, "involuntary_switches": 0, "joules": None}
        return {"warm_up": {"seconds": [0.1] * 3, "settled": self.settled}, "matmul": {"gflops": 1.0},
                "evidence": {"first_step_seconds": 1.0}, "peak_memory": {"mib": 1.0}}[command]


def timed(monkeypatch: pytest.MonkeyPatch, second: Iterator[float], **plan: Any) -> Tuple[Timing, List[Worker]]:
    monkeypatch.setattr(rounds, "best_gflops", lambda *_: 1.0)
    workers = [Worker(itertools.repeat(0.1)), Worker(second, settled=False)]
    monkeypatch.setattr(time, "perf_counter", lambda: sum(worker.spent for worker in workers))
    plan_ = TimingPlan(PAIR, [], **{**dict(steps=1, block_seconds=0, calls=1, clocks=[RESIDENT], parts=False), **plan})
    made = Timing(dict(zip(PAIR, workers)), plan_, 8, lambda what: None)
    for phase in (made.prove, made.warm_up, made.rounds):
        phase()
    return made, workers


def test_steady_machines_need_no_more_than_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    made, workers = timed(monkeypatch, itertools.repeat(0.2), blocks=4, budget=60)
    assert [worker.blocks for worker in workers] == [{"training": 4, "inference": 4, "latency": 1 + 4}] * 2  # 1: warm-up
    assert [made.measured(name, {"facts": {}}, 1.0).unsettled for name in PAIR] == [[], ["training", "inference"]]


def test_noise_is_met_with_more_rounds_until_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = (0.1 * (1 + number % 5) for number in itertools.count())
    _, workers = timed(monkeypatch, noisy, blocks=2, budget=6)
    assert 4 < workers[0].blocks["training"] < 16, "0.4 s each, on average"
    _, workers = timed(monkeypatch, (0.1 * (1 + number % 5) for number in itertools.count()), blocks=2, budget=0)
    assert workers[0].blocks["training"] == workers[0].blocks["inference"] == 2, "the least, whatever the time"


def test_a_contender_without_time_gives_the_others_no_endless_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen with a twin that returned what it had kept: ten million steps for the other."""
    _, workers = timed(monkeypatch, itertools.repeat(1e-8), blocks=2, budget=0, block_seconds=0.3)
    assert workers[0].spent < 4 * 6.5 + 2, "20 times the 0.3 s that were wanted, in each of four blocks"


def test_whose_speeds_are_set_in_relation() -> None:
    """First the frameworks as they come, then as they are here; nobody beside another's own convolutions."""
    every = ["keras", "caffe2-direct", "tensorflow-direct", "keras-onednn", "onnxruntime"]
    assert pairs(PAIR, every) == [
        ("tensorflow-direct", "caffe2-direct"), ("tensorflow", "caffe2"), ("caffe2", "caffe2-direct"),
        ("tensorflow", "tensorflow-direct"), ("tensorflow", "keras"), ("tensorflow", "keras-onednn"),
        ("tensorflow", "onnxruntime"), ("caffe2", "keras"), ("caffe2", "keras-onednn"), ("caffe2", "onnxruntime"),
        ("keras-onednn", "keras")]
    assert pairs(["caffe2"], ["tensorflow-direct"]) == [("caffe2", "tensorflow-direct")]
    assert pairs(["caffe2"], []) == []
