"""One part of a data folder: decodes its recordings and writes `part-N.bin` with its sidecar.

    from common.prepare.parts import PartJob, build_part      # the work of one process of common.prepare

A part is built whole or not at all: its `part-N.done.json` is written last and says how many records
it holds and which recordings it left out, so an interrupted preparation goes on where it stopped.
"""
from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Tuple

import numpy as np

from common.data.dataset import SessionRow, read_sessions, sidecar_path, write_sessions
from common.data.form import NUM_BINS, NUM_FRAMES, SAMPLE_RATE, SEGMENT_SAMPLES
from common.data.records import NoRecords, RecordSet, RecordWriter
from common.errors import UserError
from common.files import read_json, write_json
from common.prepare.audio import Heard, read_blocks
from common.prepare.decoding import AudioError
from common.prepare.distortion import distort
from common.prepare.features import spectrogram
from common.prepare.levels import SILENCE_DB, is_silent
from common.prepare.options import Copies, Options
from common.prepare.processes import CONTEXT, start_worker
from common.prepare.samples import write_sample
from common.prepare.sources import Recording
from common.prepare.twice import SoundTrace, first_spectrogram, trace
from common.prepare.windows import cut_windows


@dataclass(frozen=True)
class PartJob:
    """The recordings of part `number`, and the folder it is built in.

    twice: reasons, by name, to leave out recordings that are there under another name as well
    """

    tree: Path
    folder: Path
    number: int
    recordings: Tuple[Recording, ...]
    samples: FrozenSet[str]  # names of the recordings whose first utterance goes into the samples folder
    labels: Dict[str, int]
    options: Options
    copy: int = 0  # which of the copies for training; 0 is the recordings themselves
    copies: Optional[Copies] = None
    twice: Dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def records_path(self) -> Path:
        return self.folder / f"part-{self.number}.bin"

    @property
    def done_path(self) -> Path:
        return self.folder / f"part-{self.number}.done.json"


class Kept(NamedTuple):
    """A recording that has records.

    silent:  utterances of it that were left out
    rates:   in Hz, in the order they were met
    remarks: what is not as it should be, though it is kept
    trace:   None in a copy for training
    """

    records: int
    silent: int
    rates: List[int]
    remarks: List[str]
    trace: Optional[SoundTrace]


@dataclass
class PartReport:
    """What became of a part.

    skipped: (recording, reason) of what was left out, and of what could be read in part
    twice:   recordings that were left out because the job said so
    """

    kept: Dict[str, Kept] = dataclasses.field(default_factory=dict)
    skipped: List[Tuple[str, str]] = dataclasses.field(default_factory=list)
    twice: List[str] = dataclasses.field(default_factory=list)

    @property
    def records(self) -> int:
        return sum(kept.records for kept in self.kept.values())


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
    report = _stored_report(job)
    return report if report is not None and report.twice == sorted(job.twice) else None


def _stored_report(job: PartJob) -> Optional[PartReport]:
    if not job.done_path.exists():
        return None
    report = PartReport(**read_json(job.done_path, "report of a finished part"))
    for name, stored in report.kept.items():
        *facts, found = stored
        report.kept[name] = Kept(*facts, None if found is None else SoundTrace(*found))
    report.skipped = [(name, reason) for name, reason in report.skipped]
    return report


def build_part(job: PartJob) -> PartReport:
    """Write the part's records, its sidecar and last its report. A part may turn out to have no records.

    One that is complete but for what is there twice is not decoded again: that is taken out of it.
    Raises UserError, among others when the disk is full.
    """
    before = _stored_report(job)
    rows: List[SessionRow] = []
    if before is None:
        report = PartReport()
    else:
        rows = read_sessions(job.records_path, before.records) if before.kept else []
        report = PartReport({name: kept for name, kept in before.kept.items() if name not in job.twice},
                            [item for item in before.skipped if item[0] not in job.twice])
        job.done_path.unlink()  # from here on the part counts as one that is still to do
    report.skipped += job.twice.items()
    report.twice = sorted(job.twice)
    _report_reading(job, 0)
    try:
        with RecordWriter(job.records_path) as writer:
            if before is None:
                _append_all(writer, rows, job, report)
            else:
                rows = _copy_kept(writer, rows, job, report)
    except NoRecords:  # a part may turn out to be empty
        for path in (job.records_path, sidecar_path(job.records_path)):
            path.unlink(missing_ok=True)
    if rows:
        write_sessions(job.records_path, rows)
    write_json(job.done_path, dataclasses.asdict(report))
    _report_reading(job, -1)
    return report


def _append_all(writer: RecordWriter, rows: List[SessionRow], job: PartJob, report: PartReport) -> None:
    """Decode every recording of the part."""
    buffer = np.empty((NUM_BINS, NUM_FRAMES), np.float32)
    for position, recording in enumerate(job.recordings):
        _report_reading(job, position)
        before = len(rows)
        if recording.name not in job.twice:
            _append_or_skip(writer, rows, job, recording, buffer, report)
        _report_progress(len(rows) - before)


def _copy_kept(writer: RecordWriter, rows: List[SessionRow], job: PartJob, report: PartReport) -> List[SessionRow]:
    """Write the records of the part as it is, but for those of recordings that are there twice. Returns their rows."""
    records = RecordSet.open([job.records_path])
    for index, row in enumerate(rows):
        if row.recording in report.kept:
            (bins,), _ = records.read([index])
            writer.append(bins, job.labels[row.speaker])
    for recording in job.recordings:
        _report_progress(report.kept[recording.name].records if recording.name in report.kept else 0)
    return [row for row in rows if row.recording in report.kept]


def _append_or_skip(writer: RecordWriter, rows: List[SessionRow], job: PartJob, recording: Recording,
                    buffer: np.ndarray, report: PartReport) -> None:
    """One recording to records and into the report, whatever is wrong with it."""
    heard, before = Heard(), len(rows)
    silent, found = 0, None
    try:
        silent, found = _append(writer, rows, job, recording, buffer, heard)
        problems = heard.damage
    except AudioError as error:
        problems = [*heard.damage, error.problem] if error.problem not in heard.damage else heard.damage
    kept = len(rows) - before
    if problems:
        note = f"; its {kept} utterances are kept" if kept else ""
        report.skipped.append((recording.name, "; ".join(problems) + note))
    if kept:
        remarks = [remark for remark in heard.remarks() if remark not in heard.damage]
        report.kept[recording.name] = Kept(kept, silent, heard.rates, remarks, found)


def _append(writer: RecordWriter, rows: List[SessionRow], job: PartJob, recording: Recording,
            buffer: np.ndarray, heard: Heard) -> Tuple[int, Optional[SoundTrace]]:
    """All utterances of one recording. Returns how many were left out as silent, and the recording's trace.

    buffer: (512, 300) float32 for the spectrograms, one after the other. Raises AudioError if there is no utterance.
    """
    path, label = job.tree / recording.path, job.labels[recording.speaker]
    # The name and not the place in the list: the crop must not depend on what else is in the tree.
    seed = zlib.crc32(f"{job.options.seed} {recording.name}{f' {job.copy}' if job.copy else ''}".encode())
    crop = "random" if job.copy else job.options.crop
    sample_wanted = recording.name in job.samples
    picture, silent, found = "", 0, False
    for start, samples in cut_windows(read_blocks(path, heard), crop, job.options.hop, seed):
        if is_silent(samples):
            silent += 1
            continue
        if job.copies:
            samples = distort(samples, job.copies, np.random.default_rng(seed))
        bins = spectrogram(samples, job.options.normalise, job.options.scale, out=buffer)
        writer.append(bins, label)
        rows.append(SessionRow(recording.speaker, recording.session, recording.name, start))
        if sample_wanted:
            write_sample(job.folder / "samples", recording, samples, bins, label)
            sample_wanted = False
        if not job.copy and not found:
            picture = trace(first_spectrogram(path) if crop == "random" else bins)
        found = True
    if not found and silent:
        raise AudioError(path, f"silent: nothing in it is louder than {SILENCE_DB:.0f} dB of full scale")
    if not found:
        raise AudioError(path, f"shorter than {SEGMENT_SAMPLES / SAMPLE_RATE} s: {heard.samples / SAMPLE_RATE:.2f} s")
    return silent, None if job.copy else SoundTrace(0 if crop == "fixed" else heard.samples, picture)


def _report_reading(job: PartJob, position: int) -> None:
    if _tally is not None:
        _tally.reading[job.number - 1] = position


def _report_progress(records: int) -> None:
    if _tally is None:
        return
    _tally.add(records)
    if _tally.stop.is_set():
        raise UserError("stopped")
