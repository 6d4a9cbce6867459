"""The facts that make two runs comparable, and the check that they are equal.

    differences = compare_certificates(certify(model, ...), certify(other_model, ...))
    differences = compare_stretches(checkpoint.stretches, other.stretches)    # empty: a fair comparison

Each framework states what it really used; nothing is taken over from the order it was given. What
it could not have in common with the other, its version and libraries, is stated beside.
"""
from __future__ import annotations

import dataclasses
import datetime
import hashlib
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from common.data.batches import epoch_order
from common.data.dataset import Dataset
from common.data.splits import Split
from common.machine import describe
from common.network.layers import NetworkSpec
from common.network.optimizer import Schedule
from common.network.params import fingerprint
from common.training.config import TrainingConfig
from common.twin import Model

# Differences between two runs: name of the fact -> its two values.
Differences = Dict[str, List[str]]

# Stated, not compared: when it was, and what is chosen for convolutions, see common.speed.convolutions.
_CHOSEN = ("date", "algorithm", "layout")
_WORDS = {"network": "specification", "optimizer": "optimiser", "device": "device kind",
          "macs": "multiply-accumulates"}


@dataclass(frozen=True)
class Certificate:
    """What has to be the same on both sides; hashes are 16 hexadecimal digits."""

    network: str  # hash of the whole specification, the targets of its loss included
    initial_parameters: str  # hash of what the framework gave back before the first step
    data: str  # hash of labels and values
    order: str  # hash of the order of the first epoch
    crops: str  # and masks of training utterances
    optimizer: str  # formula and constants
    schedule: str
    batch_size: int
    macs: int  # multiply-accumulates of an utterance of full length
    precision: str
    device: str
    threads: str


@dataclass(frozen=True)
class Stretch:
    """A part of a training run that went without a stop, so in one framework."""

    epoch: int  # whole epochs done before it
    certificate: Certificate
    facts: Dict[str, str]  # stated, see `stated_facts`


def certify(model: Model, config: TrainingConfig, dataset: Dataset, split: Split,
            schedule: Schedule) -> Certificate:
    """The certificate of a model that has not been trained yet, for training on `split`."""
    facts = model.facts()
    return Certificate(
        network=spec_hash(model.spec),
        initial_parameters=fingerprint(model.params()),
        data=dataset.fingerprint(),
        order=order_hash(epoch_order(split.train, config.seed, 0)),
        crops=f"crop_frames={config.crop_frames}, {config.augmentation}",
        optimizer=model.optimizer.formula,
        schedule=", ".join(f"{name}={value}" for name, value in dataclasses.asdict(schedule).items()),
        batch_size=config.batch_size, macs=model.spec.macs(),
        precision=facts["precision"], device=facts["device"], threads=facts["threads"])


def stated_facts(model: Model) -> Dict[str, str]:
    """What is stated of a side: all that its framework says of itself, what it stands on, and the day."""
    machine = describe()
    beneath = {name: machine[name] for name in ("processor", "python", "numpy", "blas of numpy", "malloc")}
    return {"date": datetime.date.today().isoformat(), **model.facts(), **beneath}


def spec_hash(spec: NetworkSpec) -> str:
    """Hash of every layer and constant of a network."""
    # Where nothing is smoothed as it was hashed before there was smoothing: stored runs have that.
    smoothing = f", label smoothing {spec.label_smoothing}" if spec.label_smoothing else ""
    return _hash(f"{spec!r}{smoothing}".encode())


def order_hash(order: np.ndarray) -> str:
    """Hash of record numbers in the order they are trained on."""
    return _hash(np.ascontiguousarray(order, "<i8").tobytes())


def compare_certificates(a: Certificate, b: Certificate) -> Differences:
    """Facts that differ. Empty when the two runs are comparable."""
    left, right = dataclasses.asdict(a), dataclasses.asdict(b)
    return {name: [str(left[name]), str(right[name])]
            for name in left if left[name] != right[name]}


def compare_stretches(a: Sequence[Stretch], b: Sequence[Stretch]) -> Differences:
    """The same for two training runs: facts that differ, or that changed in the middle of a run.

    A run that went on in another framework, or another version, is neither framework's. Ways of computing
    the same are chosen on the machine at hand, so they may change.
    """
    names = [field.name for field in dataclasses.fields(Certificate)]
    told = [{name: _told(run, [str(getattr(stretch.certificate, name)) for stretch in run])
             for name in names} for run in (a, b)]
    differences = {name: [one[name] for one in told] for name in names
                   if told[0][name] != told[1][name]}
    stated = dict.fromkeys(name for run in (a, b) for stretch in run for name in stretch.facts
                           if name not in (*names, *_CHOSEN))
    for name in stated:
        values = [[stretch.facts.get(name, "not stated") for stretch in run] for run in (a, b)]
        if any(len(set(each)) > 1 for each in values):
            differences[name] = [_told(run, each) for run, each in zip((a, b), values)]
    return differences


def otherwise(before: Stretch, now: Stretch) -> str:
    """What computes differently in a run's next stretch, in words; "" where the bits are as if there were but one."""
    # What of these a stretch cannot do without is in its numbers: the day and who gives memory are not.
    changed = {name: [now.facts.get(name, "not stated"), value] for name, value in before.facts.items()
               if name not in ("date", "malloc") and now.facts.get(name) != value}
    return "; ".join(f"{name} {values[0]}, before {values[1]}" for name, values in changed.items())


def _told(run: Sequence[Stretch], values: Sequence[str]) -> str:
    """A fact of a run, with the epochs (counted from 1) at which it changed."""
    text = values[0]
    for stretch, before, value in zip(run[1:], values, values[1:]):
        if value != before:
            text += f", from epoch {stretch.epoch + 1} on {value}"
    return text


def read_stretches(values: Any) -> Tuple[Stretch, ...]:
    """Stretches from their JSON form. Raises ValueError or TypeError for anything else."""
    stretches = tuple(Stretch(value["epoch"], Certificate(**value["certificate"]),
                              dict(value["facts"])) for value in values)
    plain = [dataclasses.asdict(stretch) for stretch in stretches]
    epochs = [stretch.epoch for stretch in stretches]
    if plain != values or not all(type(epoch) is int for epoch in epochs) or sorted(epochs) != epochs:
        raise ValueError("no list of a run's stretches")
    for stretch in plain:
        numbers = [stretch["certificate"].pop(name) for name in ("batch_size", "macs")]
        texts = [*stretch["certificate"].values(), *stretch["facts"], *stretch["facts"].values()]
        if not all(type(number) is int for number in numbers) or not all(map(_presentable, texts)):
            raise ValueError("facts of a certificate are damaged")
    return stretches


def _presentable(text: Any) -> bool:
    return isinstance(text, str) and text.isprintable() and len(text) <= 500


def same_facts() -> str:
    """What is the same where two runs are comparable, in words."""
    names = [field.name for field in dataclasses.fields(Certificate)]
    return ", ".join(_WORDS.get(name, name.replace("_", " ")) for name in names)


def differing_facts(differences: Differences) -> str:
    """What differs where two runs are not comparable, with both values."""
    return "; ".join(f"{name}: {values[0]} against {values[1]}"
                     for name, values in differences.items())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
