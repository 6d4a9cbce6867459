"""A network in a framework against the float64 reference, on tiny batches: does this machine compute right?

    deviations = hold(twin.model(spec, params, SGD()))
    wrong = [each for each in deviations if each.wrong]

Which kernels a framework runs, and how they lay out memory, is decided by the processor at hand: tests
that passed on another prove little. So whoever is about to compute holds the very network, at its real
widths, against the reference first (`common.speed.gate`); batches are short to take seconds. Three
training steps at two sizes, layer by layer, each followed by a prediction, many utterances at once and a
single one, with running statistics that are not neutral; and a step of which momentum and weight decay
make most. Each layer is judged by what it makes of its own input, as gradients and updates are by the
framework's own outputs and momenta: what rounding grows to over many layers hides nothing.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Mapping, Optional, Tuple

import numpy as np

from common.data.batches import Batch
from common.data.form import NUM_BINS
from common.network import reference
from common.network.layers import NetworkSpec
from common.network.params import Params, initialise
from common.proof.parity import RUNGS, differences, same_shapes
from common.proof.recording import Rungs, cast, named_momenta
from common.twin import Model, train_on

# (utterances, frames) of what is trained on and then predicted, in turns: sizes change, and one stays, as
# what a prediction leaves in memory must not show in the step that follows. Never 2: of two utterances a batch
# norm after pooling makes 1 and -1, and their gradients are nothing but rounding.
TRAINED = ((3, 117), (4, 101), (4, 101))
SINGLE = (1, 104)  # predicted at the end
TIMES = (1,), (1,), (1, 8)  # how many times in one batch; the last are predicted as many as are asked at once, too
RATE = 1e-2
# The outermost limits of the ladder's rungs. A framework's training step is another pass than the one
# that was laid open: rounding may fall otherwise in it and tip a ReLU, which is nobody's fault and has moved
# VGG-M's gradients by 6e-2. What wrong kernels make is off by its own size.
LIMITS = {**{rung: limit.most for rung, limit in RUNGS.items()}, "training step": 0.3, "momentum and decay": 5e-3}
ENLARGED, _DECAY = 1000.0, 5e-4  # see `_formula`; the decay that its momenta are as large as


@dataclass(frozen=True)
class Deviation:
    """How far one tensor is from the reference, relative to the scale of its layer."""

    size: Tuple[int, int]  # utterances, frames
    rung: str
    tensor: str
    error: float  # infinite where shapes differ, not a number where values are not

    @property
    def limit(self) -> float:
        return LIMITS[self.rung]

    @property
    def wrong(self) -> bool:
        return not self.error <= self.limit

    @property
    def share(self) -> float:
        """Of the limit."""
        return self.error / self.limit if self.limit else float(self.error > 0)

    @property
    def where(self) -> str:
        return f"{self.tensor} ({self.rung}, {self.size[0]} x {self.size[1]} frames)"

    def __str__(self) -> str:
        return f"{self.where} is off by {self.error:.1e} of its scale, where {self.limit:.0e} is allowed"


def hold(model: Model) -> List[Deviation]:
    """Every tensor of the self-check; the model's parameters are others afterwards.

    Goes through gigabytes of arrays: within `common.memory.freed_memory_kept` it takes two thirds of the time.
    """
    params, momenta = _drawn(model.spec)
    model.load(params, momenta)
    found = list(_deviations(TRAINED[0], {"start": {**model.params(), **named_momenta(model.momenta())}},
                             {"start": {**params, **named_momenta(momenta)}}))
    params = cast(params, np.float64)  # once, for all that the reference makes of them
    for size, times in zip(TRAINED, TIMES):
        # How a tensor is updated has nothing to do with the size, and the first tells it.
        deviations, params = _train(model, params, momenta if size == TRAINED[0] else None, size)
        found += [*deviations, *_predict(model, params, size, *times)]
    return [*found, *_predict(model, params, SINGLE, 1), *_formula(model, cast(params, np.float32))]


def _train(model: Model, before: Params, momenta: Optional[Params], size: Tuple[int, int]
           ) -> Tuple[List[Deviation], Params]:
    """One training step at one size, from parameters as they stand, and these after it, all in float64; its update only
    with momenta."""
    spec, batch = model.spec, _batch(model.spec, size)
    seen = model.inspect(batch.spectrograms, batch.speakers)
    loss = train_on(model, batch, RATE).loss
    after = cast(model.params(), np.float64)
    shapes = {step.layer.name: np.empty((len(batch.speakers), *step.output_shape))
              for step in spec.steps(size[1])}
    if not same_shapes(seen.outputs, shapes):
        return [Deviation(size, "outputs", _misshapen(seen.outputs, shapes), np.inf)], after
    outputs = cast(seen.outputs, np.float64)
    exact = reference.backward(spec, before, batch.spectrograms, batch.speakers, outputs)
    found = list(_deviations(size, {
        "outputs": outputs, "loss": {"loss": np.asarray(seen.loss)},
        "training step": {"loss": np.asarray(loss)},
        "gradients": seen.gradients, "running statistics": {name: after[name] for name in exact.running},
    }, {
        "outputs": reference.layer_by_layer(spec, before, batch.spectrograms, outputs),
        "loss": {"loss": np.asarray(exact.loss)}, "training step": {"loss": np.asarray(exact.loss)},
        "gradients": exact.gradients, "running statistics": exact.running,
    }))
    if momenta is not None:
        moved, (_, right) = model.momenta(), reference.update(
            spec, before, momenta, seen.gradients, RATE, model.optimizer)
        steps = {name: before[name] - after[name] for name in moved}
        found += _deviations(size, {"training step": named_momenta(moved), "update": steps},
                             {"training step": named_momenta(right), "update": moved})
    return found, after


def _predict(model: Model, params: Params, size: Tuple[int, int], *times: int) -> Iterator[Deviation]:
    """What is predicted of the utterances of one size, for each of `times` all of them so many times in a batch."""
    spectrograms = _batch(model.spec, size).spectrograms
    exact = reference.logits(model.spec, reference.forward(model.spec, params, spectrograms, training=False))
    for many in times:
        model.stage(np.tile(spectrograms, (many, 1, 1)))
        yield from _deviations((many * size[0], size[1]), {"outputs": {"testing logits": model.predict_staged()}},
                               {"outputs": {"testing logits": np.tile(exact, (many, 1))}})


def _formula(model: Model, params: Params) -> Iterator[Deviation]:
    """The momenta of a step in which momentum and weight decay outweigh the gradient, whose rounding hides them else.

    With every tensor larger by a factor, and the last layer smaller by it, a network with batch norm computes the same,
    and the gradients of what is larger are smaller by that factor, while its decay is larger.
    """
    spec, batch = model.spec, _batch(model.spec, TRAINED[0])
    last, random = spec.layers[-1].name, np.random.default_rng(1)
    trained = [p for p in spec.parameters() if p.trainable]
    large = {**params, **{p.name: params[p.name] * np.float32(ENLARGED) for p in trained}}
    large.update({name: params[name] / np.float32(ENLARGED) for name in params if name.startswith(f"{last}/")})
    momenta = {p.name: random.standard_normal(p.shape, np.float32) * np.float32(RATE * _DECAY * np.abs(large[p.name]).mean())
               for p in trained}
    model.load(large, momenta)
    gradients = model.inspect(batch.spectrograms, batch.speakers).gradients
    train_on(model, batch, RATE)
    _, right = reference.update(spec, large, momenta, gradients, RATE, model.optimizer)
    moved, right = ({name: value for name, value in each.items() if not name.startswith(f"{last}/")}
                    for each in (model.momenta(), right))
    return _deviations(TRAINED[0], {"momentum and decay": named_momenta(moved)}, {"momentum and decay": named_momenta(right)})


def _deviations(size: Tuple[int, int], actual: Rungs, expected: Rungs) -> Iterator[Deviation]:
    for rung, errors in differences(actual, expected).items():
        for tensor, error in errors.items():
            yield Deviation(size, rung, tensor, error)


def _misshapen(outputs: Mapping[str, np.ndarray], shapes: Mapping[str, np.ndarray]) -> str:
    return next(name for name, value in shapes.items() if outputs[name].shape != value.shape)


def _drawn(spec: NetworkSpec) -> Tuple[Params, Params]:
    """Parameters and momenta of which none is neutral: a role that is mixed up cannot hide."""
    random, params = np.random.default_rng(0), initialise(spec)
    for p in spec.parameters():
        if p.role in ("scale", "running_variance"):
            params[p.name] = random.uniform(0.5, 2, p.shape).astype(np.float32)
        elif p.role != "weight":
            params[p.name] = random.normal(0, 0.3, p.shape).astype(np.float32)
    momenta = {p.name: 1e-4 * random.standard_normal(p.shape, np.float32)
               for p in spec.parameters() if p.trainable}
    return params, momenta


def _batch(spec: NetworkSpec, size: Tuple[int, int]) -> Batch:
    """Standard normal spectrograms, each with a level of its own, so that pooling leaves a difference."""
    utterances, frames = size
    random = np.random.default_rng(size)
    spectrograms = random.standard_normal((utterances, NUM_BINS, frames), np.float32)
    spectrograms += random.standard_normal((utterances, 1, 1), np.float32)
    return Batch(spectrograms, (np.arange(utterances) % spec.num_speakers).astype(np.int32))
