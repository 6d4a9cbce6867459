"""What can be timed: a network in one of the twins, or in a baseline.

    engine = twin_engine(twin)
    runner = engine.runner(spec, params, SGD(), plan={})
    runner.run(TRAINING, 4, tick)
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Optional, Protocol, Tuple

import numpy as np

from common.network.layers import NetworkSpec
from common.network.optimizer import SGD
from common.network.params import Params
from common.network.winograd import Plan
from common.speed.blocks import Tick, repeat
from common.twin import Model, Twin, predict_on

TRAINING, INFERENCE, FORWARD, BACKWARD, LATENCY = "training", "inference", "forward", "backward", "latency"

RATE = 1e-3  # of timed training steps: the same batch again and again must not end in NaN


class Runner(Protocol):
    """A network in an engine, as the timed loop wants it."""

    kinds: Tuple[str, ...]  # of training, inference, forward, backward: what it can do

    def stage(self, spectrograms: np.ndarray, speakers: np.ndarray) -> None:
        """Make float32 (N, 512, frames) and int32 (N,) the batch that steps work on."""

    def run(self, kind: str, steps: int, tick: Tick) -> object:
        """Steps of one kind; `tick` is called before the first and after each. Of inference: the last one's logits."""

    def loss(self, learning_rate: float) -> float:
        """Take one training step; returns its mean cross entropy, without weight decay."""

    def answer(self, spectrograms: np.ndarray) -> np.ndarray:
        """Logits (N, num_speakers) of spectrograms in NumPy, by the quickest way there is."""

    def load(self, params: Params, momenta: Optional[Params] = None) -> None:
        """Replace all parameters, and the momentum buffers (by zeros if not given)."""

    def params(self) -> Params:
        """A copy of all parameters, see `common.twin.Model`, as `momenta`; of whoever trains."""

    def momenta(self) -> Params:
        """A copy of the momentum buffers."""

    def facts(self) -> Dict[str, str]:
        """How it computes, see `common.twin.Model.facts`; also how training and inference are run."""


@dataclass(frozen=True)
class Engine:
    """What can be timed."""

    configure: Callable[[str, int], None]  # see common.twin.Twin, as the others
    runner: Callable[..., Runner]  # (spec, params, optimizer), and of a twin's a plan
    # size -> a function that multiplies two square float32 matrices of that size; None: not asked
    matmul: Optional[Callable[[int], Callable[[], object]]] = None


class TwinRunner:
    """A twin's model as the timed loop wants it."""

    kinds = (TRAINING, INFERENCE, FORWARD, BACKWARD)

    def __init__(self, twin: Twin, model: Model) -> None:
        self.twin, self.model = twin, model
        self.load, self.params, self.momenta = model.load, model.params, model.momenta

    def stage(self, spectrograms: np.ndarray, speakers: np.ndarray) -> None:
        self.model.stage(spectrograms, speakers)

    def run(self, kind: str, steps: int, tick: Tick) -> object:
        step = {TRAINING: lambda: self.model.train_staged(RATE),
                INFERENCE: self.model.predict_staged,
                FORWARD: lambda: self.model.run_staged(FORWARD),
                BACKWARD: lambda: self.model.run_staged(BACKWARD)}[kind]
        return repeat(step, steps, tick)

    def loss(self, learning_rate: float) -> float:
        return self.model.train_staged(learning_rate).loss

    def answer(self, spectrograms: np.ndarray) -> np.ndarray:
        return predict_on(self.model, spectrograms)

    def facts(self) -> Dict[str, str]:
        return self.model.facts()


def twin_engine(twin: Twin) -> Engine:
    """A twin as an engine."""
    def runner(spec: NetworkSpec, params: Params, optimizer: SGD, plan: Optional[Plan] = None) -> TwinRunner:
        return TwinRunner(twin, twin.model(spec, params, optimizer, plan=plan))

    return Engine(twin.configure, runner, twin.matmul)
