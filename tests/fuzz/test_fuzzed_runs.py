"""Damaged checkpoints, configurations and logs of runs."""
from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Callable, List, Tuple

import numpy as np
import pytest
from fuzzing import (
    HEADS,
    SPEAKERS,
    Tally,
    anything,
    damaged_bytes,
    damaged_json,
    examine,
    fuzz,
    other_numbers,
    rearranged,
    text_of,
)
from hypothesis import strategies as st

from common.network import params as parameters
from common.network.architectures import build
from common.training.certificate import Certificate, Stretch
from common.training.checkpoint import Checkpoint, Part, load_checkpoint, save_checkpoint
from common.training.config import TrainingConfig, load_config, save_config
from common.training.run_folder import EpochRecord, read_log, run_data


def test_configuration(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "config.json"
    whole = dataclasses.asdict(TrainingConfig())
    save_config(path, TrainingConfig())

    def verify(config: TrainingConfig) -> None:
        assert dataclasses.asdict(config) == {**whole, **json.loads(text_of(path))}
        build(config.network, 2, config.width)

    fuzz(tally, path, st.one_of(damaged_json(whole), anything(path)), lambda: load_config(path), verify)


def small_checkpoint() -> Checkpoint:
    config = TrainingConfig(network="vgg_m", width=0.02)
    spec = build("vgg_m", len(SPEAKERS), config.width)
    certificate = Certificate("00ff", "11ff", "22ff", "33ff", "none", "w - m", "cosine", 8, 123, "float32", "cpu", "1")
    return Checkpoint(config, tuple(SPEAKERS), parameters.initialise(spec), parameters.zeros(spec), framework="numpy",
                      stretches=(Stretch(0, certificate, {"framework": "NumPy", "threads": "1"}),))


def test_checkpoint_bytes(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "last.npz"
    save_checkpoint(path, small_checkpoint())
    original = path.read_bytes()
    headers = [match.start() + offset for match in re.finditer(rb"PK|\x93NUMPY", original)
               for offset in (0, 4, 8, 10, 18, 22, 26, 60)]

    def verify(checkpoint: Checkpoint) -> None:
        """Check sums guard what lies in the file, so what was read is what was saved."""
        assert dataclasses.replace(checkpoint, params={}, momenta={}) == \
            dataclasses.replace(small_checkpoint(), params={}, momenta={})
        assert parameters.fingerprint(checkpoint.params) == parameters.fingerprint(small_checkpoint().params)
        assert parameters.fingerprint(checkpoint.momenta) == parameters.fingerprint(small_checkpoint().momenta)

    damaged = st.one_of(damaged_bytes(original, headers), anything(path))
    fuzz(tally, path, damaged, lambda: load_checkpoint(path), verify)


def test_checkpoint_tensors(tmp_path: Path, tally: Tally) -> None:
    """Whole files, one tensor of which holds other numbers; and files joined."""
    path = tmp_path / "last.npz"
    save_checkpoint(path, dataclasses.replace(small_checkpoint(), trained_on=frozenset(range(9))))
    whole = path.read_bytes()
    with np.load(path) as file:
        tensors = {name: file[name] for name in file.files}

    def with_tensor(changed: Tuple[str, np.ndarray]) -> bytes:
        stream = io.BytesIO()
        np.savez(stream, **{**tensors, changed[0]: changed[1]})
        return stream.getvalue()

    def verify(checkpoint: Checkpoint) -> None:
        with zipfile.ZipFile(path) as archive:  # which may stand behind other bytes; np.load judges by the first
            stored = {name: np.lib.format.read_array(archive.open(f"{name}.npy")) for name in tensors}
        for group, values in (("params", checkpoint.params), ("momenta", checkpoint.momenta)):
            for name, value in values.items():
                assert np.isfinite(value).all() and np.array_equal(value, stored[f"{group}:{name}"].astype(np.float32))
        assert checkpoint.trained_on == set(stored["trained_on:utterances"].tolist())

    names = st.sampled_from([name for name in tensors if not name.startswith("facts")])
    changed = names.flatmap(lambda name: st.tuples(st.just(name), other_numbers(tensors[name])))
    fuzz(tally, path, st.one_of(changed.map(with_tensor), changed.map(with_tensor), rearranged([whole, whole, *HEADS])),
         lambda: load_checkpoint(path), verify)


def test_checkpoint_facts(tmp_path: Path, tally: Tally) -> None:
    """The JSON inside an otherwise whole checkpoint."""
    path = tmp_path / "last.npz"
    save_checkpoint(path, small_checkpoint())
    with np.load(path) as file:
        tensors = {name: file[name] for name in file.files}
    stored = tensors["facts:json"].tobytes()

    def with_facts(damaged: bytes) -> bytes:
        stream = io.BytesIO()
        np.savez(stream, **{**tensors, "facts:json": np.frombuffer(damaged, np.uint8)})
        return stream.getvalue()

    def verify(checkpoint: Checkpoint) -> None:
        with np.load(path) as file:
            stated = json.loads(file["facts:json"].tobytes())
        assert dataclasses.asdict(checkpoint.config) == {**dataclasses.asdict(TrainingConfig()), **stated.pop("config")}
        assert list(checkpoint.speakers) == stated.pop("speakers") and stated.pop("format") == 1
        assert [dataclasses.asdict(stretch) for stretch in checkpoint.stretches] == stated.pop("stretches", [])
        assert dataclasses.asdict(checkpoint.part) == {**dataclasses.asdict(Part()), **stated.pop("part", {})}
        assert {name: getattr(checkpoint, name) for name in stated} == stated

    damaged = st.one_of(damaged_json(json.loads(stored)), damaged_bytes(stored)).map(with_facts)
    fuzz(tally, path, damaged, lambda: load_checkpoint(path), verify)


def test_log_of_a_run(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "log.jsonl"
    record = EpochRecord(1, 100, 0.01, 2.5, 0.25, 2.25, 0.5, 12.5, 60.0)
    path.write_text((json.dumps(dataclasses.asdict(record)) + "\n") * 2)

    def verify(records: List[EpochRecord]) -> None:
        sound = []
        for line in path.read_text(errors="replace").split("\n"):
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                values = json.loads(line)
                if all(value is None or type(value) in (int, float) for value in values.values()):
                    sound.append(EpochRecord(**values))
        assert [repr(found) for found in records] == [repr(each) for each in sound]  # NaN is not equal to itself

    fuzz(tally, path, anything(path), lambda: read_log(tmp_path), verify)


def test_list_of_a_runs_data(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "data.json"
    path.write_text('["/data/one", "/data/two"]')

    def verify(paths: List[Path]) -> None:
        assert [str(Path(stated)) for stated in json.loads(text_of(path))] == [str(found) for found in paths]

    fuzz(tally, path, st.one_of(damaged_json(["/data/one", "two"]), anything(path)), lambda: run_data(tmp_path), verify)


@pytest.mark.parametrize("make", [
    lambda stream: np.savez(stream, **{"facts:json": np.array([print], dtype=object)}),
    lambda stream: np.savez_compressed(stream, **{"params:x": np.zeros(10**8, np.uint8)}),
    lambda stream: np.save(stream, np.array([print], dtype=object), allow_pickle=True),
], ids=["pickle", "bomb", "bare-pickle"])
def test_hostile_checkpoints(tmp_path: Path, make: Callable[[io.BytesIO], None]) -> None:
    path, stream, tally = tmp_path / "last.npz", io.BytesIO(), Tally()
    make(stream)
    examine(tally, path, stream.getvalue(), lambda: load_checkpoint(path), lambda result: pytest.fail("was read"))
    assert tally.refused == 1
