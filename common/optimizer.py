"""The optimiser and the learning-rate schedule, stated once for every implementation.

    m <- momentum * m + learning_rate * (gradient + weight_decay * weight)
    w <- w - m

The learning rate is inside the momentum buffer (as Caffe2 and Keras have it; TensorFlow 1's
MomentumOptimizer and PyTorch keep it outside), which differs as soon as the rate changes. Weight
decay acts on weights of convolutions and dense layers only (`Parameter.decays`). No Nesterov.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

from common.errors import UserError

FORMULA = "m = momentum*m + lr*(g + weight_decay*w); w = w - m; decay on weights only; no Nesterov"
SCHEDULES = ("exponential", "cosine", "constant")


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum; the defaults are the VoxCeleb recipe's."""

    momentum: float = 0.9
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise UserError(f"momentum must be at least 0 and below 1, not {self.momentum}")
        if not self.weight_decay >= 0:
            raise UserError(f"weight decay must not be negative, but is {self.weight_decay}")


@dataclass(frozen=True)
class Schedule:
    """Learning rate by step: from `initial` down to `final` over `total_steps`."""

    kind: str
    initial: float
    final: float
    total_steps: int

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise UserError(f"no schedule {self.kind!r}; choose from {', '.join(SCHEDULES)}")
        if not (0 < self.final and 0 < self.initial < math.inf):
            raise UserError(f"learning rates must be above 0, not {self.initial} and {self.final}")

    def __call__(self, step: int) -> float:
        """The learning rate of step number `step`, counted from 0."""
        if self.kind == "constant":
            return self.initial
        done = min(step / max(1, self.total_steps - 1), 1.0)
        if self.kind == "exponential":
            return self.initial * (self.final / self.initial) ** done
        return self.final + (self.initial - self.final) * (1 + math.cos(math.pi * done)) / 2
