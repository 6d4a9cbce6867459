"""A small data folder whose speakers are easy to tell apart, for tests of what works on data."""
from __future__ import annotations

import json
from pathlib import Path
from typing import List

import numpy as np

from common.data.classes import write_classes
from common.data.dataset import SessionRow, write_sessions
from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.records import RecordWriter

SPEAKERS = ["Ada", "Bea", "Cleo", "Dora"]
SESSIONS, PER_SESSION = 4, 3  # of each speaker; gives 24 training, 12 development, 12 testing records


def write_data(folder: Path, seed: int = 0) -> Path:
    """One part for each speaker's half, with sidecars, called synthetic. Returns the folder."""
    folder.mkdir(parents=True)
    write_classes(folder / "classes.txt", SPEAKERS)
    (folder / "dataset.json").write_text(json.dumps(
        {"synthetic": True, "scale": "magnitude", "normalised": True}))
    for part in range(1, 3):
        rows: List[SessionRow] = []
        with RecordWriter(folder / f"part-{part}.bin") as writer:
            for label, speaker in enumerate(SPEAKERS):
                for number in range(SESSIONS * PER_SESSION // 2):
                    session = f"s{part}{number // PER_SESSION}"
                    writer.append(spectrogram(label, seed, 100 * part + number), label)
                    rows.append(SessionRow(speaker, session, f"{speaker}/{session}.wav", 48_240 * number))
        write_sessions(folder / f"part-{part}.bin", rows)
    return folder


def spectrogram(label: int, seed: int = 0, number: int = 0) -> np.ndarray:
    """Noise about the speaker's own level of every frequency bin, float32 (512, 300)."""
    profile = np.random.default_rng(label).standard_normal((NUM_BINS, 1), np.float32)
    noise = np.random.default_rng((seed, label, number)).standard_normal((NUM_BINS, NUM_FRAMES), np.float32)
    return profile + noise
