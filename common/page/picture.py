"""A spectrogram for people to look at, as a PNG in memory.

    png = draw(samples)      # float32 (n,) at 16 kHz -> bytes
"""
from __future__ import annotations

import threading

import numpy as np

from common.data.form import NUM_BINS, SAMPLE_RATE
from common.prepare.features import FFT_POINTS, WINDOW_SAMPLES
from common.show.drawing import as_png, panels

_COLUMNS = 900  # one window each, however long the recording
_RANGE_DB = 80  # below the loudest; what is fainter is black
_ONE_AT_A_TIME = threading.Lock()  # matplotlib's fonts are shared between figures


def draw(samples: np.ndarray) -> bytes:
    """PNG of mono 16 kHz samples (n,), at least 400 of them: time across, frequency upwards, loudness as brightness."""
    levels = _levels(samples)
    with _ONE_AT_A_TIME:
        figure, [[axes]] = panels(1, 1, width=9, height=2.7)
        axes.imshow(levels, origin="lower", aspect="auto", cmap="magma", vmin=levels.max() - _RANGE_DB,
                    extent=(0, len(samples) / SAMPLE_RATE, 0, SAMPLE_RATE / 2000))
        axes.set(xlabel="seconds", ylabel="kHz")
        return as_png(figure)


def _levels(samples: np.ndarray) -> np.ndarray:
    """Magnitudes in decibels, float (512, columns), with the paper's window and transform."""
    starts = np.linspace(0, len(samples) - WINDOW_SAMPLES, _COLUMNS).astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW_SAMPLES)[starts]  # (columns, 400)
    spectrum = np.fft.rfft(windows * np.hamming(WINDOW_SAMPLES), FFT_POINTS)[:, :NUM_BINS]
    return 20 * np.log10(np.abs(spectrum).T + 1e-4)
