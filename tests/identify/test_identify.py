"""Naming speakers: by ONNX Runtime with no framework at hand, for people and for programs."""
from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from commands import PROJECT, run, succeed
from mean_model import NAMES, TEMPERATURE, mean_model
from recordings import write_noise
from scipy.special import softmax

from common.identify.engines import OnnxEngine
from common.identify.pieces import Listening, Source, pieces

ALONE = """
import sys
from common.identify.__main__ import main
assert main(sys.argv[1:]) == 0
print("imported:", *{name.partition(".")[0] for name in sys.modules})
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a folder of recordings one of which is silent."""
    place = tmp_path_factory.mktemp("place")
    mean_model(place / "speaker.onnx", synthetic=True)
    for name, seconds in (("b.wav", 3.2), ("a/long.flac", 7.0), ("a/deeper/short.WAV", 1.2)):
        write_noise(place / "recordings" / name, seconds)
    soundfile.write(place / "recordings" / "silent.ogg", np.zeros(50_000), 16_000)
    (place / "recordings" / "notes.txt").write_text("no recording")
    return place


def test_onnx_runtime_needs_neither_framework(place: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ALONE, place / "speaker.onnx", place / "recordings" / "b.wav"], cwd=PROJECT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told, _, imported = done.stdout.partition("imported: ")
    assert [line.split("%")[1].strip() for line in told.splitlines()[1:]] and len(told.splitlines()) == 1 + len(NAMES)
    assert "onnxruntime" in imported.split()
    assert not set(imported.split()) & {"tensorflow", "tf_impl", "torch", "caffe2", "caffe2_impl", "onnx", "tf2onnx", "matplotlib",
                                        "sklearn", "pandas", "rich"}
    assert done.stderr == ("ONNX Runtime, tdnn trained by nobody, 0 epochs: 3 SYNTHETIC voices; probabilities are calibrated on "
                           "its development side (temperature 2)\n")


def test_probabilities_are_the_mean_over_pieces_at_the_models_temperature(place: Path) -> None:
    path = place / "recordings" / "a" / "long.flac"
    engine = OnnxEngine(place / "speaker.onnx", 1)
    spectrograms = np.stack(list(pieces(Source("", path), engine.trained, Listening(""))))
    assert len(spectrograms) == 3
    expected = softmax(engine.logits(spectrograms).astype(np.float64) / TEMPERATURE, axis=1).mean(axis=0)
    answer, = json.loads(succeed("common.identify", place / "speaker.onnx", path, "--json"))["recordings"]
    assert [each["speaker"] for each in answer["speakers"]] == [NAMES[i] for i in expected.argsort()[::-1]]
    assert [each["probability"] for each in answer["speakers"]] == pytest.approx(sorted(expected)[::-1], abs=1e-6)


def test_a_folder_is_all_that_is_in_it(place: Path) -> None:
    """As a table; what cannot be used is in it, said to people too, and the rest is answered."""
    done = run("common.identify", place / "speaker.onnx", place / "recordings", "--csv", "--top", 1)
    assert done.returncode == 1
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [Path(row["recording"]).name for row in rows] == ["b.wav", "silent.ogg", "long.flac", "short.WAV"]
    assert [row["error"].partition(":")[0] for row in rows] == ["", "silent", "", ""]
    assert [row["speaker"] in NAMES for row in rows] == [True, False, True, True]
    assert [f"{float(row['seconds']):.1f}" for row in rows] == ["3.2", "3.1", "7.0", "1.2"]
    assert f"error: {place}/recordings/silent.ogg: silent: nothing in it" in done.stderr


def test_standard_input_is_a_recording(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = place / "recordings" / "b.wav"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(sound.read_bytes())))
    told = json.loads(succeed("common.identify", place / "speaker.onnx", "-", sound, "--json"))
    piped, named = told.pop("recordings")
    assert told == {"engine": "ONNX Runtime", "network": "tdnn", "trained_by": "nobody, 0 epochs", "parameters": "0" * 16,
                    "synthetic": True, "temperature": TEMPERATURE}
    assert piped.pop("recording") == "standard input" and named.pop("recording") == str(sound)
    assert piped == named and piped["error"] == "" and len(piped["speakers"]) == len(NAMES)


def test_where_nothing_can_be_said_the_status_is_2_and_programs_are_told_why(place: Path) -> None:
    done = run("common.identify", place / "speaker.onnx", place / "recordings" / "silent.ogg", "--json")
    answer, = json.loads(done.stdout)["recordings"]
    assert done.returncode == 2 and answer["speakers"] == [] and answer["error"].startswith("silent: ")


def test_a_model_without_a_temperature_says_that_its_probabilities_are_not_calibrated(place: Path) -> None:
    mean_model(place / "plain.onnx", temperature=None)
    done = run("common.identify", place / "plain.onnx", place / "recordings" / "b.wav")
    assert done.returncode == 0 and done.stderr.endswith("3 voices; probabilities are not calibrated\n")
