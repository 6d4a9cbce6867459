"""Say who speaks in a recording in TensorFlow.

    python -m tf_impl.identify runs/first/best.npz hello.wav
"""
from __future__ import annotations

import sys
from functools import partial

from common.commands import identify
from common.errors import friendly
from tf_impl import load

main = friendly(partial(identify.run, "python -m tf_impl.identify", load))

if __name__ == "__main__":
    sys.exit(main())
