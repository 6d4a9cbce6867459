"""From a tree of recordings to a data folder that every command here takes with --data.

    python -m common.prepare MY_RECORDINGS data/mine

MY_RECORDINGS holds SPEAKER/SESSION/ with wav, flac, ogg, mp3 or m4a files of any sampling rate. The
data folder gets part-N.bin in the homework's format, each with part-N.sessions.csv beside it,
classes.txt, dataset.json, and skipped.csv if recordings were left out. Until all of them are there
the work lies in its subfolder `unfinished`: started again after any interruption, the command goes
on from the parts that are complete, and the bytes are those of a run in one go.
"""
from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import io
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np

from common.errors import UserError, friendly
from common.features import SAMPLE_RATE, SCALES, SEGMENT_SAMPLES
from common.files import read_json, write_json, write_text
from common.parts import Options, PartJob, PartReport, Tally, build_part, read_report, start_part_worker
from common.records import write_classes
from common.sources import Recording, find_recordings
from common.windows import CROPS
from common.workers import CONTEXT, available_cores

MIN_PARTS = 8
MAX_PART_RECORDINGS = 1000
POLL_SECONDS = 0.1

Progress = Callable[[int, int], None]  # recordings done, records written


@dataclass(frozen=True)
class Plan:
    """All that decides the bytes of a data folder."""

    options: Options
    classes: Tuple[str, ...]
    parts: Tuple[Tuple[Recording, ...], ...]

    @property
    def fingerprint(self) -> str:
        """Tells a folder that this plan began from one that another began."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Summary:
    """What a finished data folder holds."""

    speakers: int
    records: int
    recordings: int
    skipped: Tuple[Tuple[str, str], ...]  # (recording, reason)


def make_plan(recordings: List[Recording], options: Options) -> Plan:
    """Deal the recordings, shuffled by the seed, to parts: each part is a mix of all speakers."""
    classes = tuple(sorted({recording.speaker for recording in recordings}))
    parts = min(len(recordings), max(MIN_PARTS, -(-len(recordings) // MAX_PART_RECORDINGS)))
    order = np.random.default_rng(options.seed).permutation(len(recordings))
    return Plan(options, classes, tuple(tuple(recordings[i] for i in order[part::parts]) for part in range(parts)))


def prepare(tree: Path, out: Path, plan: Plan, workers: int, progress: Progress,
            notes: Optional[Mapping[str, object]] = None) -> Summary:
    """Build the data folder `out`, or complete it. Raises UserError; what is complete stays.

    notes: more to say in dataset.json, such as {"synthetic": True}
    """
    finished = _finished(out, plan)
    if finished:
        return finished
    work = _open_work_folder(out, plan)
    labels = {name: label for label, name in enumerate(plan.classes)}
    jobs = [PartJob(tree, work, number, recordings, labels, plan.options)
            for number, recordings in enumerate(plan.parts, start=1)]
    done = {job.number: report for job in jobs for report in [read_report(job)] if report}
    done.update(_build([job for job in jobs if job.number not in done], workers, progress))
    return _finish(out, work, plan, [done[job.number] for job in jobs], notes or {})


def _finished(out: Path, plan: Plan) -> Optional[Summary]:
    """The summary of a folder that this very plan has completed, None if there is work to do."""
    path = out / "dataset.json"
    if not path.exists():
        if list(out.glob("*.bin")) and not (out / "unfinished").exists():
            raise UserError(f"{out}: already holds record files; choose an empty or new folder")
        return None
    made = read_json(path, "data set description")
    if not isinstance(made, dict) or made.get("fingerprint") != plan.fingerprint:
        raise UserError(f"{out}: already holds a data set, made from other recordings or with other options; "
                        "choose another folder or delete this one")
    shutil.rmtree(out / "unfinished", ignore_errors=True)
    return Summary(len(plan.classes), made["records"], made["recordings"], tuple(map(tuple, made["skipped"])))


def _open_work_folder(out: Path, plan: Plan) -> Path:
    """OUT/unfinished, new or left by an interrupted run of the same plan."""
    work = out / "unfinished"
    begun = work / "plan.json"
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{work}: cannot make this folder: {error.strerror}") from error
    if not begun.exists():
        write_json(begun, plan.fingerprint)
    elif read_json(begun, "plan") != plan.fingerprint:
        raise UserError(f"{work}: was begun from other recordings or with other options; start the command as "
                        "it was then, or delete this folder")
    return work


def _build(jobs: List[PartJob], workers: int, progress: Progress) -> Dict[int, PartReport]:
    """Build parts in worker processes, each by one of them. Returns their reports by number."""
    from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool

    tally = Tally()
    with ProcessPoolExecutor(min(workers, len(jobs)) or 1, CONTEXT, start_part_worker, (tally,)) as pool:
        futures = {pool.submit(build_part, job): job.number for job in jobs}
        try:
            waiting = set(futures)
            while waiting:
                done, waiting = wait(waiting, timeout=POLL_SECONDS, return_when=FIRST_EXCEPTION)
                progress(tally.recordings.value, tally.records.value)
                for future in done:
                    future.result()
        except BrokenProcessPool as error:
            raise UserError("a worker process died, out of memory or by a recording that crashes its decoder; "
                            "start again with --workers 1") from error
        finally:
            tally.stop.set()
            for future in futures:
                future.cancel()
    return {number: future.result() for future, number in futures.items()}


def _finish(out: Path, work: Path, plan: Plan, reports: List[PartReport],
            notes: Mapping[str, object]) -> Summary:
    """Move the parts to their place. Any step of it may have been done by an interrupted run."""
    skipped = tuple(sorted(item for report in reports for item in report.skipped))
    recordings = sum(map(len, plan.parts))
    records = sum(report.records for report in reports)
    if not records:
        raise UserError(f"none of the {recordings} recordings could be used; {skipped[0][0]}: {skipped[0][1]}")
    for path in [*work.glob("part-*.bin"), *work.glob("part-*.sessions.csv")]:
        os.replace(path, out / path.name)
    write_classes(out / "classes.txt", plan.classes)
    if skipped:
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("recording", "reason"), *skipped])
        write_text(out / "skipped.csv", table.getvalue())
    write_json(out / "dataset.json", {
        "synthetic": False, "made_by": "common.prepare", "fingerprint": plan.fingerprint,
        "scale": plan.options.scale, "normalised": plan.options.normalise,
        "options": dataclasses.asdict(plan.options), "recordings": recordings, "records": records,
        "skipped": skipped, **notes})
    shutil.rmtree(work)
    return Summary(len(plan.classes), records, recordings, skipped)


def show_progress(total: int) -> "tuple[object, Progress]":
    """A progress bar on stderr (use it in a `with`), and the function that moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn, TimeRemainingColumn

    bar = Bar(TextColumn("recordings"), BarColumn(), MofNCompleteColumn(),
              TextColumn("{task.fields[records]} utterances, {task.fields[rate]:.0f} a second"),
              TimeRemainingColumn(), console=Console(stderr=True))
    task = bar.add_task("", total=total, records=0, rate=0.0)

    def move(recordings: int, records: int) -> None:
        elapsed = bar.tasks[0].elapsed or 0.0
        bar.update(task, completed=recordings, records=records, rate=records / elapsed if elapsed else 0.0)

    return bar, move


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m common.prepare", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, help="folder of recordings, SPEAKER/SESSION/*")
    parser.add_argument("out", type=Path, help="data folder to make, or to complete")
    parser.add_argument("--crop", choices=CROPS, default="sliding",
                        help="which 3.015 s of a recording: the first, a random one, or a sliding window (default)")
    parser.add_argument("--hop", type=float, default=SEGMENT_SAMPLES / SAMPLE_RATE, metavar="SECONDS",
                        help="step of the sliding window (default 3.015: no overlap)")
    parser.add_argument("--scale", choices=SCALES, default="magnitude", help="of the spectrograms (default magnitude)")
    parser.add_argument("--raw", action="store_true", help="leave out the normalisation of every frequency bin")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the records and the random crop")
    parser.add_argument("--workers", type=int, default=available_cores(), metavar="N",
                        help="processes (default: one a core)")
    return parser


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    args = build_parser().parse_args(argv)
    hop = round(args.hop * SAMPLE_RATE)
    if hop < 1 or args.workers < 1 or args.seed < 0:
        raise UserError("--hop and --workers must be above 0, --seed 0 or more")
    recordings = find_recordings(args.tree)
    plan = make_plan(recordings, Options(args.crop, hop, args.scale, not args.raw, args.seed))
    bar, move = show_progress(len(recordings))
    with bar:
        summary = prepare(args.tree, args.out, plan, args.workers, move)
    print(f"{args.out}: {summary.records} utterances of {summary.speakers} speakers "
          f"from {summary.recordings} recordings")
    if summary.skipped:
        print(f"left out: {len(summary.skipped)} recordings, listed with the reason in {args.out / 'skipped.csv'}; "
              "the first: {}: {}".format(*summary.skipped[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
