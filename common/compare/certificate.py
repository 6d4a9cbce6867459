"""The facts that make two runs comparable, and the check that they are equal.

    differences = compare_certificates(a, b)      # empty: a fair comparison

Each worker states what it really used; nothing is taken over from the order it was given.
"""
from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Dict, List

import numpy as np

from common.network.layers import NetworkSpec
from common.network.optimizer import SGD
from common.network.params import Params, fingerprint


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
    precision: str
    device: str
    threads: str


def spec_hash(spec: NetworkSpec) -> str:
    """Hash of every layer and constant of a network."""
    return _hash(repr(spec).encode())


def order_hash(order: np.ndarray) -> str:
    """Hash of record numbers in the order they are trained on."""
    return _hash(np.ascontiguousarray(order, "<i8").tobytes())


def optimizer_text(optimizer: SGD) -> str:
    """Formula and constants of the optimiser."""
    return optimizer.formula


def params_hash(params: Params) -> str:
    return fingerprint(params)


def compare_certificates(a: Certificate, b: Certificate) -> Dict[str, List[str]]:
    """Facts that differ: name -> the two values. Empty when the two runs are comparable."""
    left, right = dataclasses.asdict(a), dataclasses.asdict(b)
    return {name: [str(left[name]), str(right[name])]
            for name in left if left[name] != right[name]}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
