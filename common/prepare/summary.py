"""What a finished data folder holds, what was left out and why: kept in dataset.json, told at the end.

    from common.prepare.summary import Summary, as_text
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from common.data.dataset import SIDES
from common.data.form import SAMPLE_RATE, SEGMENT_SAMPLES
from common.data.splits import Split, make_split, shortcomings
from common.errors import UserError
from common.prepare.parts import Kept, PartReport
from common.prepare.plan import Preparation
from common.prepare.sources import Found, Recording

_SHOWN = 12  # speakers, suffixes, rates; more would hide the rest


@dataclass(frozen=True)
class Summary:
    """All numbers are of recordings where it is not said otherwise.

    recordings: in the tree, those included that were left out
    left_out:   of which there is no utterance; in_part: those that were damaged, of which there are some
    reasons:    how often each was met, of both; every recording is in skipped.csv with its own
    copies:     how many of the records are crops for training, with noise and channel
    silent:     utterances that were left out of recordings that were kept
    absent:     speakers without a single record
    rates:      by sampling rate, as text, of those that were kept
    remarks:    what is not as it should be in those that were kept: (how many, the first of them)
    ignored:    files in the tree, by suffix, that were passed over
    sides:      utterances on each side of a split, copies not counted
    warnings:   what makes these data too small to train or to test with
    """

    recordings: int
    left_out: int
    in_part: int
    records: int
    copies: int
    speakers: List[str]
    sessions: int
    absent: List[str]
    silent: int
    reasons: Dict[str, int]
    rates: Dict[str, int]
    remarks: Dict[str, Tuple[int, str]]
    ignored: Dict[str, int]
    split_by: str
    sides: Dict[str, int]
    warnings: List[str]

    @property
    def skipped(self) -> int:
        """Recordings in skipped.csv."""
        return self.left_out + self.in_part


def summarise(plan: Preparation, reports: Sequence[PartReport], skipped: Sequence[Tuple[str, str]], copies: int,
              split: Optional[Mapping[str, str]], found: Found) -> Summary:
    """reports: of the recordings themselves; copies: records that were made of them for training

    skipped: (recording, reason); split: the side of each recording, else drawn as for training
    """
    kept = {name: each for report in reports for name, each in report.kept.items()}
    used = [recording for part in plan.parts for recording in part if recording.name in kept]
    speakers = sorted({recording.speaker for recording in used})
    in_part = sum(name in kept for name, _ in skipped)
    remarks: Dict[str, Tuple[int, str]] = {}
    for name, remark in sorted((name, remark) for name, each in kept.items() for remark in each.remarks):
        count, first = remarks.get(reason_kind(remark), (0, name))
        remarks[reason_kind(remark)] = count + 1, first
    drawn, labels = _split(used, kept, speakers, split, plan.options.seed)
    return Summary(
        recordings=plan.recordings + len(found.left_out), left_out=len(skipped) - in_part, in_part=in_part,
        records=sum(each.records for each in kept.values()) + copies, copies=copies, speakers=speakers,
        sessions=len({(recording.speaker, recording.session) for recording in used}),
        absent=[name for name in plan.speakers if name not in speakers],
        silent=sum(each.silent for each in kept.values()),
        reasons=dict(Counter(reason_kind(reason) for _, reason in skipped)),
        rates=dict(Counter(str(rate) for each in kept.values() for rate in each.rates)), remarks=remarks,
        ignored=dict(found.ignored), split_by=drawn.by, sides={side: len(getattr(drawn, side)) for side in SIDES},
        warnings=[message for _, message in shortcomings(drawn, labels, speakers)])


def _split(used: List[Recording], kept: Mapping[str, Kept], speakers: List[str], given: Optional[Mapping[str, str]],
           seed: int) -> Tuple[Split, np.ndarray]:
    """The split of the records that training would make, and their labels (N,)."""
    counts = [kept[recording.name].records for recording in used]
    number = {name: label for label, name in enumerate(speakers)}
    labels = np.repeat([number[recording.speaker] for recording in used], counts)
    if given is not None:
        sides = np.repeat([given[recording.name] for recording in used], counts)
        train, dev, test = (np.flatnonzero(sides == side) for side in SIDES)
        return Split(train, dev, test, seed, "official"), labels
    sessions = np.repeat([recording.session for recording in used], counts)
    return make_split(labels, sessions, np.repeat([recording.name for recording in used], counts), seed), labels


def reason_kind(reason: str) -> str:
    """What many reasons have in common: all before a colon, or the whole of a short one."""
    return reason.split(": ")[0].split("; ")[0]


def read_summary(path: Path, stored: Any) -> Summary:
    """What dataset.json says under "summary". Raises UserError."""
    try:
        return Summary(**stored)
    except TypeError:
        raise UserError(f"{path}: its summary is not one of this program; delete the folder and prepare it again") from None


def as_text(out: Path, summary: Summary) -> str:
    """The summary for a person."""
    hours = (summary.records - summary.copies) * SEGMENT_SAMPLES / SAMPLE_RATE / 3600
    lines = [f"{out}: {summary.records} utterances from {summary.recordings - summary.left_out} recordings",
             _row("speakers", f"{len(summary.speakers)}: {_some(summary.speakers)}"),
             _row("sessions", f"{summary.sessions}"),
             _row("recordings", f"{summary.recordings - summary.left_out} of {summary.recordings}"),
             _row("utterances", f"{summary.records - summary.copies} of {SEGMENT_SAMPLES / SAMPLE_RATE} s, {hours:.2f} hours"
                  + (f", and {summary.copies} random crops of training recordings, in the training side alone"
                     if summary.copies else "")),
             _row("split", ", ".join(f"{summary.sides[side]} {side}" for side in SIDES)
                  + f" utterances (by {summary.split_by})")]
    resampled = [f"{rate} Hz ({count} recordings)" for rate, count in _most(summary.rates) if int(rate) != SAMPLE_RATE]
    lines += [_row("resampled", f"to {SAMPLE_RATE} Hz from {_some(resampled)}")] if resampled else []
    lines += _left_out(out, summary)
    for remark, (count, first) in sorted(summary.remarks.items()):
        lines.append(_row("kept", f"{count} recordings although: {remark}; the first is {first}"))
    return "\n".join(lines + [f"warning: {warning}" for warning in summary.warnings])


def _left_out(out: Path, summary: Summary) -> List[str]:
    lines = []
    if summary.skipped:
        lines.append(_row("left out", f"{summary.left_out} recordings"
                          + (f", and {summary.in_part} read in part" if summary.in_part else "")
                          + f", listed with the reason in {out / 'skipped.csv'}"))
        lines += [_row("", f"{count:5d}  {reason}") for reason, count in _most(summary.reasons)]
    if summary.silent:
        lines.append(_row("silent", f"{summary.silent} utterances in recordings that are kept otherwise, left out"))
    if summary.absent:
        lines.append(_row("absent", f"no utterance of {len(summary.absent)} speakers, whose labels stay unused: "
                          + _some(summary.absent)))
    if summary.ignored:
        lines.append(_row("passed over", _some([f"{count} {suffix}" for suffix, count in _most(summary.ignored)])
                          + ", which are not looked at for their names"))
    return lines


def _row(name: str, text: str) -> str:
    return f"  {name:12s} {text}"


def _most(counts: Mapping[str, int]) -> List[Tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _some(names: List[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
