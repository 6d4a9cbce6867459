"""The classic ways in which two frameworks are made to compute different things, each on purpose.

    broken = MISTAKES["nesterov"].make(trial)

A mistake turns a `Trial` into the one that a careless implementation would run. Nothing in the
implementations knows about it: they are handed another table, optimiser, start or batch.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable, Dict, List, Tuple

from common.errors import UserError
from common.network.layers import BatchNorm, Convolution, Layer, NetworkSpec, Step

if TYPE_CHECKING:  # commands list the mistakes in their --help, which should not wait for NumPy
    from common.proof.recording import Trial


@dataclass(frozen=True)
class Mistake:
    """What goes wrong, the first rung of the ladder it shows on, and how to make it."""

    story: str
    rung: str
    make: Callable[[Trial], Trial]


def _nesterov(trial: Trial) -> Trial:
    return replace(trial, optimizer=replace(trial.optimizer, nesterov=True))


def _decay_on_batch_norm(trial: Trial) -> Trial:
    roles = (*trial.optimizer.decaying_roles, "scale")
    return replace(trial, optimizer=replace(trial.optimizer, decaying_roles=roles))


def _double_decay(trial: Trial) -> Trial:
    decay = 2 * trial.optimizer.weight_decay
    return replace(trial, optimizer=replace(trial.optimizer, weight_decay=decay))


def _bn_epsilon(trial: Trial) -> Trial:
    return _with_batch_norms(trial, epsilon=1e-3)


def _bn_momentum(trial: Trial) -> Trial:
    return _with_batch_norms(trial, decay=0.99)


def _with_batch_norms(trial: Trial, **changes: float) -> Trial:
    return _with_layers(trial, [
        replace(layer, **changes) if isinstance(layer, BatchNorm) else layer
        for layer in trial.spec.layers])


def _same_padding(trial: Trial) -> Trial:
    """SAME where the table has padding; its zeros depend on the size that arrives at the layer."""
    frames = trial.batches[0].spectrograms.shape[2]
    layers: List[Layer] = []
    for number, layer in enumerate(trial.spec.layers):
        if isinstance(layer, Convolution) and layer.padding != (0, 0):
            arriving = NetworkSpec("so far", (*layers, layer), 0).steps(frames)[number]
            layer = replace(layer, **_same(layer, arriving))
        layers.append(layer)
    if tuple(layers) == trial.spec.layers:
        raise UserError(f"{trial.spec.name} pads no convolution, so SAME padding changes nothing")
    return _with_layers(trial, layers)


def _same(layer: Convolution, step: Step) -> Dict[str, Tuple[int, int]]:
    """TensorFlow's rule: as many outputs as strides fit, an odd zero at the bottom and right."""
    totals = [max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0) for size, s, k, d in
              zip(step.input_shape[1:], layer.stride, layer.kernel, layer.dilation)]
    return {"padding": (totals[0] // 2, totals[1] // 2),
            "padding_after": (totals[0] - totals[0] // 2, totals[1] - totals[1] // 2)}


def _with_layers(trial: Trial, layers: List[Layer]) -> Trial:
    return replace(trial, spec=replace(trial.spec, layers=tuple(layers)))


def _glorot(trial: Trial) -> Trial:
    """Keras's default: U(-a, a), a = sqrt(6 / (fan-in + fan-out)) (Glorot and Bengio 2010)."""
    import numpy as np

    random, params = np.random.default_rng(0), dict(trial.params)
    for p in trial.spec.parameters():
        if p.role == "weight":
            fan_in, fan_out = p.size // p.shape[0], p.size // p.shape[1]
            bound = np.sqrt(6 / (fan_in + fan_out))
            params[p.name] = random.uniform(-bound, bound, p.shape).astype(np.float32)
    return replace(trial, params=params)


def _hw_swap(trial: Trial) -> Trial:
    """Only square kernels can be mistaken so without an error."""
    square = {name for name, value in trial.params.items()
              if value.ndim == 4 and value.shape[2] == value.shape[3] > 1}
    if not square:
        raise UserError(f"{trial.spec.name} has no square kernels whose height and width could be "
                        "swapped")
    return replace(trial, params={
        name: value.swapaxes(2, 3).copy() if name in square else value
        for name, value in trial.params.items()})


def _label_shift(trial: Trial) -> Trial:
    speakers = trial.spec.num_speakers
    return replace(trial, batches=tuple(
        replace(batch, speakers=(batch.speakers + 1) % speakers) for batch in trial.batches))


MISTAKES: Dict[str, Mistake] = {
    "glorot": Mistake("Keras's default initialiser in place of the common start", "start", _glorot),
    "hw_swap": Mistake("height and width of square kernels swapped", "start", _hw_swap),
    "same_padding": Mistake("TensorFlow's SAME in place of explicit padding", "outputs",
                            _same_padding),
    "bn_epsilon": Mistake("Keras's batch-norm epsilon, 1e-3 in place of 1e-5", "outputs",
                          _bn_epsilon),
    "label_shift": Mistake("speakers counted from one on one side, from zero on the other", "loss",
                           _label_shift),
    "nesterov": Mistake("Nesterov, the default of Caffe2's build_sgd", "update", _nesterov),
    "double_decay": Mistake("weight decay as Keras's l2 has it, twice the factor", "update",
                            _double_decay),
    "decay_on_batch_norm": Mistake("weight decay on batch-norm scales, as Caffe2's "
                                   "add_weight_decay has it", "update", _decay_on_batch_norm),
    "bn_momentum": Mistake("Keras's batch-norm momentum, 0.99 in place of 0.9",
                           "running statistics", _bn_momentum),
}
