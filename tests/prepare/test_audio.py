"""Every sample format, rate and channel count must give the same sound; what is damaged must be refused."""
from __future__ import annotations

from pathlib import Path
from typing import Tuple

import av
import numpy as np
import pytest
import soundfile

from common.prepare.audio import Heard, load_audio, read_blocks
from common.prepare.decoding import AudioError

SECONDS = 3.5
TONE = 440.0


def tone(rate: int, seconds: float = SECONDS) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * TONE * np.arange(round(rate * seconds)) / rate)


def assert_is_tone(samples: np.ndarray, tolerance: float) -> None:
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert len(samples) == round(16_000 * SECONDS)
    middle = slice(800, -800)  # the resampler has nothing to look at beyond the ends
    np.testing.assert_allclose(samples[middle], tone(16_000)[middle], atol=tolerance)


def loudest_frequency(samples: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * 16_000 / len(samples))


def write_with_ffmpeg(path: Path, samples: np.ndarray, rate: int, codec: str, layout: str) -> None:
    """samples: float (n,), the same on every channel."""
    channels = {"mono": 1, "stereo": 2}[layout]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        planes = np.repeat(samples[None].astype(np.float32), channels, axis=0)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


@pytest.mark.parametrize("subtype, tolerance", [("PCM_U8", 1e-2), ("PCM_16", 5e-5), ("PCM_24", 1e-5),
                                                ("FLOAT", 1e-5), ("DOUBLE", 1e-5)])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 96_000])
def test_wav(tmp_path: Path, rate: int, subtype: str, tolerance: float) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(rate), rate, subtype=subtype)
    assert_is_tone(load_audio(path), tolerance)


def test_flac(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.flac", tone(48_000), 48_000, subtype="PCM_24")
    assert_is_tone(load_audio(tmp_path / "tone.flac"), 1e-5)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = 1.5 * tone(16_000), 0.5 * tone(16_000)
    soundfile.write(tmp_path / "two.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    assert_is_tone(load_audio(tmp_path / "two.wav"), 1e-5)


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_lossy_formats_of_soundfile(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, np.stack([tone(44_100)] * 2, axis=1), 44_100)
    samples = load_audio(path)
    assert abs(len(samples) - 16_000 * SECONDS) < 1600
    assert loudest_frequency(samples) == pytest.approx(TONE, abs=1)


@pytest.mark.parametrize("rate, layout", [(44_100, "stereo"), (16_000, "mono")])
def test_m4a_goes_through_ffmpeg(tmp_path: Path, rate: int, layout: str) -> None:
    path = tmp_path / "tone.m4a"
    write_with_ffmpeg(path, tone(rate), rate, "aac", layout)
    samples = load_audio(path)
    assert abs(len(samples) - 16_000 * SECONDS) < 1600
    assert loudest_frequency(samples) == pytest.approx(TONE, abs=1)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)


def test_blocks_join_without_a_seam(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", tone(44_100, 25.0), 44_100, subtype="FLOAT")
    blocks = list(read_blocks(tmp_path / "long.wav"))
    assert len(blocks) > 2
    joined = np.concatenate(blocks)
    np.testing.assert_allclose(joined[800:-800], tone(16_000, 25.0)[800:-800], atol=1e-5)


def spoilt_files(folder: Path) -> Tuple[Tuple[str, bytes, str], ...]:
    soundfile.write(folder / "whole.flac", np.random.default_rng(0).normal(0, 0.1, 48_000), 16_000)
    flac = (folder / "whole.flac").read_bytes()
    return (("empty.wav", b"", "empty"), ("text.wav", b"not a sound " * 100, "not a recording"),
            ("stub.flac", flac[:60], "not a recording|no sound"), ("text.m4a", b"\0" * 1000, "not a recording"))


@pytest.mark.parametrize("case", range(4))
def test_damaged_files_are_refused_by_name(tmp_path: Path, case: int) -> None:
    name, content, message = spoilt_files(tmp_path)[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioError, match=f"{name}.*({message})"):
        load_audio(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        load_audio(tmp_path / "none.wav")


def test_samples_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    samples = tone(16_000)
    samples[0] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN"):
        load_audio(tmp_path / "nan.wav")


def test_what_comes_before_a_sample_that_is_not_finite_is_kept(tmp_path: Path) -> None:
    samples, heard = tone(16_000), Heard()
    samples[20_000] = np.inf
    soundfile.write(tmp_path / "inf.wav", samples, 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(tmp_path / "inf.wav", heard), samples[:20_000].astype(np.float32))
    assert "NaN or infinite" in heard.remarks()[0]


def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    with pytest.raises(AudioError, match="no audio stream"):
        load_audio(tmp_path / "film.mp4")
