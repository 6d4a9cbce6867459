"""Trees of recordings for tests."""
from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterable

import numpy as np
import soundfile


def write_noise(path: Path, seconds: float = 3.2, rate: int = 16_000) -> Path:
    """A recording of noise that no other file has: its name is the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes("/".join(path.parts[-3:]).encode(), "big")
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate)), rate)
    return path


def write_tree(root: Path, names: Iterable[str], seconds: float = 3.2) -> Path:
    for name in names:
        write_noise(root / name, seconds)
    return root


def contents(folder: Path) -> Dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}
