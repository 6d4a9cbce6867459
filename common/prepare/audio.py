"""Recordings of any format, sampling rate and channel count, as mono 16 kHz samples.

    from common.prepare.audio import load_audio
    samples = load_audio(Path("speech.m4a"))    # float32, within about -1 and 1

soundfile reads wav, flac, ogg and mp3, PyAV (FFmpeg) what soundfile cannot, soxr resamples.
"""
from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, Tuple

import numpy as np

from common.errors import UserError
from common.prepare.options import SAMPLE_RATE

BLOCK_SECONDS = 10  # what is in memory at a time, however long the recording
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz; beyond them a few bytes would become gigabytes of samples


class AudioError(UserError):
    """A recording that cannot be used: its path and what is wrong with it."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(path, problem)
        self.problem = problem

    def __str__(self) -> str:
        return "{}: {}".format(*self.args)


def load_audio(path: Path) -> np.ndarray:
    """All of one recording: (n,) float32 at 16 kHz. Raises AudioError."""
    return np.concatenate([np.zeros(0, np.float32), *read_blocks(path)])


def read_blocks(path: Path) -> Iterator[np.ndarray]:
    """One recording piece by piece, at 16 kHz: (n,) float32 blocks. Raises AudioError."""
    import soundfile

    if not path.is_file():
        raise AudioError(path, "no such file")
    if path.stat().st_size == 0:
        raise AudioError(path, "the file is empty")
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError:
        yield from _resampled(path, *_open_with_ffmpeg(path))
    else:
        with file:
            yield from _resampled(path, file.samplerate, _soundfile_blocks(path, file))


def _resampled(path: Path, rate: int, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Mono blocks at `rate` to mono blocks at 16 kHz, refusing samples that are not finite."""
    import soxr

    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(path, f"its header states a sampling rate of {rate} Hz; it may be damaged")
    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32") if rate != SAMPLE_RATE else None
    for block in blocks:
        if not np.isfinite(block).all():
            raise AudioError(path, "holds samples that are NaN or infinite")
        yield stream.resample_chunk(block) if stream else block
    if stream:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _soundfile_blocks(path: Path, file: "soundfile.SoundFile") -> Iterator[np.ndarray]:
    """Mono blocks at the file's own rate; a file that ends before its header says so is an error."""
    import soundfile

    frames_read = 0
    while frames_read < file.frames:
        try:
            block = file.read(BLOCK_SECONDS * file.samplerate, dtype="float32", always_2d=True)  # (n, channels)
        except soundfile.LibsndfileError as error:
            raise AudioError(path, f"damaged after {frames_read / file.samplerate:.2f} s: {error}") from error
        if len(block) == 0:
            raise AudioError(path, f"ends after {frames_read / file.samplerate:.2f} s, "
                             f"its header promises {file.frames / file.samplerate:.2f} s")
        frames_read += len(block)
        yield _mono(block)


def _open_with_ffmpeg(path: Path) -> Tuple[int, Iterator[np.ndarray]]:
    """Sampling rate and mono blocks of a file that soundfile does not know."""
    import av

    try:
        container = av.open(str(path))
    except av.FFmpegError as error:
        raise AudioError(path, f"not a recording that soundfile or FFmpeg can read ({error.strerror})") from error
    if not container.streams.audio:
        container.close()
        raise AudioError(path, "has no audio stream")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        container.close()
        raise AudioError(path, "is in a codec that FFmpeg does not know")
    return stream.rate, _ffmpeg_blocks(path, container)


def _ffmpeg_blocks(path: Path, container: "av.container.InputContainer") -> Iterator[np.ndarray]:
    """Mono blocks at the stream's own rate. FFmpeg decodes about 20 ms at a time: gather some."""
    import av

    to_float = av.AudioResampler(format="fltp")
    gathered: List[np.ndarray] = []
    samples = 0
    with container:
        try:
            for decoded in container.decode(audio=0):
                for frame in to_float.resample(decoded):
                    gathered.append(_mono(frame.to_ndarray().T))  # (channels, n) to (n,)
                    samples += frame.samples
                if samples >= BLOCK_SECONDS * decoded.sample_rate:
                    yield np.concatenate(gathered)
                    gathered, samples = [], 0
        except av.FFmpegError as error:
            raise AudioError(path, f"damaged: {error.strerror}") from error
    if gathered:
        yield np.concatenate(gathered)


def _mono(block: np.ndarray) -> np.ndarray:
    """(n, channels) to (n,): the mean of the channels."""
    first, *others = block.T
    if not others:
        return first
    total = first.copy()
    for channel in others:  # NumPy's mean over so short an axis takes longer than all else
        total += channel
    total /= len(block.T)
    return total
