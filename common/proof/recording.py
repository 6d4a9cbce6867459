"""A trial of one implementation, recorded: what it computed, from the first layer to the update.

    recording = record(twin, make_trial(spec, batches, learning_rate=0.01))

`common.proof.parity` holds one recording against another.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from common.data.batches import Batch, BatchReader
from common.network import reference
from common.network.layers import NetworkSpec, Relu
from common.network.optimizer import SGD
from common.network.params import Params, initialise
from common.twin import Model, Twin, train_on

_MOMENTUM = "momentum of "

# What was computed in one step: rung -> tensor -> value.
Rungs = Dict[str, Dict[str, np.ndarray]]


@dataclass(frozen=True)
class Trial:
    """Where every implementation starts from, and what it is to do."""

    spec: NetworkSpec
    params: Params
    momenta: Params
    batches: Tuple[Batch, ...]  # one a step
    learning_rates: Tuple[float, ...]  # one a step
    optimizer: SGD

    @property
    def last(self) -> int:
        """The number of the last step, counted from 0."""
        return len(self.batches) - 1

    def at(self, step: int, params: Params, momenta: Params) -> Trial:
        """The trial of that step alone, from another state."""
        return replace(self, params=params, momenta=momenta, batches=self.batches[step:step + 1],
                       learning_rates=self.learning_rates[step:step + 1])


class Trace(NamedTuple):
    """What one implementation made of a trial."""

    rungs: Dict[int, Rungs]  # of the first and the last step
    losses: np.ndarray  # (steps,)
    states: List[Params]  # parameters before each step


def first_batches(reader: BatchReader, steps: int) -> List[Batch]:
    """So many batches of as many epochs as it takes."""
    return list(islice((batch for epoch in count() for batch in reader.epoch(epoch)), steps))


def without_relus(spec: NetworkSpec) -> NetworkSpec:
    """The same network without the kinks that rounding tips values over."""
    return replace(spec, layers=tuple(layer for layer in spec.layers
                                      if not isinstance(layer, Relu)))


def make_trial(spec: NetworkSpec, batches: Sequence[Batch], learning_rate: float, seed: int = 0) -> Trial:
    """Initial parameters, small random momenta (zeros would hide their part in the first update),
    and a learning rate that falls to a tenth (a constant one would hide where it enters)."""
    random = np.random.default_rng(seed)
    momenta = {p.name: random.normal(0, 1e-4, p.shape).astype(np.float32)
               for p in spec.parameters() if p.trainable}
    rates = np.geomspace(learning_rate, learning_rate / 10, len(batches))
    return Trial(spec, initialise(spec, seed), momenta, tuple(batches), tuple(rates), SGD())


def record(twin: Twin, trial: Trial) -> Trace:
    """Let one framework do the trial; it must have been configured."""
    model = twin.model(trial.spec, trial.params, trial.optimizer, trial.momenta)
    rungs: Dict[int, Rungs] = {}
    losses: List[float] = []
    states: List[Params] = []
    for step, (batch, rate) in enumerate(zip(trial.batches, trial.learning_rates)):
        states.append(model.params())
        if step in (0, trial.last):
            rungs[step], loss = _record_step(model, batch, rate)
        else:
            loss = train_on(model, batch, rate).loss
        losses.append(loss)
    return Trace(rungs, np.array(losses), states)


def _record_step(model: Model, batch: Batch, rate: float) -> Tuple[Rungs, float]:
    before, momenta_before = model.params(), model.momenta()
    seen = model.inspect(batch.spectrograms, batch.speakers)
    model.stage(batch.spectrograms, batch.speakers)
    outputs = {**seen.outputs, "testing logits": model.predict_staged()}
    loss = model.train_staged(rate).loss
    return _rungs(before, momenta_before, outputs, seen.loss, seen.gradients, model.params(),
                  model.momenta()), loss


def record_reference(trial: Trial, dtype: type = np.float64) -> Trace:
    """Let the reference do the trial; only the first step is recorded rung by rung."""
    params, momenta, losses, states = trial.params, trial.momenta, [], []
    for step, (batch, rate) in enumerate(zip(trial.batches, trial.learning_rates)):
        outputs = reference.forward(trial.spec, params, batch.spectrograms, True, dtype)
        loss, gradients, running = reference.backward(
            trial.spec, params, batch.spectrograms, batch.speakers, outputs, dtype)
        trained, new_momenta = reference.update(trial.spec, params, momenta, gradients, rate,
                                                trial.optimizer)
        after, new_momenta = cast({**trained, **running}, dtype), cast(new_momenta, dtype)
        if step == 0:
            testing = reference.forward(trial.spec, params, batch.spectrograms, False, dtype)
            outputs["testing logits"] = reference.logits(trial.spec, testing)
            first = _rungs(params, momenta, outputs, loss, gradients, after, new_momenta)
        losses.append(loss)
        states.append(params)
        params, momenta = after, new_momenta
    return Trace({0: first}, np.array(losses), states)


def state_before(rungs: Rungs) -> Tuple[Params, Params]:
    """Parameters and momenta that a recorded step started from."""
    start = rungs["start"]
    momenta = {name[len(_MOMENTUM):]: value for name, value in start.items()
               if name.startswith(_MOMENTUM)}
    return {n: value for n, value in start.items() if not n.startswith(_MOMENTUM)}, momenta


def update_rung(before: Params, after: Params, momenta: Params) -> Dict[str, np.ndarray]:
    """What a step did: the new momenta, and by how much every trained tensor fell."""
    # A step is far smaller than the value it changes: subtract in float64.
    steps = {f"step of {name}": before[name].astype(np.float64) - after[name] for name in momenta}
    return {**named_momenta(momenta), **steps}


def _rungs(before: Params, momenta_before: Params, outputs: Dict[str, np.ndarray], loss: float,
           gradients: Params, after: Params, momenta_after: Params) -> Rungs:
    """Sort what was seen in a step into rungs; tensors keep the order of the layers."""
    return {
        "start": {**before, **named_momenta(momenta_before)},
        "outputs": outputs,
        "loss": {"loss": np.asarray(loss)},
        "gradients": gradients,
        "update": update_rung(before, after, momenta_after),
        "running statistics": {name: after[name] for name in before if name not in gradients},
    }


def named_momenta(momenta: Params) -> Dict[str, np.ndarray]:
    """Momenta under names that parameters do not have."""
    return {_MOMENTUM + name: value for name, value in momenta.items()}


def cast(tensors: Mapping[str, np.ndarray], dtype: type) -> Params:
    """The same tensors, each as a new one of type `dtype`."""
    return {name: value.astype(dtype) for name, value in tensors.items()}
