"""Repair goes into a new folder, and leaves what it repairs as it was."""
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from damage import PER_FILE, SPEAKERS, copy_record, examine, healthy, patch

from common.data.dataset import open_dataset
from common.data.records import RECORD_BYTES
from common.doctor.__main__ import main


def test_repair(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    os.truncate(data / "part-1.bin", 11 * RECORD_BYTES + 5)
    patch(data / "part-1.bin", 2, np.float32(9))
    patch(data / "part-2.bin", 6, np.float32(np.nan), offset=400)
    copy = (data / "part-1.bin").read_bytes()[4:RECORD_BYTES]
    patch(data / "part-2.bin", 3, np.frombuffer(copy, dtype=np.uint8), offset=4)  # same speaker: one is kept
    patch(data / "part-2.bin", 4, np.zeros(RECORD_BYTES - 4, dtype=np.uint8), offset=4)
    (data / "dataset.json").write_text('{"scale": "magnitude", "records": 24}')
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    out = tmp_path / "repaired"
    assert examine(capsys, data, "--repair", out)[0] == 1
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    assert examine(capsys, out, "--strict")[0] == 0
    repaired = open_dataset([out])
    assert len(repaired.records) == 10 + 9 and repaired.scale == "magnitude"
    assert repaired.recordings is not None
    expected = [f"{SPEAKERS[i % 3]}/part-{part}-{i}.wav" for part, gone in ((1, (2, 11)), (2, (3, 4, 6)))
                for i in range(PER_FILE) if i not in gone]
    assert repaired.recordings.tolist() == expected
    np.testing.assert_array_equal(repaired.records.read([2])[0][0], healthy(103))


def test_repair_drops_what_two_speakers_claim(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    copy_record(data, 0, 1)
    examine(capsys, data, "--repair", tmp_path / "out")
    assert len(open_dataset([tmp_path / "out"]).records) == 22


def test_repair_only_into_a_new_folder(data: Path, capsys: pytest.CaptureFixture) -> None:
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    assert main([str(data), "--repair", str(data)]) == 2
    assert "holds files already" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    assert main([str(data), "--repair", str(data / "classes.txt")]) == 2
    assert "cannot use this folder" in capsys.readouterr().err


def test_repair_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "noise.bin").write_bytes(np.random.default_rng(0).bytes(2_000_000))
    assert main([str(tmp_path / "noise.bin"), "--repair", str(tmp_path / "out")]) == 2
    assert "no record is good" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
