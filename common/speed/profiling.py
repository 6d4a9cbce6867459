"""Has worker processes profile a step of each framework.

    profiles = profile_network(Work("tdnn", num_speakers=50, threads=2), steps=3)
    profiles["training"]["caffe2"].covered
"""
from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict

import numpy as np

from common.contenders import CONTENDERS, FRAMEWORKS
from common.speed import gate
from common.speed.bench import INFERENCE, TRAINING, Work
from common.speed.plans import as_known
from common.speed.profile import Profile
from common.speed.worker import Worker, Workers
from common.twin import OpTime


def profile_network(work: Work, steps: int) -> Dict[str, Dict[str, Profile]]:
    """Kind of step -> framework -> profile of `work`, in a worker process a framework."""
    profiles: Dict[str, Dict[str, Profile]] = {TRAINING: {}, INFERENCE: {}}
    for framework in FRAMEWORKS:
        own = as_known(CONTENDERS[framework], work)
        with Workers(work.threads) as workers:
            gate.ensure(CONTENDERS[framework], own, workers)
        with Worker.of(CONTENDERS[framework], work.threads) as worker:
            worker.ask("build", work=dataclasses.asdict(own))
            for kind, each in profiles.items():
                each[framework] = profile_step(worker.ask, kind, steps)
    return profiles


def profile_step(ask: Callable[..., Dict[str, Any]], kind: str, steps: int) -> Profile:
    """Profile a kind of step ("training" or "inference") of what a worker's `Bench` has built.

    ask: the worker's. The clock runs before and after, without the profiler, as the machine's speed
    wanders and the profiler's own work should not count.
    """
    ask("warm_up", kind=kind)
    before = ask("time", kind=kind, steps=steps)["seconds"]
    operators = [OpTime(*operator) for operator in ask("profile", kind=kind, steps=steps)["operators"]]
    after = ask("time", kind=kind, steps=steps)["seconds"]
    return Profile(operators, float(np.median(before + after)))
