"""What recordings and spectrograms are called, where they are made and where they are read. Needs no NumPy.

    from common.data.form import NUM_BINS, NUM_FRAMES, SCALES
"""
from __future__ import annotations

import unicodedata

SAMPLE_RATE = 16_000
SEGMENT_SAMPLES = 48_240  # of a record, 3.015 s: windows of 25 ms, one every 10 ms, fit exactly 300 times
NUM_BINS, NUM_FRAMES = 512, 300  # of a spectrogram: frequency bins, frames
SCALES = ("magnitude", "log")    # of its values
# All of these were decoded; others are counted and passed over.
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".oga", ".opus", ".aac", ".wma", ".aif", ".aiff", ".aifc", ".au",
                  ".caf", ".w64", ".sph", ".amr", ".webm", ".mka", ".mp4", ".3gp")


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): what looks the same is the same."""
    return unicodedata.normalize("NFC", name)
