"""The models in results/models: they load, name voices on recordings nobody has seen, in all three engines alike."""
from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import PROJECT, run, succeed

from common.data.records import RecordWriter
from common.identify.engines import OnnxEngine
from common.identify.pieces import Listening, Source, pieces
from common.proof.crosscheck import LOGIT_TOLERANCE
from common.training.checkpoint import load_checkpoint, model_of
from common.training.trained import Trained
from common.twin import Twin
from common.voices import synthetic
from common.voices.synthetic import Corpus

MODELS = PROJECT / "results" / "models"
CHECKPOINTS = sorted(MODELS.glob("*/*.npz"))
CARD = (MODELS / "README.md").read_text()


def named(path: Path) -> str:
    return path.relative_to(MODELS).as_posix()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3.015 s by the first synthetic voice, in a session that no model was trained on."""
    tree = tmp_path_factory.mktemp("voices")
    synthetic.in_a_new_process(tree, Corpus(speakers=1, sessions=3, utterances=1), 0)
    return tree / "synthetic_01" / "session_3" / "01.wav"


def test_every_file_is_in_the_card_with_its_check_sum_and_no_other() -> None:
    stated = dict(re.findall(r"^\| `(\S+)` .* `([0-9a-f]{64})` \|$", CARD, flags=re.MULTILINE))
    files = [path for path in MODELS.glob("*/*") if path.suffix in (".npz", ".onnx")]
    assert len(files) == 8
    assert stated == {named(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("path", CHECKPOINTS, ids=named)
def test_a_checkpoint_and_its_onnx_file_are_of_one_model(path: Path) -> None:
    known = Trained.of(load_checkpoint(path))
    assert OnnxEngine(path.with_suffix(".onnx"), 1).trained == known
    assert known.synthetic == (path.parent.name == "synthetic") and known.temperature is not None
    assert known.trained_by.startswith({"tensorflow": "TensorFlow, ", "caffe2": "Caffe2, "}[path.stem])
    for file in (path, path.with_suffix(".onnx")):
        assert not re.search(rb"/(home|root|tmp|usr|work|mnt)/", file.read_bytes())


@pytest.mark.parametrize("path", CHECKPOINTS, ids=named)
def test_all_engines_give_the_same_scores(path: Path, twin: Twin, recording: Path) -> None:
    checkpoint, onnx = load_checkpoint(path), OnnxEngine(path.with_suffix(".onnx"), 1)
    spectrograms = np.stack(list(pieces(Source("", recording), onnx.trained, Listening(""))))
    spectrograms = np.concatenate([spectrograms, np.random.default_rng(0).normal(
        spectrograms.mean(), spectrograms.std(), (3, *spectrograms.shape[1:])).astype(np.float32)])
    model = model_of(twin, checkpoint)
    model.stage(spectrograms)
    said, expected = model.predict_staged(), onnx.logits(spectrograms)
    assert np.abs(said - expected).max() < LOGIT_TOLERANCE and np.ptp(expected) > 1
    np.testing.assert_array_equal(said.argmax(axis=1), expected.argmax(axis=1))


def test_they_name_a_voice_they_know(recording: Path, tmp_path: Path) -> None:
    """Through the commands, by a recording and by a record."""
    answers = {}
    for name in ("tensorflow", "caffe2"):
        for package, suffix in (("tf_impl", "npz"), ("caffe2_impl", "npz"), ("common", "onnx")):
            told = json.loads(succeed(f"{package}.identify", MODELS / "synthetic" / f"{name}.{suffix}", recording, "--json",
                                      "--top", 12, "--threads", 1))
            answers[name, told["engine"]] = told["recordings"][0]["speakers"]
    assert len(answers) == 6 and {each[0]["speaker"] for each in answers.values()} == {"synthetic_01"}
    for (name, _), answer in answers.items():
        expected = {each["speaker"]: each["probability"] for each in answers[name, "ONNX Runtime"]}
        assert {each["speaker"]: each["probability"] for each in answer} == pytest.approx(expected, abs=LOGIT_TOLERANCE)
    path = MODELS / "synthetic" / "tensorflow.onnx"
    known = OnnxEngine(path, 1).trained
    with RecordWriter(tmp_path / "part-1.bin") as writer:
        for piece in pieces(Source("", recording), known, Listening("")):
            writer.append(piece, 0)
    for package, suffix in (("tf_impl", ".npz"), ("caffe2_impl", ".npz"), ("common", ".onnx")):
        told = succeed(f"{package}.evaluate", path.with_suffix(suffix), tmp_path / "part-1.bin", "--threads", 1)
        assert "top-1 100.0 %" in told


def test_a_model_of_other_voices_says_so(recording: Path) -> None:
    done = run("common.identify", MODELS / "real35" / "caffe2.onnx", recording)
    assert done.returncode == 0 and "35 voices; probabilities are calibrated" in done.stderr
