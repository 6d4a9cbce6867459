"""Convolutions with fewer multiplications (Winograd 1980; Lavin and Gray 2016), without any framework.

m neighbouring outputs of a filter with r taps depend on n = m + r - 1 inputs. Seen as polynomials,
they need n multiplications instead of m * r (Toom and Cook): three small matrices give

    outputs = AT @ ((G @ taps) * (BT @ inputs))

and along two axes the matrices' Kronecker products do. Over many channels the multiplication in the
middle becomes one matrix product for each of the n points, and that is where the time goes.

A filter with a stride is one without over the input's phases as channels: of a kernel of 5 that jumps
by 2, the even taps see the even inputs and the odd taps the odd ones, three and two taps each.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from common.data.form import NUM_FRAMES
from common.network.layers import Convolution, NetworkSpec

# Where the polynomials are evaluated, besides infinity. More points save more multiplications and round
# worse; of the symmetric sets these were found to round best (0.67 and 1.5: half as badly as 1 and 2).
_POINTS: Dict[int, Tuple[Fraction, ...]] = {
    6: (Fraction(0), *(sign * Fraction(p) for p in ("2/3", "3/2") for sign in (1, -1))),
    8: (Fraction(0), *(sign * Fraction(p) for p in ("1/2", "1", "2") for sign in (1, -1))),
}

# Name of a layer -> points along each axis that has taps; a layer that is not there is computed directly.
Plan = Mapping[str, int]
DIRECT: Plan = {}


class Transforms(NamedTuple):
    """The three matrices of one axis, in float64."""

    outputs: np.ndarray  # AT (m, n)
    taps: np.ndarray  # G (n, r)
    inputs: np.ndarray  # BT (n, n)


class Matrices(NamedTuple):
    """Those of both axes together, float32; of pairs, the one along the height counts first.

    Points come in pairs (n * n in all), outputs too (m * m), phases of the strides and kernel positions.
    """

    outputs: np.ndarray  # (outputs, points)
    inputs: np.ndarray  # (points, points)
    kernel: np.ndarray  # (points * phases, kernel positions)
    turned: np.ndarray  # likewise, for the kernel with its taps in reverse order


@dataclass(frozen=True)
class Axis:
    """One axis of a convolution, cut into tiles of `outputs` values that `points` inputs determine."""

    taps: int  # of each phase of the stride
    stride: int
    dilation: int
    points: int

    @property
    def outputs(self) -> int:
        return self.points - self.taps + 1

    @property
    def transforms(self) -> Transforms:
        return transforms(self.taps, self.points)


def axes(layer: Convolution, points: int) -> Tuple[Axis, Axis]:
    """Both axes of `layer` with so many points along each that has taps; see `candidates`."""
    height, width = (Axis(-(-k // s), s, d, points) if k > 1 else Axis(1, s, 1, 1)
                     for k, s, d in zip(layer.kernel, layer.stride, layer.dilation))
    return height, width


def candidates(layer: Convolution, channels: int) -> Tuple[int, ...]:
    """With how many points `layer` needs fewer multiplications on an input with so many channels.

    Along two axes the points multiply, and so does their rounding: six points there (with eight it is
    four times as bad, twenty times that of a direct convolution), up to eight along a single axis.
    """
    many = {6} if min(layer.kernel) > 1 else {6, 8}
    return tuple(sorted(points for points in many if _suits(layer) and _saves(layer, points, channels)))


def _suits(layer: Convolution) -> bool:
    """Whether it has three to five taps along one axis, or three along both."""
    most = 3 if min(layer.kernel) > 1 else 5
    for k, s, d, pads in zip(layer.kernel, layer.stride, layer.dilation, layer.pads):
        if k == 1:
            suits = s == 1 and pads == (0, 0)
        else:
            suits = 3 <= -(-k // s) <= most and (s == 1 or d == 1) and pads[0] <= d * (k - 1)
        if not suits:
            return False
    return max(layer.kernel) > 1


def _saves(layer: Convolution, points: int, channels: int) -> bool:
    """Whether it takes fewer multiplications, those of the small matrices included, for a tile's outputs."""
    height, width = axes(layer, points)
    all_points, outputs = height.points * width.points, height.outputs * width.outputs
    inputs = height.stride * width.stride * channels
    direct = outputs * layer.kernel[0] * layer.kernel[1] * channels * layer.channels
    return all_points * (all_points * inputs + (inputs + outputs) * layer.channels) < direct


def ways(spec: NetworkSpec) -> Dict[str, Tuple[int, ...]]:
    """The `candidates` of each of a network's convolutions, by its name."""
    return {step.layer.name: candidates(step.layer, step.input_shape[0]) for step in spec.steps()
            if isinstance(step.layer, Convolution)}


def default_plan(spec: NetworkSpec) -> Plan:
    """With the most points wherever it saves multiplications: what to take where nothing was measured."""
    return {name: points[-1] for name, points in ways(spec).items() if points}


class Place(NamedTuple):
    """A layer of a network that is computed like this, its axes and its input's (channels, h, w)."""

    layer: Convolution
    axes: Tuple[Axis, Axis]
    input_shape: Tuple[int, ...]


def places(spec: NetworkSpec, plan: Plan, frames: int = NUM_FRAMES) -> Iterator[Place]:
    """All of a network's layers that are computed like this."""
    for step in spec.steps(frames):
        if step.layer.name in plan:
            yield Place(step.layer, axes(step.layer, plan[step.layer.name]), step.input_shape)


def matrices(layer: Convolution, axes: Tuple[Axis, Axis]) -> Matrices:
    """What to multiply tiles, products and kernel with."""
    height, width = (axis.transforms for axis in axes)
    kernels = [[_of_phases(axis, size, turned) for axis, size in zip(axes, layer.kernel)]
               for turned in (False, True)]
    return Matrices(*(matrix.astype(np.float32) for matrix in (
        np.kron(height.outputs, width.outputs), np.kron(height.inputs, width.inputs),
        *(np.einsum("pai,qbj->pqabij", one, other).reshape(
            -1, layer.kernel[0] * layer.kernel[1]) for one, other in kernels))))


def _of_phases(axis: Axis, size: int, turned: bool) -> np.ndarray:
    """(points, phases, kernel positions): position i is tap i // stride of phase i % stride."""
    at = np.zeros((axis.points, axis.stride, size))
    taps = axis.transforms.taps[:, ::-1] if turned else axis.transforms.taps
    for i in range(size):
        at[:, i % axis.stride, i] = taps[:, i // axis.stride]
    return at


def algorithm(spec: NetworkSpec, plan: Plan) -> str:
    """Which convolutions of a network are computed in which way.

    Like "Winograd, 6 x 6 points: conv2, conv3; direct: conv1, fc6", or "direct" if all of them are.
    """
    names: Dict[str, List[str]] = {}
    for layer, found, _ in places(spec, plan):
        points = " x ".join(str(axis.points) for axis in found if axis.taps > 1)
        names.setdefault(f"Winograd, {points} points", []).append(layer.name)
    names["direct"] = [layer.name for layer in spec.layers
                       if isinstance(layer, Convolution) and layer.name not in plan]
    return "; ".join(f"{way}: {', '.join(layers)}" for way, layers in names.items() if layers) if plan else "direct"


def multiplications(spec: NetworkSpec, plan: Plan) -> int:
    """Multiply-accumulates of an utterance's forward pass by `plan`, those of the small matrices left out: the least."""
    found = 0.0
    for step in spec.steps():
        share = 1.0
        if step.layer.name in plan:
            for axis, size in zip(axes(step.layer, plan[step.layer.name]), step.layer.kernel):
                share *= axis.points * axis.stride / (axis.outputs * size)
        found += share * step.macs
    return int(found)


def read_algorithm(spec: NetworkSpec, text: str) -> Optional[Plan]:
    """The plan that `algorithm` tells so; None for what is no plan of this network."""
    plan: Dict[str, int] = {}
    for group in text.split("; "):
        way, _, layers = group.partition(": ")
        points = re.fullmatch(r"Winograd, (\d)( x \1)? points", way)
        plan.update(dict.fromkeys(layers.split(", ") if points else (), int(points[1]) if points else 0))
    known = ways(spec)
    possible = all(points in known.get(name, ()) for name, points in plan.items())
    return plan if possible and algorithm(spec, plan) == text else None


@lru_cache(maxsize=None)
def transforms(taps: int, points: int) -> Transforms:
    """The matrices for `taps` taps at `points` points, computed in fractions; a single point: ones."""
    if points == 1:
        return Transforms(*(np.ones((1, 1)) for _ in range(3)))
    taps_at = _powers(points, taps)
    outputs_at = _powers(points, points - taps + 1)
    inputs = _inverse(_powers(points, points)).T  # values of a product -> its coefficients, transposed
    # Rows are scaled by powers of two, which round nothing, to values of about one.
    to_one = [2.0 ** -np.round(np.log2(np.abs(m.astype(float)).sum(axis=1))) for m in (taps_at, inputs)]
    outputs = outputs_at.T.astype(float) / (to_one[0] * to_one[1])
    return Transforms(outputs, taps_at.astype(float) * to_one[0][:, None],
                      inputs.astype(float) * to_one[1][:, None])


def _powers(points: int, count: int) -> np.ndarray:
    """Row by row a point's powers 0 to count - 1; at infinity only the highest counts. Fractions."""
    rows = [[p ** i for i in range(count)] for p in _POINTS[points]]
    return np.array(rows + [[Fraction(0)] * (count - 1) + [Fraction(1)]], dtype=object)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """By Gauss and Jordan, exactly."""
    size = len(matrix)
    both = np.concatenate([matrix, np.array([[Fraction(int(i == j)) for j in range(size)]
                                             for i in range(size)], dtype=object)], axis=1)
    for i in range(size):
        pivot = next(k for k in range(i, size) if both[k, i])
        both[[i, pivot]] = both[[pivot, i]]
        both[i] = both[i] / both[i, i]
        for k in range(size):
            if k != i:
                both[k] = both[k] - both[i] * both[k, i]
    return both[:, size:]
