"""The README's commands one after the other: from recordings to a named speaker."""
from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import SMALL, succeed
from tiny_data import SPEAKERS, spectrogram

from common.data.dataset import read_info
from common.data.form import SAMPLE_RATE
from common.data.records import RecordWriter
from common.training.run_folder import run_data

NAMES = {"id10001": "A.J._Buckley", "id10002": "Ed_Westwick", "id10003": "Miley_Cyrus"}
VIDEOS = {"1zcIwhmdeo4": 1, "7gWzIy6yIIk": 1, "8mLLJ6jOqNM": 2, "CWtkjyPvyV0": 3}  # and their side in the official split
TRAINING = [*SMALL, "--epochs", "2", "--learning-rate", "0.01", "--crop-frames", "100"]


def voice(number: int, seed: int) -> np.ndarray:
    """3.5 s of pulses, as fast and as bright as that voice's: (56000,) float64."""
    generator = np.random.default_rng([number, seed])
    time = np.arange(round(3.5 * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(100 * 1.5 ** number * (1 + 0.02 * generator.standard_normal())
                                  * np.ones_like(time)) / SAMPLE_RATE
    pulses = sum(np.sin(harmonic * phase) / harmonic ** (0.5 + 0.5 * number) for harmonic in range(1, 12))
    loudness = 0.55 + 0.45 * np.sin(2 * np.pi * (3 * time + generator.uniform()))
    return 0.1 * pulses * loudness + 0.003 * generator.standard_normal(len(time))


@pytest.fixture(scope="module")
def voxceleb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VoxCeleb1 as it is unpacked: wav/idNNNNN/VIDEO/NNNNN.wav, vox1_meta.csv and iden_split.txt."""
    root = tmp_path_factory.mktemp("vox1")
    split = []
    for number, speaker in enumerate(NAMES):
        for seed, (video, side) in enumerate(VIDEOS.items()):
            for utterance in (1, 2):
                name = f"{speaker}/{video}/{utterance:05d}.wav"
                (root / "wav" / name).parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(root / "wav" / name, voice(number, 10 * seed + utterance), SAMPLE_RATE)
                split.append(f"{side} {name}\n")
    (root / "iden_split.txt").write_text("".join(split))
    (root / "vox1_meta.csv").write_text("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n" + "".join(
        f"{speaker}\t{name}\tm\tUSA\tdev\n" for speaker, name in NAMES.items()))
    return root


@pytest.fixture(scope="module")
def homework(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the homework's files: parts, a list of classes with its long name, no sidecar, and samples."""
    folder = tmp_path_factory.mktemp("homework")
    (folder / "voxceleb-abridged-classes.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(SPEAKERS)))
    for part in (1, 2):
        with RecordWriter(folder / f"voxceleb-abridged-{part}.bin") as writer:
            for number in range(24):
                writer.append(spectrogram(number % 4, seed=part, number=number), number % 4)
    samples = folder.parent / "samples"
    for label, name in enumerate(SPEAKERS):
        (samples / name).mkdir(parents=True)
        for number in (1, 2):
            soundfile.write(samples / name / f"GgYuyVluakM_00{number}.wav", voice(label, number), SAMPLE_RATE)
            with RecordWriter(samples / name / f"GgYuyVluakM_00{number}.bin") as writer:
                writer.append(spectrogram(label, seed=9, number=number), label)
    with tarfile.open(folder.parent / "voxceleb-abridged-samples.tar.gz", "w:gz") as tar:
        tar.add(samples, "samples")
    return folder


@pytest.fixture(scope="module")
def prepared(voxceleb: Path) -> Path:
    data = voxceleb.parent / "data"
    assert "24 utterances from 24 recordings" in succeed("common.prepare", voxceleb, data, "--scale", "log")
    assert "verdict: sound" in succeed("common.doctor", data)
    return data


def test_from_voxceleb_to_a_named_speaker(voxceleb: Path, prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    succeed("caffe2_impl.train", "--data", prepared, "--out", run, *TRAINING)
    split = json.loads((run / "split.json").read_text())
    assert split["by"] == "official" and [len(split[side]) for side in ("train", "dev", "test")] == [12, 6, 6]
    assert "top-1" in succeed("caffe2_impl.evaluate", run / "best.npz", prepared, "--split", run / "split.json", "--threads", 1)
    answer = succeed("caffe2_impl.identify", run / "best.npz", voxceleb / "wav/id10003/CWtkjyPvyV0/00001.wav", "--threads", 1)
    assert sum(name in answer for name in NAMES.values()) == 3


def test_from_recordings_to_a_model_in_one_command(voxceleb: Path, tmp_path: Path) -> None:
    """Prepared as the recipe is for, which is robust unless said otherwise; what is prepared already stays as it is."""
    run, words = tmp_path / "run", ("tf_impl.train", "--recordings", voxceleb, "--out", tmp_path / "run", *TRAINING)
    assert "test side, by epoch" in succeed(*words)
    data = tmp_path / "run-data"
    assert run_data(run) == [data] and read_info(data)["scale"] == "log" and not read_info(data)["normalised"]
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    assert "test side, by epoch" in succeed(*words, "--force")
    assert before == {path: path.stat().st_mtime_ns for path in data.rglob("*")}


def test_from_a_copy_of_the_homework_to_a_model(homework: Path, tmp_path: Path) -> None:
    assert "no sidecars" in succeed("common.doctor", homework)
    succeed("caffe2_impl.train", "--data", homework, "--out", tmp_path / "run", *TRAINING)
    model = tmp_path / "run" / "best.npz"
    assert "top-1" in succeed("caffe2_impl.evaluate", model, homework, "--split", tmp_path / "run" / "split.json", "--threads", 1)
    archive = homework.parent / "voxceleb-abridged-samples.tar.gz"
    assert "8 utterances from 8 recordings" in succeed("common.prepare", archive, tmp_path / "samples")
    assert "top-1" in succeed("caffe2_impl.evaluate", model, tmp_path / "samples", "--threads", 1)
