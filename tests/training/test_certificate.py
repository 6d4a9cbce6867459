"""Whatever differs between two runs is named; two equal runs have nothing to name."""
from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict, Set

import numpy as np
import numpy_twin
import pytest
from tiny_data import write_data

from common.compare.session import Session
from common.network.architectures import build
from common.speed.bench import Work
from common.training.certificate import Certificate, compare_certificates, order_hash, spec_hash
from common.training.config import TrainingConfig
from common.twin import Twin

CONFIG = TrainingConfig(network="tdnn", width=0.02, batch_size=4, epochs=2)


def certify(data: Path, config: Dict[str, Any], twin: Twin) -> Certificate:
    """The certificate of a session of its own, as a worker process opens it."""
    values = {**dataclasses.asdict(CONFIG), **config}
    work = Work(values["network"], 4, values["width"], batch_size=4, seed=values["seed"], data=[str(data)],
                label_smoothing=values["label_smoothing"])
    opened = Session(lambda: twin).open(dataclasses.asdict(work), values)
    return Certificate(**opened["certificate"])


def twin_whose(**methods: Callable) -> Twin:
    """The NumPy twin with other methods of its model."""
    return numpy_twin.load(type("Model", (numpy_twin.Model,), methods))


def one_bit_off(self: numpy_twin.Model) -> Dict[str, np.ndarray]:
    params = numpy_twin.Model.params(self)
    params["frame3/weight"].view(np.uint32)[0, 0, 0, 0] ^= 1
    return params


def facts_with(name: str, value: str) -> Callable:
    return lambda self: {**numpy_twin.Model.facts(self), name: value}


@pytest.fixture(scope="module")
def equal(tiny_data: Path) -> Certificate:
    return certify(tiny_data, {}, numpy_twin.load())


# Each field -> (settings, model's methods, all fields that must differ then)
CASES: Dict[str, tuple] = {
    "network": ({"width": 0.03}, {}, {"network", "initial_parameters", "macs"}),
    "initial_parameters": ({}, {"params": one_bit_off}, {"initial_parameters"}),
    "data": ({}, {}, {"data"}),  # other data, see the test
    "order": ({"seed": 1}, {}, {"order", "initial_parameters"}),
    "crops": ({"crop_frames": 150}, {}, {"crops"}),
    "optimizer": ({"momentum": 0.8}, {}, {"optimizer"}),
    "schedule": ({"final_learning_rate": 1e-3}, {}, {"schedule"}),
    "batch_size": ({"batch_size": 6}, {}, {"batch_size", "schedule"}),
    "macs": ({"width": 0.03}, {}, {"network", "initial_parameters", "macs"}),
    "precision": ({}, {"facts": facts_with("precision", "TF32")}, {"precision"}),
    "device": ({}, {"facts": facts_with("device", "gpu")}, {"device"}),
    "threads": ({}, {"facts": facts_with("threads", "2")}, {"threads"}),
}


def test_every_field_has_a_case() -> None:
    assert set(CASES) == {field.name for field in dataclasses.fields(Certificate)}


@pytest.mark.parametrize("field", CASES)
def test_what_differs_is_named(field: str, equal: Certificate, tiny_data: Path, tmp_path: Path) -> None:
    settings, methods, expected = CASES[field]
    data = write_data(tmp_path / "voices", seed=1) if field == "data" else tiny_data
    other = certify(data, settings, twin_whose(**methods))
    differences = compare_certificates(equal, other)
    assert set(differences) == expected
    assert differences[field] == [str(getattr(equal, field)), str(getattr(other, field))]
    assert differences[field][0] != differences[field][1]


@pytest.mark.parametrize("settings, expected", [
    ({"time_mask": 5}, {"crops"}), ({"frequency_mask": 5}, {"crops"}), ({"weight_decay": 0.0}, {"optimizer"}),
    ({"learning_rate": 0.02}, {"schedule"}), ({"schedule": "cosine"}, {"schedule"}), ({"epochs": 3}, {"schedule"}),
    ({"network": "vgg_m"}, {"network", "initial_parameters", "macs"}), ({"label_smoothing": 0.1}, {"network"}),
])
def test_every_setting_is_in_some_fact(settings: Dict[str, Any], expected: Set[str], equal: Certificate,
                                       tiny_data: Path) -> None:
    assert set(compare_certificates(equal, certify(tiny_data, settings, numpy_twin.load()))) == expected


def test_the_settings_of_a_run_are_all_tried_above() -> None:
    tried = {name for settings, _, _ in CASES.values() for name in settings}
    tried |= {"recipe", "patience"}  # a name: what it sets is in the others; and where a run ends, which its log tells
    tried |= {"time_mask", "frequency_mask", "weight_decay", "learning_rate", "schedule", "epochs", "network", "label_smoothing"}
    assert tried == {field.name for field in dataclasses.fields(TrainingConfig)}


def test_equal_runs_have_no_differences(equal: Certificate, tiny_data: Path) -> None:
    assert compare_certificates(equal, certify(tiny_data, {}, numpy_twin.load())) == {}


def test_hashes_see_small_things() -> None:
    assert order_hash(np.array([1, 2, 3])) != order_hash(np.array([1, 3, 2]))
    assert order_hash(np.array([1, 2], np.int32)) == order_hash(np.array([1, 2], np.int64))
    spec = build("vgg_m", 5)
    other = dataclasses.replace(spec, layers=tuple(
        dataclasses.replace(layer, epsilon=1e-3) if layer.name == "fc7_bn" else layer for layer in spec.layers))
    assert spec_hash(spec) == spec_hash(build("vgg_m", 5)) != spec_hash(other)
    assert spec_hash(spec) != spec_hash(build("vgg_m", 6))
