"""Say whether recordings are by an enrolled voice by ONNX Runtime alone.

    python -m common.verify speaker.onnx --gallery voices.npz hello.wav
"""
import sys

from common.commands import verify
from common.errors import friendly

main = friendly(verify.run, "python -m common.verify", None)

if __name__ == "__main__":
    sys.exit(main())
