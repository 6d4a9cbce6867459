"""Build a data folder by its plan: in worker processes, and whole however often it is interrupted.

    from common.prepare.building import build
    summary = build(tree, Path("data/mine"), plan, workers=2)

Until all is there the parts lie in the folder's subfolder `unfinished`; then they are moved, and
dataset.json is written last. Only one process at a time works on a folder.
"""
from __future__ import annotations

import csv
import dataclasses
import io
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from common.data.classes import write_classes
from common.errors import UserError
from common.files import locked, read_json, write_json, write_text
from common.prepare.options import Copies
from common.prepare.parts import PartJob, PartReport, Tally, build_part, read_report, start_part_worker
from common.prepare.plan import Plan
from common.prepare.samples import pick_samples
from common.prepare.workers import CONTEXT, starting

POLL_SECONDS = 0.1

Progress = Callable[[int, int], None]  # recordings done, records written


@dataclass(frozen=True)
class Summary:
    """What a finished data folder holds."""

    recordings: int
    records: int
    skipped: int  # recordings, listed in skipped.csv
    absent: Tuple[str, ...]  # speakers without a single record
    copies: int = 0  # how many of the records are crops for training, with noise and channel


def build(tree: Path, out: Path, plan: Plan, workers: int, progress: Progress = lambda recordings, records: None,
          notes: Optional[Mapping[str, object]] = None) -> Summary:
    """Build the data folder `out` from the recordings below `tree`, or complete it.

    notes: more to say in dataset.json, such as {"synthetic": True}
    Raises UserError; the parts that are complete by then stay, and the next call goes on from there.
    """
    finished = _finished(out, plan)
    if finished:
        return finished
    work = out / "unfinished"
    with locked(work / "lock", f"{out}: another process is preparing this folder; wait for it"):
        _claim(work, plan)
        jobs = _jobs(tree, work, plan)
        reports = {job.number: report for job in jobs for report in [read_report(job)] if report}
        missing = [job for job in jobs if job.number not in reports]
        reports.update(_build_parts(missing, workers, _going_on(progress, jobs, reports)))
        return _finish(out, work, plan, [(job, reports[job.number]) for job in jobs], notes or {})


def _finished(out: Path, plan: Plan) -> Optional[Summary]:
    """The summary of a folder that this very plan has completed, None if there is work to do."""
    path = out / "dataset.json"
    if not path.exists():
        if not (out / "unfinished").exists() and list(out.glob("*.bin")):
            raise UserError(f"{out}: already holds record files; choose an empty or new folder")
        return None
    made = read_json(path, "data set description")
    if not isinstance(made, dict) or made.get("plan") != plan.fingerprint:
        raise UserError(f"{out}: already holds a data set, made from other recordings or with other options; "
                        "choose another folder or delete this one")
    shutil.rmtree(out / "unfinished", ignore_errors=True)
    return Summary(**{**made["summary"], "absent": tuple(made["summary"]["absent"])})


def _claim(work: Path, plan: Plan) -> None:
    """Begin the plan, or make sure that it is the one that was begun here."""
    begun = work / "plan.json"
    if not begun.exists():
        write_classes(work / "classes.txt", plan.speakers)
        write_json(begun, plan.fingerprint)
    elif read_json(begun, "plan") != plan.fingerprint:
        raise UserError(f"{work}: was begun from other recordings or with other options; start the command as "
                        "it was then, or delete this folder")


def _jobs(tree: Path, work: Path, plan: Plan) -> List[PartJob]:
    labels = {name: label for label, name in enumerate(plan.speakers)}
    samples = pick_samples((item for part in plan.parts for item in part), plan.options.samples)
    jobs = [PartJob(tree, work, number, part, samples & {item.name for item in part}, labels, plan.options)
            for number, part in enumerate(plan.parts, start=1)]
    return jobs if plan.copies is None else jobs + _copy_jobs(jobs, plan.copies)


def _copy_jobs(jobs: List[PartJob], copies: Copies) -> List[PartJob]:
    """Parts of their own, after those of the recordings themselves."""
    made = []
    for copy in range(1, copies.count + 1):
        for job in jobs:
            chosen = tuple(recording for recording in job.recordings if recording.name in copies.recordings)
            made.append(dataclasses.replace(job, number=job.number + copy * len(jobs), recordings=chosen,
                                            samples=frozenset(), copy=copy, copies=copies))
    return made


def _going_on(progress: Progress, jobs: List[PartJob], reports: Dict[int, PartReport]) -> Progress:
    """Progress that counts what an earlier run has done."""
    recordings = sum(len(job.recordings) for job in jobs if job.number in reports)
    records = sum(sum(report.records.values()) for report in reports.values())
    progress(recordings, records)
    return lambda more_recordings, more_records: progress(recordings + more_recordings, records + more_records)


def _build_parts(jobs: List[PartJob], workers: int, progress: Progress) -> Dict[int, PartReport]:
    """Build parts in worker processes, each by one of them. Returns their reports by number."""
    from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool

    with starting():
        tally = Tally(max((job.number for job in jobs), default=0))
        pool = ProcessPoolExecutor(max(1, min(workers, len(jobs))), CONTEXT, start_part_worker, (tally,))
    with pool:
        futures = {pool.submit(build_part, job): job.number for job in jobs}
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=POLL_SECONDS, return_when=FIRST_EXCEPTION)
                progress(tally.recordings.value, tally.records.value)
                for future in done:
                    future.result()
        except BrokenProcessPool as error:
            raise UserError(_why_broken(jobs, tally)) from error
        except UserError as error:
            raise UserError(f"{error}. The parts that are complete are kept: the same command goes on from there"
                            ) from error
        finally:
            tally.stop.set()
            for future in waiting:
                future.cancel()
    return {number: future.result() for future, number in futures.items()}


def _why_broken(jobs: List[PartJob], tally: Tally) -> str:
    positions = [(job, tally.reading[job.number - 1]) for job in jobs]
    reading = [job.recordings[position].path for job, position in positions if position >= 0]
    return ("a worker process died: out of memory, or a recording brought its decoder down. It was reading "
            f"{' or '.join(reading) or 'nothing yet'}. Start again with --workers 1; if it dies again, take "
            "that recording away")


def _finish(out: Path, work: Path, plan: Plan, reports: List[Tuple[PartJob, PartReport]],
            notes: Mapping[str, object]) -> Summary:
    """Move everything to its place. Any step of it may have been done by an interrupted run."""
    # What cannot be used has no copies either: once is enough.
    skipped = sorted(item for job, report in reports if not job.copy for item in report.skipped)
    records = sum((Counter(report.records) for _, report in reports), Counter())
    copies = sum(sum(report.records.values()) for job, report in reports if job.copy)
    if not records:
        shutil.rmtree(work)
        raise UserError(f"none of the {plan.recordings} recordings could be used. {skipped[0][0]}: {skipped[0][1]}")
    for path in [work / "classes.txt", *work.glob("part-*.bin"), *work.glob("part-*.sessions.csv"), work / "samples"]:
        if path.exists():
            os.replace(path, out / path.name)
    if skipped:
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("recording", "reason"), *skipped])
        write_text(out / "skipped.csv", table.getvalue())
    summary = Summary(plan.recordings, sum(records.values()), len(skipped),
                      tuple(name for name in plan.speakers if name not in records), copies)
    write_json(out / "dataset.json", {
        "synthetic": False, "made_by": "common.prepare", "plan": plan.fingerprint,
        "scale": plan.options.scale, "normalised": plan.options.normalise,
        "options": dataclasses.asdict(plan.options), "summary": dataclasses.asdict(summary), **notes,
        **({"copies": copies} if plan.copies else {})})
    shutil.rmtree(work, ignore_errors=True)
    return summary
