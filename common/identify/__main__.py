"""Say who speaks in recordings, by ONNX Runtime alone.

    python -m common.identify speaker.onnx hello.wav
"""
import sys

from common.commands import identify
from common.errors import friendly

main = friendly(identify.run, "python -m common.identify", None)

if __name__ == "__main__":
    sys.exit(main())
