"""A voice-like sound in every container that recordings come in."""
from __future__ import annotations

from pathlib import Path
from typing import Dict

import av
import numpy as np

SECONDS = 4.0
RATE = 48_000


def sweep(rate: int, seconds: float = SECONDS) -> np.ndarray:
    """A voice-like sound, at no two moments alike: harmonics of a gliding pitch, loud and soft in turn."""
    time = np.arange(round(rate * seconds)) / rate
    phase = 2 * np.pi * np.cumsum(150 + 60 * np.sin(2 * time) + 10 * time) / rate
    loudness = 0.3 + 0.25 * np.sin(2 * np.pi * 2.3 * time) * np.sin(2 * np.pi * 0.7 * time)
    return loudness * sum(np.sin(number * phase) / number for number in range(1, 12)) * 0.4


def encode(path: Path, codec: str, kind: str = "", rate: int = RATE, layout: str = "mono",
           options: Dict[str, str] = {}, title: str = "", seconds: float = SECONDS) -> bytes:
    """The bytes of the sweep in a container that PyAV writes; kind: its name for FFmpeg where the suffix does not say."""
    with av.open(str(path), "w", format=kind or None, options=dict(options)) as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if codec == "wmav2":
            stream.bit_rate = 64_000  # it has no default
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        samples = sweep(rate, seconds).astype(np.float32)
        for start in range(0, len(samples), 1024):
            piece = np.repeat(samples[None, start:start + 1024], 2 if layout == "stereo" else 1, axis=0)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            for ready in resampler.resample(frame):
                container.mux(stream.encode(ready))
        container.mux(stream.encode(None))
    return path.read_bytes()


FORMS = {"m4a": ("aac", ""), "aac": ("aac", "adts"), "mp3": ("mp3", ""), "flac": ("flac", ""), "ogg": ("libvorbis", ""),
         "opus": ("libopus", ""), "webm": ("libopus", ""), "wma": ("wmav2", ""), "wav": ("pcm_s16le", ""),
         "aiff": ("pcm_s16be", ""), "caf": ("pcm_s16le", ""), "au": ("pcm_s16be", ""), "mka": ("flac", "")}
