"""How loud a recording may be to be one: silence, channels that cancel, clipping, samples that are no sound.

    from common.prepare.levels import is_silent, mix

Normalised to unit variance, digital silence and rounding noise look like any utterance, and a network
learns them or names a speaker by them. So levels are looked at on the samples, before that.
"""
from __future__ import annotations

import math
from typing import Tuple

import numpy as np

# A deviation of one step of 16-bit audio, -90 dB of full scale. Rounding alone has 0.29 of a step and
# with dither 0.5; the quietest speech that 16 bits can hold so that it is understood has tens of steps.
SILENCE = 2.0 ** -15
SILENCE_DB = 20 * math.log10(SILENCE)
# Of the power of both channels, what is left in their mean: -20 dB. Unrelated channels leave a half,
# one dead channel a half; only a channel that was turned over (a swapped wire) leaves so little.
CANCELLED = 0.01
# The largest value of 8-bit audio is 0.992. Speech cut off at 4 times its deviation has 0.35 % of its
# samples there, at 3 times 1.4 %; speech that just reaches full scale has a few samples.
FULL_SCALE, CLIPPED = 0.99, 0.005
# Lossy decoders overshoot full scale by some dB, float masters by up to 12 or so; 8 is 18 dB. What is
# above was never scaled: 16-bit integers stored as floats reach 32,768.
MOST = 8.0


def is_silent(samples: np.ndarray) -> bool:
    """Whether float32 samples (n,) hold nothing but a constant and rounding noise."""
    if not len(samples):
        return True
    mean, power = float(samples.mean()), _power(samples)
    if power - mean**2 > SILENCE**2 + 1e-5 * power:  # in float32 that is certain, and nearly all speech ends here
        return False
    return float(np.std(samples, dtype=np.float64)) < SILENCE


def mix(block: np.ndarray, louder: int = -1) -> Tuple[np.ndarray, int]:
    """(n, channels) float32 to one channel (n,): the mean, or the louder one where they cancel each other.

    louder: the channel that was taken before, which is then taken again so that no seam is heard; -1 without
    Returns (samples, the channel that was taken or -1).
    """
    first, *others = block.T
    if not others:
        return first, -1
    if 0 <= louder < len(block.T):
        return block[:, louder], louder
    total = first.copy()
    for channel in others:  # NumPy's mean over so short an axis takes longer than all else
        total += channel
    total /= len(block.T)
    powers = [_power(channel) for channel in block.T]
    if _power(total) < CANCELLED * sum(powers) / len(powers):
        louder = int(np.argmax(powers))
        return block[:, louder], louder
    return total, -1


def _power(samples: np.ndarray) -> float:
    # Not np.dot: BLAS would share it out among threads, of which every worker process has some.
    return float(np.einsum("n,n->", samples, samples)) / max(1, len(samples))
