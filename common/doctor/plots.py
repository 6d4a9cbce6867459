"""Pictures for the doctor's report: records of each speaker, and some spectrograms to look at.

    from common.doctor.plots import plot
"""
from __future__ import annotations

from pathlib import Path
from typing import List

import numpy as np

from common.data.form import NUM_BINS, NUM_FRAMES
from common.doctor.report import HealthReport
from common.doctor.scan import Scan
from common.show.drawing import named, panels, save

WRITES = ("speakers.png", "spectrograms.png")
_SPECTROGRAMS = 12
_FRAME_SECONDS, _BIN_KILOHERTZ = 0.010, 8.0 / NUM_BINS


def plot(scan: Scan, report: HealthReport, folder: Path) -> List[Path]:
    """Write `speakers.png` and `spectrograms.png` into `folder`, which exists. Returns what was written."""
    written = []
    if report.records_by_speaker:
        counts = sorted(report.records_by_speaker.items(), key=lambda item: -item[1])
        figure, [[axes]] = panels(1, 1, width=max(6.0, 0.16 * len(counts)), height=4.5)
        axes.bar(range(len(counts)), [count for _, count in counts])
        axes.set(ylabel="records", title=f"{report.records} records of {report.speakers} speakers")
        axes.set_xticks(range(len(counts)), [named(name) for name, _ in counts], rotation=90, fontsize=6)
        written.append(save(figure, folder / "speakers.png"))
    if report.records:
        figure, places = panels(3, 4, width=13 / 4, height=8 / 3)
        chosen = np.unique(np.linspace(0, report.records - 1, _SPECTROGRAMS).astype(int))
        for axes, index in zip(places.flat, chosen):
            values = scan.read(index)
            shown = np.where(np.isfinite(values), values, np.nan)  # (512, 300)
            low, high = np.nanpercentile(shown, [1, 99]) if np.isfinite(shown).any() else (0, 1)
            axes.imshow(shown, origin="lower", aspect="auto", vmin=low, vmax=high,
                        extent=(0, NUM_FRAMES * _FRAME_SECONDS, 0, NUM_BINS * _BIN_KILOHERTZ))
            place = scan.locate(index)
            axes.set_title(f"{named(Path(place.path).name)} record {place.record}, label {scan.labels[index]:g}", fontsize=8)
        figure.supxlabel("seconds")
        figure.supylabel("kHz")
        written.append(save(figure, folder / "spectrograms.png"))
    return written
