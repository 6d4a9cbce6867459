"""The embedded corpus: what it holds, that it is repeatable, cached, and never half there."""
from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List

import numpy as np
import pytest
import soundfile
from commands import PROJECT, succeed

from common.data.dataset import open_dataset
from common.data.splits import split_dataset
from common.files import cache_folder
from common.voices import synthetic
from common.voices.synthetic import Corpus, default_corpus

TINY = Corpus(speakers=3, sessions=3, utterances=4)
SMALLEST = Corpus(speakers=2, sessions=2, utterances=2)
SMALLEST_OPTIONS = ["--speakers", "2", "--sessions", "2", "--utterances", "2"]


def start(cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "common.voices.synthetic", "--cache", str(cache), *SMALLEST_OPTIONS],
                            cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def contents(folder: Path) -> List[bytes]:
    return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return default_corpus(tmp_path_factory.mktemp("cache"), TINY)


def test_it_is_an_ordinary_data_folder_called_synthetic(tiny: Path) -> None:
    dataset = open_dataset([tiny])
    assert dataset.synthetic and dataset.normalised and dataset.scale == "magnitude"
    assert dataset.speakers == ("synthetic_01", "synthetic_02", "synthetic_03")
    assert len(dataset.records) == 36
    np.testing.assert_array_equal(np.bincount(dataset.records.labels), [12, 12, 12])
    assert set(dataset.sessions) == {"session_1", "session_2", "session_3"}
    spectrograms, _ = dataset.records.read(range(36))
    assert np.isfinite(spectrograms).all() and (spectrograms.std(axis=2) > 0.5).all()


def test_its_recordings_are_segments_beside_it(tiny: Path) -> None:
    paths = sorted((tiny / "recordings").rglob("*.wav"))
    assert len(paths) == 36
    recordings = [soundfile.read(path)[0] for path in paths]
    assert {len(samples) for samples in recordings} == {48_240}
    assert len({samples.tobytes() for samples in recordings}) == 36
    assert max(np.abs(samples).max() for samples in recordings) < 1


def test_its_recordings_prepared_anew_are_called_synthetic_too(tiny: Path, tmp_path: Path) -> None:
    succeed("common.prepare", tiny / "recordings", tmp_path / "data", "--scale", "log", "--raw", "--workers", 1)
    dataset = open_dataset([tmp_path / "data"])
    assert dataset.synthetic and (dataset.scale, dataset.normalised) == ("log", False)


def test_it_is_split_by_session(tiny: Path) -> None:
    split = split_dataset(open_dataset([tiny]))
    assert split.by == "session" and len(split.train) and len(split.test)


def test_the_cache_is_used(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "in_a_new_process", lambda *_: pytest.fail("built again"))
    assert default_corpus(tiny.parent, TINY) == tiny


def test_a_speaker_is_the_same_in_a_larger_corpus(tiny: Path, tmp_path: Path) -> None:
    synthetic.in_a_new_process(tmp_path, SMALLEST, 1)
    name = "synthetic_02/session_1/01.wav"
    assert (tmp_path / name).read_bytes() == (tiny / "recordings" / name).read_bytes()


def test_sentences_vary() -> None:
    generator = np.random.default_rng(0)
    sentences = [synthetic.sentence(generator) for _ in range(100)]
    assert len(set(sentences)) == 100 and all(text.endswith(".") for text in sentences)


def test_options_have_a_place_of_their_own() -> None:
    corpora = [Corpus(), TINY, Corpus(seed=1), Corpus(scale="log")]
    assert len({corpus.key for corpus in corpora}) == 4


def test_two_processes_race_and_a_killed_build_leaves_nothing(tmp_path: Path) -> None:
    killed = start(tmp_path)
    unfinished = tmp_path / f"{SMALLEST.key}.unfinished"
    deadline = time.monotonic() + 30
    while not unfinished.is_dir() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert unfinished.is_dir() and not (tmp_path / SMALLEST.key).exists()

    racers = [start(tmp_path) for _ in range(2)]
    outputs = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert outputs == [str(tmp_path / SMALLEST.key)] * 2
    assert not unfinished.exists()
    again = default_corpus(tmp_path / "again", SMALLEST)
    assert contents(again) == contents(tmp_path / SMALLEST.key)


def test_a_cache_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(synthetic.UserError, match="XDG_CACHE_HOME"):
        default_corpus(tmp_path / "cache", SMALLEST)


def test_the_users_cache_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder().parent == tmp_path
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder().parent == tmp_path / ".cache"
