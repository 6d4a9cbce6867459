"""Checkpoints: whole again after a round trip, never half written, and refused when they are not ours."""
from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import pytest
from commands import PATHS

from common.errors import UserError
from common.network import params as parameters
from common.network.architectures import build
from common.training.certificate import Certificate, Stretch
from common.training.checkpoint import Checkpoint, Part, load_checkpoint, save_checkpoint
from common.training.config import TrainingConfig

CONFIG = TrainingConfig(network="tdnn", width=0.02, epochs=9)
SPEAKERS = ("Ada", "Bea", "Zoë, the \"third\"")
CERTIFICATE = Certificate("00ff", "11ff", "22ff", "33ff", "crop_frames=None, None", "w - m", "kind=cosine", 8, 123, "float32",
                          "cpu", "1")
STRETCHES = (Stretch(0, CERTIFICATE, {"framework": "NumPy 1", "blas": "OpenBLAS"}),
             Stretch(2, dataclasses.replace(CERTIFICATE, threads="2"), {"framework": "NumPy 2", "blas": "OpenBLAS"}))
FACTS = dict(epoch=3, step=21, dev_top1=0.25, best_dev_top1=0.5, framework="NumPy", scale="log", normalised=True,
             synthetic=True, temperature=1.5, part=Part(2, 1.25, 7, 0.5), stretches=STRETCHES,
             trained_on=frozenset([3, 2**64 - 1, 2**63]))


def checkpoint(seed: int = 0, **facts: Any) -> Checkpoint:
    spec = build(CONFIG.network, len(SPEAKERS), CONFIG.width)
    random = np.random.default_rng(seed)
    momenta = {name: random.standard_normal(value.shape, np.float32)
               for name, value in parameters.zeros(spec).items()}
    return Checkpoint(CONFIG, SPEAKERS, parameters.initialise(spec, seed), momenta, **facts)


def assert_equal(actual: Checkpoint, expected: Checkpoint) -> None:
    for field in dataclasses.fields(Checkpoint):
        if field.name not in ("params", "momenta"):
            assert getattr(actual, field.name) == getattr(expected, field.name), field.name
    for group in ("params", "momenta"):
        assert parameters.fingerprint(getattr(actual, group)) == parameters.fingerprint(getattr(expected, group))


@pytest.fixture()
def path(tmp_path: Path) -> Path:
    path = tmp_path / "last.npz"
    save_checkpoint(path, checkpoint(**FACTS))
    return path


def tensors_of(path: Path) -> Dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def with_facts(path: Path, **changed: Any) -> None:
    """Write the checkpoint again with other facts; ... removes one."""
    tensors = tensors_of(path)
    facts = {**json.loads(tensors["facts:json"].tobytes()), **changed}
    text = json.dumps({name: value for name, value in facts.items() if value is not ...})
    np.savez(path, **{**tensors, "facts:json": np.frombuffer(text.encode(), np.uint8)})


@pytest.mark.parametrize("facts", [FACTS, {}], ids=["everything known", "defaults"])
def test_round_trip(path: Path, facts: Dict[str, Any]) -> None:
    save_checkpoint(path, checkpoint(**facts))
    assert_equal(load_checkpoint(path), checkpoint(**facts))
    assert set(FACTS) == {f.name for f in dataclasses.fields(Checkpoint)} - {"config", "speakers", "params", "momenta"}


def test_spec_is_that_of_its_own_configuration(path: Path) -> None:
    assert load_checkpoint(path).spec == build("tdnn", 3, 0.02)


def test_the_same_checkpoint_is_the_same_file(path: Path) -> None:
    before = path.read_bytes()
    save_checkpoint(path, load_checkpoint(path))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["last.npz"]


def test_one_for_use_alone_has_half_the_size_and_no_momenta(path: Path) -> None:
    whole = load_checkpoint(path)
    save_checkpoint(path.with_name("half.npz"), dataclasses.replace(whole, params=parameters.halved(whole.params), momenta={}))
    half = load_checkpoint(path.with_name("half.npz"))
    assert dataclasses.replace(half, params=whole.params, momenta=whole.momenta) == whole
    assert not any(np.any(value) for value in half.momenta.values()) and list(half.momenta) == list(whole.momenta)
    for name, value in half.params.items():
        assert value.dtype == np.float32
        exact = whole.params[name] if value.ndim < 2 else whole.params[name].astype(np.float16)
        np.testing.assert_array_equal(value, exact)
    sizes = [sum(np.load(file)[name].nbytes for name in np.load(file).files if name[:2] in ("pa", "mo")) for file in
             (path, path.with_name("half.npz"))]
    assert sizes[1] < 0.3 * sizes[0]


def test_a_weight_beyond_half_precision_is_told() -> None:
    with pytest.raises(UserError, match="frame1/weight holds weights beyond 65504"):
        parameters.halved({"bias": np.full(3, 1e5, np.float32), "frame1/weight": np.full((3, 3), 1e5, np.float32)})


PLAIN = [dataclasses.asdict(stretch) for stretch in STRETCHES]


@pytest.mark.parametrize("stretches", [
    None, 1, "text", {}, [1], [[]], [{}], [{**PLAIN[0], "epoch": "0"}], [{**PLAIN[0], "epoch": True}], PLAIN[::-1],
    [{**PLAIN[0], "more": 1}], [{**PLAIN[0], "facts": [["a", "b"]]}], [{**PLAIN[0], "facts": {"a": 1}}],
    [{**PLAIN[0], "facts": {"a": "\x1b[2J"}}], [{**PLAIN[0], "facts": {"a": "x" * 501}}],
    [{**PLAIN[0], "certificate": {**PLAIN[0]["certificate"], "threads": 1}}],
    [{**PLAIN[0], "certificate": {**PLAIN[0]["certificate"], "macs": "1"}}],
    [{**PLAIN[0], "certificate": {**PLAIN[0]["certificate"], "extra": "1"}}],
    [{**PLAIN[0], "certificate": {"threads": "1"}}], [{**PLAIN[0], "certificate": None}],
], ids=str)
def test_damaged_certificates_are_refused(path: Path, stretches: Any) -> None:
    with_facts(path, stretches=stretches)
    with pytest.raises(UserError, match="last.npz is no checkpoint"):
        load_checkpoint(path)


def test_cut_anywhere(path: Path) -> None:
    whole = path.read_bytes()
    for length in [0, 1, 3, 4, 100, *range(1000, len(whole), len(whole) // 23), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="last.npz"):
            load_checkpoint(path)


def test_a_flipped_bit_in_a_tensor_is_noticed(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 16
    path.write_bytes(whole)
    with pytest.raises(UserError, match="last.npz"):
        load_checkpoint(path)


def write_foreign(stream: io.BytesIO) -> None:
    np.savez(stream, weights=np.zeros(3))


def write_array(stream: io.BytesIO) -> None:
    np.save(stream, np.zeros(3))


@pytest.mark.parametrize("write", [
    write_foreign, write_array, lambda stream: stream.write(b"RIFF" + bytes(100)),
    lambda stream: stream.write(b"\x80\x04N."),  # a pickle
], ids=["another npz", "an npy", "a wav", "a pickle"])
def test_foreign_files(path: Path, write: Callable[[io.BytesIO], None]) -> None:
    stream = io.BytesIO()
    write(stream)
    path.write_bytes(stream.getvalue())
    with pytest.raises(UserError, match="last.npz"):
        load_checkpoint(path)


class Evil:
    """Unpickling it makes a folder."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.trace),)


def test_pickles_are_refused_and_never_run(path: Path) -> None:
    trace = path.with_name("unpickled")
    np.savez(path, **{**tensors_of(path), "params:frame1/bias": np.array([Evil(trace)], dtype=object)})
    with pytest.raises(UserError, match="last.npz"):
        load_checkpoint(path)
    assert not trace.exists()


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing.npz"):
        load_checkpoint(tmp_path / "nothing.npz")
    with pytest.raises(UserError, match=str(tmp_path)):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("changed, named", [
    ({"format": 2}, "another version"), ({"format": ...}, "no checkpoint"), ({"epoch": ...}, "another version"),
    ({"temperature": 0}, "temperature"), ({"temperature": "1"}, "temperature"), ({"temperature": 99.0}, "temperature"),
    ({"extra": 1}, "another version"), ({"epoch": -1}, "epoch"), ({"step": "7"}, "step"),
    ({"speakers": "Ada"}, "speakers"), ({"speakers": [1, 2, 3]}, "speakers"), ({"speakers": ["Ada", "Bea"]}, "segment7"),
    ({"config": {"network": "tdnn", "widht": 0.02}}, "widht"), ({"config": []}, "configuration"),
    ({"config": dataclasses.asdict(dataclasses.replace(CONFIG, width=0.03))}, "shape"),
    ({"config": dataclasses.asdict(dataclasses.replace(CONFIG, network="vgg_m"))}, "missing"),
])
def test_facts_that_do_not_fit(path: Path, changed: Dict[str, Any], named: str) -> None:
    with_facts(path, **changed)
    with pytest.raises(UserError, match=f"last.npz.*{named}"):
        load_checkpoint(path)


@pytest.mark.parametrize("name, value, named", [
    ("params:frame1/bias", None, "missing.*frame1/bias"),
    ("params:extra", np.zeros(2, np.float32), "unknown.*extra"),
    ("params:frame1/bias", np.zeros(99, np.float32), "frame1/bias has shape"),
    ("params:frame1/bias", np.full(5, np.nan, np.float32), "frame1/bias.*not finite"),
    ("params:frame1/bias", np.zeros(5, np.int32), "frame1/bias"),
    ("momenta:frame1/bias", None, "momentum.*missing.*frame1/bias"),
    ("params:frame1/bias", np.full(5, 1e300), "frame1/bias.*not finite"),  # in float32 it is infinite
    ("trained_on:utterances", np.zeros(3, np.int64), "utterances it was trained on is damaged"),
    ("trained_on:utterances", np.zeros((3, 1), np.uint64), "utterances it was trained on is damaged"),
    ("trained_on:more", np.zeros(3, np.uint64), "utterances it was trained on is damaged"),
    ("momenta:frame1_bn/running_mean", np.zeros(5, np.float32), "momentum.*unknown.*running_mean"),
])
def test_tensors_that_do_not_fit(path: Path, name: str, value: Any, named: str) -> None:
    tensors = {**tensors_of(path), name: value}
    np.savez(path, **{key: tensor for key, tensor in tensors.items() if tensor is not None})
    with pytest.raises(UserError, match=f"last.npz.*{named}"):
        load_checkpoint(path)


SAVE_FOR_EVER = """
import sys
from pathlib import Path
from test_checkpoint import checkpoint, save_checkpoint
print("ready", flush=True)
number = 0
while True:
    number += 1
    save_checkpoint(Path(sys.argv[1]), checkpoint(seed=number % 3, epoch=number))
"""


def test_killed_while_saving_leaves_a_whole_file(path: Path) -> None:
    for delay in (0.001, 0.004, 0.009):
        process = subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, str(path)], stdout=subprocess.PIPE,
                                   cwd=Path(__file__).parent, env={"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"})
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(0.1 + delay)
        process.kill()
        process.communicate()
        found = load_checkpoint(path)
        assert found.epoch > 0
        assert_equal(found, checkpoint(seed=found.epoch % 3, epoch=found.epoch))


def test_stopped_in_the_middle_of_saving_keeps_the_old(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def half(file: Any, **tensors: np.ndarray) -> None:
        file.write(before[:5000])
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, checkpoint(epoch=9))
    assert path.read_bytes() == before


def test_a_full_disk_is_the_users_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(file: Any, **tensors: np.ndarray) -> None:
        file.write(b"something")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UserError, match="last.npz.*No space left"):
        save_checkpoint(path, checkpoint())
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["last.npz"]
