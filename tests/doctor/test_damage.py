"""Damaged records: each kind is found, by its file, record and byte."""
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from damage import PER_FILE, codes, examine, finding, make_folder, of_noise, patch, places

from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.records import RECORD_BYTES
from common.doctor.look import measure
from common.prepare.levels import SILENCE


def test_measures_of_extreme_values() -> None:
    large = np.full((NUM_BINS, NUM_FRAMES), 9e14, dtype=np.float32)
    assert measure(large)[0]["bad"] == 0  # its sum of cubes overflows, its values are legal
    for value, not_finite in ((-np.inf, 1), (3e38, 0), (-1.1e15, 0)):
        large[5, 7] = value
        row, descriptor = measure(large)
        assert (row["bad"], row["not_finite"], row["first"]) == (1, not_finite, 5 * NUM_FRAMES + 7)
        assert not descriptor.any()


def test_truncated_tail_and_empty_file(data: Path, capsys: pytest.CaptureFixture) -> None:
    os.truncate(data / "part-1.bin", 11 * RECORD_BYTES + 5)
    (data / "part-3.bin").touch()
    status, report = examine(capsys, data)
    assert status == 1 and codes(report) == {"truncated-tail": "problem", "empty-file": "problem"}
    assert places(report, "truncated-tail") == [("part-1.bin", 11, 11 * RECORD_BYTES)]
    assert "only 5 of 614404 bytes" in finding(report, "truncated-tail")["message"]
    assert report["checked_split"] is None


def test_download_that_failed(data: Path, capsys: pytest.CaptureFixture) -> None:
    (data / "part-3.bin").write_bytes(b"<?xml version='1.0'?><Error>AccessDenied</Error>")
    status, report = examine(capsys, data)
    assert status == 1 and "a download may have failed" in finding(report, "truncated-tail")["message"]


def test_bad_labels(data: Path, capsys: pytest.CaptureFixture) -> None:
    for record, label in ((0, 1.5), (3, np.nan), (7, np.inf), (4, 3), (5, -1)):
        patch(data / "part-2.bin", record, np.float32(label))
    status, report = examine(capsys, data)
    assert status == 1
    assert places(report, "label-not-whole") == [("part-2.bin", i, i * RECORD_BYTES) for i in (0, 3, 7)]
    assert places(report, "label-outside-classes") == [("part-2.bin", i, i * RECORD_BYTES) for i in (4, 5)]
    assert "the first is 1.5" in finding(report, "label-not-whole")["message"]
    assert sum(report["records_by_speaker"].values()) == 19


@pytest.mark.parametrize("kind, name", [("<i4", "int32"), (">f4", "big-endian float32")])
def test_labels_of_another_type_are_recognised(data: Path, capsys: pytest.CaptureFixture, kind: str, name: str) -> None:
    for record in range(PER_FILE):
        patch(data / "part-1.bin", record, np.array(record % 3, dtype=kind))
    message = finding(examine(capsys, data)[1], "label-not-whole")["message"]
    assert "labels that are not whole numbers: 8 of 24" in message and f"read as {name} it is 1" in message


def test_values_that_are_not_finite(data: Path, capsys: pytest.CaptureFixture) -> None:
    patch(data / "part-2.bin", 6, np.float32([np.nan, np.inf]), offset=4 + 4 * 1000)
    status, report = examine(capsys, data)
    assert status == 1 and codes(report) == {"not-finite": "problem"}
    assert places(report, "not-finite") == [("part-2.bin", 6, 6 * RECORD_BYTES + 4 + 4 * 1000)]
    assert "1, with 2 such values" in finding(report, "not-finite")["message"]


def test_values_of_no_sensible_magnitude(data: Path, capsys: pytest.CaptureFixture) -> None:
    patch(data / "part-2.bin", 6, np.float32([3e38, 3e38, -3e38]), offset=4 + 4 * 1000)
    patch(data / "part-1.bin", 3, np.full(RECORD_BYTES // 4 - 1, 1e-40, np.float32), offset=4)
    status, report = examine(capsys, data)
    assert status == 1 and codes(report) == {"magnitude": "problem"}
    assert places(report, "magnitude") == [("part-1.bin", 3, 3 * RECORD_BYTES + 4),
                                           ("part-2.bin", 6, 6 * RECORD_BYTES + 4 + 4 * 1000)]
    assert "values that are below 1e-15, as all are" in finding(report, "magnitude")["message"]


def test_denormal_values_are_a_warning(data: Path, capsys: pytest.CaptureFixture) -> None:
    patch(data / "part-2.bin", 6, np.float32([1e-40, -1e-39]), offset=4 + 4 * 1000)
    status, report = examine(capsys, data)
    assert status == 0 and codes(report) == {"vanishing-values": "warning"}
    assert places(report, "vanishing-values") == [("part-2.bin", 6, 6 * RECORD_BYTES + 4 + 4 * 1000)]


def test_a_big_endian_file_is_named_as_what_it_is(data: Path, capsys: pytest.CaptureFixture) -> None:
    (data / "part-1.bin").write_bytes(np.fromfile(data / "part-1.bin", "<f4").astype(">f4").tobytes())
    report = examine(capsys, data)[1]
    assert "read as big-endian float32 all are ordinary numbers" in finding(report, "not-finite")["message"]


def test_constant_spectrograms(data: Path, capsys: pytest.CaptureFixture) -> None:
    for record in (2, 9):
        patch(data / "part-1.bin", record, np.zeros(RECORD_BYTES // 4 - 1, dtype=np.float32), offset=4)
    status, report = examine(capsys, data)
    assert status == 0 and report["verdict"] == "usable" and codes(report) == {"constant": "warning"}
    assert places(report, "constant") == [("part-1.bin", i, i * RECORD_BYTES) for i in (2, 9)]
    assert examine(capsys, data, "--strict")[0] == 1


@pytest.mark.parametrize("scale", ["magnitude", "log"])
def test_levels_of_what_was_not_normalised(tmp_path: Path, capsys: pytest.CaptureFixture, scale: str) -> None:
    data = make_folder(tmp_path / "data", lambda seed: of_noise(0.05 + seed / 1e4, normalise=False, scale=scale))
    assert not {"silent", "above-full-scale"} & set(codes(examine(capsys, data)[1]))
    patch(data / "part-1.bin", 3, of_noise(SILENCE / 2, normalise=False, scale=scale), offset=4)
    patch(data / "part-2.bin", 5, of_noise(8_000, normalise=False, scale=scale), offset=4)
    _, report = examine(capsys, data)
    assert places(report, "silent") == [("part-1.bin", 3, 3 * RECORD_BYTES)]
    assert places(report, "above-full-scale") == [("part-2.bin", 5, 5 * RECORD_BYTES)]


def test_rounding_noise_that_was_normalised(data: Path, capsys: pytest.CaptureFixture) -> None:
    patch(data / "part-1.bin", 3, of_noise(1e-4), offset=4)
    assert places(examine(capsys, data)[1], "noise") == [("part-1.bin", 3, 3 * RECORD_BYTES)]
