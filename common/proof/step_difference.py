"""One training step of two contenders from the same state: have both computed the same?

    difference = StepDifference.of(spec, before, right, own, learning_rate=1e-3)     # states of `Bench.save`

End to end no tensor agrees closely: rounding moves a few ReLU inputs across zero, each of which passes a
gradient in one and none in the other, and neither is wrong. But such noise points anywhere. What is wrong with
a rate, a gradient's scale or momentum points along the gradient, and wrong weight decay along the weights. So
what differs is looked at as a whole, and along each of them.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping

import numpy as np

from common.network.layers import NetworkSpec
from common.network.optimizer import SGD
from common.network.params import Params

# A tensor with less of the gradient's length is nothing but rounding: a bias that batch norm takes away again.
_LEAST = 1e-3
_LARGE = ("weight", "scale")  # roles of tensors that are large enough for a decay to show

State = Mapping[str, Params]  # params, momenta


@dataclass(frozen=True)
class StepDifference:
    """How far a contender's step is from another's, in the tensor where it is most; relative, to the lengths of vectors."""

    difference: float  # of the momenta, by what the other's step added to them: rate * (gradient + decay)
    along: float  # of its part along that
    decay: float  # of its part along a weight, or a batch norm's scale, by a weight's decay
    statistics: float  # of running statistics, by what the other's step added to them
    applied: float  # of the parameters' own step from its momenta, by the other's

    @classmethod
    def of(cls, spec: NetworkSpec, before: State, right: State, own: State, learning_rate: float,
           variances: bool = True) -> StepDifference:
        """From the state before the step, and after it by the other and by this one; running variances, which some average
        without Bessel's correction, only where they are meant to be equal."""
        trained = [p for p in spec.parameters() if p.trainable]
        added = {p.name: _flat(right["momenta"][p.name]) - SGD().momentum * _flat(before["momenta"][p.name]) for p in trained}
        least = _LEAST * float(np.sqrt(sum(np.dot(each, each) for each in added.values())))
        found: List[List[float]] = []
        for p in trained:
            length = max(float(np.linalg.norm(added[p.name])), least)
            other = _flat(own["momenta"][p.name]) - _flat(right["momenta"][p.name])
            weight = _flat(before["params"][p.name])
            not_applied = weight - _flat(own["params"][p.name]) - _flat(own["momenta"][p.name])
            decay = np.dot(other, weight) / np.dot(weight, weight) if p.role in _LARGE else 0.0
            found.append([np.linalg.norm(other) / length, abs(np.dot(other, added[p.name])) / length ** 2,
                          abs(decay) / (learning_rate * SGD().weight_decay),
                          np.linalg.norm(not_applied) / max(float(np.linalg.norm(right["momenta"][p.name])), least)])
        difference, along, decay, applied = np.max(found, axis=0).tolist()
        statistics = [_statistics_off(layer.layer.decay, *(_flat(each["params"][p.name]) for each in (before, right, own)))
                      for layer in spec.steps() for p in layer.parameters
                      if p.role == "running_mean" or variances and p.role == "running_variance"]
        return cls(difference, along, decay, float(np.max(statistics, initial=0.0)), applied)


def _statistics_off(kept: float, before: np.ndarray, right: np.ndarray, own: np.ndarray) -> float:
    return float(np.linalg.norm(own - right) / np.linalg.norm(right - kept * before))


def _flat(tensor: np.ndarray) -> np.ndarray:
    return tensor.astype(np.float64).ravel()
