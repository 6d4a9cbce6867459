"""Damaged files of every kind: each is read correctly or refused in one clear line that names it.

A reader must not raise anything else, hang, take memory without bound, unpickle, run anything, or
write outside its folder. The suite tries a few hundred inputs, the same each time. The long form
tries as many as asked, new ones each time, and notes what became of them:

    FUZZ_INPUTS=1500 FUZZ_RESULT=results/fuzz/readers.json python -m pytest tests/test_fuzz.py
    FUZZ_INPUTS=1100 FUZZ_RESULT=results/fuzz/records-and-checkpoints.json python -m pytest tests/test_fuzz.py \\
        -k "records or doctor or checkpoint"
"""
from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json
import os
import pickle
import platform
import re
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

import hypothesis
import numpy as np
import pytest
from fuzzing import (
    HEADS,
    MOST_MIB,
    MOST_SECONDS,
    TAG,
    Tally,
    damaged_bytes,
    damaged_json,
    examine,
    fuzz,
    other_numbers,
    rearranged,
    watched,
)
from hypothesis import strategies as st
from test_decoding import FORMS, encode

from common.data.classes import read_classes, write_classes
from common.data.dataset import Dataset, SessionRow, open_dataset, write_sessions
from common.data.records import NUM_BINS, NUM_FRAMES, RECORD_BYTES, RecordSet, RecordWriter
from common.data.splits import Split, load_split, save_split, split_dataset
from common.data.values import bad_values
from common.doctor.diagnosis import Diagnosis, diagnose
from common.doctor.scan import scan_files
from common.errors import UserError
from common.machine import describe
from common.measured import facts
from common.network import params as parameters
from common.network.networks import build
from common.prepare.archive import unpack_recordings
from common.prepare.audio import load_audio
from common.prepare.sources import Recording
from common.prepare.voxceleb import name_speakers
from common.training.certificate import Certificate, Stretch
from common.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from common.training.config import TrainingConfig, load_config, save_config
from common.training.loop import EpochRecord, read_log, run_data

SPEAKERS = ["Ada", "Bea"]
LABELS = [0, 1, 0]


@pytest.fixture(scope="module")
def tallies() -> Iterator[Dict[str, Tally]]:
    """One tally a reader; at the end of a long run they are written where FUZZ_RESULT says."""
    found: Dict[str, Tally] = {}
    yield found
    if "FUZZ_RESULT" in os.environ:
        readers = {name: {key: round(value, 3) for key, value in dataclasses.asdict(tally).items()}
                   for name, tally in found.items()}
        result = {"machine": facts(threads=1), "hypothesis": hypothesis.__version__,
                  "inputs": sum(tally.inputs for tally in found.values()),
                  "read": sum(tally.read for tally in found.values()),
                  "refused": sum(tally.refused for tally in found.values()), "readers": readers}
        path = Path(os.environ["FUZZ_RESULT"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")


@pytest.fixture()
def tally(request: pytest.FixtureRequest, tallies: Dict[str, Tally]) -> Tally:
    return tallies.setdefault(request.node.name[len("test_"):], Tally())


@pytest.fixture()
def data(tmp_path: Path) -> Path:
    """A whole data folder of three records, with an official split in a file of its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    random = np.random.default_rng(0)
    with RecordWriter(folder / "part-1.bin") as writer:
        for label in LABELS:
            writer.append(random.standard_normal((NUM_BINS, NUM_FRAMES)).astype(np.float32), label)
    write_sessions(folder / "part-1.bin", [SessionRow(SPEAKERS[label], f"s{i}", f"{SPEAKERS[label]}/s{i}/{i}.wav", 0)
                                           for i, label in enumerate(LABELS)])
    write_classes(folder / "classes.txt", SPEAKERS)
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION))
    (folder / "iden_split.txt").write_text("1 Ada/s0/0.wav\n1 Bea/s1/1.wav\n3 Ada/s2/2.wav\n")
    return folder


DESCRIPTION = {"synthetic": False, "scale": "magnitude", "normalised": True, "split": "iden_split.txt",
               "made_by": "common.prepare", "options": {"seed": 0}}


def anything(path: Path) -> st.SearchStrategy[bytes]:
    """Damaged versions of a file, and files of something else."""
    return st.one_of(damaged_bytes(path.read_bytes()), st.binary(max_size=300))


def damaged_records(path: Path) -> st.SearchStrategy[bytes]:
    """Damage anywhere, and often where labels and records begin; other numbers, joined files, records turned round."""
    whole = path.read_bytes()
    edges = [record * RECORD_BYTES + byte for record in range(len(LABELS) + 1) for byte in (0, 1, 2, 3, 4, 400)]
    records = np.frombuffer(whole, "<f4").reshape(len(LABELS), -1)

    def with_values(values: np.ndarray) -> bytes:
        return np.concatenate([records[:, :1], values.astype("<f4")], axis=1).tobytes()

    turned = records[:, 1:].reshape(-1, NUM_BINS, NUM_FRAMES).transpose(0, 2, 1).reshape(len(LABELS), -1)
    return st.one_of(
        damaged_bytes(whole, edges), other_numbers(records).map(lambda values: values.tobytes()),
        rearranged([whole, whole, *HEADS]),
        other_numbers(records[:, 1:]).filter(lambda values: values.dtype.itemsize == 4).map(with_values),
        st.just(with_values(turned)))


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig")


def test_records(data: Path, tally: Tally) -> None:
    path = data / "part-1.bin"

    def read() -> Tuple[np.ndarray, np.ndarray]:
        records = RecordSet.open([path], num_speakers=len(SPEAKERS))
        return records.read(range(len(records)))

    def verify(result: Tuple[np.ndarray, np.ndarray]) -> None:
        floats = np.fromfile(path, dtype="<f4").reshape(-1, RECORD_BYTES // 4)
        np.testing.assert_array_equal(result[1], floats[:, 0])
        np.testing.assert_array_equal(result[0].reshape(len(floats), -1), floats[:, 1:])
        assert not any(bad_values(record).any() for record in floats[:, 1:]) and set(result[1]) <= {0, 1}

    fuzz(tally, path, damaged_records(path), read, verify)


def test_doctor(data: Path, tally: Tally) -> None:
    path = data / "part-1.bin"

    def verify(diagnosis: Diagnosis) -> None:
        """The doctor finds a problem of the file exactly where training would stop."""
        found = {finding.code for finding in diagnosis.report.findings if finding.severity == "problem"}
        found -= {"mixed-normalisation", "two-speakers-one-recording", "duplicates-across-split"}
        try:
            dataset = open_dataset([data])
            dataset.records.read(range(len(dataset.records)))
            split_dataset(dataset)
        except UserError as error:
            assert found, error
        else:
            assert not found
        assert len(diagnosis.good) == path.stat().st_size // RECORD_BYTES

    fuzz(tally, path, damaged_records(path), lambda: diagnose(scan_files([path], workers=1)), verify)


def test_classes(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "classes.txt"
    write_classes(path, ["Miley_Cyrus", "Hye-kyo_Song", "Zoë Kravitz"])

    def verify(names: List[str]) -> None:
        lines = [line.split(maxsplit=1) for line in text_of(path).split("\n") if line.strip()]
        assert sorted((int(label), name.strip()) for label, name in lines) == list(enumerate(names))
        write_classes(tmp_path / "again.txt", names)
        assert read_classes(tmp_path / "again.txt") == names

    fuzz(tally, path, anything(path), lambda: read_classes(path), verify)


def test_sidecar(data: Path, tally: Tally) -> None:
    path = data / "part-1.sessions.csv"
    (data / "dataset.json").unlink()

    def verify(dataset: Dataset) -> None:
        rows = [row for row in csv.reader(io.StringIO(text_of(path), newline="")) if row][-len(LABELS):]
        assert [row[0] for row in rows] == [SPEAKERS[label] for label in LABELS]
        assert dataset.sessions is not None and dataset.sessions.tolist() == [row[1] for row in rows]
        assert dataset.recordings is not None and dataset.recordings.tolist() == [row[2] for row in rows]

    fuzz(tally, path, anything(path), lambda: open_dataset([data]), verify)


def test_description(data: Path, tally: Tally) -> None:
    path = data / "dataset.json"
    split = {"Ada/s0/0.wav": "train", "Bea/s1/1.wav": "train", "Ada/s2/2.wav": "test"}

    def verify(dataset: Dataset) -> None:
        stated = json.loads(text_of(path))
        assert dataset.synthetic is stated.get("synthetic", False)
        assert dataset.scale == stated.get("scale") and dataset.normalised is stated.get("normalised")
        expected = split if stated.get("split") == "iden_split.txt" else stated.get("split") or None
        assert dataset.official_split == expected

    damaged = st.one_of(damaged_json(DESCRIPTION), damaged_json({**DESCRIPTION, "split": split}), anything(path))
    fuzz(tally, path, damaged, lambda: open_dataset([data]), verify)


def test_official_split(data: Path, tally: Tally) -> None:
    path = data / "iden_split.txt"

    def verify(dataset: Dataset) -> None:
        lines = [line.split(maxsplit=1) for line in text_of(path).split("\n") if line.strip()]
        expected = {name.strip(): ("train", "dev", "test")[int(side) - 1] for side, name in lines}
        assert dataset.official_split == (expected or None)

    fuzz(tally, path, anything(path), lambda: open_dataset([data]), verify)


def test_stored_split(data: Path, tally: Tally) -> None:
    path = data / "split.json"
    dataset = open_dataset([data])
    save_split(path, split_dataset(dataset), dataset)

    def verify(split: Split) -> None:
        stated = json.loads(text_of(path))
        for side in ("train", "dev", "test"):
            assert getattr(split, side).dtype == np.int64
            assert getattr(split, side).tolist() == sorted(stated[side])
        listed = stated["train"] + stated["dev"] + stated["test"]
        assert set(listed) <= {0, 1, 2} and len(set(listed)) == len(listed)
        assert (split.seed, split.by) == (stated["seed"], stated["by"])

    damaged = st.one_of(damaged_json(json.loads(path.read_text())), anything(path))
    fuzz(tally, path, damaged, lambda: load_split(path, dataset), verify)


def test_configuration(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "config.json"
    whole = dataclasses.asdict(TrainingConfig())
    save_config(path, TrainingConfig())

    def verify(config: TrainingConfig) -> None:
        assert dataclasses.asdict(config) == {**whole, **json.loads(text_of(path))}
        build(config.network, 2, config.width)

    fuzz(tally, path, st.one_of(damaged_json(whole), anything(path)), lambda: load_config(path), verify)


def small_checkpoint() -> Checkpoint:
    config = TrainingConfig(network="vgg_m", width=0.01)
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
        assert {name: getattr(checkpoint, name) for name in stated} == stated

    damaged = st.one_of(damaged_json(json.loads(stored)), damaged_bytes(stored)).map(with_facts)
    fuzz(tally, path, damaged, lambda: load_checkpoint(path), verify)


def tar_bytes(members: List[Tuple[str, bytes, bytes]], compress: bool) -> bytes:
    """A tar archive of (name, type, content); links point to where they must not."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz" if compress else "w") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "../../escaped.wav"
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


NAMES = st.sampled_from(["samples/Ada/v_1.wav", "Ada/2.wav", "../escaped.wav", "/tmp/escaped.wav", "a/../../escaped.wav",
                         "Ada\\..\\x.wav", "Ada/\n.wav", "Ada", "Ada/1.wav/2.wav", "x" * 300 + ".wav", ".wav", "./b.wav"])
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE,
                         tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME])


def test_archive(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "samples.tar.gz"
    members = [("samples/Ada/v_1.wav", tarfile.REGTYPE, b"RIFF" * 20), ("samples/Bea/v_2.wav", tarfile.REGTYPE, b"x")]
    path.write_bytes(tar_bytes(members, compress=True))
    plain = tar_bytes(members, compress=False)
    fields = [512 * block + byte for block in range(4) for byte in (0, 1, 100, 124, 135, 148, 156, 157, 257, 345)]
    made = st.lists(st.tuples(NAMES, KINDS, st.binary(max_size=30)), max_size=4).map(lambda m: tar_bytes(m, compress=True))

    def read() -> Path:
        return unpack_recordings(path, Path(tempfile.mkdtemp(dir=tmp_path)))

    def verify(folder: Path) -> None:
        assert folder.resolve().is_relative_to(tmp_path.resolve())
        files = [found for found in folder.rglob("*") if not found.is_dir()]
        assert all(found.is_file() and not found.is_symlink() and found.suffix == ".wav" for found in files)

    damaged = st.one_of(made, damaged_bytes(plain, fields), damaged_bytes(plain, fields).map(gzip.compress), anything(path))
    fuzz(tally, path, damaged, read, verify)


def test_speakers_names(tmp_path: Path, tally: Tally) -> None:
    """VoxCeleb's meta file."""
    path = tmp_path / "vox1_meta.csv"
    path.write_text("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA.J._Buckley\tm\tIreland\tdev\n"
                    "id10002\tA.R._Rahman\tm\tIndia\tdev\n")
    recordings = [Recording(f"{name}/v/1.wav", f"{name}/v/1.wav", name, "v", 1) for name in ("id10001", "id10002", "id10003")]

    def verify(named: List[Recording]) -> None:
        assert [recording.name for recording in named] == [recording.name for recording in recordings]
        assert named[2].speaker == "id10003" or "id10003" in text_of(path)

    fuzz(tally, path, anything(path), lambda: name_speakers(tmp_path, recordings), verify)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, bytes]:
    """0.4 s in every container, two rates and layouts in turn, with a tag."""
    folder = tmp_path_factory.mktemp("recordings")
    return {suffix: encode(folder / f"a.{suffix}", *FORMS[suffix], title=TAG.decode(), seconds=0.4,
                           rate=(48_000, 24_000)[number % 2], layout=("mono", "stereo")[number % 2])
            for number, suffix in enumerate(FORMS)}


def is_sound(samples: np.ndarray) -> None:
    assert samples.dtype == np.float32 and samples.ndim == 1 and np.isfinite(samples).all()


@pytest.mark.parametrize("kind", FORMS)
def test_recording(tmp_path: Path, tally: Tally, recordings: Dict[str, bytes], kind: str) -> None:
    path, content = tmp_path / f"recording.{kind}", recordings[kind]
    path.write_bytes(content)
    headers = list(range(0, 64)) + [len(content) - 1]
    damaged = st.one_of(damaged_bytes(content, headers), st.binary(max_size=300))
    fuzz(tally, path, damaged, lambda: load_audio(path), is_sound)


@pytest.mark.parametrize("kind", FORMS)
def test_recordings_cut_joined_and_retagged(tmp_path: Path, tally: Tally, recordings: Dict[str, bytes], kind: str) -> None:
    """Mostly of one kind, as who joins them does; the name says the first one's."""
    path = tmp_path / f"recording.{kind}"
    path.write_bytes(recordings[kind])
    damaged = st.one_of(rearranged([recordings[kind]]), rearranged([recordings[kind], *recordings.values()]))
    fuzz(tally, path, damaged, lambda: load_audio(path), is_sound)


def test_log_of_a_run(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "log.jsonl"
    record = EpochRecord(1, 100, 0.01, 2.5, 0.25, 2.25, 0.5, 12.5, 60.0)
    path.write_text((json.dumps(dataclasses.asdict(record)) + "\n") * 2)

    def verify(records: List[EpochRecord]) -> None:
        lines = path.read_bytes().decode(errors="replace").splitlines()
        for found, line in zip(records, lines):
            assert json.dumps(dataclasses.asdict(found), sort_keys=True) == json.dumps(json.loads(line), sort_keys=True)

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


def refuse_after_much() -> None:
    raise UserError(str(len(bytes(10**8))))


def test_the_watch_sees_what_it_must(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    for act in (lambda: outside.write_text("x"), lambda: (inside / ".." / "sly").touch(), (tmp_path / "folder").mkdir,
                lambda: pickle.loads(pickle.dumps(Path)), lambda: exec("1"),
                lambda: np.empty(10**8, np.uint8), refuse_after_much):
        with pytest.raises(AssertionError):
            with watched(inside, Tally(), MOST_SECONDS, MOST_MIB):
                act()
    with watched(inside, Tally(), MOST_SECONDS, MOST_MIB):
        (inside / "fine").write_text("x")


def test_machine_is_described_without_its_name() -> None:
    """What goes into results/ must say on which kind of machine, and name no path of it."""
    assert platform.node() not in json.dumps(describe()) and "/" not in json.dumps(describe())
