"""What computes a trained network: TensorFlow, Caffe2, or ONNX Runtime with neither of them.

    engine = OnnxEngine(Path("speaker.onnx"), threads=2)
    engine = TwinEngine(tf_impl.load, load_checkpoint(Path("runs/a/best.npz")), "cpu", threads=2)
    engine.logits(spectrograms)        # float32 (N, 512, frames) -> (N, num_speakers)
"""
from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional, Protocol

import numpy as np

from common.contenders import either
from common.errors import UserError
from common.network.layers import EMBEDDING, INPUT, OUTPUT
from common.network.onnx_session import open_session
from common.training.trained import Trained
from common.twin import predict_on

if TYPE_CHECKING:  # slow to import, and ONNX Runtime needs neither
    from common.data.batches import BatchReader
    from common.training.checkpoint import Checkpoint
    from common.training.evaluation import Answers
    from common.twin import Model, Twin


class Engine(Protocol):
    """A trained network that answers. Shapes: spectrograms float32 (N, 512, frames), of any N and frames."""

    name: str  # TensorFlow | Caffe2 | ONNX Runtime
    trained: Trained
    checkpoint: Optional[Checkpoint]  # None where the model comes in an ONNX file

    def logits(self, spectrograms: np.ndarray) -> np.ndarray:
        """One for each speaker, float32 (N, num_speakers)."""

    def embeddings(self, spectrograms: np.ndarray) -> np.ndarray:
        """What the last layer sees, float32 (N, units)."""

    def predict(self, reader: BatchReader) -> Answers:
        """Logits, speakers and utterances per second over a reader's epoch, see `common.training.evaluation`."""


class TwinEngine:
    """A framework's. It is imported, and its network held against the reference, at the first question."""

    def __init__(self, load: Callable[[], Twin], checkpoint: Checkpoint, device: str, threads: int) -> None:
        self.trained = Trained.of(checkpoint)
        self.checkpoint = checkpoint
        self._load, self._device, self._threads = load, device, threads

    @property
    def name(self) -> str:
        return self._twin.framework

    def logits(self, spectrograms: np.ndarray) -> np.ndarray:
        return predict_on(self._whole, spectrograms)

    def embeddings(self, spectrograms: np.ndarray) -> np.ndarray:
        return predict_on(self._beheaded, spectrograms)

    def predict(self, reader: BatchReader) -> Answers:
        from common.training.evaluation import predict

        return predict(self._twin, self._whole, reader)

    @cached_property
    def _twin(self) -> Twin:
        from common.speed import gate

        return gate.require(self._load(), self.checkpoint, self._device, self._threads)

    @cached_property
    def _whole(self) -> Model:
        from common.training.checkpoint import model_of

        return model_of(self._twin, self.checkpoint)

    @cached_property
    def _beheaded(self) -> Model:
        spec = self.checkpoint.spec.embedding
        params = {p.name: self.checkpoint.params[p.name] for p in spec.parameters()}
        return self._twin.model(spec, params, self.checkpoint.config.optimizer)


class OnnxEngine:
    """ONNX Runtime's, on the CPU, for a file that either framework's `export` wrote."""

    name, checkpoint = "ONNX Runtime", None

    def __init__(self, path: Path, threads: int) -> None:
        """Raises UserError for a file that is no such export."""
        try:
            self._session = open_session(path, threads)
        except Exception as error:  # of whatever kind
            raise UserError(f"{path} is no ONNX file that ONNX Runtime can read ({' '.join(str(error).split())[:200]}); make "
                            f"one with {either('export')}") from None
        self.trained = Trained.read(self._session.get_modelmeta().custom_metadata_map, str(path))
        outputs = {output.name for output in self._session.get_outputs()}
        if not {OUTPUT, EMBEDDING} <= outputs:
            raise UserError(f"{path} has no outputs {OUTPUT} and {EMBEDDING}, only {', '.join(sorted(outputs))[:200]}; export "
                            "the model again")

    def logits(self, spectrograms: np.ndarray) -> np.ndarray:
        return self._session.run([OUTPUT], {INPUT: spectrograms})[0]

    def embeddings(self, spectrograms: np.ndarray) -> np.ndarray:
        return self._session.run([EMBEDDING], {INPUT: spectrograms})[0]

    def predict(self, reader: BatchReader) -> Answers:
        from common.training.evaluation import gathered

        return gathered((self.logits(batch.spectrograms), batch.speakers) for batch in reader.epoch(0))
