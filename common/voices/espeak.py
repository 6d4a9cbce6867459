"""Generated voices: random speakers, and speech by espeak-ng. The only module that knows espeak-ng.

    from common.voices.espeak import random_voice, speak
    samples = speak(random_voice(np.random.default_rng(0)), "A river runs through the old town.", 160)

espeak-ng is a formant synthesizer (GPL 3, from the espeakng-loader package). A voice file of a few
lines sets pitch, formants and breath, so the supply of speakers has no end. The library keeps one
global state per process, and what it says depends a little on what it has said before: the same
calls in the same order in a new process give the same samples.
"""
from __future__ import annotations

import ctypes
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np

from common.data.form import SAMPLE_RATE
from common.errors import UserError
from common.files import temporary_root

# From espeak-ng's speak_lib.h and espeak_ng.h.
_OK = 0
_OUTPUT_SYNCHRONOUS = 1
_POSITION_CHARACTER = 1
_TEXT_IS_UTF8 = 1
_PARAMETER_RATE = 1  # words a minute
_PARAMETER_PITCH = 3  # 0 to 100, 50 is the voice's own
_RANDOM_SEED = 1  # of its breath and flutter, else seeded by the clock
_MAX_PATH_BYTES = 130  # the library copies paths into buffers of 160 bytes, and appends to them

_SPOKEN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

ACCENTS = ("en", "en-us", "en-rp", "en-sc", "en-n", "en-wm", "en-wi")  # phoneme tables of espeak-ng's English


@dataclass(frozen=True)
class Voice:
    """A speaker for espeak-ng; its manual, docs/voices.md, explains the fields."""

    accent: str
    pitch: Tuple[int, int]  # lowest and highest, Hz
    formants: Tuple[Tuple[int, int, int], ...]  # of formants 0 to 8: frequency, strength, width, percent
    breath: Tuple[int, ...]
    tone: Tuple[int, ...]  # pairs of frequency (Hz) and amplitude (0 to 255)
    flutter: int
    roughness: int
    consonants: Tuple[int, int]
    stress_lengths: Tuple[int, ...]

    def file_text(self) -> str:
        """The voice as espeak-ng reads it. The language must come first."""
        lines: List[Tuple[object, ...]] = [("language", "en"), ("name", "generated")]
        lines += [("phonemes", self.accent), ("pitch", *self.pitch)]
        lines += [("formant", number, *percents) for number, percents in enumerate(self.formants)]
        lines += [("breath", *self.breath), ("tone", *self.tone), ("flutter", self.flutter)]
        lines += [("roughness", self.roughness), ("consonants", *self.consonants)]
        lines += [("stressAdd", *self.stress_lengths)]
        return "".join(" ".join(map(str, line)) + "\n" for line in lines)


def random_voice(generator: np.random.Generator) -> Voice:
    """A speaker with a throat of its own: pitch and formants move together, as in men and women."""
    high = generator.random()  # 0: a deep voice, 1: a high one
    lowest = 85 + 90 * high + generator.normal(0, 8)
    tract = 95 + 12 * high + generator.normal(0, 2)  # a shorter vocal tract raises all formants
    formants = [(round(tract + generator.normal(0, 2)), round(generator.uniform(90, 110)),
                 round(generator.uniform(90, 120))) for _ in range(9)]
    return Voice(
        accent=str(generator.choice(ACCENTS)),
        pitch=(round(lowest), round(lowest * generator.uniform(1.3, 1.6))),
        formants=tuple(formants),
        breath=(0, *(int(generator.integers(0, 3)) for _ in range(7))),
        tone=(600, int(generator.integers(155, 185)), 1200, int(generator.integers(120, 150)),
              2200, int(generator.integers(100, 130))),
        flutter=int(generator.integers(1, 6)),
        roughness=int(generator.integers(0, 4)),
        consonants=(int(generator.integers(90, 110)), int(generator.integers(90, 110))),
        stress_lengths=tuple(int(generator.integers(-15, 16)) for _ in range(8)),
    )


def speak(voice: Voice, text: str, words_per_minute: int, pitch_percent: int = 50) -> np.ndarray:
    """Speech at 16 kHz: (n,) float32 within -1 and 1.

    pitch_percent: 50 is the voice's own pitch, 0 and 100 the ends of what espeak-ng will do.
    Raises UserError when the library is missing or refuses.
    """
    import soxr

    global _engine
    if _engine is None:
        _engine = _Engine()
    samples = _engine.speak(voice, text, words_per_minute, pitch_percent)
    return soxr.resample(samples.astype(np.float32) / 32768, _engine.sample_rate, SAMPLE_RATE)


class _Engine:
    """The loaded library. One a process: it has only one state."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(  # of the voice file, removed at exit
            prefix="voice", dir=temporary_root(_MAX_PATH_BYTES - 20))
        self._library, data = load_library(Path(self._folder.name))
        self._library.espeak_ng_InitializePath(os.fsencode(data))
        self._check("espeak_ng_Initialize", self._library.espeak_ng_Initialize(None))
        self._check("espeak_ng_InitializeOutput",
                    self._library.espeak_ng_InitializeOutput(_OUTPUT_SYNCHRONOUS, 200, None))
        self.sample_rate: int = self._library.espeak_ng_GetSampleRate()
        self._pieces: List[bytes] = []
        self._callback = _SPOKEN(self._take)  # kept here, or it would be collected while C holds it
        self._library.espeak_SetSynthCallback(self._callback)
        self._voice: Optional[Voice] = None

    def speak(self, voice: Voice, text: str, words_per_minute: int, pitch_percent: int) -> np.ndarray:
        """(n,) int16 at the library's own rate."""
        self._set_voice(voice)
        for parameter, value in ((_PARAMETER_RATE, words_per_minute), (_PARAMETER_PITCH, pitch_percent)):
            self._check("espeak_ng_SetParameter", self._library.espeak_ng_SetParameter(parameter, value, 0))
        self._pieces.clear()
        self._library.espeak_ng_SetRandSeed(_RANDOM_SEED)
        encoded = text.encode() + b"\0"
        self._check("espeak_ng_Synthesize", self._library.espeak_ng_Synthesize(
            encoded, len(encoded), 0, _POSITION_CHARACTER, 0, _TEXT_IS_UTF8, None, None))
        self._check("espeak_ng_Synchronize", self._library.espeak_ng_Synchronize())
        return np.frombuffer(b"".join(self._pieces), np.int16)

    def _set_voice(self, voice: Voice) -> None:
        if voice == self._voice:
            return
        path = Path(self._folder.name, "voice")
        path.write_text(voice.file_text(), encoding="ascii")
        self._check("espeak_ng_SetVoiceByFile", self._library.espeak_ng_SetVoiceByFile(os.fsencode(path)))
        self._voice = voice

    def _take(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: int) -> int:
        """Called by the library with each piece of speech; the last call has none."""
        if samples and count > 0:
            self._pieces.append(ctypes.string_at(samples, 2 * count))
        return 0  # go on

    def _check(self, function: str, status: int) -> None:
        if status != _OK:
            message = ctypes.create_string_buffer(512)
            self._library.espeak_ng_GetStatusCodeMessage(status, message, len(message))
            raise UserError(f"espeak-ng: {function} failed with status {status:#x}: "
                            f"{message.value.decode(errors='replace')}; the espeakng-loader package may be damaged, "
                            "install the requirements again")


_engine: Optional[_Engine] = None


def load_library(folder: Path) -> Tuple[ctypes.CDLL, Path]:
    """The library, and a path to its data short enough for it, through a link in `folder` if need be."""
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = Path(espeakng_loader.get_data_path())
    except (ImportError, OSError, RuntimeError) as error:
        raise UserError(f"espeak-ng cannot be loaded ({error}); install the requirements again, "
                        "or give recordings of your own with --data") from error
    if len(os.fsencode(data)) > _MAX_PATH_BYTES:
        (folder / data.name).symlink_to(data)
        data = folder / data.name
    if len(os.fsencode(folder)) > _MAX_PATH_BYTES:
        raise UserError(f"{folder}: too long a path for espeak-ng; set TMPDIR to a folder with a shorter one")
    library.espeak_ng_InitializePath.argtypes = [ctypes.c_char_p]
    library.espeak_ng_InitializePath.restype = None
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    library.espeak_ng_Synthesize.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
                                             ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p]
    library.espeak_ng_SetVoiceByFile.argtypes = [ctypes.c_char_p]
    library.espeak_ng_GetStatusCodeMessage.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    return library, data
