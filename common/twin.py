"""What a framework's implementation offers to the framework-free half.

Both `tf_impl` and `caffe2_impl` have a function `load()` that returns a `Twin`; commands in
`common` are handed that function and call it only once the options are known to be good, because
importing a framework takes seconds.
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Mapping, Optional, Protocol

from common.network.layers import NetworkSpec
from common.network.optimizer import SGD

if TYPE_CHECKING:  # every command imports this file, and NumPy must not load before --threads is read
    import numpy as np

    from common.data.batches import Batch
    from common.network.params import Params

DEVICES = ("auto", "cpu", "gpu")
# How convolutions are computed on a CPU: as is quickest on this machine, as remembered or else measured;
# the same measured again; by Winograd wherever that saves multiplications; by the framework's own alone.
CONVOLUTIONS = AUTO, MEASURE, DEFAULT, OWN = "auto", "measure", "default", "direct"
# Where a timed step's input is when its clock starts: with the framework, in NumPy, in shuffled files.
CLOCKS = RESIDENT, FED, END_TO_END = "resident", "fed", "end-to-end"


@dataclass(frozen=True)
class StepResult:
    """What one training step reports, both measured before its update."""

    loss: float  # mean cross entropy of the batch, without weight decay
    correct: int  # utterances whose largest logit is the right speaker's


@dataclass(frozen=True)
class Inspection:
    """A training pass laid open, without changing the model; all arrays float32."""

    outputs: Dict[str, np.ndarray]  # layer name -> (N, channels, height, width) or (N, features)
    loss: float
    gradients: Params  # of the loss alone, without weight decay


@dataclass(frozen=True)
class OpTime:
    """One operator of a step, as the framework's profiler tells it."""

    operator: str  # its type in the framework
    layer: str  # of the network, or one of common.speed.profile.OUTSIDE
    phase: str  # of common.speed.profile.PHASES; "forward" when predicting
    seconds: float  # a step


class Model(Protocol):
    """A network with its parameters and optimiser state, living in one framework.

    Work is done on a *staged* batch: `stage` brings spectrograms to where the framework computes;
    `train_staged` and `predict_staged` may then run any number of times without feeding again.
    """

    spec: NetworkSpec
    optimizer: SGD

    def stage(self, spectrograms: np.ndarray, speakers: Optional[np.ndarray] = None) -> None:
        """Make float32 (N, 512, frames) and int32 (N,) the staged batch."""

    def train_staged(self, learning_rate: float) -> StepResult:
        """One step of SGD on the staged batch."""

    def predict_staged(self) -> np.ndarray:
        """Logits float32 (N, num_speakers) of the staged batch, with running statistics."""

    def run_staged(self, until: str) -> None:
        """The first part of a training step on the staged batch, for its time: until "forward",
        which ends with the loss, or until "backward", which ends with every gradient.

        Weights stay; running statistics may move, as they do in a training step.
        """

    def inspect(self, spectrograms: np.ndarray, speakers: np.ndarray) -> Inspection:
        """Every layer's output in training mode, the loss and every gradient."""

    def params(self) -> Params:
        """A copy of all parameters in canonical layout and order."""

    def momenta(self) -> Params:
        """A copy of the momentum buffers, positive where the weight is about to shrink."""

    def load(self, params: Params, momenta: Optional[Params] = None) -> None:
        """Replace all parameters, and the momentum buffers (by zeros if not given)."""

    def export_onnx(self, path: Path, facts: Mapping[str, str] = MappingProxyType({}), half: bool = False) -> None:
        """Write the testing network with the framework's own exporter.

        Input `spectrograms` (N, 512, frames), output `logits` (N, num_speakers), N and frames free.
        facts and half: see `common.network.onnx_file.save`.
        """

    def facts(self) -> Dict[str, str]:
        """How the numbers are computed: framework, device, engine, layout, precision, threads, blas,
        convolutions (the libraries behind both, with versions), instructions (the sets that they
        use or are held to, as far as they tell), algorithm (of each convolution, see
        `common.network.winograd.algorithm`)."""


def train_on(model: Model, batch: Batch, learning_rate: float) -> StepResult:
    """Stage a batch and take one step on it."""
    model.stage(batch.spectrograms, batch.speakers)
    return model.train_staged(learning_rate)


def predict_on(model: Model, spectrograms: np.ndarray) -> np.ndarray:
    """Stage float32 (N, 512, frames), and return their logits (N, num_speakers)."""
    model.stage(spectrograms)
    return model.predict_staged()


@dataclass(frozen=True)
class Twin:
    """One framework's implementation."""

    package: str  # tf_impl | caffe2_impl
    framework: str  # TensorFlow | Caffe2, see `common.contenders.by_label`
    # Set device (cpu or gpu) and number of threads; once per process, before the first model.
    configure: Callable[[str, int], None]
    # (spec, params, optimizer, momenta or else zeros, and a plan of `common.network.winograd` or else the default
    # one) -> a model on the configured device
    model: Callable[..., Model]
    # Stage one batch after the other through the framework's own input queue; yields the speakers
    # (N,) of each batch once it is staged.
    staged: Callable[[Model, Iterator[Batch]], Iterator[np.ndarray]]
    # (ONNX file, spec) -> spectrograms (N, 512, frames) -> logits: another's export in this framework
    import_onnx: Callable[[Path, NetworkSpec], Callable[[np.ndarray], np.ndarray]]
    # Versions, origin and devices, for `--version`.
    about: Callable[[], Dict[str, str]]
    # (model, training or predicting, steps) -> every operator of a step, by the framework's profiler
    profile: Callable[[Model, bool, int], List[OpTime]]
    # size -> a function that multiplies two square float32 matrices: what the machine can do
    matmul: Callable[[int], Callable[[], object]]
