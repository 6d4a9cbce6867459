"""What a training run certifies of itself, and that two trained models are compared by it."""
from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy_twin
import pytest

from common.commands.predictions import comparable
from common.data.dataset import open_dataset
from common.data.splits import load_split, split_dataset
from common.files import make_folder
from common.training.certificate import Certificate, Stretch, compare_stretches, differing_facts
from common.training.checkpoint import Checkpoint, load_checkpoint
from common.training.config import TrainingConfig
from common.training.loop import Trainer, fresh
from common.training.run_folder import resume, start_run

CONFIG = TrainingConfig(network="tdnn", width=0.02, epochs=2, batch_size=8, crop_frames=60)
VALUES: Dict[str, Any] = {name: f"this {name}" for name in (f.name for f in dataclasses.fields(Certificate))}
CERTIFICATE = Certificate(**{**VALUES, "batch_size": 8, "macs": 100})
FACTS = {"framework": "TensorFlow 2", "blas": "Eigen 3", "convolutions": "oneDNN 3", "engine": "Eigen", "layout": "NHWC",
         "processor": "a fast one", "python": "3.9", "numpy": "1.23"}
OTHERS = {**{name: f"that {name}" for name in FACTS}, "framework": "Caffe2"}
RUN = (Stretch(0, CERTIFICATE, FACTS),)


def other_certificate(name: str) -> Certificate:
    value = getattr(CERTIFICATE, name)
    return dataclasses.replace(CERTIFICATE, **{name: value + 1 if isinstance(value, int) else f"that {name}"})


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Certificate)])
def test_every_fact_that_differs_is_named_with_both_values(name: str) -> None:
    other = other_certificate(name)
    expected = {name: [str(getattr(CERTIFICATE, name)), str(getattr(other, name))]}
    assert compare_stretches(RUN, (Stretch(0, other, OTHERS),)) == expected
    text = comparison(RUN, (Stretch(0, other, OTHERS),))
    assert text.startswith("NOT COMPARABLE as frameworks") and differing_facts(expected) in text


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Certificate)])
def test_every_fact_that_changes_on_the_way_is_named(name: str) -> None:
    changed = (*RUN, Stretch(3, other_certificate(name), FACTS))
    (named, (steady, told)), = compare_stretches(RUN, changed).items()
    assert named == name and told == f"{steady}, from epoch 4 on {getattr(changed[1].certificate, name)}"


@pytest.mark.parametrize("name", sorted({*FACTS} - {"layout"}))
def test_what_is_stated_may_differ_but_not_change(name: str) -> None:
    assert compare_stretches(RUN, (Stretch(0, CERTIFICATE, {**FACTS, name: "other"}),)) == {}
    assert compare_stretches(RUN, (Stretch(0, CERTIFICATE, {n: v for n, v in FACTS.items() if n != name}),)) == {}
    changed = (*RUN, Stretch(1, CERTIFICATE, {**FACTS, name: "other"}))
    for a, b in ((RUN, changed), (changed, RUN), (changed, changed)):
        assert set(compare_stretches(a, b)) == {name}
    assert compare_stretches(RUN, changed)[name] == [FACTS[name], f"{FACTS[name]}, from epoch 2 on other"]


@pytest.mark.parametrize("name", ["algorithm", "layout"])
def test_ways_of_computing_the_same_may_change(name: str) -> None:
    """They are chosen on the machine at hand: a run that goes on elsewhere goes on in what is quickest there."""
    changed = (Stretch(0, CERTIFICATE, {**FACTS, name: "one"}), Stretch(1, CERTIFICATE, {**FACTS, name: "other"}))
    assert compare_stretches(RUN, changed) == compare_stretches(changed, changed) == {}


def test_a_stop_by_itself_changes_nothing() -> None:
    assert compare_stretches((*RUN, Stretch(1, CERTIFICATE, FACTS), Stretch(2, CERTIFICATE, FACTS)), RUN) == {}


def comparison(*runs: Tuple[Stretch, ...]) -> str:
    """What `compare.py predictions` says under its table."""
    return comparable([Checkpoint(CONFIG, ("Ada", "Bea"), {}, {}, stretches=run) for run in runs])


def test_comparable_models_are_called_so() -> None:
    text = comparison(RUN, (Stretch(0, CERTIFICATE, OTHERS),))
    assert text.startswith("Comparable: same specification, initial parameters, data, order, crops, optimiser, ")
    assert text.endswith("TensorFlow 2 (Eigen 3; oneDNN 3) against Caffe2 (that blas; that convolutions)")


def test_without_a_certificate_nothing_is_claimed() -> None:
    text = comparison((), RUN)
    assert text.startswith("CANNOT TELL") and "the first carries no certificate" in text
    assert "first" not in comparison(RUN, ())


# Training writes it

def train(folder: Path, data: Path, epochs: int = 2, **methods: Callable) -> List[Stretch]:
    """Train in `folder` up to so many epochs, on a twin whose model has other methods; what it certifies."""
    dataset = open_dataset([data])
    if (folder / "last.npz").exists():
        checkpoint, split = resume(folder), load_split(folder / "split.json", dataset)
    else:
        checkpoint, split = fresh(CONFIG, dataset), split_dataset(dataset)
        make_folder(folder)
        start_run(folder, checkpoint, dataset, split, [data])
    twin = numpy_twin.load(type("Model", (numpy_twin.Model,), methods))

    def stop(record: Any) -> None:
        if record.epoch == epochs:
            raise KeyboardInterrupt

    try:
        Trainer(twin, dataset, split, checkpoint, folder).run(lambda *_: None, stop)
    except KeyboardInterrupt:
        pass
    stretches = load_checkpoint(folder / "last.npz").stretches
    assert json.loads((folder / "certificate.json").read_text()) == [dataclasses.asdict(s) for s in stretches]
    return list(stretches)


def facts_with(**changed: str) -> Callable:
    return lambda self: {**numpy_twin.Model.facts(self), **changed}


def test_a_run_is_certified_in_its_folder_and_its_checkpoints(tiny_data: Path, tmp_path: Path) -> None:
    stretch, = train(tmp_path, tiny_data)
    assert stretch.epoch == 0 and stretch.certificate.data == open_dataset([tiny_data]).fingerprint()
    assert stretch.certificate.batch_size == 8 and "total_steps=6" in stretch.certificate.schedule
    assert stretch.facts["framework"].startswith("NumPy") and stretch.facts["blas"] == "NumPy's"
    assert {"processor", "python", "numpy", "layout", "engine", "convolutions"} <= set(stretch.facts)
    assert load_checkpoint(tmp_path / "best.npz").stretches == (stretch,)


def test_a_resumed_run_is_the_same_run(tiny_data: Path, tmp_path: Path) -> None:
    first, second = train(tmp_path / "stopped", tiny_data, epochs=1), train(tmp_path / "stopped", tiny_data)
    assert second == [*first, dataclasses.replace(first[0], epoch=1)]
    assert compare_stretches(second, train(tmp_path / "whole", tiny_data)) == {}


@pytest.mark.parametrize("name", ["framework", "threads", "device", "precision", "blas", "engine"])
def test_a_run_resumed_in_another_way_says_so(tiny_data: Path, tmp_path: Path, name: str) -> None:
    whole_run = train(tmp_path / "whole", tiny_data)
    train(tmp_path / "run", tiny_data, epochs=1)
    mixed = train(tmp_path / "run", tiny_data, facts=facts_with(**{name: "another"}))
    assert set(compare_stretches(whole_run, mixed)) == {name}
    assert compare_stretches(whole_run, mixed)[name][1].endswith(", from epoch 2 on another")


def test_what_a_resumed_run_computes_otherwise_is_told_where_something_is_left(tiny_data: Path, tmp_path: Path) -> None:
    dataset = open_dataset([tiny_data])

    def told(**facts: str) -> str:
        twin = numpy_twin.load(type("Model", (numpy_twin.Model,), {"facts": facts_with(**facts)}))
        checkpoint = resume(tmp_path) or fresh(CONFIG, dataset)
        return Trainer(twin, dataset, load_split(tmp_path / "split.json", dataset), checkpoint, tmp_path).otherwise

    train(tmp_path, tiny_data, epochs=1)
    assert told() == told(malloc="another") == ""
    assert told(threads="2", algorithm="fast") == "threads 2, before 1; algorithm fast, before direct"
    train(tmp_path, tiny_data)
    assert told(threads="2") == "", "nothing is left to compute"


def test_an_epoch_that_was_not_finished_leaves_no_trace(tiny_data: Path, tmp_path: Path) -> None:
    first = train(tmp_path, tiny_data, epochs=1)
    dataset = open_dataset([tiny_data])
    twin = numpy_twin.load(type("Model", (numpy_twin.Model,), {"facts": facts_with(framework="another")}))
    trainer = Trainer(twin, dataset, load_split(tmp_path / "split.json", dataset), resume(tmp_path), tmp_path)
    with pytest.raises(ZeroDivisionError):
        trainer.run(lambda *_: 1 / 0, lambda record: None)
    assert compare_stretches(train(tmp_path, tiny_data), first) == {}


def test_the_certificate_moves_with_the_model(tiny_data: Path, tmp_path: Path) -> None:
    run = train(tmp_path / "run", tiny_data)
    moved = shutil.copy(tmp_path / "run" / "best.npz", tmp_path / "elsewhere.npz")
    assert list(load_checkpoint(Path(moved)).stretches) == run
