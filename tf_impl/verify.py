"""Say whether recordings are by an enrolled voice in TensorFlow.

    python -m tf_impl.verify runs/first --gallery voices.npz hello.wav
"""
import sys

from common.commands import verify
from common.errors import friendly
from tf_impl import load

main = friendly(verify.run, "python -m tf_impl.verify", load)

if __name__ == "__main__":
    sys.exit(main())
