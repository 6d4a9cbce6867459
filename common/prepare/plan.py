"""What a preparation will do, decided before it begins: which recordings, in which part, cut how.

    from common.prepare.plan import choose_cast, plan_preparation
    plan = plan_preparation(choose_cast(find_recordings(tree).recordings, speakers=50, seed=0), Options())

The bytes of a data folder follow from its plan alone, not from the machine or the number of workers.
"""
from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from common.errors import UserError
from common.prepare.options import Copies, Options
from common.prepare.sources import Recording

MIN_PARTS = 8  # also the most processes that can share a small tree
MAX_PART_RECORDINGS = 1000  # of about 8 s each, as VoxCeleb's, these make parts of 1.6 GB

_METHOD = 2  # counts up whenever the same recordings and options give other bytes, or another dataset.json


@dataclass(frozen=True)
class Preparation:
    """All that decides the bytes of a data folder."""

    options: Options
    speakers: Tuple[str, ...]
    parts: Tuple[Tuple[Recording, ...], ...]
    copies: Optional[Copies] = None

    @property
    def recordings(self) -> int:
        return sum(map(len, self.parts))

    @property
    def readings(self) -> int:
        """How often a recording will be read."""
        return self.recordings + (self.copies.count * len(self.copies.recordings) if self.copies else 0)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell a folder begun by this plan from one begun by another."""
        digest = hashlib.sha256(json.dumps([_METHOD, dataclasses.asdict(self.options)]).encode())
        for number, part in enumerate(self.parts):
            for item in part:
                digest.update(f"{number}\t{item.name}\t{item.speaker}\t{item.session}\t{item.bytes}\n".encode())
        if self.copies:
            named = [(Path(path).name, size) for path, size in self.copies.noise + self.copies.channel]
            digest.update(json.dumps([self.copies.count, sorted(self.copies.recordings), named, self.copies.snr,
                                      len(self.copies.noise)]).encode())
        return digest.hexdigest()[:16]


def choose_cast(recordings: Sequence[Recording], speakers: int, seed: int) -> List[Recording]:
    """The recordings of so many speakers, drawn by the seed, as the homework drew 50 of 1,251."""
    names = sorted({recording.speaker for recording in recordings})
    if not 1 <= speakers <= len(names):
        raise UserError(f"cannot draw {speakers} speakers from the {len(names)} there are")
    cast = {names[i] for i in np.random.default_rng(seed).choice(len(names), speakers, replace=False)}
    return [recording for recording in recordings if recording.speaker in cast]


def plan_preparation(recordings: Sequence[Recording], options: Options, parts: Optional[int] = None,
              copies: Optional[Copies] = None) -> Preparation:
    """Deal the recordings, shuffled by the seed, to parts: each part is a mix of all speakers.

    parts: default is one for every 1,000 recordings, and at least 8
    """
    if parts is None:
        parts = max(MIN_PARTS, -(-len(recordings) // MAX_PART_RECORDINGS))
    parts = min(len(recordings), parts)
    order = np.random.default_rng(options.seed).permutation(len(recordings))
    return Preparation(options, tuple(sorted({recording.speaker for recording in recordings})),
                tuple(tuple(recordings[i] for i in order[part::parts]) for part in range(parts)), copies)
