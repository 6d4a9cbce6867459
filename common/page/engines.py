"""The engines of the page: each framework in a process of its own, ONNX Runtime in the page's.

    engine = Apart(CONTENDERS["caffe2"], Path("best.npz"), threads=2)    # starts, and returns at once
    logits, seconds = engine.ask(LOGITS, spectrograms)

A framework takes seconds to start, and may die: then questions are refused in plain words, and it is
started again. The other end of its line is `Answering`, which a twin's worker serves if it is started
with the argument `WORD`.
"""
from __future__ import annotations

import base64
import contextlib
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Protocol, Tuple

import numpy as np

from common.contenders import Contender
from common.data.form import NUM_BINS, NUM_FRAMES
from common.errors import UserError
from common.identify.engines import Engine, OnnxEngine, TwinEngine
from common.machine import clocked
from common.speed.worker import Worker, WorkerError
from common.training.checkpoint import load_checkpoint
from common.twin import Twin

WORD = "answers"  # the argument of a twin's worker
LOGITS, EMBEDDINGS = "logits", "embeddings"  # what can be asked, see `common.identify.engines.Engine`
STARTING, READY, FAILED = "starting", "ready", "failed"
# Their times are shown side by side: each is to have all cores to itself. Other visitors wait for their turn.
_ONE_AT_A_TIME = threading.Lock()

Timed = Tuple[np.ndarray, float]  # (N, values) float32, and the seconds that the engine took


class Asked(Protocol):
    """An engine as the page asks it."""

    name: str
    state: str  # STARTING | READY | FAILED
    problem: str  # why it does not answer; "" if it does

    def ask(self, what: str, spectrograms: np.ndarray) -> Timed:
        """LOGITS or EMBEDDINGS of float32 (N, 512, frames). Raises UserError if it does not answer."""

    def close(self) -> None:
        """End it."""


class Here:
    """ONNX Runtime on an exported file, in this process."""

    state, problem = READY, ""

    def __init__(self, engine: OnnxEngine) -> None:
        self.name, self._engine = engine.name, engine

    def ask(self, what: str, spectrograms: np.ndarray) -> Timed:
        with _ONE_AT_A_TIME:
            return _timed(self._engine, what, spectrograms)

    def close(self) -> None:
        """It ends with the process."""


class Apart:
    """A framework on a checkpoint, in a process of its own, which is started at once and again whenever it ends."""

    def __init__(self, contender: Contender, model: Path, threads: int) -> None:
        self.name, self.state, self.problem = contender.label, STARTING, "is starting"
        self._contender, self._model, self._threads = contender, model, threads
        self.worker: Optional[Worker] = None  # another whenever it is started again
        self._start()

    def ask(self, what: str, spectrograms: np.ndarray) -> Timed:
        with _ONE_AT_A_TIME:
            if self.state == FAILED:
                self._start()
            if self.state == STARTING:
                raise UserError(self.problem)
            try:
                answer = self.worker.ask("answer", what=what, spectrograms=_packed(spectrograms))
            except WorkerError:
                self.problem = "its process ended; it is started again"
                self._start()
                raise UserError(self.problem) from None
        return _unpacked(answer["values"]), answer["seconds"]

    def close(self) -> None:
        """End its process."""
        if self.worker is not None:
            self.worker.close()

    def _start(self) -> None:
        self.close()
        self.state = STARTING
        self.worker = Worker.of(self._contender, self._threads, WORD)
        threading.Thread(target=self._open, args=(self.worker,), daemon=True).start()

    def _open(self, worker: Worker) -> None:
        try:
            with contextlib.suppress(ValueError):  # it was closed meanwhile
                worker.ask("open", model=str(self._model.resolve()), threads=self._threads)
                self.state, self.problem = READY, ""
        except UserError as error:
            first, *log = str(error).splitlines()
            self.state, self.problem = FAILED, f"does not start: {first} {log[-1] if log and first.endswith(':') else ''}"


class Answering:
    """The other end: a trained model in a framework, for `common.speed.worker.serve`."""

    def __init__(self, load: Callable[[], Twin]) -> None:
        self._load = load

    def open(self, model: str, threads: int) -> Dict[str, Any]:
        """Load the framework and a model (npz), hold it against the reference, and have it answer once: it is warm then."""
        self._engine = TwinEngine(self._load, load_checkpoint(Path(model)), "cpu", threads)
        self._engine.logits(np.zeros((1, NUM_BINS, NUM_FRAMES), np.float32))
        return {}

    def answer(self, what: str, spectrograms: Dict[str, Any]) -> Dict[str, Any]:
        """See `Asked.ask`; arrays are packed."""
        values, seconds = _timed(self._engine, what, _unpacked(spectrograms))
        return {"values": _packed(values), "seconds": seconds}


def _timed(engine: Engine, what: str, spectrograms: np.ndarray) -> Timed:
    return clocked(lambda: {LOGITS: engine.logits, EMBEDDINGS: engine.embeddings}[what](spectrograms))


def _packed(values: np.ndarray) -> Dict[str, Any]:
    """float32 of any shape, as JSON can hold it: digits of half a million numbers would take longer than the network."""
    return {"shape": values.shape, "float32": base64.b64encode(values.astype("<f4").tobytes()).decode()}


def _unpacked(packed: Dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["float32"]), "<f4").reshape(packed["shape"])
