"""Where `common.network.winograd`'s tiles lie: tables of row numbers, the same for every framework.

A feature map (N, h, w, channels) is seen as N * h * w rows; one more, of zeros, stands for whatever is
outside. A table says which row goes where, so cutting tiles and joining them is gathering rows.

An input that is not padded needs no zeros: what its last tiles see outside only makes outputs that
nobody takes, so any row may stand there.
"""
from __future__ import annotations

from functools import lru_cache
from typing import Dict, NamedTuple, Sequence, Tuple

import numpy as np

from common.network.layers import Convolution, NetworkSpec, Pair
from common.network.winograd import Axis, Plan, places

Axes = Tuple[Axis, Axis]


class Tables(NamedTuple):
    """Row numbers, int32, of one convolution for one size of its input."""

    cut: np.ndarray  # (points, tiles, phases) of input rows; of zeros only if it is padded
    join: np.ndarray  # (N, h out, w out) of (outputs, tiles)


class BackwardTables(NamedTuple):
    """The same for its gradients, from the output's gradient."""

    cut_outputs: np.ndarray  # (outputs, tiles) of output rows: where `join` takes them from
    cut: np.ndarray  # (points, tiles) of output rows, for the input's gradient
    join: np.ndarray  # (N, h, w) of (outputs, tiles, phases)


def network_tables(spec: NetworkSpec, plan: Plan, batch: int, frames: int, training: bool
                   ) -> Dict[str, np.ndarray]:
    """`layer_tables` of all layers of a plan, for one size of a network's input."""
    found: Dict[str, np.ndarray] = {}
    for layer, axes, (_, height, width) in places(spec, plan, frames):
        found.update(layer_tables(layer, axes, batch, height, width, training))
    return found


def layer_tables(layer: Convolution, axes: Axes, batch: int, height: int, width: int, training: bool
                 ) -> Dict[str, np.ndarray]:
    """Those of `Tables` by names like "conv2/cut", those of `BackwardTables` like "conv2/back_cut"."""
    found = tables(layer, axes, batch, height, width)._asdict()
    if training:
        back = backward_tables(layer, axes, batch, height, width)
        found.update({f"back_{name}": table for name, table in back._asdict().items()})
    return {f"{layer.name}/{name}": table for name, table in found.items()}


@lru_cache(maxsize=64)
def tables(layer: Convolution, axes: Axes, batch: int, height: int, width: int) -> Tables:
    """For an input (batch, height, width, any number of channels)."""
    sizes, outputs = (height, width), _output_sizes(layer, (height, width))
    grids = [_Grid(axis, size) for axis, size in zip(axes, outputs)]
    before = [pads[0] for pads in layer.pads]
    seen = [grid.positions(grid.axis.points, grid.axis.stride) - pad for grid, pad in zip(grids, before)]
    cut = _cut(seen, batch, sizes)
    if not layer.padded:
        cut[cut == batch * height * width] = 0
    return Tables(cut.reshape(*_points_and_tiles(seen, batch), -1),
                  _join([grid.places(np.arange(size), 1) for grid, size in zip(grids, outputs)],
                        grids, batch, (1, 1)))


@lru_cache(maxsize=64)
def backward_tables(layer: Convolution, axes: Axes, batch: int, height: int, width: int
                    ) -> BackwardTables:
    """For the gradients of the same convolution.

    The input's gradient is a convolution of the output's with the taps in reverse order. Of its outputs
    a strided layer's input takes a phase each, beginning where the padding ends.
    """
    sizes, outputs = (height, width), _output_sizes(layer, (height, width))
    grids = [_Grid(axis, size) for axis, size in zip(axes, outputs)]
    in_tiles = [grid.positions(grid.axis.outputs, 1) for grid in grids]
    skipped, first = zip(*(divmod(pads[0], axis.stride) for pads, axis in zip(layer.pads, axes)))
    back = [_Grid(axis, (size - 1 + offset) // axis.stride + 1)
            for axis, size, offset in zip(axes, sizes, first)]
    seen = [grid.positions(grid.axis.points, 1) - (grid.axis.taps - 1) * grid.axis.dilation + skip
            for grid, skip in zip(back, skipped)]
    strides = (axes[0].stride, axes[1].stride)
    places = [grid.places(np.arange(size) + offset, stride)
              for grid, size, offset, stride in zip(back, sizes, first, strides)]
    return BackwardTables(_cut(in_tiles, batch, outputs).reshape(_points_and_tiles(in_tiles, batch)),
                          _cut(seen, batch, outputs).reshape(_points_and_tiles(seen, batch)),
                          _join(places, back, batch, strides))


class _Grid(NamedTuple):
    """The tiles along one axis; each phase of its dilation has a row of tiles of its own."""

    axis: Axis
    outputs: int  # of the convolution, strides left aside

    @property
    def per_phase(self) -> int:
        return -(-self.outputs // (self.axis.dilation * self.axis.outputs))

    @property
    def tiles(self) -> int:
        return self.axis.dilation * self.per_phase

    def positions(self, count: int, stride: int) -> np.ndarray:
        """Of the `count` values that each tile begins with: (count, tiles, phases of the stride)."""
        dilation = self.axis.dilation
        starts = (np.arange(dilation)[:, None]
                  + dilation * self.axis.outputs * np.arange(self.per_phase)).ravel()
        at = dilation * np.arange(count)[:, None] + starts
        return at[:, :, None] * stride + np.arange(stride)

    def places(self, at: np.ndarray, stride: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of positions: which output of which tile, and which phase of the stride."""
        at, stride_phase = np.divmod(at, stride)
        along, phase = np.divmod(at, self.axis.dilation)
        tile, output = np.divmod(along, self.axis.outputs)
        return output, phase * self.per_phase + tile, stride_phase


def _output_sizes(layer: Convolution, sizes: Pair) -> Pair:
    height, width = ((size + sum(pads) - d * (k - 1) - 1) // s + 1 for size, pads, d, k, s in
                     zip(sizes, layer.pads, layer.dilation, layer.kernel, layer.stride))
    return height, width


def _points_and_tiles(seen: Sequence[np.ndarray], batch: int) -> Pair:
    return (len(seen[0]) * len(seen[1]), batch * seen[0].shape[1] * seen[1].shape[1])


def _cut(seen: Sequence[np.ndarray], batch: int, sizes: Pair) -> np.ndarray:
    """Rows of a map (batch, *sizes) at these positions, in the order points, N, tiles, phases."""
    # (points, 1, 1, tiles, 1, phases, 1) by (points, 1, 1, tiles, 1, phases): each axis' own between the other's.
    rows, columns = seen[0][:, None, None, :, None, :, None], seen[1][:, None, None, :, None, :]
    images = np.arange(batch)[:, None, None, None, None]
    row = (images * sizes[0] + rows) * sizes[1] + columns
    inside = (rows >= 0) & (rows < sizes[0]) & (columns >= 0) & (columns < sizes[1])
    return np.where(inside, row, batch * sizes[0] * sizes[1]).astype(np.int32)


def _join(places: Sequence[Tuple[np.ndarray, np.ndarray, np.ndarray]], grids: Sequence[_Grid],
          batch: int, strides: Pair) -> np.ndarray:
    """Rows of (outputs, N, tiles, phases) that make up a map (batch, h, w)."""
    # Of each row or column of the map: its output within a tile, its tile, its phase; rows as (h, 1), columns as (w,).
    (a, i, p), (b, j, q) = ([column[:, None] for column in places[0]], places[1])
    images = np.arange(batch)[:, None, None]
    output = a * grids[1].axis.outputs + b
    row = ((output * batch + images) * grids[0].tiles + i) * grids[1].tiles + j
    return ((row * strides[0] + p) * strides[1] + q).astype(np.int32)
