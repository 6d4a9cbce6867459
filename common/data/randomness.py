"""Random numbers that depend on a run's seed and the place in it, and on nothing else.

    from common.data.randomness import CROP, random_numbers
    starts = random_numbers(CROP, seed=0, epoch=3).integers(180, size=100)
    parser.add_argument("--seed", type=seed, default=0)
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Union

from common.errors import UserError

if TYPE_CHECKING:  # options are read before NumPy is imported, for --threads to reach it
    import numpy as np

MAX_SEED = 2**63 - 1  # what every format and language that a run's files may meet has a number for
ORDER, CROP, MASKS = range(3)  # what the numbers are for: each purpose has a stream of its own


def seed(value: Union[str, int]) -> int:
    """A seed as an option or a file states it. Raises UserError for one that no run could be stored with."""
    number = int(value)
    if not 0 <= number <= MAX_SEED:
        raise UserError(f"the seed (--seed) must be from 0 to {MAX_SEED}, not {value}")
    return number


def random_numbers(purpose: int, seed: int, epoch: int, position: int = 0) -> np.random.Generator:
    """The generator for one purpose in one epoch, or at one position in it. All arguments are 0 or more."""
    import numpy as np

    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, purpose, position])))
