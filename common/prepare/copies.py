"""Which recordings get copies for training, and what is mixed into them, decided before it begins.

    from common.prepare.copies import plan_copies
    copies, split = plan_copies(recordings, None, seed=0, count=2, noise=Path("noises"), channel=None, snr=(5, 20))
"""
from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from common.data.dataset import SIDES
from common.data.splits import make_split
from common.errors import UserError
from common.prepare.distortion import load
from common.prepare.options import Copies
from common.prepare.sources import Recording, audio_files


def plan_copies(recordings: Sequence[Recording], split: Optional[Dict[str, str]], seed: int, count: int,
                noise: Optional[Path], channel: Optional[Path],
                snr: Tuple[float, float]) -> Tuple[Copies, Dict[str, str]]:
    """The copies, and the side of every recording: of `split`, or drawn by session and seed as for training.

    Raises UserError, also for noise and responses that cannot be used: before the work, not after it.
    """
    if split is None:
        split = _draw_split(recordings, seed)
    chosen = frozenset(recording.name for recording in recordings if split[recording.name] == "train")
    return Copies(count, chosen, _files(noise), _files(channel), snr), split


def _draw_split(recordings: Sequence[Recording], seed: int) -> Dict[str, str]:
    speakers = sorted({recording.speaker for recording in recordings})
    labels = np.array([speakers.index(recording.speaker) for recording in recordings])
    names = np.array([recording.name for recording in recordings])
    drawn = make_split(labels, np.array([recording.session for recording in recordings]), names, seed)
    return {names[index]: side for side in SIDES for index in getattr(drawn, side)}


def _files(folder: Optional[Path]) -> Tuple[Tuple[str, int], ...]:
    """(path, bytes) of the audio files below a folder, by their names in it; each can be read."""
    if folder is None:
        return ()
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of recordings; check the path")
    paths = sorted(directory / name for directory, name in audio_files(folder))
    if not paths:
        raise UserError(f"{folder}: no recordings in it; give a folder with wav, flac, ogg, mp3 or m4a files")
    for path in paths:
        load(str(path))
    return tuple((str(path), path.stat().st_size) for path in paths)
