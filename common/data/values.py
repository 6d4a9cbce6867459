"""Which numbers can be a spectrogram's, and what a file seems to hold where they cannot.

    from common.data.values import bad_values, foreign_hint, number_hint
    bad_values(spectrogram).any()
"""
from __future__ import annotations

import numpy as np

# Batch norm sums squares over a batch, 1e7 values and more, in float32: beyond this they may overflow.
MAX_MAGNITUDE = 1e15
# A record that stays below this has squares that all but vanish, so batch norm sees a constant. What makes
# such records is another type of number: int32, as an example, reads as values below 1.2e-38 (denormals).
MIN_MAGNITUDE = 1e-15
HINT_BYTES = 512  # of a file's beginning, to tell what it is


def bad_values(values: np.ndarray) -> np.ndarray:
    """Which values of a spectrogram cannot be used: not finite, beyond MAX_MAGNITUDE, or all below MIN_MAGNITUDE.

    Returns bool of the shape of `values`. Zeros alone can be used: they are silence.
    """
    with np.errstate(invalid="ignore"):
        magnitudes = np.abs(values)
        bad = ~(magnitudes <= MAX_MAGNITUDE)
    return bad if bad.any() or magnitudes.max(initial=0) >= MIN_MAGNITUDE else magnitudes > 0


def what_is_bad(values: np.ndarray) -> str:
    """What is wrong with the values that `bad_values` finds, to follow "values that"."""
    if not np.isfinite(values).all():
        return "are not finite"
    return f"are beyond {MAX_MAGNITUDE:g}" if np.abs(values).max() > MAX_MAGNITUDE else f"are below {MIN_MAGNITUDE:g}, as all are"


def all_usable(values: np.ndarray) -> bool:
    """Whether `bad_values` finds none in a spectrogram; mostly told by sums of squares, a fraction of the work.

    The squares are summed in pieces so short that BLAS does not share them out among its threads,
    which are busy training while this runs.
    """
    pieces = values.reshape(16, 1, -1)
    with np.errstate(over="ignore", invalid="ignore"):
        largest = np.matmul(pieces, pieces.transpose(0, 2, 1)).max()
    return bool(pieces.shape[2] * MIN_MAGNITUDE**2 <= largest <= MAX_MAGNITUDE**2 or not bad_values(values).any())


_KINDS = {
    b"RIFF": "looks like a WAV file", b"fLaC": "looks like a FLAC file", b"OggS": "looks like an Ogg file",
    b"\x1f\x8b": "looks like gzip", b"BZh": "looks like bzip2", b"\xfd7zXZ": "looks like xz",
    b"PK\x03\x04": "looks like a zip archive or a NumPy .npz file", b"\x89HDF": "looks like an HDF5 file",
    b"\x93NUMPY": "looks like a NumPy .npy file: np.load(FILE).astype('<f4').tofile(NEW) writes the bare values, "
                  "if they are a label and a spectrogram each",
    b"MATLAB": "looks like a MATLAB .mat file", b"\x80\x02": "looks like a Python pickle",
    b"\x80\x04": "looks like a Python pickle", b"version https://git-lfs": "is a Git LFS pointer; run `git lfs pull`",
    b"<": "looks like a web page or XML, so a download may have failed",
    b"{": "looks like JSON, so a download may have failed"}


def foreign_hint(head: bytes) -> str:
    """What a file that is no record file seems to be by its first bytes, or an empty string."""
    if head[257:262] == b"ustar":
        return "looks like a tar archive"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((meaning for start, meaning in _KINDS.items() if head.startswith(start) or text.startswith(start)), "")


def label_hint(label: np.ndarray, limit: int) -> str:
    """What a label float32 (1,) may have been meant as, or an empty string."""
    for name, value in (("int32", label.view("<i4")[0]), ("big-endian float32", label.view(">f4")[0])):
        if 0 < value < limit and value == int(value):
            return f" (read as {name} it is {int(value)}: the file was written with labels of that type)"
    return ""


def number_hint(values: np.ndarray) -> str:
    """What the values float32 (n,) of a record were meant as if not as what they are, or an empty string."""
    words = np.ascontiguousarray(values)
    for name, type_, meant in (("big-endian float32", ">f4", words.view(">f4")), ("int32", "<i4", words.view("<i4")),
                               # A label of 8 bytes reaches into what is taken for the first value.
                               ("float64", "<f8", words[1:len(words) - (len(words) - 1) % 2].view("<f8"))):
        numbers = meant.astype(np.float64)
        largest = np.abs(numbers).max()
        if 1e-3 < largest < 2**23 and np.ptp(numbers):  # of numbers at random one is far beyond
            return (f"; read as {name} all are ordinary numbers, below {largest:.3g}, so the file was written in that type: "
                    f"np.fromfile(FILE, '{type_}').astype('<f4').tofile(NEW)")
    return ""
