"""What kind of spectrograms a folder holds: scale, normalisation, and which way round."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Optional

import numpy as np
import pytest
from damage import codes, examine, finding, healthy, log_values, magnitudes, make_folder, write_file

from common.data.form import NUM_BINS, NUM_FRAMES
from common.doctor.look import BINS, FRAMES, NONE, NORMALISATIONS, UTTERANCE, measure
from common.prepare.features import normalise_bins, spectrogram


def test_real_spectrograms_of_both_scales() -> None:
    samples = np.random.default_rng(0).standard_normal(48_240).astype(np.float32) * np.sin(np.arange(48_240) / 900)
    for scale, positive in (("magnitude", True), ("log", False)):
        row, _ = measure(np.ascontiguousarray(spectrogram(samples, scale=scale)))
        assert row["normalised"] == BINS and (row["skewness"] > 0.6) == positive


@pytest.mark.parametrize("axis, expected", [(1, BINS), (0, FRAMES), (None, UTTERANCE)])
def test_axis_of_normalisation(axis: Optional[int], expected: int) -> None:
    values = magnitudes(0) * np.linspace(1, 9, NUM_BINS, dtype=np.float32)[:, None] * np.linspace(1, 5, NUM_FRAMES, dtype=np.float32)
    assert measure(values)[0]["normalised"] == NONE
    normalised = (values - values.mean(axis=axis, keepdims=True)) / values.std(axis=axis, keepdims=True)
    assert measure(normalised.astype(np.float32))[0]["normalised"] == expected


def per_frame(seed: int) -> np.ndarray:
    return np.ascontiguousarray(normalise_bins(magnitudes(seed).T).T)


def frames_first(seed: int, **options: Any) -> np.ndarray:
    """Of sound: where neighbours do not resemble each other, nobody can tell."""
    noise = np.random.default_rng(seed).standard_normal(48_240).astype(np.float32)
    return np.ascontiguousarray(spectrogram(noise, **options).T).reshape(NUM_BINS, NUM_FRAMES)


def mirror(seed: int) -> np.ndarray:
    values = healthy(seed)
    values[257:] = values[255:0:-1]
    return values


@pytest.mark.parametrize("make, normalised, scale, found", [
    (log_values, "bins", "log", {}),
    (magnitudes, "none", "magnitude", {"unusual-input": "warning"}),
    (lambda seed: np.log(magnitudes(seed)), "none", "log", {}),
    (per_frame, "frames", "magnitude", {"unusual-input": "warning"}),
    (frames_first, "unknown", "magnitude", {"transposed": "problem"}),
    (lambda seed: frames_first(seed, normalise=False, scale="log"), "unknown", "log", {"transposed": "problem"}),
    (mirror, "bins", "magnitude", {"mirrored": "warning"}),
], ids=["log", "raw", "raw-log", "per-frame", "transposed", "transposed-raw", "mirrored"])
def test_how_spectrograms_were_made(tmp_path: Path, capsys: pytest.CaptureFixture, make: Callable[[int], np.ndarray],
                                    normalised: str, scale: str, found: Dict[str, str]) -> None:
    _, report = examine(capsys, make_folder(tmp_path / "data", make, files=1))
    assert (report["normalised"], report["scale"], codes(report)) == (normalised, scale, found)
    assert normalised in (*NORMALISATIONS, "unknown")


def test_files_prepared_in_different_ways(data: Path, capsys: pytest.CaptureFixture) -> None:
    write_file(data / "part-2.bin", 900, log_values)
    status, report = examine(capsys, data)
    assert status == 1 and "part-1.bin magnitude, part-2.bin log" in finding(report, "mixed-scale")["message"]
    write_file(data / "part-2.bin", 900, magnitudes)
    status, report = examine(capsys, data)
    assert status == 1 and report["normalised"] == "mixed"
    assert "12 none, 12 bins" in finding(report, "mixed-normalisation")["message"]


def test_description_that_is_wrong(data: Path, capsys: pytest.CaptureFixture) -> None:
    (data / "dataset.json").write_text('{"normalised": true, "scale": "log"}')
    _, report = examine(capsys, data)
    assert "says scale: log" in finding(report, "description-differs")["message"]
