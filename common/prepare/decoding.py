"""Every sample that is in a file, whatever its container states: which library decodes what, and why.

    from common.prepare.decoding import decode
    for rate, block in decode(Path("speech.m4a"), notes := []): ...     # block: float32 (n, channels)

The rule:
    samples of a fixed size (PCM, float, logarithmic and ADPCM in wav, aiff, au, caf, w64, NIST):
        soundfile, which counts them from the file's size
    frames (mp3, Ogg, m4a, adts, webm, wma, all else): FFmpeg, packet by packet to the end. Each frame
        states its own rate and channels; a packet that cannot be decoded is left out and noted.
        soundfile would stop where the header, or an estimate of it, says that the recording ends.
    flac: soundfile, twice as fast; where it stops before the end of the file, FFmpeg goes on (both give
        the same samples)
    a wav whose stated length is less than what follows: FFmpeg, told to pay no attention to it
    containers joined end to end (`cat a.wav b.wav`), which both would leave after the first: FFmpeg,
        one after the other. In flac, mp3, Ogg, adts and webm it goes on over the joint by itself.
"""
from __future__ import annotations

import contextlib
import mmap
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from common.errors import UserError

if TYPE_CHECKING:  # slow to import, and one of the two may never be wanted
    import av
    import soundfile

BLOCK_SECONDS = 10  # what is in memory at a time, however long the recording
_UNKNOWN_FRAMES = 2**40  # soundfile states more where the header states none
_FRAMED = (b"OggS", b"ID3", b"\xff", b"\x1aE\xdf\xa3")  # beginnings that are FFmpeg's; soundfile knows the rest
# How far behind a beginning its mark lies, the mark, and what all of the beginning looks like.
_BEGINNINGS = ((8, b"WAVE", rb"(RIFF|RF64)....WAVE"), (8, b"AIF", rb"FORM....AIF[FC]"), (0, b"caff", rb"caff\x00\x01"),
               (0, b".snd", rb"\.snd\x00\x00......\x00\x00\x00."), (4, b"ftyp", rb"\x00\x00..ftyp[ -~]{4}"),
               (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"))
_UNKNOWN_BYTES = 0x7FF00000  # sox and FFmpeg state this or more where they write to a pipe
_EXACT = ("mov,mp4", "flac", "wav", "aiff", "caf", "w64")  # formats whose length is stated and not estimated
_TOLERATED_SECONDS = 0.2  # an encoder's first and last frames may count or not
Block = Tuple[int, np.ndarray]  # sampling rate, (n, channels) float32


class AudioError(UserError):
    """A recording that cannot be used: its path and what is wrong with it."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(path, problem)
        self.problem = problem

    def __str__(self) -> str:
        return "{}: {}".format(*self.args)


def decode(path: Path, notes: List[str]) -> Iterator[Block]:
    """All of a recording, about 10 s at a time, and each block of one rate and number of channels.

    notes: gets what is damaged or missing, once the blocks have all been taken
    Raises AudioError where nothing can be decoded; libraries may raise what they like.
    """
    import soundfile

    if not path.is_file():
        raise AudioError(path, "is not a file" if path.exists() else "no such file")
    if path.stat().st_size == 0:
        raise AudioError(path, "the file is empty")
    with open(path, "rb") as opened:
        head = opened.read(4)
    if head == b"fLaC":
        yield from _flac_blocks(path, notes)
        return
    layout = _look_at(path)
    if not layout.framed and len(layout.pieces) == 1 and not layout.too_short:
        try:
            file = soundfile.SoundFile(os.path.abspath(path))  # a file may be called "-"
        except soundfile.LibsndfileError:
            file = None
        if file is not None:
            with file:
                if file.frames and file.format not in ("FLAC", "OGG", "MP3") and not _is_framed(file.subtype):
                    if layout.missing_bytes:
                        notes.append(f"ends early: {layout.missing_bytes} bytes fewer than its header promises")
                    yield from _soundfile_blocks(file, notes)
                    return
    yield from _all_pieces(path, layout, notes)


def _flac_blocks(path: Path, notes: List[str]) -> Iterator[Block]:
    """By soundfile as long as all goes well, and from there on by FFmpeg."""
    import soundfile

    taken = 0
    with open(path, "rb", buffering=0) as opened:
        with contextlib.suppress(soundfile.LibsndfileError), soundfile.SoundFile(opened.fileno(), closefd=False) as file:
            while taken < file.frames < _UNKNOWN_FRAMES:
                block = file.read(BLOCK_SECONDS * file.samplerate, dtype="float32", always_2d=True)  # (n, channels)
                if not len(block):
                    break
                taken += len(block)
                yield file.samplerate, block
            # To decode the last frame the library had to read the file to its end: else there are more.
            if taken == file.frames and os.lseek(opened.fileno(), 0, os.SEEK_CUR) == os.fstat(opened.fileno()).st_size:
                return
    for rate, block in _all_pieces(path, _Layout(True, [(0, 0)], False, 0), notes, anything=not taken):
        if taken < len(block):
            yield rate, block[taken:]
        taken = max(0, taken - len(block))


def _all_pieces(path: Path, layout: _Layout, notes: List[str], anything: bool = True) -> Iterator[Block]:
    """By FFmpeg. anything: raise AudioError if there is nothing in them."""
    found = not anything
    for start, end in layout.pieces:
        for block in _ffmpeg_blocks(path, (start, end) if len(layout.pieces) > 1 else None, layout.too_short, notes):
            found = True
            yield block
    if not found:
        raise AudioError(path, notes[0] if notes else "holds no sound")


def _is_framed(subtype: str) -> bool:
    return subtype.startswith(("MPEG", "ALAC", "VORBIS", "OPUS"))


class _Layout(NamedTuple):
    """pieces: (first byte, end) of each container; too_short: the stated length of a wav is less than there is."""

    framed: bool
    pieces: List[Tuple[int, int]]
    too_short: bool
    missing_bytes: int


def _look_at(path: Path) -> _Layout:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4].startswith(_FRAMED):
            return _Layout(True, [(0, len(data))], False, 0)
        starts = _starts(data)
        stated, there = _wav_lengths(data) if len(starts) == 1 else (0, 0)
        unknown = not 0 < stated < _UNKNOWN_BYTES
        return _Layout(False, list(zip(starts, [*starts[1:], len(data)])), len(starts) > 1 or stated < there,
                       0 if unknown else max(0, stated - there))


def _starts(data: mmap.mmap) -> List[int]:
    """Where containers of the kind that the file begins with begin."""
    for before, mark, pattern in _BEGINNINGS:
        if re.compile(pattern, re.DOTALL).match(data):
            places, at = [0], data.find(mark, before + 1)
            while at >= 0:
                if re.compile(pattern, re.DOTALL).match(data, at - before):
                    places.append(at - before)
                at = data.find(mark, at + 1)
            return places
    return [0]


def _wav_lengths(data: mmap.mmap) -> Tuple[int, int]:
    """(bytes of samples that a wav states, bytes that are there): equal where nothing speaks against it."""
    at = 12 if data[:4] == b"RIFF" else len(data)
    while at + 8 <= len(data):
        name, size = data[at:at + 4], int.from_bytes(data[at + 4:at + 8], "little")
        at += 8
        if name == b"data":
            rest, following = len(data) - at, data[at + size + size % 2:][:4]
            # What follows the samples is another chunk, whose name is text; more samples hardly ever are.
            more = len(following) == 4 and not (following.isascii() and following.decode("ascii").isprintable())
            return size, rest if more or size > rest else size
        at += size + size % 2
    return 0, 0


def _soundfile_blocks(file: soundfile.SoundFile, notes: List[str]) -> Iterator[Block]:
    import soundfile

    rate, frames_read = file.samplerate, 0
    while frames_read < file.frames:
        try:
            block = file.read(BLOCK_SECONDS * rate, dtype="float32", always_2d=True)  # (n, channels)
        except soundfile.LibsndfileError as error:
            notes.append(f"damaged: after {frames_read / rate:.2f} s, {error}")
            return
        if len(block) == 0:
            notes.append(_early(frames_read / rate, file.frames / rate))
            return
        frames_read += len(block)
        yield rate, block


def _ffmpeg_blocks(path: Path, piece: Optional[Tuple[int, int]], any_length: bool, notes: List[str]) -> Iterator[Block]:
    """What FFmpeg decodes, of all of the file or of the bytes of one piece. FFmpeg decodes some 20 ms at a time: gather."""
    import av

    place = "file:" if piece is None else "subfile,,start,{},end,{},,:".format(*piece)  # so a colon names no protocol
    options = {"protocol_whitelist": "file,subfile", **({"ignore_length": "1"} if any_length else {})}
    try:
        container = av.open(place + os.path.abspath(path), metadata_errors="ignore", options=options)
    except av.FFmpegError as error:
        notes.append(f"not a recording that soundfile or FFmpeg can read: {error.strerror}")
        return
    with container:
        if not container.streams.audio:
            notes.append("has no audio stream")
            return
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            notes.append("is in a codec that FFmpeg does not know")
            return
        stream.codec_context.thread_count = 1  # every core has a worker already
        if stream.codec_context.name == "flac":
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        seconds = 0.0
        for rate, block in _gathered(_frames(container, stream, notes)):
            seconds += len(block) / rate
            yield rate, block
        if container.format.name.startswith(_EXACT) and stream.duration and not any_length:
            promised = float(stream.duration * stream.time_base)
            if seconds < promised - _TOLERATED_SECONDS:
                notes.append(_early(seconds, promised))


def _early(seconds: float, promised: float) -> str:
    return f"ends early: after {seconds:.2f} s where its header promises {promised:.2f} s"


def _frames(container: av.container.InputContainer, stream: av.AudioStream,
            notes: List[str]) -> Iterator[av.AudioFrame]:
    """All frames of all packets that can be decoded."""
    import av

    packets = damaged = 0
    try:
        for packet in container.demux(stream):
            packets += 1
            try:
                yield from packet.decode()
            except av.FFmpegError:
                damaged += 1
    except av.FFmpegError as error:  # of the container itself: there is no going on
        notes.append(f"damaged: after {packets} packets, {error.strerror}")
    if damaged:
        notes.append(f"damaged: {damaged} of {packets} packets cannot be decoded, or are the joint of two files")


def _gathered(frames: Iterator[av.AudioFrame]) -> Iterator[Block]:
    """Frames joined to blocks, a new one where rate, channels or kind of sample change."""
    pieces: List[np.ndarray] = []
    kind, samples = None, 0
    for frame in frames:
        found = frame.sample_rate, frame.layout.nb_channels, frame.format.name
        if pieces and (found != kind or samples >= BLOCK_SECONDS * frame.sample_rate):
            yield kind[0], _to_float(pieces, kind[1])
            pieces, samples = [], 0
        kind = found
        pieces.append(frame.to_ndarray())  # (channels, n), or (1, n * channels) of samples in turn
        samples += frame.samples
    if pieces:
        yield kind[0], _to_float(pieces, kind[1])


def _to_float(pieces: List[np.ndarray], channels: int) -> np.ndarray:
    """(n, channels) float32 within about -1 and 1."""
    joined = np.concatenate(pieces, axis=1)
    samples = joined.reshape(-1, channels) if len(joined) == 1 else joined.T
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    half = 2.0 ** (8 * samples.dtype.itemsize - 1)
    floats = samples.astype(np.float32)
    if samples.dtype.kind == "u":
        floats -= np.float32(half)
    floats *= np.float32(1 / half)
    return floats
