"""One part of a data folder: decodes its recordings and writes `part-N.bin` with its sidecar.

    from common.prepare.parts import PartJob, build_part      # the work of one process of common.prepare

A part is built whole or not at all: its `part-N.done.json` is written last and says how many records
it holds and which recordings it left out, so an interrupted preparation goes on where it stopped.
"""
from __future__ import annotations

import dataclasses
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, List, Optional, Tuple

import numpy as np

from common.data.dataset import SessionRow, write_sessions
from common.data.records import NUM_BINS, NUM_FRAMES, NoRecords, RecordWriter
from common.errors import UserError
from common.files import read_json, write_json
from common.prepare.audio import AudioError, read_blocks
from common.prepare.distortion import distort
from common.prepare.features import spectrogram
from common.prepare.options import SAMPLE_RATE, SEGMENT_SAMPLES, Copies, Options
from common.prepare.samples import write_sample
from common.prepare.sources import Recording
from common.prepare.windows import cut_windows
from common.prepare.workers import CONTEXT, start_worker


@dataclass(frozen=True)
class PartJob:
    """The recordings of part `number`, and the folder it is built in."""

    tree: Path
    folder: Path
    number: int
    recordings: Tuple[Recording, ...]
    samples: FrozenSet[str]  # names of the recordings whose first utterance goes into the samples folder
    labels: Dict[str, int]
    options: Options
    copy: int = 0  # which of the copies for training; 0 is the recordings themselves
    copies: Optional[Copies] = None

    @property
    def records_path(self) -> Path:
        return self.folder / f"part-{self.number}.bin"

    @property
    def done_path(self) -> Path:
        return self.folder / f"part-{self.number}.done.json"


@dataclass(frozen=True)
class PartReport:
    """What became of a part: records by speaker, and (recording, reason) for what was left out."""

    records: Dict[str, int]
    skipped: Tuple[Tuple[str, str], ...]


class Tally:
    """What the worker processes tell the one that shows progress, and its way to stop them.

    reading: by part, the position of the recording that is being read, should its decoder bring the
             process down; -1 where none is
    """

    def __init__(self, parts: int) -> None:
        self.recordings = CONTEXT.Value("q", 0)
        self.records = CONTEXT.Value("q", 0)
        self.reading = CONTEXT.Array("i", [-1] * parts, lock=False)
        self.stop = CONTEXT.Event()

    def add(self, records: int) -> None:
        """One more recording is done, with so many records."""
        for counter, amount in ((self.recordings, 1), (self.records, records)):
            with counter.get_lock():
                counter.value += amount


_tally: Optional[Tally] = None  # of this worker process


def start_part_worker(tally: Tally) -> None:
    """First thing in a worker process that builds parts."""
    global _tally
    _tally = tally
    start_worker()


def read_report(job: PartJob) -> Optional[PartReport]:
    """The report of a part that is complete, None for one that is still to do."""
    if not job.done_path.exists():
        return None
    report = read_json(job.done_path, "report of a finished part")
    return PartReport(report["records"], tuple((name, reason) for name, reason in report["skipped"]))


def build_part(job: PartJob) -> PartReport:
    """Write the part's records, its sidecar and last its report. A part may turn out to have no records.

    Raises UserError, among others when the disk is full.
    """
    rows: List[SessionRow] = []
    skipped: List[Tuple[str, str]] = []
    buffer = np.empty((NUM_BINS, NUM_FRAMES), np.float32)
    try:
        with RecordWriter(job.records_path) as writer:
            for position, recording in enumerate(job.recordings):
                rows_before = len(rows)
                _report_reading(job, position)
                try:
                    _append(writer, rows, job, recording, buffer)
                except AudioError as error:
                    kept = len(rows) - rows_before
                    note = f"; its {kept} utterances before that are kept" if kept else ""
                    skipped.append((recording.name, error.problem + note))
                _report_progress(len(rows) - rows_before)
    except NoRecords:
        pass  # a part may turn out to be empty
    if rows:
        write_sessions(job.records_path, rows)
    report = PartReport(dict(Counter(row.speaker for row in rows)), tuple(skipped))
    write_json(job.done_path, dataclasses.asdict(report))
    _report_reading(job, -1)
    return report


def _append(writer: RecordWriter, rows: List[SessionRow], job: PartJob, recording: Recording,
            buffer: np.ndarray) -> None:
    """All utterances of one recording. buffer: (512, 300) float32 for the spectrograms, one after the other."""
    sample_wanted = recording.name in job.samples
    for start, samples in _windows(job, recording):
        bins = spectrogram(samples, job.options.normalise, job.options.scale, out=buffer)
        label = job.labels[recording.speaker]
        writer.append(bins, label)
        rows.append(SessionRow(recording.speaker, recording.session, recording.name, start))
        if sample_wanted:
            write_sample(job.folder / "samples", recording, samples, bins, label)
            sample_wanted = False


def _windows(job: PartJob, recording: Recording) -> Iterator[Tuple[int, np.ndarray]]:
    """(first sample, (48240,) samples) of each utterance. Raises AudioError if there is none."""
    # The name and not the place in the list: the crop must not depend on what else is in the tree.
    seed = zlib.crc32(f"{job.options.seed} {recording.name}{f' {job.copy}' if job.copy else ''}".encode())
    path = job.tree / recording.path
    crop = "random" if job.copy else job.options.crop
    found = False
    for start, samples in cut_windows(read_blocks(path), crop, job.options.hop, seed):
        if samples.any():
            found = True
            yield start, distort(samples, job.copies, np.random.default_rng(seed)) if job.copies else samples
    if not found:
        raise AudioError(path, f"shorter than {SEGMENT_SAMPLES / SAMPLE_RATE} s, or silent")


def _report_reading(job: PartJob, position: int) -> None:
    if _tally is not None:
        _tally.reading[job.number - 1] = position


def _report_progress(records: int) -> None:
    if _tally is None:
        return
    _tally.add(records)
    if _tally.stop.is_set():
        raise UserError("stopped")
