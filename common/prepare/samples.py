"""The samples folder, as the homework's: a few utterances of each speaker to listen to and to look at.

    from common.prepare.samples import pick_samples, write_sample

`NAME/VIDEO_NNN.wav` is 3.015 s of 16 kHz audio, `NAME/VIDEO_NNN.bin` beside it the same as a record.
"""
from __future__ import annotations

import io
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import FrozenSet, Iterable

import numpy as np

from common.data.form import SAMPLE_RATE
from common.data.records import RecordWriter
from common.files import make_folder, replacing
from common.prepare.sources import NO_SESSION, Recording

_MAX_BYTES = 200  # of a name without suffixes; a file system takes 255 with them


def pick_samples(recordings: Iterable[Recording], each: int) -> FrozenSet[str]:
    """Names of the first `each` recordings of every speaker, none of which would overwrite another."""
    picked = set()
    taken = set()
    count: Counter = Counter()
    for recording in recordings:
        place = recording.speaker, sample_stem(recording)
        if count[recording.speaker] < each and place not in taken:
            count[recording.speaker] += 1
            taken.add(place)
            picked.add(recording.name)
    return frozenset(picked)


def sample_stem(recording: Recording) -> str:
    """`GgYuyVluakM_002` for session GgYuyVluakM, file 00002.wav. A file already named so keeps its name.

    What is longer than a file system takes is cut, and told from others by a check sum of all of it.
    """
    stem = PurePosixPath(recording.name).stem
    session = recording.session.replace("/", "_")
    if session != NO_SESSION and not stem.startswith(session + "_"):
        stem = f"{session}_{int(stem):03d}" if stem.isascii() and stem.isdigit() else f"{session}_{stem}"
    encoded = stem.encode()
    if len(encoded) <= _MAX_BYTES:
        return stem
    return f"{encoded[:_MAX_BYTES - 9].decode(errors='ignore')}_{zlib.crc32(encoded):08x}"


def write_sample(folder: Path, recording: Recording, samples: np.ndarray, bins: np.ndarray, label: int) -> None:
    """Write one utterance: samples (48240,) as wav, bins (512, 300) as a record. Raises UserError."""
    place = folder / recording.speaker
    stem = sample_stem(recording)
    make_folder(place)
    write_wav(place / f"{stem}.wav", samples)
    with RecordWriter(place / f"{stem}.bin") as writer:
        writer.append(bins, label)


def write_wav(path: Path, samples: np.ndarray) -> None:
    """Write samples (n,) from -1 to 1 at 16 kHz; what is beyond is clipped. Raises UserError."""
    import soundfile

    wav = io.BytesIO()  # libsndfile's own words on a full disk are "System error."
    soundfile.write(wav, np.clip(samples, -1, 1), SAMPLE_RATE, subtype="PCM_16", format="WAV")
    with replacing(path) as temporary:
        temporary.write_bytes(wav.getbuffer())
