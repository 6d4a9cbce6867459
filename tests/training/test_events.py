"""What TensorBoard reads of a run, by its own reader."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import PROJECT

from common.show.confusion import confusion_png
from common.training.events import EventFile
from common.training.run_folder import EpochRecord


def record(epoch: int, loss: float) -> EpochRecord:
    return EpochRecord(epoch, 10 * epoch, 0.1 / epoch, loss, 0.5, None if epoch == 1 else 2 * loss, 0.25, 99.0, 1.0)


def written(folder: Path) -> None:
    """A run that was killed in its third epoch, and went on from the end of its second."""
    with EventFile(folder, step=0) as events:
        for epoch in (1, 2, 3):
            events.epoch(record(epoch, 1.0 / epoch))
    with EventFile(folder, step=20) as events:
        events.epoch(record(2, 0.5))
        events.epoch(record(3, 0.125))
        logits = np.eye(3, dtype=np.float32)
        events.picture("confusion", lambda: confusion_png(logits, np.int32([0, 1, 1]), ["Ada", "Bea", "Cleo"]))


def test_writing_them_loads_no_framework(tmp_path: Path) -> None:
    """A run in Caffe2 must not load TensorFlow, whose package the writer comes with."""
    code = ("import sys\nfrom pathlib import Path\nfrom common.training.events import EventFile\n"
            f"EventFile(Path({str(tmp_path)!r}), 0).picture('x', lambda: b'')\n"
            "print(sorted({'tensorflow', 'torch'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True).stdout == "[]\n"


def test_tensorboard_reads_them(tmp_path: Path) -> None:
    written(tmp_path)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(tmp_path))
    found.Reload()
    assert sorted(found.Tags()["scalars"]) == [
        "learning rate", "loss/development", "loss/training", "top-1/development", "top-1/training",
        "utterances a second"]
    assert [(event.step, event.value) for event in found.Scalars("loss/training")] == [(10, 1.0), (20, 0.5), (30, 0.125)]
    assert [event.step for event in found.Scalars("loss/development")] == [20, 30]
    image, = found.Images("confusion")
    assert image.encoded_image_string.startswith(b"\x89PNG")


def test_a_finished_run_that_is_tested_again_has_one_picture(tmp_path: Path) -> None:
    """As `train` tells it each time: the last epoch again, then the picture, of whatever epoch is the best."""
    written(tmp_path)
    for _ in range(2):
        with EventFile(tmp_path, step=30) as events:
            events.epoch(record(3, 0.125))
            events.picture("confusion", lambda: b"again")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(tmp_path))
    found.Reload()
    assert [(image.step, image.encoded_image_string) for image in found.Images("confusion")] == [(30, b"again")]


@pytest.mark.parametrize("failing", ["open", "write", "draw"])
def test_what_cannot_be_written_is_told_once_and_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                             capsys: pytest.CaptureFixture, failing: str) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if failing == "write":
        monkeypatch.setattr("common.training.events.RecordWriter.write", full)
    with EventFile(tmp_path / "none" if failing == "open" else tmp_path, 0) as events:
        events.epoch(record(1, 1.0))
        for _ in range(2):
            events.picture("confusion", full)
    note, = capsys.readouterr().err.splitlines()
    assert note.startswith(f"note: {tmp_path}") and " ends here, not written: " in note
