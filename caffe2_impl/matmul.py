"""Caffe2's matrix product, to see what the machine can do.

    multiply = matmul(1536)
"""
from __future__ import annotations

from typing import Callable

import numpy as np
from caffe2.python import core, workspace

from caffe2_impl import runtime


def matmul(size: int) -> Callable[[], object]:
    """A function that multiplies two square float32 matrices: a dense layer where networks run."""
    generator = np.random.default_rng(0)
    blobs = [f"matmul_{size}/{name}" for name in ("a", "b", "bias")]
    for blob, shape in zip(blobs, ((size, size), (size, size), (size,))):
        workspace.FeedBlob(blob, generator.standard_normal(shape, np.float32),
                           device_option=runtime.device())
    net = core.Net("matmul")
    net.Proto().op.extend([core.CreateOperator("FC", blobs, [f"matmul_{size}/product"],
                                               device_option=runtime.device())])
    workspace.CreateNet(net, overwrite=True)
    return lambda: workspace.RunNet(net)
