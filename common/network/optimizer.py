"""The optimiser and the learning-rate schedule, stated once for every implementation.

    m <- momentum * m + learning_rate * (gradient + weight_decay * weight)
    w <- w - m

The learning rate is inside the momentum buffer (as Caffe2 and Keras have it; TensorFlow 1's
MomentumOptimizer and PyTorch keep it outside), which differs as soon as the rate changes. Weight
decay acts on weights of convolutions and dense layers only: not on biases, not on batch
normalisation. No Nesterov.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

from common.errors import UserError
from common.network.layers import Parameter

SCHEDULES = ("exponential", "cosine", "constant")


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum; the defaults are the VoxCeleb recipe's.

    The last two are what frameworks and their helpers do unasked: to show what it would change.
    """

    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = False  # w <- w - momentum * m - learning_rate * (gradient + decay)
    decaying_roles: Tuple[str, ...] = ("weight",)

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise UserError(f"momentum must be at least 0 and below 1, not {self.momentum}")
        if not self.weight_decay >= 0:
            raise UserError(f"weight decay must not be negative, but is {self.weight_decay}")

    def decay(self, parameter: Parameter) -> float:
        """The factor of weight decay for this tensor."""
        return self.weight_decay if parameter.role in self.decaying_roles else 0.0

    @property
    def formula(self) -> str:
        """The update in words and with its constants, for certificates."""
        step = "w - momentum*m - lr*(g + weight_decay*w)" if self.nesterov else "w - m"
        return (f"m = momentum*m + lr*(g + weight_decay*w); w = {step}; momentum={self.momentum}, "
                f"weight_decay={self.weight_decay} on {', '.join(self.decaying_roles)}")


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
