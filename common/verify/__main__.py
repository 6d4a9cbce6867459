"""Say whether recordings are by an enrolled voice by ONNX Runtime alone.

    python -m common.verify speaker.onnx --gallery voices.npz hello.wav
"""
from __future__ import annotations

import sys
from functools import partial

from common.commands import verify
from common.errors import friendly

main = friendly(partial(verify.run, "python -m common.verify", None))

if __name__ == "__main__":
    sys.exit(main())
