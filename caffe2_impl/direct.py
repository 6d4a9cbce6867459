"""The networks with Caffe2's own convolutions alone: a baseline for what `caffe2_impl.winograd` gains.

    python -m caffe2_impl.direct     # as a worker of `compare.py`, see `common.speed.worker`
"""
from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial

from caffe2_impl import load as load_twin
from common.speed.bench import Bench, Engine, twin_engine
from common.speed.worker import serve


def load() -> Engine:
    """This baseline as an engine."""
    twin = load_twin()
    return twin_engine(replace(twin, model=partial(twin.model, direct=True)))


if __name__ == "__main__":
    sys.exit(serve(Bench(load)))
