"""Say who speaks in recordings, by ONNX Runtime alone.

    python -m common.identify speaker.onnx hello.wav
"""
from __future__ import annotations

import sys
from functools import partial

from common.commands import identify
from common.errors import friendly

main = friendly(partial(identify.run, "python -m common.identify", None))

if __name__ == "__main__":
    sys.exit(main())
