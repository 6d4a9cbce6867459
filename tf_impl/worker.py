"""TensorFlow as a worker process; reads commands, see `common.speed.worker`.

With `answers`: what a trained model says, for `common.page`.

    echo '{"do": "peak_memory", "with": {}}' | python -m tf_impl.worker
"""
from __future__ import annotations

import sys

from common.compare.session import Session
from common.page.engines import WORD, Answering
from common.speed.worker import serve
from tf_impl import load

if __name__ == "__main__":
    if WORD in sys.argv[1:]:
        serve(Answering(load))
    session = Session(load)
    serve(session, session.bench)
