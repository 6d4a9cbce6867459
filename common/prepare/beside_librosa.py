"""How fast common.prepare is beside a plain pipeline of librosa that makes the same records.

    pip install librosa
    python -m common.prepare.beside_librosa MY_RECORDINGS

Three commands take turns: a loop over the files with librosa, the same loop shared by a pool of
processes, one a core, and common.prepare with as many. All write all records to the temporary folder
(TMPDIR). Their times are from start to end; how long the plain ones worked after their imports is
compared as well. Before that the records themselves are compared.
"""
from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

import numpy as np

from common.data.form import NUM_BINS, NUM_FRAMES, SAMPLE_RATE, SEGMENT_SAMPLES
from common.errors import UserError, friendly
from common.files import read_json
from common.measured import facts, told
from common.parser import Parser, number
from common.prepare.audio import load_audio
from common.prepare.features import (
    DEVIATION_FLOOR,
    FFT_POINTS,
    STEP_SAMPLES,
    WINDOW_SAMPLES,
    spectrogram,
)
from common.prepare.sources import Recording, find_recordings

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
    return np.array(made, dtype=np.float32).reshape(-1, NUM_BINS, NUM_FRAMES)


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


def _plain(tree: Path, out: Path) -> tuple[List[Recording], Callable[[Recording], int]]:
    """The recordings, and what is to be done with each."""
    recordings = find_recordings(tree).recordings
    labels = {name: label for label, name in enumerate(sorted({item.speaker for item in recordings}))}
    return recordings, functools.partial(_plain_one, tree, out, labels)


def compare_records(tree: Path) -> float:
    """Largest difference between both in the first utterance of the tree. Raises UserError if it is large."""
    path = tree / find_recordings(tree).recordings[0].path
    expected = plain_spectrograms(path)[0]
    difference = float(np.abs(spectrogram(load_audio(path)[:SEGMENT_SAMPLES]) - expected).max())
    if not difference < TOLERANCE:
        raise UserError(f"{path}: the two pipelines differ by {difference:.3f}, so their speed cannot be compared")
    return difference


LOOP, POOL, OURS = "a librosa loop", "a librosa pool", "common.prepare"
PLAIN = {LOOP: loop, POOL: pool}


class Round(NamedTuple):
    """One run of one pipeline. working: without the start of Python and the imports; None where they overlap."""

    utterances: int
    seconds: float
    working: Optional[float]


def measure(name: str, tree: Path, workers: int) -> Round:
    """Run a pipeline as a command of its own, into a folder that is thrown away. Raises UserError."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        module, options = ("common.prepare", ["--samples", "0"]) if name == OURS else (__spec__.name, ["--only", name])
        command = [sys.executable, "-m", module, str(tree), str(out), "--workers", str(workers), *options]
        begin = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        seconds = time.perf_counter() - begin
        if done.returncode:
            raise UserError(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
        if name == OURS:
            return Round(read_json(out / "dataset.json", "data set description")["summary"]["records"], seconds, None)
        utterances, working = json.loads(done.stdout)
        return Round(utterances, seconds, working)


def run_plain(name: str, tree: Path, out: Path, workers: int) -> None:
    """The command that `measure` runs for a plain pipeline. Prints the utterances and the seconds it worked."""
    import librosa

    librosa.stft(np.zeros(FFT_POINTS, np.float32), n_fft=FFT_POINTS)  # it imports at first use: not to be counted as work
    out.mkdir()
    begin = time.perf_counter()
    print(json.dumps([PLAIN[name](tree, out, workers), time.perf_counter() - begin]))


def build_parser() -> argparse.ArgumentParser:
    parser = Parser("python -m common.prepare.beside_librosa", __doc__)
    parser.add_argument("tree", type=Path, help="folder of recordings, SPEAKER/SESSION/*")
    parser.add_argument("out", type=Path, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=PLAIN, help=argparse.SUPPRESS)  # how it starts the plain pipelines
    parser.add_argument("--rounds", type=number, default=3, help="of each pipeline (default 3)")
    parser.add_workers("processes")
    return parser


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    args = build_parser().parse_args(argv)
    try:
        import librosa
    except ImportError as error:
        raise UserError("this comparison needs librosa, which nothing else here does: pip install librosa") from error
    if args.only:
        run_plain(args.only, args.tree, args.out, args.workers)
        return 0
    print(told(facts(threads=1)))
    print(f"librosa {librosa.__version__}, {args.workers} processes; largest difference {compare_records(args.tree):.1g}")
    rounds: Dict[str, List[Round]] = {name: [] for name in (LOOP, POOL, OURS)}
    for turn in range(1, args.rounds + 1):
        for name, done in rounds.items():
            done.append(measure(name, args.tree, args.workers))
            print(f"round {turn}: {name:15s} {done[-1].utterances} utterances in {done[-1].seconds:6.1f} s, "
                  f"{done[-1].utterances / done[-1].seconds:4.0f} a second")
    for name in PLAIN:
        pairs = list(zip(rounds[name], rounds[OURS]))
        whole = statistics.median(plain.seconds / ours.seconds for plain, ours in pairs)
        work = statistics.median(plain.working / ours.seconds for plain, ours in pairs)
        print(f"common.prepare is {whole:.2f} times as fast as {name}, {work:.2f} times if that is not charged with its "
              "imports (medians of the rounds)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
