"""Recordings become pieces, and pieces of one length are answered together, whatever recording they are of."""
from __future__ import annotations

import io
from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np
import pytest
import soundfile
from containers import sweep

from common.data.form import SEGMENT_SAMPLES
from common.identify.pieces import Listening, Source, answers, kept, pieces
from common.prepare.features import spectrogram
from common.training.trained import Trained

RATE = 16_000
TRAINED = Trained("tdnn", ("Ada", "Bea"), "nobody", "00ff", scale="log", normalised=False)


def write(path: Path, *parts: Tuple[float, float]) -> Source:
    """Noise of (seconds, deviation), one after the other."""
    random = np.random.default_rng(len(path.name))
    samples = np.concatenate([random.normal(0, 1, round(seconds * RATE)) * deviation for seconds, deviation in parts])
    soundfile.write(path, samples.astype(np.float32), RATE, subtype="FLOAT")
    return Source(path.name, path)


class Recorder:
    """Answers with each piece's level and length, and remembers how many it got at once."""

    def __init__(self) -> None:
        self.batches: List[Tuple[int, ...]] = []

    def __call__(self, spectrograms: np.ndarray) -> np.ndarray:
        self.batches.append(spectrograms.shape)
        return np.stack([spectrograms.mean(axis=(1, 2)), np.full(len(spectrograms), spectrograms.shape[2])], axis=1)


def levels(source: Source) -> List[float]:
    return [piece.mean() for piece in pieces(source, TRAINED, Listening(""))]


@pytest.mark.parametrize("seconds, starts", [
    (7.0, [0, SEGMENT_SAMPLES, 7 * RATE - SEGMENT_SAMPLES]), (3.6, [0, round(3.6 * RATE) - SEGMENT_SAMPLES]),
    (6.4, [0, SEGMENT_SAMPLES]), (3.015, [0])])
def test_pieces_are_whole_segments_made_like_training_data_up_to_the_end(seconds: float, starts: List[int], tmp_path: Path
                                                                         ) -> None:
    source, heard = write(tmp_path / "a.wav", (seconds, 0.1)), Listening("a.wav")
    found = list(pieces(source, TRAINED, heard))
    samples, _ = soundfile.read(source.path, dtype="float32")
    assert len(found) == len(starts)
    for start, piece in zip(starts, found):
        np.testing.assert_array_equal(piece, spectrogram(samples[start:][:SEGMENT_SAMPLES], normalise=False, scale="log"))
    assert (heard.seconds, heard.pieces, heard.silent, heard.remarks) == (pytest.approx(seconds), len(starts), 0, [])


def test_a_short_recording_is_one_piece_of_all_of_it(tmp_path: Path) -> None:
    piece, = pieces(write(tmp_path / "a.wav", (1.06, 0.1)), TRAINED, Listening(""))
    assert piece.shape == (512, 104)


def test_what_a_person_should_know_is_remarked(tmp_path: Path) -> None:
    heard = Listening("")
    assert len(list(pieces(write(tmp_path / "a.wav", (3.015, 0.1), (3.015, 0), (3.1, 0.1)), TRAINED, heard))) == 2
    assert heard.remarks == ["1 of its 3 pieces are silent and left out"]
    samples = np.clip(np.random.default_rng(0).normal(0, 1, 2 * RATE), -1, 1)
    soundfile.write(tmp_path / "loud.wav", samples, RATE)
    heard = Listening("")
    list(pieces(Source("loud.wav", tmp_path / "loud.wav"), TRAINED, heard))
    assert heard.remarks[0].startswith("clipped: ")


def test_every_recording_is_answered_in_turn_and_in_batches(tmp_path: Path) -> None:
    lengths: Sequence[float] = [3.1, 1.5, 65, 3.1, 0.5, 1.5, 2.0, 9.1]
    sources = [write(tmp_path / f"{number}{'x' * number}.wav", (seconds, 0.01 * (number + 1)))
               for number, seconds in enumerate(lengths)]
    run = Recorder()
    told = list(answers(run, sources, TRAINED))
    assert [heard.name for heard, _ in told] == [source.name for source in sources]
    assert [len(rows) for _, rows in told] == [1, 1, 22, 1, 0, 1, 1, 3]
    assert [bool(heard.error) for heard, _ in told] == [number == 4 for number in range(8)]
    assert told[4][0].error == "too short: 0.50 s of sound, and at least 1.05 s are needed to tell who speaks"
    for source, (heard, rows) in zip(sources, told):
        if not heard.error:
            np.testing.assert_allclose(rows[:, 0], levels(source), rtol=1e-6)
    assert sorted(run.batches) == [(1, 512, 198), (2, 512, 148), (11, 512, 300), (16, 512, 300)]


def test_only_few_wait_for_others(tmp_path: Path) -> None:
    """Answers come while later recordings have not been looked at yet."""
    source, seen = write(tmp_path / "a.wav", (1.5, 0.1)), []

    def endless():
        while True:
            seen.append(source)
            yield source

    told = answers(Recorder(), endless(), TRAINED)
    assert next(told)[0].name == "a.wav" and 1 < len(seen) < 100


@pytest.mark.parametrize("content, error", [
    (b"", "the file is empty"), (b"Dear reader, " * 400, "not a recording that soundfile or FFmpeg can read")])
def test_a_stream_is_a_recording(content: bytes, error: str, tmp_path: Path) -> None:
    with kept(io.BytesIO(content), "standard input") as source:
        (heard, rows), = answers(Recorder(), [source], TRAINED)
    assert heard.name == "standard input" and heard.error.startswith(error) and not len(rows)
    assert not source.path.exists()
    whole = write(tmp_path / "a.wav", (3.1, 0.1))
    with kept(io.BytesIO(whole.path.read_bytes()), "-") as source:
        assert levels(source) == levels(whole)


@pytest.mark.parametrize("samples, said", [
    (np.zeros(80_000), "silent"), (np.zeros(20_000), "silent"),
    (np.random.default_rng(0).integers(0, 2, 80_000) / 32_768, "silent"),
    (32_768 * sweep(RATE), "far above full scale")], ids=["zeros", "short", "rounding", "floats"])
def test_nobody_is_named_where_nothing_is_heard(tmp_path: Path, samples: np.ndarray, said: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    (heard, values), = answers(Recorder(), [Source("a.wav", path)], TRAINED)
    assert said in heard.error and len(values) == 0


def test_silent_pieces_are_left_out_and_what_is_odd_is_remarked(tmp_path: Path) -> None:
    samples, heard = np.concatenate([sweep(RATE)[:SEGMENT_SAMPLES], np.zeros(SEGMENT_SAMPLES)]), Listening("")
    soundfile.write(tmp_path / "10:30.wav", np.stack([samples, -samples], axis=1), RATE)
    assert len(list(pieces(Source("10:30.wav", tmp_path / "10:30.wav"), TRAINED, heard))) == 1
    assert any("only channel" in remark for remark in heard.remarks)
