"""Caffe2 as a worker process of `compare.py`; reads commands, see `common.speed.worker`.

With the argument `direct`: by Caffe2's own convolutions alone, none of `caffe2_impl.winograd`.

    echo '{"do": "peak_memory", "with": {}}' | python -m caffe2_impl.worker
"""
from __future__ import annotations

import sys

from caffe2_impl import load
from common.compare.session import Session
from common.speed.worker import serve

if __name__ == "__main__":
    sys.exit(serve(Session(load, direct="direct" in sys.argv[1:])))
