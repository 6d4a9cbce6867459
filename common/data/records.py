"""The homework's record files: open (memory-mapped, several as one data set), check, read, write.

A record is one float32 label (a whole number: the speaker) and a float32 spectrogram of 512
frequency bins x 300 frames in row order, little endian, with nothing between records.

    python -c "from common.data.records import RecordSet; print(len(RecordSet.open(['data/part-1.bin'])))"
"""
from __future__ import annotations

import hashlib
import math
import mmap
import os
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Iterator, List, Optional, Sequence, Tuple, Type, Union

import numpy as np

from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.values import HINT_BYTES, all_usable, bad_values, foreign_hint, label_hint, number_hint, what_is_bad
from common.errors import UserError
from common.files import replacing

RECORD_FLOATS = 1 + NUM_BINS * NUM_FRAMES
RECORD_BYTES = 4 * RECORD_FLOATS
MAX_SPEAKERS = 2**24  # float32 holds every whole number up to here
# Records whose pages stay mapped once read, 315 MB: mapping them anew costs more than copying them.
KEPT_RECORDS = 512
_MARKED_BINS = 16  # up to 250 Hz: enough to tell utterances apart, 3 % of a record to read
_MAPPED_AROUND = 2**16  # bytes that Linux maps around a page that is touched, if they are in its cache

Indices = Union[Sequence[int], np.ndarray]


class RecordError(UserError):
    """A record file that is not what it should be."""


class NoRecords(RecordError):
    """A record file would have been written without a record."""


def aligned_empty(shape: Tuple[int, ...]) -> np.ndarray:
    """Float32 memory that begins on a border of 64 bytes: TensorFlow takes it over without a copy."""
    raw = np.empty(4 * math.prod(shape) + 63, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + 4 * math.prod(shape)].view(np.float32).reshape(shape)


class RecordSet:
    """Several record files as one data set. Build it with `RecordSet.open`.

    paths:  the files, in the order in which their records are numbered
    labels: int32 (N,), the speaker of every record
    """

    def __init__(self, paths: Tuple[Path, ...], maps: List[mmap.mmap], labels: List[np.ndarray]) -> None:
        self.paths = paths
        self.labels = np.concatenate(labels)
        self.labels.setflags(write=False)
        self._maps = maps
        # (records of the file, RECORD_FLOATS) each
        self._files = [np.frombuffer(m, dtype="<f4").reshape(-1, RECORD_FLOATS) for m in maps]
        self._starts = np.cumsum([0] + [len(file) for file in self._files])  # first record of each file
        self._kept = np.zeros(len(self.labels), bool)     # stays mapped
        self._room = KEPT_RECORDS                        # for more of them
        self._checked = np.zeros(len(self.labels), bool)  # was read and has values that can be used

    @staticmethod
    def open(paths: Sequence[Union[str, Path]], num_speakers: Optional[int] = None) -> RecordSet:
        """Map the files and check their lengths and every label; spectrograms are not read.

        num_speakers: number of classes; labels at or above it are refused. None: any whole number.
        Raises `RecordError` that names file, record number and byte offset.
        """
        if not paths:
            raise RecordError("no record files given; name at least one .bin file")
        files = tuple(Path(path) for path in paths)
        maps, labels = [], []
        for path in files:
            with open_record_file(path) as file:
                records = _check_length(path, file)
                labels.append(_check_labels(path, file, _read_labels(path, file, records), num_speakers))
                maps.append(mmap.mmap(file.fileno(), records * RECORD_BYTES, access=mmap.ACCESS_READ))
        return RecordSet(files, maps, labels)

    def __len__(self) -> int:
        return len(self.labels)

    def labels_by_file(self) -> List[np.ndarray]:
        """`labels` cut into one array for each of `paths`."""
        return np.split(self.labels, self._starts[1:-1])

    def fingerprints(self, indices: Indices) -> np.ndarray:
        """uint64 (B,): the same for the same utterance in whatever file, by the lowest frequency bins of each record."""
        marks = np.empty(len(indices), np.uint64)
        for position, (file, record) in enumerate(map(self._find, indices)):
            self._check_not_shrunk(file)
            values = self._files[file][record, 1:1 + _MARKED_BINS * NUM_FRAMES]
            marks[position] = int.from_bytes(hashlib.blake2b(values, digest_size=8).digest(), "little")
            if not self._kept[indices[position]]:
                self._advise(mmap.MADV_DONTNEED, file, record, _MAPPED_AROUND)
        return marks

    def read(self, indices: Indices) -> Tuple[np.ndarray, np.ndarray]:
        """Copy records, in the order of `indices` but touching the files from front to back.

        Returns (spectrograms float32 (B, 512, 300), labels int32 (B,)).
        Raises `RecordError` when a value cannot be used (looked for when a record is read first, see `bad_values`)
        or a file has shrunk, `IndexError` outside 0..N-1.
        """
        wanted = np.asarray(indices, np.int64)
        spectrograms = aligned_empty((len(wanted), NUM_BINS, NUM_FRAMES))
        flat = spectrograms.reshape(len(wanted), -1)  # (B, 512 * 300)
        places = [(position, *self._find(int(wanted[position]))) for position in np.argsort(wanted, kind="stable")]
        for file in sorted({file for _, file, _ in places}):
            self._check_not_shrunk(file)
        for position, file, record in places:
            self._read_ahead(int(wanted[position]), file, record)
        for position, file, record in places:
            self._copy(int(wanted[position]), file, record, flat[position])
        return spectrograms, self.labels[wanted]

    def _read_ahead(self, index: int, file: int, record: int) -> None:
        """Have the system read a record that is not mapped, and decide whether it stays mapped."""
        if not self._kept[index]:
            self._advise(mmap.MADV_WILLNEED, file, record)
            if self._room:
                self._kept[index] = True
                self._room -= 1

    def _copy(self, index: int, file: int, record: int, target: np.ndarray) -> None:
        """Copy one record to `target` (512 * 300,); its values are checked when it is read first."""
        target[:] = self._files[file][record, 1:]
        if not self._kept[index]:
            # Drop the mapping, not the page cache: else 9 GB of data would count as our memory.
            self._advise(mmap.MADV_DONTNEED, file, record, _MAPPED_AROUND)
        if not self._checked[index]:
            self._check_values(target, file, record)
            self._checked[index] = True

    def _find(self, index: int) -> Tuple[int, int]:
        """(number of the file, record number in it)."""
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} is outside 0..{len(self) - 1}")
        file = int(np.searchsorted(self._starts, index, side="right")) - 1
        return file, index - int(self._starts[file])

    def _advise(self, advice: int, file: int, record: int, around: int = 0) -> None:
        """Tell the system about a record's pages, and so many bytes before and after them."""
        start = max(0, record * RECORD_BYTES - around) // mmap.PAGESIZE * mmap.PAGESIZE
        end = min((record + 1) * RECORD_BYTES + around, len(self._maps[file]))
        self._maps[file].madvise(advice, start, end - start)

    def _check_not_shrunk(self, file: int) -> None:
        """Reading a map past the end of its file kills the process, so look before."""
        path, expected = self.paths[file], len(self._maps[file])
        try:
            size = os.stat(path).st_size
        except OSError as error:
            raise RecordError(f"{path}: the record file went away while in use: {error.strerror}") from None
        if size < expected:
            raise RecordError(f"{path}: the file shrank from {expected} to {size} bytes while in use, "
                              f"record {size // RECORD_BYTES} and later are gone; start again with a whole file")

    def _check_values(self, values: np.ndarray, file: int, record: int) -> None:
        if all_usable(values):
            return
        bad = np.flatnonzero(bad_values(values))
        first = int(bad[0])
        raise RecordError(
            f"{self.paths[file]}: record {record} holds {bad.size} values that {what_is_bad(values)}, the first is "
            f"{values[first]} in bin {first // NUM_FRAMES}, frame {first % NUM_FRAMES}, "
            f"byte {record * RECORD_BYTES + 4 * (1 + first)}{number_hint(values)}; {_REPAIR_HINT}")


_REPAIR_HINT = "`python -m common.doctor FILE --repair OUT` keeps the good records"


@contextmanager
def open_record_file(path: Path) -> Iterator[BinaryIO]:
    """Open for unbuffered reading; any failure to open or read becomes a `RecordError`."""
    try:
        if path.exists() and not path.is_file():  # opening a named pipe would wait for ever
            raise RecordError(f"{path}: is not a file; give a .bin file of records")
        with open(path, "rb", buffering=0) as file:
            yield file
    except FileNotFoundError:
        raise RecordError(f"{path}: no such record file; check the path") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot read this record file: {error.strerror}") from None


def _check_length(path: Path, file: BinaryIO) -> int:
    """Number of records in the file; raises `RecordError` when its length is not a whole number of them."""
    size = os.fstat(file.fileno()).st_size
    whole, rest = divmod(size, RECORD_BYTES)
    if size == 0:
        raise RecordError(f"{path}: the file is empty (0 bytes, no record 0 at byte 0); fetch or prepare it again")
    hint = foreign_hint(file.read(HINT_BYTES))
    if rest and hint:
        raise RecordError(f"{path}: wrong length of {size} bytes, and record 0 at byte 0 {hint}; "
                          "give a file of records")
    if whole == 0:
        raise RecordError(f"{path}: wrong length: {size} bytes are less than one record of {RECORD_BYTES} bytes "
                          "(record 0 at byte 0); fetch or prepare it again")
    if rest:
        raise RecordError(f"{path}: truncated tail: record {whole} at byte {whole * RECORD_BYTES} has {rest} of its "
                          f"{RECORD_BYTES} bytes; fetch the file again, or {_REPAIR_HINT}")
    return whole


def _read_labels(path: Path, file: BinaryIO, records: int) -> np.ndarray:
    """float32 (records,). Reads rather than maps: a map would pull in whole pages around each label."""
    labels = np.empty(records, dtype="<f4")
    for record in range(records):
        file.seek(record * RECORD_BYTES)
        label = file.read(4)
        if len(label) < 4:
            raise RecordError(f"{path}: record {record} at byte {record * RECORD_BYTES} went away while the file "
                              "was opened; is something still writing it?")
        labels[record] = np.frombuffer(label, dtype="<f4")[0]
    return labels


def _check_labels(path: Path, file: BinaryIO, labels: np.ndarray, num_speakers: Optional[int]) -> np.ndarray:
    """int32 labels, or `RecordError` for the first that is not a class."""
    limit = MAX_SPEAKERS if num_speakers is None else num_speakers
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(~((labels == np.floor(labels)) & (labels >= 0) & (labels < limit)))
    if wrong.size == 0:
        return labels.astype(np.int32)
    record, label = int(wrong[0]), labels[wrong[0]]
    where = f"{path}: record {record} at byte {record * RECORD_BYTES}"
    if not np.isfinite(label) or label != np.floor(label):
        problem = f"has the label {label!s}, which is not a whole number{label_hint(labels[record:record + 1], limit)}"
    else:
        problem = f"has the label {label:.0f}, outside the classes 0..{limit - 1}"
    raise RecordError(f"{where} {problem}; {wrong.size} of {len(labels)} labels are wrong{_meant(file)}. "
                      f"Check that these are record files and that classes.txt belongs to them, or {_REPAIR_HINT}")


def _meant(file: BinaryIO) -> str:
    """What the first record of a file was meant as, if its values cannot be used as they are."""
    file.seek(0)
    head = file.read(RECORD_BYTES)
    values = np.frombuffer(head, "<f4")[1:]
    hint = foreign_hint(head[:HINT_BYTES])
    return f"; it {hint}" if hint else number_hint(values) if bad_values(values).any() else ""


class RecordWriter:
    """Write one record file; it gets its name only when the `with` block ends without an error.

        with RecordWriter(path) as writer:
            writer.append(spectrogram, label)
    """

    def __init__(self, path: Union[str, Path]) -> None:
        self.path = Path(path)
        self.records = 0
        self._replacing = replacing(self.path)
        self._file: Optional[BinaryIO] = None

    def __enter__(self) -> RecordWriter:
        temporary = self._replacing.__enter__()
        try:
            self._file = open(temporary, "wb")
        except OSError as error:
            raise RecordError(f"{self.path}: cannot write: {error.strerror}; check the output folder") from None
        return self

    def append(self, spectrogram: np.ndarray, label: int) -> None:
        """Add one record. spectrogram: float32 (512, 300); label: the speaker, 0 or more.

        Raises `RecordError` for values that the reader would refuse and when the disk is full.
        """
        if self._file is None:
            raise ValueError("RecordWriter is used outside its `with` block")
        if spectrogram.shape != (NUM_BINS, NUM_FRAMES):
            raise ValueError(f"a spectrogram must be ({NUM_BINS}, {NUM_FRAMES}), not {spectrogram.shape}")
        if label != int(label) or not 0 <= label < MAX_SPEAKERS:
            raise ValueError(f"a label must be a whole number in 0..{MAX_SPEAKERS - 1}, not {label}")
        values = np.ascontiguousarray(spectrogram, dtype="<f4")
        if not all_usable(values):
            raise RecordError(f"{self.path}: record {self.records} at byte {self.records * RECORD_BYTES} would hold "
                              f"values that {what_is_bad(values)}; check the recording it is made from")
        try:
            self._file.write(np.array(label, dtype="<f4"))
            self._file.write(values)
        except OSError as error:
            raise self._cannot_write(error) from None
        self.records += 1

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        assert self._file is not None
        file, self._file = self._file, None
        failure: Optional[BaseException] = error
        try:
            file.close()  # writes what is still buffered, so a full disk shows here too
        except OSError as full:
            failure = error or self._cannot_write(full)
        if failure is None and not self.records:
            failure = NoRecords(f"{self.path}: nothing to write: a record file needs at least one record")
        self._replacing.__exit__(failure and type(failure), failure, trace)
        if failure is not error:
            raise failure

    def _cannot_write(self, error: OSError) -> RecordError:
        return RecordError(f"{self.path}: cannot write record {self.records} at byte "
                           f"{self.records * RECORD_BYTES}: {error.strerror}; free some space and start again")
