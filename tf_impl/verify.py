"""Say whether recordings are by an enrolled voice in TensorFlow.

    python -m tf_impl.verify runs/first --gallery voices.npz hello.wav
"""
from __future__ import annotations

import sys
from functools import partial

from common.commands import verify
from common.errors import friendly
from tf_impl import load

main = friendly(partial(verify.run, "python -m tf_impl.verify", load))

if __name__ == "__main__":
    sys.exit(main())
