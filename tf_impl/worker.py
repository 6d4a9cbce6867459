"""TensorFlow as a worker process of `compare.py`; reads commands, see `common.speed.worker`.

With the argument `direct`: by TensorFlow's own convolutions alone, none of `tf_impl.winograd`.

    echo '{"do": "peak_memory", "with": {}}' | python -m tf_impl.worker
"""
from __future__ import annotations

import sys

from common.compare.session import Session
from common.speed.worker import serve
from tf_impl import load

if __name__ == "__main__":
    sys.exit(serve(Session(load, direct="direct" in sys.argv[1:])))
