"""Build a data folder by its plan: in worker processes, and whole however often it is interrupted.

    from common.prepare.building import build
    summary = build(tree, Path("data/mine"), plan, workers=2)

Until all is there the parts lie in the folder's subfolder `unfinished`; then they are moved, and
dataset.json is written last. Only one process at a time works on a folder.
"""
from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from common.data.classes import write_classes
from common.errors import UserError
from common.files import csv_text, locked, read_json, write_json, write_text
from common.prepare.options import Copies
from common.prepare.parts import PartJob, PartReport, Tally, build_part, read_report, start_part_worker
from common.prepare.plan import Preparation
from common.prepare.processes import CONTEXT, starting
from common.prepare.samples import pick_samples
from common.prepare.sources import Found
from common.prepare.summary import Summary, read_summary, summarise
from common.prepare.twice import find_twice

POLL_SECONDS = 0.1

OnRecords = Callable[[int, int], None]  # recordings done, records written


def build(tree: Path, out: Path, plan: Preparation, workers: int, progress: OnRecords = lambda recordings, records: None,
          notes: Optional[Mapping[str, object]] = None, found: Found = Found()) -> Summary:
    """Build the data folder `out` from the recordings below `tree`, or complete it.

    notes: more to say in dataset.json, such as {"synthetic": True}
    found: what in the tree is not in the plan, and why
    Raises UserError; the parts that are complete by then stay, and the next call goes on from there.
    """
    finished = _finished(out, plan)
    if finished:
        return finished
    work = out / "unfinished"
    with locked(work / "lock", f"{out}: another process is preparing this folder; wait for it"):
        _claim(work, plan)
        jobs = _jobs(tree, work, plan)
        if not (work / "twice.json").exists():
            reports = _complete(jobs, workers, progress)
            write_json(work / "twice.json", _twice(tree, plan, reports.values(), workers))
        jobs = _without(jobs, read_json(work / "twice.json", "list of what is there twice"))
        jobs += [] if plan.copies is None else _copy_jobs(jobs, plan.copies)
        reports = _complete(jobs, workers, progress)
        return _finish(out, work, plan, [(job, reports[job.number]) for job in jobs], notes or {}, found)


def _finished(out: Path, plan: Preparation) -> Optional[Summary]:
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
    return read_summary(path, made.get("summary"))


def _claim(work: Path, plan: Preparation) -> None:
    """Begin the plan, or make sure that it is the one that was begun here."""
    begun = work / "plan.json"
    if not begun.exists():
        write_classes(work / "classes.txt", plan.speakers)
        write_json(begun, plan.fingerprint)
    elif read_json(begun, "plan") != plan.fingerprint:
        raise UserError(f"{work}: was begun from other recordings or with other options; start the command as "
                        "it was then, or delete this folder")


def _jobs(tree: Path, work: Path, plan: Preparation) -> List[PartJob]:
    labels = {name: label for label, name in enumerate(plan.speakers)}
    samples = pick_samples((item for part in plan.parts for item in part), plan.options.samples)
    return [PartJob(tree, work, number, part, samples & {item.name for item in part}, labels, plan.options)
            for number, part in enumerate(plan.parts, start=1)]


def _twice(tree: Path, plan: Preparation, reports: Iterable[PartReport], workers: int) -> Dict[str, str]:
    """{name: reason} of recordings that are there under another name as well."""
    traces = {name: kept.trace for report in reports for name, kept in report.kept.items() if kept.trace}
    recordings = [recording for part in plan.parts for recording in part]
    return find_twice(tree, recordings, traces, workers)


def _without(jobs: List[PartJob], twice: Mapping[str, str]) -> List[PartJob]:
    """The same jobs told what to leave out. Only parts that hold some of it are built again."""
    return [dataclasses.replace(job, twice={item.name: twice[item.name] for item in job.recordings if item.name in twice})
            for job in jobs]


def _copy_jobs(jobs: List[PartJob], copies: Copies) -> List[PartJob]:
    """Parts of their own, after those of the recordings themselves."""
    made = []
    for copy in range(1, copies.count + 1):
        for job in jobs:
            chosen = tuple(recording for recording in job.recordings
                           if recording.name in copies.recordings and recording.name not in job.twice)
            made.append(dataclasses.replace(job, number=job.number + copy * len(jobs), recordings=chosen,
                                            samples=frozenset(), copy=copy, copies=copies, twice={}))
    return made


def _complete(jobs: List[PartJob], workers: int, progress: OnRecords) -> Dict[int, PartReport]:
    """The reports of all jobs, by number; what is not built yet is built."""
    reports = {job.number: report for job in jobs for report in [read_report(job)] if report}
    missing = [job for job in jobs if job.number not in reports]
    reports.update(_build_parts(missing, workers, _going_on(progress, jobs, reports)) if missing else {})
    return reports


def _going_on(progress: OnRecords, jobs: List[PartJob], reports: Dict[int, PartReport]) -> OnRecords:
    """What is told of progress counts what an earlier run has done."""
    recordings = sum(len(job.recordings) for job in jobs if job.number in reports)
    records = sum(report.records for report in reports.values())
    progress(recordings, records)
    return lambda more_recordings, more_records: progress(recordings + more_recordings, records + more_records)


def _build_parts(jobs: List[PartJob], workers: int, progress: OnRecords) -> Dict[int, PartReport]:
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


def _finish(out: Path, work: Path, plan: Preparation, reports: List[Tuple[PartJob, PartReport]],
            notes: Mapping[str, object], found: Found) -> Summary:
    """Move everything to its place. Any step of it may have been done by an interrupted run."""
    # What cannot be used has no copies either: once is enough.
    originals = [report for job, report in reports if not job.copy]
    skipped = sorted([*found.left_out, *(tuple(item) for report in originals for item in report.skipped)])
    copies = sum(report.records for job, report in reports if job.copy)
    summary = summarise(plan, originals, skipped, copies, notes.get("split"), found)
    if not summary.records:
        shutil.rmtree(work)
        raise UserError(f"none of the {plan.recordings} recordings could be used. {skipped[0][0]}: {skipped[0][1]}")
    for path in [work / "classes.txt", *work.glob("part-*.bin"), *work.glob("part-*.sessions.csv"), work / "samples"]:
        if path.exists():
            os.replace(path, out / path.name)
    if skipped:
        write_text(out / "skipped.csv", csv_text([("recording", "reason"), *skipped]))
    write_json(out / "dataset.json", {
        "synthetic": False, "made_by": "common.prepare", "plan": plan.fingerprint,
        "scale": plan.options.scale, "normalised": plan.options.normalise,
        "options": dataclasses.asdict(plan.options), "summary": dataclasses.asdict(summary), **notes,
        **({"copies": summary.copies} if plan.copies else {})})
    shutil.rmtree(work, ignore_errors=True)
    return summary
