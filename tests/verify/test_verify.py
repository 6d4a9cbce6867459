"""Enrolling, verifying and trials as a person runs them, by ONNX Runtime alone and by all engines."""
from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
import soundfile
from commands import PROJECT, run, succeed
from mean_model import mean_model
from small_networks import drawn_params
from voices import write_voice

from common.network import params as parameters
from common.network.architectures import build
from common.training.checkpoint import Checkpoint, save_checkpoint
from common.training.config import TrainingConfig

ALONE = """
import sys
from common.verify.__main__ import main
assert main(sys.argv[1:]) == 0
print("imported:", *{name.partition(".")[0] for name in sys.modules})
"""
NAMES = ("Ada", "Bea", "Cleo")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, SPEAKER/SESSION/ recordings of three voices to enroll, and later ones of those and of a fourth."""
    place = tmp_path_factory.mktemp("place")
    mean_model(place / "speaker.onnx", scale="magnitude")
    for voice in NAMES:
        for number in range(4):
            write_voice(place / "known" / voice / f"s{number // 2}" / f"{number}.wav", voice, number)
        write_voice(place / "new" / f"{voice}.wav", voice, 9, seconds=7.0)
    write_voice(place / "new" / "Dora.wav", "Dora")
    soundfile.write(place / "silent.wav", np.zeros(50_000), 16_000)
    write_voice(place / "short.wav", "Ada", seconds=0.5)
    return place


@pytest.fixture(scope="module")
def gallery(place: Path) -> Path:
    """All three at once."""
    told = succeed("common.enroll", place / "speaker.onnx", place / "known", "--gallery", place / "voices.npz",
                   "--threshold", 0.8)
    assert told == ("".join(f"  {name}: 4 recordings\n" for name in NAMES)
                    + f"{place}/voices.npz: 3 voices, tdnn with parameters {'0' * 16}, threshold 0.800 (given with "
                    "--threshold)\n")
    return place / "voices.npz"


def decisions(place: Path, gallery: Path, *words: Any) -> Dict[str, Any]:
    """Who was accepted by the recording's name, as programs are told."""
    told = json.loads(succeed("common.verify", place / "speaker.onnx", place / "new", "--gallery", gallery, "--json", *words))
    return {Path(each["recording"]).stem: each["accepted"] for each in told["recordings"]}


def test_who_is_it_or_nobody(place: Path, gallery: Path) -> None:
    told = succeed("common.verify", place / "speaker.onnx", "--gallery", gallery, place / "new")
    for name, line in zip([*NAMES, "Dora"], told.splitlines()):
        expected = "nobody who is enrolled; Cleo is closest" if name == "Dora" else name
        assert re.fullmatch(rf".*/new/{name}\.wav: {expected}: score [01]\.\d{{3}}, threshold 0\.800", line)
    assert decisions(place, gallery) == {**{name: name for name in NAMES}, "Dora": None}


def test_a_claim(place: Path, gallery: Path) -> None:
    assert decisions(place, gallery, "--claim", "Bea") == {"Ada": None, "Bea": "Bea", "Cleo": None, "Dora": None}
    told = succeed("common.verify", place / "speaker.onnx", place / "new/Ada.wav", "--gallery", gallery, "--claim", "Bea")
    assert "Ada.wav: not Bea: score 0." in told


def test_voices_come_one_by_one_and_go(place: Path, tmp_path: Path) -> None:
    gallery, model = tmp_path / "mine.npz", place / "speaker.onnx"
    succeed("common.enroll", model, "Ada", place / "known/Ada/s0/0.wav", "--gallery", gallery)
    done = run("common.enroll", model, "Bea", place / "known/Bea", place / "silent.wav", "--gallery", gallery)
    assert done.returncode == 1 and "silent.wav: silent: nothing" in done.stderr
    assert "  Ada: 1 recording\n  Bea: 4 recordings\n" in done.stdout and "no threshold yet" in done.stdout
    done = run("common.verify", model, "--gallery", gallery, place / "new/Dora.wav")
    assert done.returncode == 0 and "Dora.wav: Ada is closest: score 0." in done.stdout
    assert "has no threshold to decide by; find one with --trials LIST --calibrate" in done.stderr
    done = run("common.enroll", model, "Ada", place / "new/Ada.wav", "--gallery", gallery)
    assert done.returncode == 2 and "Ada is enrolled already" in done.stderr
    assert "  Ada: 2 recordings\n" in succeed("common.enroll", model, "Ada", place / "new/Ada.wav",
                                              place / "known/Ada/s0/0.wav", "--gallery", gallery, "--force")
    assert "Bea" not in succeed("common.enroll", model, "--gallery", gallery, "--remove", "Bea")
    assert succeed("common.enroll", model, "--gallery", gallery).startswith("  Ada: 2 recordings\n")


@pytest.mark.parametrize("module, words, said", [
    ("verify", "@speaker.onnx @new", "nothing to verify: name --gallery and recordings, or --trials"),
    ("verify", "@speaker.onnx --gallery @voices.npz", "nothing to verify"),
    ("verify", "@speaker.onnx @new --gallery @none.npz", "there is no gallery of enrolled voices .*none.npz"),
    ("verify", "@speaker.onnx @new --gallery @speaker.onnx", "speaker.onnx is no readable gallery"),
    ("verify", "@other.onnx @new --gallery @voices.npz", "enrolled with another model"),
    ("verify", "@speaker.onnx @new --gallery @voices.npz --claim Eve", "Eve is not enrolled; enrolled are Ada, Bea, Cleo"),
    ("verify", "@speaker.onnx @new --gallery @voices.npz --calibrate", "--calibrate goes with --trials"),
    ("verify", "@speaker.onnx --trials @trials.txt @new", "--trials names the recordings itself"),
    ("verify", "@speaker.onnx --trials @trials.txt --calibrate 2", "must be at least 0 and below 1"),
    ("verify", "@speaker.onnx --trials @trials.txt --root @new", r"trials.txt: line 1: there is no recording .*new/known/Ada"),
    ("verify", "@speaker.onnx --trials @none.txt", "none.txt: no such list of trials"),
    ("verify", "@speaker.onnx --trials @silent.txt", r"silent.txt: line 3: silent.wav: silent: .*take it out of the list"),
    ("verify", "@speaker.onnx @silent.wav --gallery @voices.npz", "silent.wav: silent: nothing in it"),
    ("enroll", "@speaker.onnx Eve --gallery @new.npz", "Eve: expected a name and recordings of that voice"),
    ("enroll", "@speaker.onnx Eve @none.wav --gallery @new.npz", "there is no recording .*none.wav"),
    ("enroll", "@speaker.onnx Eve @short.wav --gallery @new.npz", "no recording of Eve can be used"),
    ("enroll", "@speaker.onnx Ada @new --gallery @voices.npz", "Ada is enrolled already, by 4 recordings"),
    ("enroll", "@speaker.onnx --gallery @new.npz", "there is no gallery"),
    ("enroll", "@speaker.onnx --gallery @voices.npz --remove Eve", "Eve is not enrolled"),
    ("enroll", "@speaker.onnx --gallery @voices.npz --threshold nan", "--threshold must be from -1 to 1"),
])
@pytest.mark.usefixtures("trials")
def test_mistakes_are_told_in_a_line(place: Path, gallery: Path, module: str, words: str, said: str) -> None:
    mean_model(place / "other.onnx", seed=1, scale="magnitude")
    (place / "silent.txt").write_text("1 new/Ada.wav new/Ada.wav\n0 new/Ada.wav new/Bea.wav\n0 silent.wav new/Ada.wav\n")
    before = gallery.read_bytes()
    done = run(f"common.{module}", *words.replace("@", f"{place}/").split())
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert re.search(said, done.stderr.splitlines()[-1]), done.stderr
    assert gallery.read_bytes() == before and not (place / "new.npz").exists()


@pytest.fixture(scope="module")
def trials(place: Path) -> Path:
    """Of the known voices: 12 of one voice across sessions, 48 of two."""
    succeed("common.verify.trials", place / "known", place / "known.txt")
    lines = (place / "known.txt").read_text().splitlines()
    (place / "trials.txt").write_text("".join(f"{kind} known/{first} known/{second}\n"
                                              for kind, first, second in map(str.split, lines)))
    return place / "trials.txt"


def test_trials_give_error_rates_and_a_threshold_that_is_kept(place: Path, gallery: Path, trials: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.npz"
    mine.write_bytes(gallery.read_bytes())
    told = succeed("common.verify", place / "speaker.onnx", "--trials", trials, "--calibrate", "--gallery", mine,
                   "--out", tmp_path / "out")
    assert "12 trials of one voice and 48 of two, 12 recordings" in told and "EER     0.00 % (95 % interval 0.00 to 0.00 %" in told
    assert "minDCF  0.000 (P_target 0.01), 0.000 (P_target 0.05)" in told
    assert "here: false accepts 0 of 48, 0.0 % (0.0 to 7.4 %), false rejects 0 of 12" in told
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scores.csv", "scores.png", "verification.json"]
    facts = json.loads((tmp_path / "out/verification.json").read_text())
    assert (facts["targets"], facts["nontargets"], facts["recordings"], facts["units"]) == (12, 48, 12, "recordings")
    rows = list(csv.DictReader((tmp_path / "out/scores.csv").open()))
    scores = {kind: [float(row["score"]) for row in rows if row["target"] == kind] for kind in "01"}
    assert max(scores["0"]) < facts["threshold"]["value"] < min(scores["1"])
    listed = succeed("common.enroll", place / "speaker.onnx", "--gallery", mine)
    assert f"threshold {facts['threshold']['value']:.3f} (equal error rate on trials.txt: 12 trials of one voice" in listed
    assert decisions(place, mine) == {**{name: name for name in NAMES}, "Dora": None}
    again = json.loads(succeed("common.verify", place / "speaker.onnx", "--trials", place / "known.txt", "--root",
                               place / "known", "--gallery", mine, "--json"))
    assert (again["eer"], again["units"], again["num_units"]) == (0.0, "voices", 3)
    assert again["at_threshold"]["false_accepts"] == again["at_threshold"]["false_rejects"] == 0
    assert again["threshold"] == facts["threshold"]


def test_onnx_runtime_needs_neither_framework(place: Path, gallery: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ALONE, place / "speaker.onnx", place / "new/Ada.wav", "--gallery", gallery],
                          cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0 and "Ada.wav: Ada: score" in done.stdout, done.stderr
    imported = set(done.stdout.partition("imported: ")[2].split())
    assert "onnxruntime" in imported
    assert not imported & {"tensorflow", "tf_impl", "torch", "caffe2", "caffe2_impl", "onnx", "tf2onnx", "matplotlib", "sklearn"}


def test_a_gallery_and_its_scores_are_the_same_in_three_engines(place: Path, tmp_path: Path) -> None:
    spec = build("tdnn", 3, 0.05)
    config = TrainingConfig(network="tdnn", width=0.05)
    save_checkpoint(tmp_path / "model.npz", Checkpoint(config, NAMES, drawn_params(spec), parameters.zeros(spec), scale="log",
                                                       normalised=False))
    succeed("caffe2_impl.export", tmp_path / "model.npz", tmp_path / "model.onnx")
    models = {"tf_impl": "model.npz", "caffe2_impl": "model.npz", "common": "model.onnx"}
    succeed("caffe2_impl.enroll", tmp_path / "model.npz", place / "known", "--gallery", tmp_path / "voices.npz", "--threads", 1)
    scores, engines = [], []
    for package, model in models.items():
        told = json.loads(succeed(f"{package}.verify", tmp_path / model, place / "new", "--gallery", tmp_path / "voices.npz",
                                  "--json", "--threads", 1))
        engines.append(told["engine"])
        scores.append([score["score"] for each in told["recordings"] for score in sorted(each["scores"], key=lambda s: s["voice"])])
    assert engines == ["TensorFlow", "Caffe2", "ONNX Runtime"]
    found = np.array(scores)
    assert found.shape == (3, 4 * 3) and np.ptp(found[0]) > 1e-3
    assert np.ptp(found, axis=0).max() < 1e-5
