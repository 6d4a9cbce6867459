"""Training, evaluating and identifying at the command line of both frameworks; what is killed, in real processes."""
from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import List

import numpy as np
import pytest
import soundfile
from commands import PROJECT, SMALL, command, run, run_apart, succeed
from tiny_data import SPEAKERS, spectrogram

from common.data.records import RECORD_BYTES, RecordWriter
from common.training.checkpoint import load_checkpoint
from common.training.run_folder import EVENTS, claimed, read_log

EPOCHS = 4
# A low rate: where rounding moves a ReLU's input across zero, frameworks part in proportion to it.
TRAINING = [*SMALL, "--epochs", EPOCHS, "--learning-rate", "0.001", "--crop-frames", "150"]


def train_and_kill(package: str, data: Path, folder: Path) -> None:
    """Train, and kill -9 as soon as there is a checkpoint; again if it came to its end before."""
    for _ in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        words = command(f"{package}.train", "--data", data, "--out", folder, *TRAINING)
        with subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and not (folder / "last.npz").exists():
                time.sleep(0.005)
            process.kill()
        if process.returncode == -signal.SIGKILL:
            break
    assert 1 <= load_checkpoint(folder / "last.npz").epoch < EPOCHS


def names_of(folder: Path) -> List[str]:
    """Of a run's files, event files all by one name: each start of a process writes one."""
    return sorted({EVENTS if path.name.startswith(EVENTS) else path.name for path in folder.iterdir()})


def assert_same_losses(folder: Path, expected: Path, tolerance: float) -> None:
    """Forgotten momenta would show as some 5e-2, two runs of one framework do as 1e-6."""
    logs = [read_log(folder), read_log(expected)]
    assert [len(log) for log in logs] == [EPOCHS, EPOCHS]
    for record, other in zip(*logs):
        assert (record.epoch, record.step, record.learning_rate) == (other.epoch, other.step, other.learning_rate)
        assert record.train_loss == pytest.approx(other.train_loss, rel=tolerance)
        assert record.dev_loss == pytest.approx(other.dev_loss, rel=tolerance)


@pytest.fixture(scope="module")
def trained(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of Caffe2 in one go."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = run_apart("caffe2_impl.train", "--data", tiny_data, "--out", folder, *TRAINING)
    assert done.returncode == 0, done.stderr
    output = done.stdout
    assert [line.split()[:2] for line in output.splitlines()[:EPOCHS]] == [["epoch", str(e + 1)] for e in range(EPOCHS)]
    assert output.splitlines()[-3] == f"done: {folder / 'best.npz'}"
    assert re.fullmatch(r"test side, by epoch \d: top-1 .*, 12 utterances", output.splitlines()[-2])
    assert output.splitlines()[-1] == f"next: python -m caffe2_impl.identify {folder} RECORDING"
    return folder


@pytest.fixture(scope="module")
def killed(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, killed after an epoch or two."""
    folder = tmp_path_factory.mktemp("runs") / "killed"
    train_and_kill("caffe2_impl", tiny_data, folder)
    return folder


@pytest.fixture(scope="module")
def new_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight records alone in a folder, no names, no sidecar."""
    path = tmp_path_factory.mktemp("new") / "part-7.bin"
    with RecordWriter(path) as writer:
        for label in [0, 1, 2, 3, 3, 2, 1, 0]:
            writer.append(spectrogram(label, seed=7, number=label), label)
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven seconds of stereo noise at 44.1 kHz: two whole pieces and a rest."""
    path = tmp_path_factory.mktemp("sound") / "noise.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, (7 * 44_100, 2)), 44_100)
    return path


def test_contents_of_a_run(trained: Path, tiny_data: Path) -> None:
    assert names_of(trained) == [
        ".lock", "best.npz", "certificate.json", "config.json", "data.json", "events.out.tfevents.", "last.npz",
        "learning-curves.png", "log.jsonl", "previous.npz", "run.md", "split.json"]
    config = json.loads((trained / "config.json").read_text())
    assert (config["network"], config["width"], config["epochs"], config["crop_frames"]) == ("tdnn", 0.05, EPOCHS, 150)
    assert json.loads((trained / "data.json").read_text()) == [str(tiny_data)]
    log = read_log(trained)
    assert [record.step for record in log] == [3 * (e + 1) for e in range(EPOCHS)]
    assert log[-1].train_loss < 0.8 * log[0].train_loss
    assert max(record.dev_top1 for record in log) == load_checkpoint(trained / "best.npz").dev_top1
    assert load_checkpoint(trained / "last.npz").framework == "Caffe2"


def test_killed_and_resumed_is_the_same_run(killed: Path, trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(killed, tmp_path / "run"))
    output = succeed("caffe2_impl.train", "--resume", folder, "--threads", 1, "--convolutions", "default")
    assert f"epoch   {EPOCHS}" in output and "epoch   1 " not in output
    assert_same_losses(folder, trained, tolerance=1e-4)
    assert names_of(folder) == names_of(trained)


def test_killed_in_caffe2_and_resumed_in_tensorflow(killed: Path, trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(killed, tmp_path / "run"))
    succeed("tf_impl.train", "--resume", folder, "--threads", 1, "--convolutions", "default")
    assert_same_losses(folder, trained, tolerance=5e-3)
    assert load_checkpoint(folder / "last.npz").framework == "TensorFlow"
    first, second = json.loads((folder / "certificate.json").read_text())
    assert first["facts"]["framework"].startswith("Caffe2") and first["epoch"] == 0
    assert second["facts"]["framework"].startswith("TensorFlow 2.17") and 1 <= second["epoch"] < EPOCHS
    assert second["certificate"] == first["certificate"] and first["certificate"]["threads"] == "1"


def test_killed_in_tensorflow_and_resumed_in_caffe2(trained: Path, tiny_data: Path, tmp_path: Path) -> None:
    train_and_kill("tf_impl", tiny_data, tmp_path / "run")
    succeed("caffe2_impl.train", "--resume", tmp_path / "run", "--threads", 1, "--convolutions", "default")
    assert_same_losses(tmp_path / "run", trained, tolerance=5e-3)


def test_a_second_process_is_refused_and_a_finished_run_extended(trained: Path, tiny_data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    with claimed(folder):
        for words in (["--resume", folder, "--epochs", EPOCHS + 1], ["--data", tiny_data, "--out", folder, *TRAINING]):
            assert_one_line(run("caffe2_impl.train", *words), "another process is training in this folder")
    output = succeed("caffe2_impl.train", "--resume", folder, "--epochs", EPOCHS + 1, "--threads", 1)
    assert f"from {EPOCHS} to {EPOCHS + 1} epochs; the learning rate goes on at" in output
    assert [record.epoch for record in read_log(folder)] == list(range(1, EPOCHS + 2))


def test_data_that_have_moved(killed: Path, tiny_data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(killed, tmp_path / "run"))
    data = Path(shutil.copytree(tiny_data, tmp_path / "moved"))
    (folder / "data.json").write_text(json.dumps([str(tmp_path / "gone")]))
    assert "gone: the data of" in run("caffe2_impl.train", "--resume", folder).stderr
    succeed("caffe2_impl.train", "--resume", folder, "--data", data, "--threads", 1, "--convolutions", "default")


@pytest.fixture(scope="module")
def evaluated(trained: Path, new_records: Path, tmp_path_factory: pytest.TempPathFactory) -> List[Path]:
    """The same model on the same new records in both frameworks."""
    folders = []
    for package in ("tf_impl", "caffe2_impl"):
        folders.append(tmp_path_factory.mktemp("evaluated") / package)
        output = succeed(f"{package}.evaluate", trained / "best.npz", new_records, "--out", folders[-1], "--threads", 1,
                         "--batch-size", 3)
        head, figures, calibration, *mistakes, _ = output.splitlines()
        assert re.fullmatch(r"tdnn trained by Caffe2, . epochs, evaluated in \w+ on part-7.bin: it is NOT KNOWN whose labels .*; nor .* scale .*", head)
        assert re.fullmatch(r"top-1 .*\], 8 utterances, [0-9.]+ utterances/s", figures)
        assert re.fullmatch(r"expected calibration error [0-9.]+ %, by the temperature .*\) [0-9.]+ %", calibration)
        assert all(re.fullmatch(r"  +[12] of 2 by \w+ were taken for \w+", line) for line in mistakes)
    return folders


def test_evaluation_on_records_it_has_never_seen(evaluated: List[Path]) -> None:
    for folder in evaluated:
        figures = json.loads((folder / "evaluation.json").read_text())
        assert (figures["utterances"], figures["top5"]) == (8, None)
        assert figures["utterances_per_second"] > 0
        with open(folder / "confusion.csv", newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0][1:] == SPEAKERS and [row[0] for row in rows[1:]] == SPEAKERS
        counts = np.array([row[1:] for row in rows[1:]], int)
        assert counts.sum(axis=1).tolist() == [2, 2, 2, 2] and counts.trace() == 8 * figures["top1"]


def test_both_frameworks_evaluate_to_the_same(evaluated: List[Path]) -> None:
    tables = []
    for folder in evaluated:
        with open(folder / "predictions.csv", newline="") as file:
            tables.append(list(csv.DictReader(file)))
    assert [row["record"] for row in tables[0]] == [str(i) for i in range(8)]
    assert [row["speaker"] for row in tables[0]] == [SPEAKERS[i] for i in (0, 1, 2, 3, 3, 2, 1, 0)]
    for row, other in zip(*tables):
        assert (row["speaker"], row["predicted"]) == (other["speaker"], other["predicted"])
        assert float(row["logit"]) == pytest.approx(float(other["logit"]), abs=1e-4)


def test_evaluation_of_one_side_of_a_split_and_what_its_accuracy_consists_of(trained: Path, tiny_data: Path,
                                                                              tmp_path: Path) -> None:
    """The run's own folder will do, its split is found."""
    (tmp_path / "voices.csv").write_text("path,speaker,room\n" + "".join(
        f"{name}/1.wav,{name},{'large' if name < 'C' else 'small'}\n" for name in SPEAKERS))
    output = succeed("caffe2_impl.evaluate", trained, tiny_data, "--side", "dev", "--threads", 1, "--breakdown", "--groups",
                     tmp_path / "voices.csv", "room", "--out", tmp_path / "out")
    assert re.search(r"^1 s +12 utterances", output, re.MULTILINE) and re.search(r"^large +2 +6", output, re.MULTILINE)
    stored = json.loads((tmp_path / "out" / "breakdown.json").read_text())
    assert [group["name"] for group in stored["groups"]] == ["large", "small"] and len(stored["speakers"]) == 4
    correct = {each["heard"]: each["share"]["correct"] for each in stored["lengths"]}
    assert correct["3 s"] == round(12 * json.loads((tmp_path / "out" / "evaluation.json").read_text())["top1"])
    assert "processor" in (tmp_path / "out" / "breakdown.md").read_text()
    assert (tmp_path / "out" / "breakdown.png").read_bytes().startswith(b"\x89PNG")
    assert "12 utterances" in output
    assert output.splitlines()[0].endswith(f"voices, synthetic voices: dev side of {trained}/split.json")


def test_identify_says_the_same_in_both_frameworks(trained: Path, recording: Path) -> None:
    outputs = [succeed(f"{package}.identify", trained / "best.npz", recording, recording, "--top", 9, "--threads", 1)
               for package in ("tf_impl", "caffe2_impl")]
    answers = []
    for output in outputs:
        head, *lines = output.splitlines()
        assert head == f"{recording}:"
        answers.append({line.split("%")[1].strip(): float(line.split("%")[0]) for line in lines})
    assert sorted(answers[0]) == SPEAKERS
    assert list(answers[0].values()) == sorted(answers[0].values(), reverse=True)
    assert sum(answers[0].values()) == pytest.approx(100, abs=0.3)
    assert answers[0] == pytest.approx(answers[1], abs=0.11)


@pytest.mark.parametrize("seconds, rate", [(1.06, 16_000), (2.0, 8_000)])
def test_identify_takes_short_recordings(trained: Path, tmp_path: Path, seconds: float, rate: int) -> None:
    soundfile.write(tmp_path / "short.flac", np.random.default_rng(0).normal(0, 0.1, int(seconds * rate)), rate)
    output = succeed("caffe2_impl.identify", trained / "last.npz", tmp_path / "short.flac", "--threads", 1)
    assert len(output.splitlines()) == 1 + len(SPEAKERS)


def test_exports_of_half_the_size_say_the_same(trained: Path, evaluated: List[Path], new_records: Path, tmp_path: Path) -> None:
    """A checkpoint in the other framework, an ONNX file with neither."""
    succeed("caffe2_impl.export", trained, tmp_path / "half.npz")
    succeed("caffe2_impl.export", tmp_path / "half.npz", tmp_path / "half.onnx", "--half")
    assert (tmp_path / "half.npz").stat().st_size < 0.4 * (trained / "best.npz").stat().st_size
    for package, suffix in (("tf_impl", "npz"), ("common", "onnx")):
        told = succeed(f"{package}.evaluate", tmp_path / f"half.{suffix}", new_records, "--out", tmp_path / package,
                       "--threads", 1)
        assert ("NOT KNOWN which utterances" in told) == (suffix == "onnx")
    tables = [list(csv.DictReader(open(folder / "predictions.csv", newline=""))) for folder in
              (evaluated[0], tmp_path / "tf_impl", tmp_path / "common")]
    for whole, half, onnx in zip(*tables):
        assert whole["predicted"] == half["predicted"] == onnx["predicted"]
        assert float(half["logit"]) == pytest.approx(float(whole["logit"]), abs=0.01)
        assert float(half["logit"]) == pytest.approx(float(onnx["logit"]), abs=1e-4)


def assert_one_line(done: subprocess.CompletedProcess[str], named: str) -> None:
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and last.startswith("error: ") and re.search(named, last), done.stderr


def test_bad_values_met_on_the_way_are_named(trained: Path, new_records: Path, tmp_path: Path) -> None:
    """Found by the thread that reads ahead, behind the framework's own queue."""
    bad = Path(shutil.copy(new_records, tmp_path / "bad.bin"))
    with open(bad, "r+b") as file:
        file.seek(5 * RECORD_BYTES + 4000)
        file.write(np.float32([np.nan]).tobytes())
    done = run("caffe2_impl.evaluate", trained / "best.npz", bad, "--batch-size", 3, "--threads", 1)
    assert_one_line(done, f"bad.bin: record 5 .*byte {5 * RECORD_BYTES + 4000};")


def test_divergence_is_told(tiny_data: Path, tmp_path: Path) -> None:
    done = run("caffe2_impl.train", "--data", tiny_data, "--out", tmp_path / "run", *SMALL, "--learning-rate", "1e30")
    assert_one_line(done, "a lower --learning-rate")
    assert not (tmp_path / "run" / "last.npz").exists()


def test_a_gpu_that_cannot_be_driven_is_told(trained: Path, new_records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = run("caffe2_impl.evaluate", trained / "best.npz", new_records, "--device", "gpu")
    assert_one_line(done, "--device gpu: CUDA's driver shows no card here; use --device cpu")
