"""Recordings of any format, sampling rate and channel count, as mono 16 kHz samples.

    from common.prepare.audio import Heard, load_audio
    samples = load_audio(Path("speech.m4a"), heard := Heard())    # float32, within about -1 and 1
    print(heard.remarks())                                        # what is to be known about it

common.prepare.decoding decodes, soxr resamples, common.prepare.levels says what can be no speech.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, List, Optional

import numpy as np

from common.data.form import SAMPLE_RATE
from common.errors import UserError
from common.prepare.decoding import AudioError, Block, decode
from common.prepare.levels import CLIPPED, FULL_SCALE, MOST, mix

CHANNELS_CANCEL, CLIPS = "channels that cancel each other", "clipped"
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz; beyond them a few bytes would become gigabytes of samples


@dataclass
class Heard:
    """What is known of a recording once its blocks have been taken.

    rates:   Hz, in the order in which they were met
    samples: at 16 kHz
    damage:  what is damaged or missing; what was whole is in the blocks
    channel: the louder one, taken alone because the channels cancel each other; -1 where they do not
    """

    rates: List[int] = field(default_factory=list)
    samples: int = 0
    damage: List[str] = field(default_factory=list)
    channel: int = -1
    _all: int = 0
    _at_full_scale: int = 0

    @property
    def clipped(self) -> bool:
        return self._at_full_scale > CLIPPED * self._all

    def remarks(self) -> List[str]:
        """A line for a person on everything that is not as it should be."""
        found = list(self.damage)
        if self.channel >= 0:
            found.append(f"{CHANNELS_CANCEL}: only channel {self.channel + 1} is used")
        if self.clipped:
            found.append(f"{CLIPS}: {100 * self._at_full_scale / self._all:.1f} % of its samples are at full scale")
        return found

    def note(self, rate: int, block: np.ndarray, peak: float) -> None:
        """Count a mono block (n,) with this largest magnitude."""
        if rate not in self.rates:
            self.rates.append(rate)
        self._all += len(block)
        if peak >= FULL_SCALE:
            self._at_full_scale += int(np.count_nonzero(np.abs(block) >= FULL_SCALE))


def load_audio(path: Path, heard: Optional[Heard] = None) -> np.ndarray:
    """All of one recording: (n,) float32 at 16 kHz. Raises AudioError."""
    return np.concatenate([np.zeros(0, np.float32), *read_blocks(path, heard)])


def read_blocks(path: Path, heard: Optional[Heard] = None) -> Iterator[np.ndarray]:
    """One recording piece by piece, at 16 kHz: (n,) float32 blocks. Raises AudioError, whatever is wrong with it."""
    heard = Heard() if heard is None else heard
    try:
        for block in _resampled(_mono(path, decode(path, heard.damage), heard)):
            heard.samples += len(block)
            yield block
    except UserError:
        raise
    except OSError as error:
        raise AudioError(path, f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # of a decoder's: one recording must not end the work on all others
        reason = "".join(letter if letter.isprintable() else "?" for letter in str(error))[:200]
        raise AudioError(path, f"cannot be decoded: {type(error).__name__}, {reason}") from error


def _mono(path: Path, blocks: Iterator[Block], heard: Heard) -> Iterator[Block]:
    """(rate, (n, channels)) to (rate, (n,)), up to the first sample that is not finite."""
    for rate, block in blocks:
        if not MIN_RATE <= rate <= MAX_RATE:
            raise AudioError(path, f"its header states a sampling rate of {rate} Hz; it may be damaged")
        if not len(block):
            continue
        samples, heard.channel = mix(block, heard.channel)
        peak = max(float(samples.max()), -float(samples.min()))
        if not np.isfinite(peak):
            first = int(np.flatnonzero(~np.isfinite(samples))[0])
            if not first and not heard.rates:
                raise AudioError(path, "holds samples that are NaN or infinite")
            heard.damage.append("holds samples that are NaN or infinite; nothing after the first of them is used")
            samples = samples[:first]
            peak = float(np.abs(samples).max(initial=0))
        if peak > MOST:
            raise AudioError(path, f"far above full scale: samples up to {peak:.4g} where full scale is 1; if they are "
                             "integers stored as floats, divide them by 32,768")
        heard.note(rate, samples, peak)
        yield rate, samples
        if len(samples) < len(block):
            return


def _resampled(blocks: Iterator[Block]) -> Iterator[np.ndarray]:
    """(rate, mono block) to mono blocks at 16 kHz; the rate may change from one to the next."""
    import soxr

    stream, rate = None, SAMPLE_RATE
    for new_rate, block in blocks:
        if new_rate != rate:
            if stream:
                yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
            rate = new_rate
            stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32") if rate != SAMPLE_RATE else None
        yield stream.resample_chunk(np.ascontiguousarray(block)) if stream else block
    if stream:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
