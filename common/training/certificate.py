"""The facts that make two runs comparable, and the check that they are equal.

    differences = compare_certificates(certify(model, ...), certify(other_model, ...))
    differences = compare_runs(checkpoint.stretches, other.stretches)    # empty: a fair comparison

Each framework states what it really used; nothing is taken over from the order it was given. What
it could not have in common with the other, its version and libraries, is stated beside.
"""
from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Dict, List

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

_WORDS = {"network": "specification", "optimizer": "optimiser", "device": "device kind",
          "macs": "multiply-accumulates"}


@dataclass(frozen=True)
class Certificate:
    """What has to be the same on both sides; hashes are 16 hexadecimal digits."""

    network: str  # hash of the whole specification
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
    """What is stated of a side: all that its framework says of itself, and what it stands on."""
    return {**model.facts(), **{name: describe()[name] for name in ("processor", "python", "numpy")}}


def spec_hash(spec: NetworkSpec) -> str:
    """Hash of every layer and constant of a network."""
    return _hash(repr(spec).encode())


def order_hash(order: np.ndarray) -> str:
    """Hash of record numbers in the order they are trained on."""
    return _hash(np.ascontiguousarray(order, "<i8").tobytes())


def compare_certificates(a: Certificate, b: Certificate) -> Differences:
    """Facts that differ. Empty when the two runs are comparable."""
    left, right = dataclasses.asdict(a), dataclasses.asdict(b)
    return {name: [str(left[name]), str(right[name])]
            for name in left if left[name] != right[name]}


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
