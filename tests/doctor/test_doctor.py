"""The doctor as a command: quiet on good data, what it reports and draws, and what it cannot look at."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from damage import SPEAKERS, codes, examine, finding, healthy, patch

from common.data.classes import write_classes
from common.data.dataset import sidecar_path
from common.data.records import RECORD_BYTES, RecordWriter
from common.doctor.__main__ import main


def test_sound_data(data: Path, capsys: pytest.CaptureFixture) -> None:
    status, report = examine(capsys, data, "--strict")
    assert (status, report["verdict"], report["findings"]) == (0, "sound", [])
    assert report["records"] == 24 and report["speakers"] == 3
    assert report["records_by_speaker"] == {"Ada": 8, "Bea": 8, "Cleo": 8}
    assert (report["normalised"], report["scale"], report["mirrored_records"]) == ("bins", "magnitude", 0)
    assert report["checked_split"] == "the default split (seed 0, by session)"


def test_text_report_ends_with_the_verdict(data: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(data)]) == 0
    text = capsys.readouterr().out
    assert "every bin over time, as the paper" in text and "24 in 2 files" in text
    assert text.splitlines()[-1] == "verdict: sound"
    patch(data / "part-2.bin", 3, np.float32(7))
    assert main([str(data)]) == 1
    text = capsys.readouterr().out
    assert f"part-2.bin: record 3, byte {3 * RECORD_BYTES}" in text
    assert text.splitlines()[-1] == "verdict: not usable: 1 problem, 0 warnings"


def test_missing_sidecars_and_classes(data: Path, capsys: pytest.CaptureFixture) -> None:
    for path in [*data.glob("*.csv"), data / "classes.txt"]:
        path.unlink()
    status, report = examine(capsys, data)
    assert status == 0 and codes(report) == {"classes-missing": "warning", "sidecars-missing": "warning"}
    assert report["records_by_speaker"] == {"0": 8, "1": 8, "2": 8}


def test_bad_classes_and_bad_sidecar(data: Path, capsys: pytest.CaptureFixture) -> None:
    sidecar_path(data / "part-1.bin").write_text("Ada,s,a.wav\n")
    status, report = examine(capsys, data)
    assert status == 1 and "3 fields in place of 4" in finding(report, "not-readable")["message"]
    (data / "classes.txt").write_text("0 Ada\n0 Bea\n")
    status, report = examine(capsys, data)
    assert status == 1 and "repeats label 0" in finding(report, "classes-unreadable")["message"]


def test_imbalance_and_absent_speakers(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_classes(tmp_path / "classes.txt", SPEAKERS)
    with RecordWriter(tmp_path / "a.bin") as writer:
        for i in range(12):
            writer.append(healthy(i), 0 if i else 1)
    _, report = examine(capsys, tmp_path)
    assert "Ada has 11 records, Bea only 1" in finding(report, "imbalance")["message"]
    assert "1 of 3, such as Cleo" in finding(report, "speaker-without-records")["message"]


def test_a_file_of_anything(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "noise.bin").write_bytes(np.random.default_rng(0).bytes(2_000_000))
    status, report = examine(capsys, tmp_path / "noise.bin")
    assert status == 1 and report["records"] == 3
    assert {"label-not-whole", "not-finite", "truncated-tail"} <= set(codes(report))


def test_plots(data: Path, tmp_path: Path) -> None:
    patch(data / "part-1.bin", 0, np.float32([np.nan]), offset=4)
    assert main([str(data), "--plots", str(tmp_path / "plots")]) == 1
    assert main([str(data), "--plots", str(tmp_path / "plots")]) == 2  # what is there is not lost unasked
    assert main([str(data), "--plots", str(tmp_path / "plots"), "--force"]) == 1
    for name in ("speakers.png", "spectrograms.png"):
        assert (tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for arguments, message in (([str(tmp_path / "gone.bin")], "gone.bin: no such"),
                               ([str(tmp_path)], "no .bin record files"),
                               ([str(tmp_path), "--workers", "0"], "--workers: must be at least 1")):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
