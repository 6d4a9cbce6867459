"""What a person gets wrong at the command line is told in one line, quickly; and --help is quick."""
from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterator, List

import numpy as np
import pytest
import soundfile
from commands import PROJECT, main_of
from forks import Forks
from tiny_data import SPEAKERS, spectrogram, write_data

import compare
from common.data.classes import write_classes
from common.data.dataset import Dataset, open_dataset
from common.data.splits import save_split, split_dataset
from common.network import params as parameters
from common.network.architectures import build
from common.parser import Parser
from common.training.checkpoint import Checkpoint, save_checkpoint
from common.training.config import TrainingConfig

FRAMEWORKS = ["tensorflow", "torch", "caffe2"]
SLOW = [*FRAMEWORKS, "scipy", "matplotlib", "onnx", "onnxruntime", "soundfile", "av"]


@pytest.fixture(scope="module")
def bare() -> Iterator[Forks]:
    """Commands start from nothing but Python."""
    with Forks() as forks:
        yield forks


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """Commands start where NumPy is imported, and what theirs have in common."""
    with Forks("numpy", "compare", "common.data.splits", "common.training.loop") as forks:
        yield forks


def commands() -> List[str]:
    """Every file that runs as a command, by how it is run; workers are no commands, they `serve`."""
    texts = {path.relative_to(PROJECT): path.read_text()
             for folder in ("common", "tf_impl", "caffe2_impl")
             for path in sorted((PROJECT / folder).rglob("*.py"))}
    found = [path for path, text in texts.items()
             if '__name__ == "__main__"' in text and "\n    serve(" not in text]
    return ["compare.py", *(f"compare.py {name}" for name in compare.COMMANDS),
            *(".".join(path.with_suffix("").parts).replace(".__main__", "") for path in found)]


@pytest.mark.parametrize("name", commands())
def test_help_is_quick_and_complete(bare: Forks, forks: Forks, name: str) -> None:
    module, *words = name.split()
    slow = [*SLOW, "numpy"] if module in ("common.prepare", "common.doctor") else SLOW
    # What lies in common may be imported already where others start, and could not be run there.
    done = (bare if module.startswith("common.") else forks).run(slow, module, *words, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout and name.split()[-1].split(".")[-1] in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("name", commands())
def test_options_are_read_by_the_one_parser(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No abbreviations, and one line for what is wrong."""
    found = []

    def parse(parser: argparse.ArgumentParser, *_: object) -> None:
        found.append(type(parser))
        raise KeyboardInterrupt

    for method in ("parse_intermixed_args", "parse_args"):
        monkeypatch.setattr(argparse.ArgumentParser, method, parse)
    module, *words = name.split()
    assert main_of(module)(words) == 130 and found == [Parser]


@pytest.mark.parametrize("line, told", [
    ("common.prepare a b --speaker 3", "unrecognized arguments: --speaker 3; did you mean --speakers? python -m common.prepare "
     "--help lists the options"),
    ("common.verify --galery x README.md", "unrecognized arguments: --galery; did you mean --gallery?"),
    ("compare.py predictions --sid dev a b", "unrecognized arguments: --sid; did you mean --side?"),
    ("compare.py --batch=8", "unrecognized arguments: --batch=8; did you mean"),
    ("caffe2_impl.train --qqqq", "unrecognized arguments: --qqqq; python -m caffe2_impl.train --help lists the options")])
def test_a_misspelt_option_is_guessed(line: str, told: str, capsys: pytest.CaptureFixture) -> None:
    module, *words = line.split()
    assert main_of(module)(words) == 2 and capsys.readouterr().err.startswith(f"error: {told}")


@pytest.fixture(scope="module")
def place(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of everything that can be wrong, and what is right beside it."""
    place = tmp_path_factory.mktemp("place")
    (place / "data").symlink_to(tiny_data)
    dataset = open_dataset([tiny_data])
    make_models(place, dataset)
    make_data(place)
    make_sounds(place)
    make_groups(place)
    save_split(place / "split.json", split_dataset(dataset), dataset)
    save_split(place / "no-dev.json", dataclasses.replace(split_dataset(dataset), dev=np.zeros(0, np.int64)), dataset)
    (place / "run").mkdir()
    shutil.copy(place / "model.npz", place / "run" / "last.npz")
    (place / "run" / "data.json").write_text(json.dumps([str(tiny_data)]))
    shutil.copytree(place / "run", place / "begun")
    shutil.copy(place / "split.json", place / "begun")
    shutil.copytree(place / "begun", place / "finished")
    shutil.copy(place / "finished.npz", place / "finished" / "last.npz")
    shutil.copytree(place / "finished", place / "bestless")
    shutil.copy(place / "finished.npz", place / "finished" / "best.npz")
    (place / "empty").mkdir()
    (place / "file").write_text("not a folder")
    return place


def make_models(place: Path, dataset: Dataset) -> None:
    config = TrainingConfig(network="tdnn", width=0.02, epochs=2)
    spec = build("tdnn", len(SPEAKERS), 0.02)
    model = Checkpoint(config, tuple(SPEAKERS), parameters.initialise(spec), parameters.zeros(spec), scale="magnitude",
                       normalised=True)
    save_checkpoint(place / "model.npz", model)
    save_checkpoint(place / "finished.npz", dataclasses.replace(model, epoch=2))
    everything = frozenset(dataset.records.fingerprints(range(len(dataset.records))).tolist())
    save_checkpoint(place / "all.npz", dataclasses.replace(model, epoch=2, trained_on=everything))
    save_checkpoint(place / "log-scale.npz", dataclasses.replace(model, scale="log"))
    save_checkpoint(place / "foreign.npz", dataclasses.replace(model, framework="Theano"))
    (place / "speaker.onnx").write_bytes(b"none")
    (place / "damaged.npz").write_bytes((place / "model.npz").read_bytes()[:-1000])


def make_data(place: Path) -> None:
    zero = np.float32([0]).tobytes() + spectrogram(0).tobytes()
    one = np.float32([1]).tobytes() + spectrogram(1).tobytes()
    with_nan = bytearray(one)
    with_nan[400:404] = np.float32([np.nan]).tobytes()
    half_label = np.float32([1.5]).tobytes() + one[4:]
    for name, content in (("truncated", one + one[:999]), ("nan", one + bytes(with_nan) + one), ("half-label", half_label), ("twice", one + one), ("single", zero + one),
                          ("nothing", b""), ("text", b"hello " * 200)):
        (place / name).mkdir()
        (place / name / "part-1.bin").write_bytes(content)
        write_classes(place / name / "classes.txt", SPEAKERS)
    write_data(place / "others", seed=3)
    write_classes(place / "others" / "classes.txt", SPEAKERS[::-1])
    for sidecar in (place / "others").glob("*.sessions.csv"):
        sidecar.unlink()
    (place / "nameless").mkdir()
    shutil.copy(place / "nan" / "part-1.bin", place / "nameless" / "part-1.bin")


def make_sounds(place: Path) -> None:
    soundfile.write(place / "short.wav", np.zeros(9000, np.float32), 16_000)
    soundfile.write(place / "nan.wav", np.full(32_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    soundfile.write(place / "silent.wav", np.zeros(32_000, np.float32), 16_000)
    (place / "letter.ogg").write_text("Dear reader, " * 400)
    (place / "empty.wav").write_bytes(b"")


def make_groups(place: Path) -> None:
    (place / "groups.csv").write_text("speaker,room\nAda,large\nBea,small\nAda,small\n")
    (place / "others.csv").write_text("speaker,room\nNobody,large\n")


TRAIN = "caffe2_impl.train"
EVALUATE = "caffe2_impl.evaluate"
IDENTIFY = "caffe2_impl.identify"
# Command line, @ being the folder of `place`; what the error must name.
QUICK_ERRORS = [
    (f"{TRAIN} --data @missing.bin", "missing.bin.*check the path"),
    (f"{TRAIN} --data @empty", "empty: no .bin record files"),
    (f"{TRAIN} --data @file", "file"),
    (f"{TRAIN} --data @truncated", "part-1.bin: truncated tail: record 1 at byte 614404 has 999 of its 614404 bytes"),
    (f"{TRAIN} --data @half-label", "part-1.bin: record 0 at byte 0 has the label 1.5"),
    (f"{TRAIN} --data @nothing", "part-1.bin: the file is empty"),
    (f"{TRAIN} --data @text", "part-1.bin: wrong length"),
    (f"{TRAIN} --data @nameless", "no classes.txt"),
    (f"{TRAIN} --data @data @data", "given 2 times"),
    (f"{TRAIN} --data @data --batch-size 1", "batch_size must be at least 2"),
    (f"{TRAIN} --data @data --batch-size 25", "24 training utterances do not fill one batch of 25"),
    (f"{TRAIN} --data @data --epochs 0", "epochs must be at least 1"),
    (f"{TRAIN} --data @data --epochs two", "--epochs: invalid int value: 'two'"),
    (f"{TRAIN} --data @data --network resnet", "--network: invalid choice: 'resnet'"),
    (f"{TRAIN} --data @data --learning-rate nan", "learning_rate must be a finite number"),
    (f"{TRAIN} --data @data --learning-rate -1", "learning rates must be above 0"),
    (f"{TRAIN} --data @data --momentum 1", "momentum must be at least 0 and below 1"),
    (f"{TRAIN} --data @data --seed {10**21}", "seed .* must be from 0 to 9223372036854775807"),
    (f"compare.py baseline @data --seed {10**21}", "seed .* must be from 0 to"),
    (f"{TRAIN} --data @data --network tdnn --width 0.005", "width of 0.005 leaves 1 of a layer's 256 channels"),
    (f"{TRAIN} --data @data --width inf", "width must be a finite number"),
    (f"{TRAIN} --data @data --crop-frames 50", "vgg_m cannot take 50 frames"),
    (f"{TRAIN} --data @data --seed -1", "seed .* must be from 0 to 9223372036854775807, not -1"),
    (f"{TRAIN} --data @data --time-mask 300", "can cover all 300 frames"),
    (f"{TRAIN} --data @data --threads -2", "--threads must be"),
    (f"{TRAIN} --data @data --device tpu", "--device: invalid choice: 'tpu'"),
    (f"{TRAIN} --data @data --batch-size 8 --out @run", "run already holds a run; go on with --resume run"),
    (f"{TRAIN} --data @data --batch-size 8 --out @file", "file: cannot write here"),
    (f"{TRAIN} --data @data --batch-size 8 --out @data", "data is not empty, .*another folder with --out"),
    (f"{TRAIN} --data @data --batch-size 8 --share 0", "a share of the training side must be above 0 and at most 1, not 0"),
    (f"{TRAIN} --data @data --batch-size 8 --share 0.2", "4 training utterances do not fill one batch of 8"),
    (f"{TRAIN} --resume @run --share 0.5", "--resume goes on with the run's own settings"),
    (f"{TRAIN} --resume @run --width 0.5", "--resume goes on with the run's own settings"),
    (f"{TRAIN} --resume @run --recordings @data", "--resume goes on with the run's own settings"),
    (f"{TRAIN} --data @data --recordings @data", "give --data in their place"),
    (f"{TRAIN} --recordings @data/none", "none"),
    (f"{TRAIN} --recordings @data", "recording"),
    (f"{TRAIN} --resume @begun --epochs 9", "begun has done 0 of its 2 epochs.*give it more when it is done"),
    (f"{TRAIN} --resume @empty", "empty has no last.npz"),
    (f"{TRAIN} --resume @nowhere", "nowhere has no last.npz"),
    (f"{TRAIN} --resume @finished --epochs 1", "has done all its 2 epochs.*--resume finished --epochs 4"),
    (f"{TRAIN} --resume @bestless", "bestless/best.npz.*have what was saved last count in its place: cp bestless/last.npz"),
    (f"{TRAIN} --data @data --learning-rate 0.0001", "learning rate would rise, from 0.0001 to 0.0002"),
    (f"{TRAIN} --resume @run", "split.json.* with --seed 0.* copy its split.json to run"),
    (f"{TRAIN} --nonsense", "--nonsense"),
    (f"{EVALUATE} @missing.npz @data", "there is no model missing.npz"),
    (f"{EVALUATE} @damaged.npz @data", "damaged.npz"),
    (f"{EVALUATE} @short.wav @data", "short.wav"),
    (f"{EVALUATE} @run @data", "run is a folder without a best.npz; give a run's folder"),
    (f"{EVALUATE} @model.npz @twice/part-1.bin --side test", "--side test needs a split: name it with --split"),
    (f"{EVALUATE} @all.npz @data --split @split.json", "all 12 utterances are among those the model was trained on"),
    (f"{EVALUATE} @model.npz @missing.bin", "missing.bin"),
    (f"{EVALUATE} @model.npz @others", "classes.txt and the speakers of the model differ"),
    (f"{EVALUATE} @model.npz @truncated/part-1.bin", "truncated tail"),
    (f"{EVALUATE} @model.npz @data --batch-size 0", "--batch-size: must be at least 1, not 0"),
    (f"{EVALUATE} @model.npz @data --split @missing.json", "there is no split missing.json"),
    (f"{EVALUATE} @model.npz @data --split @model.npz", "model.npz"),
    (f"{EVALUATE} @model.npz @twice/part-1.bin --split @split.json", "split.json: this split was made for other data"),
    (f"{EVALUATE} @model.npz @data --split @no-dev.json --side dev", "no-dev.json has no utterances on its dev side"),
    (f"{EVALUATE} @model.npz @data --side nowhere", "--side: invalid choice"),
    (f"{EVALUATE} @model.npz @data --out @file", "file: cannot make this folder"),
    (f"{EVALUATE} @log-scale.npz @data", "scale"),
    (f"{EVALUATE} @model.npz @data --groups @groups.csv room", "--groups is for --breakdown"),
    (f"{EVALUATE} @model.npz @data --breakdown --groups @missing.csv room", "missing.csv"),
    (f"{EVALUATE} @model.npz @data --breakdown --groups @groups.csv size", "groups.csv: has no column 'size'"),
    (f"{EVALUATE} @model.npz @data --breakdown --groups @groups.csv room", "groups.csv: line 4: 'Ada' is in 'small' here"),
    (f"{EVALUATE} @model.npz @data --breakdown --groups @others.csv room", "others.csv: names none of the 4 speakers, such as "
     "'Ada'"),
    (f"{IDENTIFY} @model.npz @missing.wav", "there is no recording missing.wav"),
    (f"{IDENTIFY} @model.npz @short.wav", "short.wav: too short: 0.56 s of sound, and at least 1.05 s"),
    (f"{IDENTIFY} @model.npz @nan.wav", "nan.wav: holds samples that are NaN or infinite"),
    (f"{IDENTIFY} @model.npz @letter.ogg", "letter.ogg: not a recording"),
    (f"{IDENTIFY} @model.npz @empty.wav", "empty.wav: the file is empty"),
    (f"{IDENTIFY} @model.npz @data", "data: no recordings in this folder"),
    (f"{IDENTIFY} @damaged.npz @short.wav", "damaged.npz"),
    (f"{IDENTIFY} @model.npz @silent.wav", "silent.wav: silent: nothing in it is louder than -90 dB"),
    (f"{IDENTIFY} @model.npz @short.wav --top 0", "--top: must be at least 1, not 0"),
    (f"{IDENTIFY} @model.npz @short.wav --json --csv", "--csv: not allowed with argument --json"),
    (f"{IDENTIFY} @speaker.onnx @short.wav", "is an ONNX file, .*: python -m common.identify speaker.onnx"),
    (f"{IDENTIFY} @model.npz", "missing: RECORDING; such as in: python -m caffe2_impl.identify runs/first hello.wav"),
    ("common.identify", "missing: model, RECORDING; such as in: python -m common.identify speaker.onnx hello.wav"),
    ("common.identify @model.npz @short.wav", "is a checkpoint, .*: python -m tf_impl.identify or .*export model.npz"),
    ("common.identify @run @short.wav", "run is a checkpoint, and a framework"),
    ("common.identify @speaker.onnx @short.wav", "speaker.onnx is no ONNX file"),
    ("common.evaluate @model.npz @data", "is a checkpoint, .*: python -m tf_impl.evaluate or"),
    ("common.evaluate @speaker.onnx", "speaker.onnx is no ONNX file"),
    ("common.identify @speaker.onnx @short.wav --device gpu", "--device gpu: ONNX Runtime"),
    ("caffe2_impl.enroll @model.npz Ada @short.wav", "missing: --gallery; such as in: python -m caffe2_impl.enroll"),
    ("caffe2_impl.enroll @speaker.onnx --gallery @new", "is an ONNX file, .*: python -m common.enroll speaker.onnx"),
    ("caffe2_impl.verify @model.npz @short.wav --gallery @new", "there is no gallery of enrolled voices new"),
    ("caffe2_impl.verify @model.npz @short.wav --gallery @model.npz", "model.npz is no gallery of enrolled voices"),
    ("caffe2_impl.verify @model.npz --trials @missing.txt", "missing.txt: no such list of trials"),
    ("common.verify @model.npz @short.wav --gallery @new", "is a checkpoint, .*: python -m tf_impl.verify or"),
    ("compare.py --data @missing.bin", "missing.bin: no such data folder or record file"),
    ("compare.py --data @truncated", "truncated tail"),
    ("compare.py --data @data --batch-size 25", "24 training utterances do not fill one batch of 25"),
    ("compare.py --data @single --batch-size 2", "single leaves nothing to test on"),
    ("compare.py --data @data --epochs -1", "--epochs must be 0"),
    ("compare.py --data @data --blocks 1", "--blocks must be at least 2"),
    ("compare.py --data @data --calls 0", "--calls must be at least 1"),
    ("compare.py --data @data --budget -1", "--budget must be at least 0"),
    ("compare.py --data @data --block-seconds nan", "--block-seconds must be at least 0"),
    ("compare.py --data @data --block-seconds inf", "--block-seconds must be at least 0, and a number"),
    ("compare.py --data @data --budget inf", "--budget must be at least 0, and a number"),
    ("compare.py --data @data --baselines keras,caffe3",
     r"--baselines: invalid choice: 'caffe3' \(choose from tensorflow-direct, caffe2-direct, keras, keras-onednn, torch"),
    ("compare.py --data @data --networks tdnn vgg_m --crop-frames 60", "vgg_m cannot take 60 frames"),
    ("compare.py --data @data --frameworks keras", "--frameworks: invalid choice: 'keras'"),
    ("compare.py --data @data --out @file", "file: cannot make this folder"),
    ("compare.py onnx @missing.npz --data @data --out @new", "there is no model missing.npz"),
    ("compare.py predictions @model.npz @damaged.npz --data @data", "damaged.npz"),
    ("compare.py predictions @model.npz @foreign.npz --data @data", "foreign.npz was trained by Theano"),
    ("compare.py crossover --data @data --batch-size 8 --out @file", "file: cannot make this folder"),
    ("compare.py crossover --data @data --batch-size 25 --out @new", "24 utterances do not fill one batch of 25"),
    ("compare.py crossover --data @data --batch-size 8 --steps 0 --out @new", "--steps: must be at least 1, not 0"),
]


def assert_one_clear_error(done: subprocess.CompletedProcess[str], named: str, place: Path) -> None:
    error = done.stderr.replace(f"{place}/", "")
    assert done.returncode == 2, error
    assert "Traceback" not in error
    assert done.stdout == ""
    message, = error.splitlines()
    assert message.startswith("error: ") and re.search(named, message), message


@pytest.mark.parametrize("line, named", QUICK_ERRORS, ids=[line for line, _ in QUICK_ERRORS])
def test_found_before_a_framework_is_loaded(forks: Forks, place: Path, line: str, named: str) -> None:
    before = sorted(place.iterdir())
    done = forks.run(FRAMEWORKS, *line.replace("@", f"{place}/").split())
    assert_one_clear_error(done, named, place)
    assert sorted(place.iterdir()) == before, "left something behind"
