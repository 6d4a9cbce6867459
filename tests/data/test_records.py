"""Record files: what is written is read back, and every bad file is refused by name and place."""
from __future__ import annotations

import os
from pathlib import Path
from typing import List, Sequence

import numpy as np
import pytest

from common.data import records as module
from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.records import RECORD_BYTES, RecordError, RecordSet, RecordWriter


def spectrogram(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((NUM_BINS, NUM_FRAMES)).astype(np.float32)


def write(path: Path, labels: Sequence[int]) -> List[np.ndarray]:
    spectrograms = [spectrogram(label + 100 * record) for record, label in enumerate(labels)]
    with RecordWriter(path) as writer:
        for values, label in zip(spectrograms, labels):
            writer.append(values, label)
    return spectrograms


def patch(path: Path, offset: int, value: float) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(np.float32(value).tobytes())


def test_layout_is_the_homeworks(tmp_path: Path) -> None:
    (values,) = write(tmp_path / "a.bin", [7])
    floats = np.fromfile(tmp_path / "a.bin", dtype="<f4")
    assert RECORD_BYTES == 614_404 and floats.nbytes == RECORD_BYTES
    assert floats[0] == 7.0
    np.testing.assert_array_equal(floats[1:].reshape(512, 300), values)


def test_several_files_are_one_data_set(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.bin", [2, 0, 1]), write(tmp_path / "b.bin", [1, 2])
    records = RecordSet.open([tmp_path / "a.bin", tmp_path / "b.bin"], num_speakers=3)
    assert len(records) == 5
    assert records.labels.dtype == np.int32 and records.labels.tolist() == [2, 0, 1, 1, 2]
    values, labels = records.read([4, 0, 4, 2])
    assert values.dtype == np.float32 and labels.dtype == np.int32 and labels.tolist() == [2, 2, 2, 1]
    np.testing.assert_array_equal(values, [second[1], first[0], second[1], first[2]])


@pytest.mark.parametrize("index", [-1, 1])
def test_record_number_outside_is_refused(tmp_path: Path, index: int) -> None:
    write(tmp_path / "a.bin", [0])
    with pytest.raises(IndexError):
        RecordSet.open([tmp_path / "a.bin"]).read([index])


def test_memory_stays_bounded_on_a_large_sparse_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """9 GB of zeros that take no disk; what is resident after reading from all over it must stay small.

    Beyond the records that may stay mapped, which are few here so that the rest shows.
    """
    monkeypatch.setattr(module, "KEPT_RECORDS", 16)
    path, records = tmp_path / "large.bin", 15_000
    with open(path, "wb") as file:
        file.truncate(records * RECORD_BYTES)
    data = RecordSet.open([path], num_speakers=1)
    assert len(data) == records

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    data.read(range(8))
    before = resident()
    for start in range(0, records - 8, 150):
        data.read(range(start, start + 8))  # 800 records, 490 MB
    assert resident() - before < 10e6


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"gone\.bin: no such record file"):
        RecordSet.open([tmp_path / "gone.bin"])


def test_no_files() -> None:
    with pytest.raises(RecordError, match="no record files given"):
        RecordSet.open([])


def test_folder_or_pipe_in_place_of_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.bin")
    for path in (tmp_path, tmp_path / "pipe.bin"):
        with pytest.raises(RecordError, match="is not a file"):
            RecordSet.open([path])


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.bin").touch()
    with pytest.raises(RecordError, match=r"a\.bin: the file is empty \(0 bytes, no record 0 at byte 0\)"):
        RecordSet.open([tmp_path / "a.bin"])


def test_truncated_tail(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", [0, 1])
    os.truncate(tmp_path / "a.bin", RECORD_BYTES + 1000)
    with pytest.raises(RecordError, match=r"a\.bin: truncated tail: record 1 at byte 614404 has 1000 of its 614404"):
        RecordSet.open([tmp_path / "a.bin"])


def test_wrong_length(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(1000))
    with pytest.raises(RecordError, match=r"a\.bin: wrong length: 1000 bytes .* \(record 0 at byte 0\)"):
        RecordSet.open([tmp_path / "a.bin"])


@pytest.mark.parametrize("head, what", [(b"<?xml version", "web page"), (b"RIFF....WAVE", "WAV"), (b"\x1f\x8b", "gzip")])
def test_file_of_another_kind_is_recognised(tmp_path: Path, head: bytes, what: str) -> None:
    (tmp_path / "a.bin").write_bytes(head + bytes(700_000))
    with pytest.raises(RecordError, match=rf"a\.bin: wrong length .*record 0 at byte 0 looks like a?.*{what}"):
        RecordSet.open([tmp_path / "a.bin"])


@pytest.mark.parametrize("label", [1.5, float("nan"), float("inf")])
def test_label_that_is_not_a_whole_number(tmp_path: Path, label: float) -> None:
    write(tmp_path / "a.bin", [0])
    write(tmp_path / "b.bin", [0, 1, 1])
    patch(tmp_path / "b.bin", 2 * RECORD_BYTES, label)
    with pytest.raises(RecordError, match=rf"b\.bin: record 2 at byte 1228808 has the label {label}, .* whole number"):
        RecordSet.open([tmp_path / "a.bin", tmp_path / "b.bin"])


def test_label_stored_as_int32_is_explained(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", [0, 1])
    patch(tmp_path / "a.bin", RECORD_BYTES, float(np.int32(41).view(np.float32)))
    with pytest.raises(RecordError, match=r"record 1 at byte 614404 .*read as int32 it is 41: the file was written with"):
        RecordSet.open([tmp_path / "a.bin"])


@pytest.mark.parametrize("label", [-1, 2, 3e9])
def test_label_outside_the_classes(tmp_path: Path, label: float) -> None:
    write(tmp_path / "a.bin", [0, 1])
    patch(tmp_path / "a.bin", RECORD_BYTES, label)
    message = rf"a\.bin: record 1 at byte 614404 has the label {int(label)}, outside the classes 0\.\.1"
    with pytest.raises(RecordError, match=message):
        RecordSet.open([tmp_path / "a.bin"], num_speakers=2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_value_that_is_not_finite(tmp_path: Path, value: float) -> None:
    write(tmp_path / "a.bin", [0])
    write(tmp_path / "b.bin", [0, 1])
    offset = RECORD_BYTES + 4 * (1 + 5 * NUM_FRAMES + 7)
    patch(tmp_path / "b.bin", offset, value)
    records = RecordSet.open([tmp_path / "a.bin", tmp_path / "b.bin"])
    records.read([0, 1])
    with pytest.raises(RecordError, match=rf"b\.bin: record 1 holds 1 values .* {value} in bin 5, frame 7, byte {offset};"):
        records.read([0, 2, 1])


@pytest.mark.parametrize("value", [9.9e14, -9.9e14, 1.1e-15, 0.0])
def test_values_up_to_the_limits_are_read(tmp_path: Path, value: float) -> None:
    """A whole record of them; a sum of squares alone would not tell the greatest from what is beyond."""
    values = np.full((NUM_BINS, NUM_FRAMES), value, dtype=np.float32)
    with RecordWriter(tmp_path / "a.bin") as writer:
        writer.append(values, 0)
    np.testing.assert_array_equal(RecordSet.open([tmp_path / "a.bin"]).read([0])[0][0], values)


@pytest.mark.parametrize("value", [3e38, -3e38, 1.1e15])
def test_a_value_of_no_sensible_magnitude_is_named(tmp_path: Path, value: float) -> None:
    write(tmp_path / "a.bin", [0, 1])
    offset = RECORD_BYTES + 4 * (1 + 5 * NUM_FRAMES + 7)
    patch(tmp_path / "a.bin", offset, value)
    with pytest.raises(RecordError, match=rf"a\.bin: record 1 holds 1 values that are beyond 1e\+15, .* byte {offset};"):
        RecordSet.open([tmp_path / "a.bin"]).read([0, 1])


def rewritten(path: Path, type_: str, labels: Sequence[int] = (0, 0)) -> None:
    """A file of records of another type of number: ordinary ones of -9 to 9, whole ones for int32."""
    values = np.random.default_rng(0).uniform(-9, 9, (len(labels), RECORD_BYTES // 4))
    values[:, 0] = labels
    path.write_bytes(np.rint(values).astype(type_).tobytes() if "i" in type_ else values.astype(type_).tobytes())


@pytest.mark.parametrize("type_, name", [(">f4", "big-endian float32"), ("<i4", "int32"), ("<f8", "float64")])
@pytest.mark.parametrize("labels", [(0, 0), (0, 3)], ids=["one speaker", "two speakers"])
def test_values_of_another_type_are_recognised(tmp_path: Path, type_: str, name: str, labels: Sequence[int]) -> None:
    rewritten(tmp_path / "a.bin", type_, labels)
    with pytest.raises(RecordError, match=rf"a\.bin: record \d .* read as {name} all are ordinary numbers.*'{type_}'"):
        RecordSet.open([tmp_path / "a.bin"]).read([0])


def test_a_file_of_numpy_is_recognised_at_any_length(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, RECORD_BYTES // 4), np.float32))
    for length in (None, 2 * RECORD_BYTES):
        content = (tmp_path / "a.npy").read_bytes()[:length]
        (tmp_path / "a.bin").write_bytes(content)
        with pytest.raises(RecordError, match=r"a\.bin: .*looks like a NumPy \.npy file"):
            RecordSet.open([tmp_path / "a.bin"])


def test_file_that_shrinks_while_in_use(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", [0, 1])
    records = RecordSet.open([tmp_path / "a.bin"])
    os.truncate(tmp_path / "a.bin", RECORD_BYTES)
    with pytest.raises(RecordError, match=r"a\.bin: the file shrank from 1228808 to 614404 bytes .* record 1 and later"):
        records.read([1])


def test_writer_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", [3])
    before = (tmp_path / "a.bin").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        with RecordWriter(tmp_path / "a.bin") as writer:
            writer.append(spectrogram(0), 1)
            raise KeyboardInterrupt
    assert (tmp_path / "a.bin").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.bin"]


def test_writer_refuses_what_the_reader_would_refuse(tmp_path: Path) -> None:
    bad = spectrogram(0)
    bad[3, 4] = np.nan
    with pytest.raises(RecordError, match=r"a\.bin: record 1 at byte 614404 would hold values that are not finite"):
        with RecordWriter(tmp_path / "a.bin") as writer:
            writer.append(spectrogram(0), 0)
            writer.append(bad, 0)
    with pytest.raises(ValueError, match="spectrogram must be"):
        with RecordWriter(tmp_path / "a.bin") as writer:
            writer.append(spectrogram(0).T, 0)
    with pytest.raises(ValueError, match="label must be"):
        with RecordWriter(tmp_path / "a.bin") as writer:
            writer.append(spectrogram(0), -1)
    with pytest.raises(RecordError, match="nothing to write"):
        with RecordWriter(tmp_path / "a.bin"):
            pass
    assert os.listdir(tmp_path) == []


def test_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open", lambda *_: open("/dev/full", "wb"), raising=False)
    with pytest.raises(RecordError, match=r"a\.bin: cannot write record 0 at byte 0: No space left"):
        with RecordWriter(tmp_path / "a.bin") as writer:
            writer.append(spectrogram(0), 0)
    assert os.listdir(tmp_path) == []


def test_writer_names_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"gone/a\.bin: cannot write: No such file"):
        RecordWriter(tmp_path / "gone" / "a.bin").__enter__()


def test_records_are_the_same_when_read_again_and_the_first_bad_one_is_named(tmp_path: Path) -> None:
    expected = np.array(write(tmp_path / "a.bin", range(12)) + write(tmp_path / "b.bin", range(12, 24)))
    records = RecordSet.open([tmp_path / "a.bin", tmp_path / "b.bin"])
    order = np.random.default_rng(0).permutation(24)
    for _ in range(2):
        values, labels = records.read(order)
        np.testing.assert_array_equal(values, expected[order])
        np.testing.assert_array_equal(labels, order)
    for record in (20, 3):
        patch(tmp_path / ("b.bin" if record > 11 else "a.bin"), record % 12 * RECORD_BYTES + 4, np.inf)
        with pytest.raises(RecordError, match=rf"record {record % 12} holds 1 values that are not finite, the first is inf"):
            RecordSet.open([tmp_path / "a.bin", tmp_path / "b.bin"]).read(order)


@pytest.mark.parametrize("place", [0, 1, 9599, 9600, NUM_BINS * NUM_FRAMES - 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_found_wherever_it_is(tmp_path: Path, place: int, value: float) -> None:
    write(tmp_path / "a.bin", [0])
    patch(tmp_path / "a.bin", 4 + 4 * place, value)
    with pytest.raises(RecordError, match="holds 1 values that are not finite"):
        RecordSet.open([tmp_path / "a.bin"]).read([0])


def test_batches_begin_where_a_framework_can_take_them_over() -> None:
    for shape in ((1, 3), (2, 5, 7), (16, 512, 300)):
        made = module.aligned_empty(shape)
        assert made.ctypes.data % 64 == 0 and made.shape == shape and made.dtype == np.float32
        assert made.flags.c_contiguous and made.flags.writeable
