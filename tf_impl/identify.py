"""Say who speaks in a recording in TensorFlow.

    python -m tf_impl.identify runs/first/best.npz hello.wav
"""
import sys

from common.commands import identify
from common.errors import friendly
from tf_impl import load

main = friendly(identify.run, "python -m tf_impl.identify", load)

if __name__ == "__main__":
    sys.exit(main())
