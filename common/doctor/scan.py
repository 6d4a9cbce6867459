"""One pass over record files, however damaged, some 1.5 GB a second.

    from common.doctor.scan import scan_files
    scan = scan_files([Path("data/part-1.bin")], workers=2)
"""
from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, NamedTuple, Sequence, Tuple

import numpy as np

from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.records import RECORD_BYTES, RecordError, open_record_file
from common.data.values import HINT_BYTES, foreign_hint
from common.doctor.look import DESCRIPTOR_SIZE, MEASURES, measure

MAX_PLACES = 5
_CHUNK = 32  # records that one worker takes at a time, 20 MB


@dataclass(frozen=True)
class RecordPlace:
    """Where a record lies: the byte offset is that of its label unless said otherwise."""

    path: str
    record: int  # counting from 0 in its file
    byte: int


@dataclass(frozen=True)
class ScannedFile:
    """A file's length in bytes, its whole records, and what it seems to be if it is no record file."""

    path: Path
    bytes: int
    records: int
    looks_like: str

    @property
    def tail_bytes(self) -> int:
        """Bytes after the last whole record."""
        return self.bytes - self.records * RECORD_BYTES


@dataclass(frozen=True)
class Scan:
    """What is known about all records of all files, in order.

    labels:      float32 (N,) as stored
    measures:    MEASURES (N,)
    descriptors: float32 (N, 320), see `measure`
    """

    files: Tuple[ScannedFile, ...]
    labels: np.ndarray
    measures: np.ndarray
    descriptors: np.ndarray

    def locate(self, index: int) -> RecordPlace:
        """The place of record `index` of all."""
        for file in self.files:
            if index < file.records:
                return RecordPlace(str(file.path), int(index), int(index) * RECORD_BYTES)
            index -= file.records
        raise IndexError(f"record {index} is beyond the last")

    def places(self, records: np.ndarray) -> Tuple[RecordPlace, ...]:
        """The places of the first few of some records, to show to a person."""
        return tuple(self.locate(int(record)) for record in records[:MAX_PLACES])

    def read(self, index: int) -> np.ndarray:
        """The spectrogram of record `index`, float32 (512, 300)."""
        place = self.locate(index)
        spectrogram = np.empty((NUM_BINS, NUM_FRAMES), dtype=np.float32)
        with open_record_file(Path(place.path)) as file:
            file.seek(place.byte + 4)
            if file.readinto(memoryview(spectrogram).cast("B")) != spectrogram.nbytes:
                raise RecordError(f"{place.path}: record {place.record} went away while the file was looked at")
        return spectrogram


class _Chunk(NamedTuple):
    path: Path
    first: int
    records: int


def scan_files(paths: Sequence[Path], workers: int, progress: Callable[[int], None] = lambda records: None) -> Scan:
    """Measure every record. `progress` is told how many records are done.

    Raises `RecordError` for a file that cannot be opened or read; what is in it never raises.
    """
    files = tuple(_look_at(path) for path in paths)
    chunks = [_Chunk(file.path, first, min(_CHUNK, file.records - first))
              for file in files for first in range(0, file.records, _CHUNK)]
    parts: List[Tuple[np.ndarray, np.ndarray, np.ndarray]] = [_empty(0)]
    done = 0
    pool = ThreadPoolExecutor(workers)  # NumPy works outside the interpreter lock
    try:
        for chunk, part in zip(chunks, pool.map(_scan_chunk, chunks)):
            parts.append(part)
            done += chunk.records
            progress(done)
    finally:
        pool.shutdown(cancel_futures=True)
    labels, measures, descriptors = (np.concatenate(column) for column in zip(*parts))
    return Scan(files, labels, measures, descriptors)


def _look_at(path: Path) -> ScannedFile:
    with open_record_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        whole, rest = divmod(size, RECORD_BYTES)
        return ScannedFile(path, size, whole, foreign_hint(file.read(HINT_BYTES)) if rest else "")


def _empty(records: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (np.empty(records, dtype=np.float32), np.empty(records, dtype=MEASURES),
            np.empty((records, DESCRIPTOR_SIZE), dtype=np.float32))


def _scan_chunk(chunk: _Chunk) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, measures and descriptors of a run of records."""
    labels, measures, descriptors = _empty(chunk.records)
    # A buffer of its own for the spectrogram: inside the file it is not aligned for words of 8 bytes.
    spectrogram = np.empty((NUM_BINS, NUM_FRAMES), dtype=np.float32)
    into = memoryview(spectrogram).cast("B")
    with open_record_file(chunk.path) as file:
        file.seek(chunk.first * RECORD_BYTES)
        for i in range(chunk.records):
            if file.readinto(labels[i:i + 1]) != 4 or file.readinto(into) != len(into):
                raise RecordError(f"{chunk.path}: record {chunk.first + i} went away while the file was looked at; "
                                  "is something still writing it?")
            measures[i], descriptors[i] = measure(spectrogram)
    return labels, measures, descriptors
