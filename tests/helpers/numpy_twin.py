"""A third twin, of the NumPy reference: what is common to both frameworks runs without either."""
from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Callable, Dict, Iterator, Mapping, Optional, Tuple, Type

import numpy as np

from common import machine
from common.data.batches import Batch
from common.network import params as parameters
from common.network import reference
from common.network.layers import INPUT, OUTPUT, NetworkSpec
from common.network.optimizer import SGD
from common.network.params import Params
from common.network.winograd import Plan
from common.twin import Inspection, StepResult, Twin


def loss_and_gradients(spec: NetworkSpec, params: Mapping[str, np.ndarray],
                       spectrograms: np.ndarray, speakers: np.ndarray,
                       dtype: type = np.float64) -> reference.Gradients:
    """Loss, gradients and new running statistics of one batch in training mode.

    `speakers` are (N,), whole numbers below `spec.num_speakers`.
    """
    outputs = reference.forward(spec, params, spectrograms, training=True, dtype=dtype)
    return reference.backward(spec, params, spectrograms, speakers, outputs, dtype)


def train_step(spec: NetworkSpec, params: Mapping[str, np.ndarray], momenta: Mapping[str, np.ndarray], spectrograms: np.ndarray,
               speakers: np.ndarray, learning_rate: float, optimizer: SGD) -> Tuple[float, Params, Params]:
    """(loss before the step, all parameters after it, momenta after it), tensors in float64."""
    loss, gradients, running = loss_and_gradients(spec, params, spectrograms, speakers)
    trained, momenta = reference.update(spec, params, momenta, gradients, learning_rate, optimizer)
    after = {**trained, **running}
    return loss, {p.name: after[p.name] for p in spec.parameters()}, momenta


class Model:
    """See `common.twin.Model`; float64 inside."""

    def __init__(self, spec: NetworkSpec, params: Params, optimizer: SGD, momenta: Optional[Params] = None,
                 plan: Optional[Plan] = None) -> None:
        self.spec, self.optimizer = spec, optimizer  # one way computes all convolutions
        self.load(params, momenta)

    def stage(self, spectrograms: np.ndarray, speakers: Optional[np.ndarray] = None) -> None:
        self._spectrograms, self._speakers = spectrograms, speakers

    def train_staged(self, learning_rate: float) -> StepResult:
        logits = self._logits(training=True)
        loss, self._params, self._momenta = train_step(
            self.spec, self._params, self._momenta, self._spectrograms, self._speakers,
            learning_rate, self.optimizer)
        return StepResult(loss, int((logits.argmax(axis=1) == self._speakers).sum()))

    def predict_staged(self) -> np.ndarray:
        return self._logits(training=False).astype(np.float32)

    def run_staged(self, until: str) -> None:
        assert until in ("forward", "backward")
        self._logits(training=True)

    def params(self) -> Params:
        return {name: value.astype(np.float32) for name, value in self._params.items()}

    def momenta(self) -> Params:
        return {name: value.astype(np.float32) for name, value in self._momenta.items()}

    def load(self, params: Params, momenta: Optional[Params] = None) -> None:
        self._params = dict(params)
        self._momenta = dict(parameters.zeros(self.spec) if momenta is None else momenta)

    def inspect(self, spectrograms: np.ndarray, speakers: np.ndarray) -> Inspection:
        outputs = reference.forward(self.spec, self._params, spectrograms, training=True)
        loss, gradients, _ = reference.backward(self.spec, self._params, spectrograms, speakers, outputs)
        return Inspection({name: value.astype(np.float32) for name, value in outputs.items()}, loss,
                          {name: value.astype(np.float32) for name, value in gradients.items()})

    def export_onnx(self, path: Path, facts: Mapping[str, str] = MappingProxyType({}), half: bool = False) -> None:
        """There is no exporter for NumPy: Caffe2's, of the same parameters."""
        import caffe2_impl

        caffe2_impl.load().model(self.spec, self.params(), self.optimizer).export_onnx(path, facts, half)

    def facts(self) -> Dict[str, str]:
        return {"framework": f"NumPy {np.__version__}", "device": "cpu", "engine": "NumPy",
                "layout": "NCHW", "precision": "float64", "threads": "1", "blas": "NumPy's", "convolutions": "NumPy's",
                "algorithm": "direct"}

    def _logits(self, training: bool) -> np.ndarray:
        outputs = reference.forward(self.spec, self._params, self._spectrograms, training)
        return reference.logits(self.spec, outputs)


def staged(model: Model, batches: Iterator[Batch]) -> Iterator[np.ndarray]:
    for batch in batches:
        model.stage(batch.spectrograms, batch.speakers)
        yield batch.speakers


def import_onnx(path: Path, spec: NetworkSpec) -> Callable[[np.ndarray], np.ndarray]:
    """There is no right reader for NumPy (that of onnx 1.16 gets dilated convolutions wrong): ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda spectrograms: session.run([OUTPUT], {INPUT: spectrograms})[0]


def load(model: Type[Model] = Model) -> Twin:
    return Twin(package="numpy_twin", framework="NumPy", configure=lambda device, threads: None, model=model, staged=staged,
                import_onnx=import_onnx, about=lambda: {"NumPy": np.__version__}, profile=lambda model, training, steps: [],
                matmul=machine.matmul)
