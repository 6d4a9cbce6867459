"""Sound data folders, how to damage them, and what the doctor says of them."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import pytest

from common.data.classes import write_classes
from common.data.dataset import SessionRow, open_dataset, write_sessions
from common.data.form import NUM_BINS, NUM_FRAMES, SEGMENT_SAMPLES
from common.data.records import RECORD_BYTES, RecordWriter
from common.doctor.__main__ import main
from common.prepare.features import normalise_bins, spectrogram

SPEAKERS = ["Ada", "Bea", "Cleo"]
PER_FILE = 12


def magnitudes(seed: int) -> np.ndarray:
    """As skewed as the magnitudes of speech are."""
    return np.random.default_rng(seed).gamma(0.5, size=(NUM_BINS, NUM_FRAMES)).astype(np.float32) + 1e-3


def healthy(seed: int) -> np.ndarray:
    return normalise_bins(magnitudes(seed))


def write_file(path: Path, first_seed: int, make: Callable[[int], np.ndarray]) -> None:
    """Twelve records, four of each speaker in turn, each of a session and a recording of its own."""
    labels = [i % 3 for i in range(PER_FILE)]
    with RecordWriter(path) as writer:
        for i, label in enumerate(labels):
            writer.append(make(first_seed + i), label)
    write_sessions(path, [SessionRow(SPEAKERS[label], f"s{i}", f"{SPEAKERS[label]}/{path.stem}-{i}.wav", 0)
                          for i, label in enumerate(labels)])


def make_folder(folder: Path, make: Callable[[int], np.ndarray] = healthy, files: int = 2) -> Path:
    folder.mkdir()
    write_classes(folder / "classes.txt", SPEAKERS)
    for number in range(1, files + 1):
        write_file(folder / f"part-{number}.bin", 100 * number, make)
    return folder


def patch(path: Path, record: int, values: np.ndarray, offset: int = 0) -> None:
    """Overwrite bytes of a record, from byte `offset` of it."""
    with open(path, "r+b") as file:
        file.seek(record * RECORD_BYTES + offset)
        file.write(np.asarray(values).tobytes())


def examine(capsys: pytest.CaptureFixture, *arguments: object) -> Tuple[int, Dict[str, Any]]:
    """Exit status and JSON report."""
    capsys.readouterr()
    status = main([str(argument) for argument in arguments] + ["--json", "--workers", "1"])
    return status, json.loads(capsys.readouterr().out)


def codes(report: Dict[str, Any]) -> Dict[str, str]:
    return {finding["code"]: finding["severity"] for finding in report["findings"]}


def finding(report: Dict[str, Any], code: str) -> Dict[str, Any]:
    (found,) = [finding for finding in report["findings"] if finding["code"] == code]
    return found


def places(report: Dict[str, Any], code: str) -> List[Tuple[str, int, int]]:
    return [(Path(place["path"]).name, place["record"], place["byte"]) for place in finding(report, code)["places"]]


def of_noise(deviation: float, **options: Any) -> np.ndarray:
    samples = np.random.default_rng(0).normal(0, deviation, SEGMENT_SAMPLES)
    return spectrogram(samples, **options)


def copy_record(data: Path, source: int, target: int, change: Callable[[np.ndarray], np.ndarray] = lambda x: x) -> None:
    """Overwrite the spectrogram of a record of part-2 with that of one of part-1."""
    values = open_dataset([data]).records.read([source])[0][0]
    patch(data / "part-2.bin", target, change(values).astype(np.float32), offset=4)


def smooth(seed: int) -> np.ndarray:
    """Magnitudes that change slowly over time, as those of speech do; noise has nothing left after a shift."""
    from scipy.ndimage import gaussian_filter1d

    return normalise_bins(gaussian_filter1d(magnitudes(seed), sigma=6, axis=1) ** 4)


def log_values(seed: int) -> np.ndarray:
    return normalise_bins(np.log(magnitudes(seed)))
