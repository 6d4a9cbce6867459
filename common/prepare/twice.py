"""The same recording under two names, found by what is heard: another suffix, rate or loudness, or a copy.

    from common.prepare.twice import find_twice, trace
    twice = find_twice(tree, recordings, {recording.name: SoundTrace(length, trace(bins)), ...}, workers=2)

Every recording leaves a trace: a coarse picture of its first spectrogram below 3.6 kHz, which all of the
codecs and rates keep, and its length. Those alike are read again and compared in full.
"""
from __future__ import annotations

import base64
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from common.data.form import SEGMENT_SAMPLES
from common.prepare.audio import read_blocks
from common.prepare.features import normalise_bins, spectrogram
from common.prepare.levels import is_silent
from common.prepare.processes import CONTEXT, start_worker, starting
from common.prepare.sources import Recording
from common.prepare.windows import cut_windows

_BINS = slice(4, 228)  # 60 Hz to 3.6 kHz
_GROUPS, _BLOCKS = 7, 100  # of 32 bins, of 3 frames
_MAX_SHIFT, _MAX_SHIFT_FRAMES = 4, 13  # blocks and frames: decoders begin up to 0.1 s apart
_MAX_LENGTHS_APART = 2_400  # samples at 16 kHz; AAC and mp3 were up to 2,016 apart
# Measured on 60 recordings of 35 voices in 11 other forms (AAC 32 k, mp3 32 k, Opus 16 k, mu-law at 8 kHz, ...) and on
# all pairs of 1,620 recordings. Traces: the same 0.877 and more, others of like length up to 0.91, eight above 0.8.
# In full: the same 0.87 and more, others up to 0.71.
_ALIKE, _SURE, _SAME = 0.8, 0.98, 0.78
_AT_ONCE = 256  # traces compared with as many others, so that all of it stays in the cache
_MAX_PAIRS = 20_000  # that are compared in full, some 20 ms each


class SoundTrace(NamedTuple):
    """length: samples at 16 kHz, 0 where nobody listened to the end; picture: see `trace`."""

    length: int
    picture: str


def trace(bins: np.ndarray) -> str:
    """The coarse picture of a spectrogram (512, 300), as text: 700 values of a byte each."""
    groups = bins[_BINS].reshape(_GROUPS, -1, bins.shape[1]).sum(axis=1)
    blocks = groups.reshape(_GROUPS, _BLOCKS, -1).sum(axis=2)
    blocks -= blocks.mean(axis=1, keepdims=True)
    blocks *= 25 / np.maximum(blocks.std(axis=1, keepdims=True), 1e-20)  # 5 deviations fit into a byte
    return base64.b64encode(np.clip(np.rint(blocks), -127, 127).astype(np.int8).tobytes()).decode()


def find_twice(tree: Path, recordings: Sequence[Recording], traces: Dict[str, SoundTrace], workers: int) -> Dict[str, str]:
    """{name: reason} of the recordings to leave out: of each set of equal ones all but the largest file.

    If they are of different speakers one label must be wrong, and none of them is kept.
    """
    known = sorted((recording for recording in recordings if recording.name in traces),
                   key=lambda recording: (traces[recording.name].length, recording.name))
    if not known:
        return {}
    pairs = list(_alike([traces[recording.name] for recording in known]))
    if not pairs:
        return {}
    from scipy.cluster.hierarchy import DisjointSet  # slow to import, and mostly nothing is there twice

    sets = DisjointSet(range(len(known)))
    for first, second, sure in pairs:
        if sure:
            sets.merge(first, second)
    maybe = [(first, second) for first, second, sure in pairs if not (sure or sets.connected(first, second))][:_MAX_PAIRS]
    for (first, second), same in zip(maybe, _compare(tree, [(known[a], known[b]) for a, b in maybe], workers)):
        if same:
            sets.merge(first, second)
    return _reasons([[known[number] for number in together] for together in sets.subsets() if len(together) > 1])


def _reasons(sets: List[List[Recording]]) -> Dict[str, str]:
    reasons = {}
    for together in sets:
        kept, *others = sorted(together, key=lambda recording: (-recording.bytes, recording.name))
        if len({recording.speaker for recording in together}) > 1:
            other = next(recording for recording in others if recording.speaker != kept.speaker)
            reasons.update({recording.name: "there under two speakers, so that one label is wrong: the same recording as "
                            f"{(kept if recording.speaker != kept.speaker else other).name}" for recording in together})
        else:
            reasons.update({recording.name: f"there twice: the same recording as {kept.name}" for recording in others})
    return reasons


def _alike(traces: List[SoundTrace]) -> Iterator[Tuple[int, int, bool]]:
    """(first, second, whether that is certain) of traces, sorted by length, that may be of one recording."""
    pictures = _pictures(traces)
    lengths = np.array([item.length for item in traces])
    for top in range(0, len(traces), _AT_ONCE):
        turned = [_shifted(pictures[top:top + _AT_ONCE], shift) for shift in range(-_MAX_SHIFT, _MAX_SHIFT + 1)]
        last = lengths[min(top + _AT_ONCE, len(traces)) - 1] + _MAX_LENGTHS_APART
        for left in range(top, int(np.searchsorted(lengths, last, side="right")), _AT_ONCE):
            others = pictures[left:left + _AT_ONCE]
            similar = turned[0] @ others.T  # (top, left)
            for some in turned[1:]:
                np.maximum(similar, some @ others.T, out=similar)
            far = np.abs(lengths[top:top + _AT_ONCE, None] - lengths[left:left + _AT_ONCE]) > _MAX_LENGTHS_APART
            similar[far] = 0
            if top == left:
                similar = np.triu(similar, k=1)
            # One certain partner is enough: of a thousand copies not all pairs need be looked at.
            for b in np.flatnonzero((similar > _SURE).any(axis=0)):
                yield top + int(similar[:, b].argmax()), left + int(b), True
            for a, b in np.argwhere((similar > _ALIKE) & (similar <= _SURE))[:_MAX_PAIRS]:
                yield top + int(a), left + int(b), False


def _pictures(traces: List[SoundTrace]) -> np.ndarray:
    """float32 (N, 700), each of unit length."""
    stored = b"".join(base64.b64decode(item.picture) for item in traces)
    pictures = np.frombuffer(stored, np.int8).reshape(len(traces), -1).astype(np.float32)
    pictures /= np.maximum(np.linalg.norm(pictures, axis=1, keepdims=True), 1)
    return pictures


def _shifted(pictures: np.ndarray, blocks: int) -> np.ndarray:
    return np.roll(pictures.reshape(len(pictures), _GROUPS, _BLOCKS), blocks, axis=2).reshape(len(pictures), -1)


def _compare(tree: Path, pairs: List[Tuple[Recording, Recording]], workers: int) -> List[bool]:
    """Whether both of each pair are the same recording, compared in full."""
    from concurrent.futures import ProcessPoolExecutor

    if not pairs:
        return []
    with starting():
        pool = ProcessPoolExecutor(min(workers, len(pairs)), CONTEXT, start_worker)
    with pool:
        return list(pool.map(_are_same, [(tree / a.path, tree / b.path) for a, b in pairs], chunksize=8))


def _are_same(paths: Tuple[Path, Path]) -> bool:
    """Whether the first spectrograms of two recordings correlate at some small shift."""
    from scipy import fft

    first, second = (normalise_bins(first_spectrogram(path)[_BINS]) for path in paths)
    points = fft.next_fast_len(first.shape[1] + _MAX_SHIFT_FRAMES, real=True)
    crossed = np.einsum("bf,bf->f", fft.rfft(first, points), fft.rfft(second, points).conj())
    by_shift = fft.irfft(crossed, points)  # the last ones are the negative shifts
    most = max(by_shift[:_MAX_SHIFT_FRAMES + 1].max(), by_shift[-_MAX_SHIFT_FRAMES:].max())
    return bool(most > _SAME * np.linalg.norm(first) * np.linalg.norm(second))


def first_spectrogram(path: Path) -> np.ndarray:
    """(512, 300) of the first utterance that is heard: there is one, for the recording has left a trace."""
    windows = cut_windows(read_blocks(path), "sliding", SEGMENT_SAMPLES, seed=0)
    return spectrogram(next(samples for _, samples in windows if not is_silent(samples)))
