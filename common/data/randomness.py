"""Random numbers that depend on a run's seed and the place in it, and on nothing else.

    from common.data.randomness import CROP, random_numbers
    starts = random_numbers(CROP, seed=0, epoch=3).integers(180, size=100)
"""
from __future__ import annotations

import numpy as np

ORDER, CROP, MASKS = range(3)  # what the numbers are for: each purpose has a stream of its own


def random_numbers(purpose: int, seed: int, epoch: int, position: int = 0) -> np.random.Generator:
    """The generator for one purpose in one epoch, or at one position in it. All arguments are 0 or more."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, purpose, position])))
