"""How fast common.prepare is beside a plain pipeline of librosa that makes the same records.

    pip install librosa
    python -m common.prepare.benchmark MY_RECORDINGS

Three ways take turns: a loop over the files with librosa, the same loop shared by a pool of processes,
one a core, and common.prepare with as many. All write all records to the temporary folder (TMPDIR),
and their times include the start of the processes. Before that the records themselves are compared.
"""
from __future__ import annotations

import argparse
import functools
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional

import numpy as np

from common.errors import UserError, friendly
from common.prepare.audio import load_audio
from common.prepare.building import build
from common.prepare.features import (
    DEVIATION_FLOOR,
    FFT_POINTS,
    SAMPLE_RATE,
    SEGMENT_SAMPLES,
    STEP_SAMPLES,
    WINDOW_SAMPLES,
    spectrogram,
)
from common.prepare.plan import Options, make_plan
from common.prepare.sources import Recording, find_recordings
from common.prepare.workers import available_cores

TOLERANCE = 0.05  # of values with unit variance; the two resample and round differently


def plain_spectrograms(path: Path) -> np.ndarray:
    """(windows, 512, 300) float32 of a recording, cut without overlap, by librosa."""
    import librosa

    samples, _ = librosa.load(path, sr=SAMPLE_RATE, mono=True)
    margin = (FFT_POINTS - WINDOW_SAMPLES) // 2  # librosa centres the window in the FFT
    made = []
    for start in range(0, len(samples) - SEGMENT_SAMPLES + 1, SEGMENT_SAMPLES):
        segment = np.pad(samples[start:start + SEGMENT_SAMPLES], margin)
        bins = np.abs(librosa.stft(segment, n_fft=FFT_POINTS, hop_length=STEP_SAMPLES, win_length=WINDOW_SAMPLES,
                                   window=np.hamming(WINDOW_SAMPLES), center=False))[:-1]  # (512, 300)
        made.append((bins - bins.mean(axis=1, keepdims=True)) / (bins.std(axis=1, keepdims=True) + DEVIATION_FLOOR))
    return np.array(made, dtype=np.float32).reshape(-1, FFT_POINTS // 2, 300)


def _plain_one(tree: Path, out: Path, labels: Dict[str, int], recording: Recording) -> int:
    made = plain_spectrograms(tree / recording.path)
    with open(out / (recording.name.replace("/", "_") + ".bin"), "wb") as file:
        for bins in made:
            file.write(np.float32(labels[recording.speaker]).tobytes() + bins.tobytes())
    return len(made)


def loop(tree: Path, out: Path, workers: int) -> int:
    """The plain pipeline, one file after the other. Returns the number of utterances."""
    recordings, one = _plain(tree, out)
    return sum(map(one, recordings))


def pool(tree: Path, out: Path, workers: int) -> int:
    """The plain pipeline with all cores. Returns the number of utterances."""
    recordings, one = _plain(tree, out)
    with multiprocessing.Pool(workers) as processes:
        return sum(processes.imap_unordered(one, recordings, chunksize=8))


def _plain(tree: Path, out: Path) -> "tuple[List[Recording], Callable[[Recording], int]]":
    """The recordings, and what is to be done with each."""
    recordings = find_recordings(tree)
    labels = {name: label for label, name in enumerate(sorted({item.speaker for item in recordings}))}
    return recordings, functools.partial(_plain_one, tree, out, labels)


def ours(tree: Path, out: Path, workers: int) -> int:
    """The same by what `python -m common.prepare` calls."""
    return build(tree, out, make_plan(find_recordings(tree), Options()), workers).records


def compare_records(tree: Path) -> float:
    """Largest difference between both in the first utterance of the tree. Raises UserError if it is large."""
    path = tree / find_recordings(tree)[0].path
    expected = plain_spectrograms(path)[0]
    difference = float(np.abs(spectrogram(load_audio(path)[:SEGMENT_SAMPLES]) - expected).max())
    if not difference < TOLERANCE:
        raise UserError(f"{path}: the two pipelines differ by {difference:.3f}, so their speed cannot be compared")
    return difference


LOOP, POOL, OURS = "a librosa loop", "a librosa pool", "common.prepare"
PIPELINES = {LOOP: loop, POOL: pool, OURS: ours}


def measure(pipeline: Callable[[Path, Path, int], int], tree: Path, workers: int) -> "tuple[int, float]":
    """(utterances, seconds) of one round, into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        utterances = pipeline(tree, Path(folder), workers)
        return utterances, time.perf_counter() - begin


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m common.prepare.benchmark", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, help="folder of recordings, SPEAKER/SESSION/*")
    parser.add_argument("--rounds", type=int, default=3, help="of each pipeline (default 3)")
    parser.add_argument("--workers", type=int, default=available_cores(), help="processes (default: one a core)")
    args = parser.parse_args(argv)
    if args.rounds < 1 or args.workers < 1:
        raise UserError("--rounds and --workers must be above 0")
    try:
        import librosa
    except ImportError as error:
        raise UserError("this comparison needs librosa, which nothing else here does: pip install librosa") from error
    print(f"librosa {librosa.__version__}, {args.workers} processes; largest difference {compare_records(args.tree):.1g}")
    speeds: Dict[str, List[float]] = {name: [] for name in PIPELINES}
    for number in range(1, args.rounds + 1):
        for name, pipeline in PIPELINES.items():
            utterances, seconds = measure(pipeline, args.tree, args.workers)
            speeds[name].append(utterances / seconds)
            print(f"round {number}: {name:15s} {utterances} utterances in {seconds:6.1f} s, {speeds[name][-1]:4.0f} a second")
    for name in (LOOP, POOL):
        ratio = statistics.median(mine / plain for mine, plain in zip(speeds[OURS], speeds[name]))
        print(f"common.prepare is {ratio:.2f} times as fast as {name} (median of the rounds)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
