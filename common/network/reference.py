"""A whole network in float64 NumPy: the arbiter between the two frameworks.

    outputs = forward(spec, params, batch.spectrograms, training=True)      # layer name -> output

Functions only, nothing is kept between calls and nothing is drawn at random: the same arguments
give the same bits. `common.network.reference_layers` holds the formulas of the layers. With
`dtype=np.float32` the same formulas run in single precision; how far that strays from float64 is
what rounding explains of a framework's difference.
"""
from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Tuple

import numpy as np

from common.data.form import NUM_BINS
from common.network.layers import BatchNorm, NetworkSpec, Step
from common.network.optimizer import SGD
from common.network.params import Params
from common.network.reference_layers import LAYERS, Weights, running_statistics


class Gradients(NamedTuple):
    """One batch's loss and what a training step makes of it."""

    loss: float  # mean cross entropy in nats with the targets of the spec, without weight decay
    gradients: Params  # of every trainable tensor, without weight decay
    running: Params  # batch normalisation's running statistics after this batch


def forward(spec: NetworkSpec, params: Mapping[str, np.ndarray], spectrograms: np.ndarray,
            training: bool, dtype: type = np.float64) -> Dict[str, np.ndarray]:
    """Every layer's output by its name, of type `dtype`, in the order of the layers.

    `spectrograms` are (N, 512, frames); feature maps come as (N, channels, height, width), after
    pooling as (N, channels). Raises UserError when the utterances are too short for the network.
    """
    x = spectrograms[:, None].astype(dtype, copy=False)  # (N, 1, 512, frames)
    outputs = {}
    for step in _steps(spec, spectrograms):
        layer_forward, _ = LAYERS[type(step.layer)]
        x = layer_forward(step.layer, _weights(step, params, dtype), x, training)
        outputs[step.layer.name] = x
    return outputs


def layer_by_layer(spec: NetworkSpec, params: Mapping[str, np.ndarray], spectrograms: np.ndarray,
                   outputs: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Every layer's output in training mode, each from what `outputs` hold of the layer before it.

    Against another implementation's outputs this shows what each layer adds to the error by itself.
    """
    inputs = [spectrograms[:, None], *(outputs[layer.name] for layer in spec.layers)]
    return {step.layer.name: LAYERS[type(step.layer)][0](
        step.layer, _weights(step, params, np.float64), x.astype(np.float64, copy=False), True)
        for step, x in zip(_steps(spec, spectrograms), inputs)}


def logits(spec: NetworkSpec, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N, num_speakers): the last layer of what `forward` returned."""
    return outputs[spec.layers[-1].name]


def backward(spec: NetworkSpec, params: Mapping[str, np.ndarray], spectrograms: np.ndarray,
             speakers: np.ndarray, outputs: Mapping[str, np.ndarray],
             dtype: type = np.float64) -> Gradients:
    """Loss, gradients and new running statistics, given every layer's output in training mode.

    The outputs may be another implementation's. Then each ReLU passes on what it passed on there:
    from outputs of its own the reference would differ by whole gradients wherever rounding moves
    a value across zero.
    """
    inputs = [spectrograms[:, None].astype(dtype, copy=False),
              *(outputs[layer.name].astype(dtype, copy=False) for layer in spec.layers)]
    loss, dy = cross_entropy(inputs[-1], speakers, spec.other_target)
    gradients: Params = {}
    running: Params = {}
    for step, x in reversed(list(zip(_steps(spec, spectrograms), inputs))):
        weights = _weights(step, params, dtype)
        _, layer_backward = LAYERS[type(step.layer)]
        dy, by_role = layer_backward(step.layer, weights, x, dy)
        gradients.update(_by_name(step, by_role))
        if isinstance(step.layer, BatchNorm):
            running.update(_by_name(step, running_statistics(step.layer, weights, x)))
    return Gradients(loss, _in_order(spec, gradients), _in_order(spec, running))


def cross_entropy(scores: np.ndarray, speakers: np.ndarray, other_target: float = 0.0) -> Tuple[float, np.ndarray]:
    """Mean over the batch of -log softmax(scores), weighted by the targets, and its gradient to the scores.

    other_target: probability that is asked for each speaker that is not the right one, see `NetworkSpec`
    """
    rows = np.arange(len(speakers))
    shifted = scores - scores.max(axis=1, keepdims=True)  # exp cannot overflow
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    gradient = np.exp(log_softmax)
    own = 1 - scores.shape[1] * other_target  # what the right one has beyond the others
    gradient[rows, speakers] -= own
    gradient -= other_target
    losses = -own * log_softmax[rows, speakers] - other_target * log_softmax.sum(axis=1)
    return float(losses.mean()), gradient / len(speakers)


def update(spec: NetworkSpec, params: Mapping[str, np.ndarray], momenta: Mapping[str, np.ndarray],
           gradients: Mapping[str, np.ndarray], learning_rate: float,
           optimizer: SGD) -> Tuple[Params, Params]:
    """Trained tensors and momenta after one step of the formula in `common.network.optimizer`."""
    new_params: Params = {}
    new_momenta: Params = {}
    for p in spec.parameters():
        if p.trainable:
            weight = params[p.name].astype(np.float64, copy=False)
            push = learning_rate * (gradients[p.name] + optimizer.decay(p) * weight)
            momentum = optimizer.momentum * momenta[p.name] + push
            step = optimizer.momentum * momentum + push if optimizer.nesterov else momentum
            new_params[p.name], new_momenta[p.name] = weight - step, momentum
    return new_params, new_momenta


def _steps(spec: NetworkSpec, spectrograms: np.ndarray) -> List[Step]:
    _, bins, frames = spectrograms.shape
    if bins != NUM_BINS:
        raise ValueError(f"spectrograms must be (N, {NUM_BINS}, frames), not {spectrograms.shape}")
    return spec.steps(frames)


def _weights(step: Step, params: Mapping[str, np.ndarray], dtype: type) -> Weights:
    return {p.role: params[p.name].astype(dtype, copy=False) for p in step.parameters}


def _by_name(step: Step, by_role: Weights) -> Params:
    return {p.name: by_role[p.role] for p in step.parameters if p.role in by_role}


def _in_order(spec: NetworkSpec, tensors: Params) -> Params:
    return {p.name: tensors[p.name] for p in spec.parameters() if p.name in tensors}
