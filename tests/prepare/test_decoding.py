"""No container's word is taken: each form of one recording gives all of its sound, at its speed, and says what is missing."""
from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Tuple

import numpy as np
import pytest
import soundfile
from containers import FORMS, RATE, SECONDS, encode, sweep

from common.prepare.audio import Heard, load_audio
from common.prepare.decoding import AudioError
from common.prepare.features import normalise_bins, spectrogram

LOW_BINS = slice(4, 200)  # 60 Hz to 3.1 kHz: what every codec and rate keeps


def alike(first: np.ndarray, second: np.ndarray) -> float:
    """Largest correlation of the low bins of two spectrograms over shifts of up to 0.13 s."""
    a, b = (normalise_bins(spectrogram(samples[:48_240])[LOW_BINS]) for samples in (first, second))
    return max(float(np.mean(a[:, max(0, s):300 + min(0, s)] * b[:, max(0, -s):300 + min(0, -s)])) for s in range(-13, 14))


def assert_is_sweep(samples: np.ndarray, times: int = 1, tolerance: float = 0.13) -> None:
    """times: how often the sweep follows itself."""
    assert len(samples) / 16_000 == pytest.approx(times * SECONDS, abs=times * tolerance)
    for number in range(times):
        begin = round(number * len(samples) / times)
        assert alike(samples[begin:begin + 50_000], sweep(16_000).astype(np.float32)) > 0.8


def read(path: Path, content: bytes) -> Tuple[np.ndarray, Heard]:
    heard = Heard()
    path.write_bytes(content)
    return load_audio(path, heard), heard


@pytest.mark.parametrize("suffix", FORMS)
def test_every_container_alone_and_joined(tmp_path: Path, suffix: str) -> None:
    content = encode(tmp_path / f"one.{suffix}", *FORMS[suffix])
    samples, heard = read(tmp_path / f"one.{suffix}", content)
    assert_is_sweep(samples)
    assert heard.rates == [RATE] and heard.remarks() == []
    assert_is_sweep(read(tmp_path / f"two.{suffix}", content * 2)[0], times=2)


@pytest.mark.parametrize("suffix", ["ogg", "mp3", "flac", "aac"])
def test_the_rate_and_the_channels_may_change(tmp_path: Path, suffix: str) -> None:
    codec, kind = FORMS[suffix]
    first = encode(tmp_path / f"one.{suffix}", codec, kind)
    second = encode(tmp_path / f"other.{suffix}", codec, kind, rate=24_000, layout="stereo")
    samples, heard = read(tmp_path / f"both.{suffix}", first + second)
    assert_is_sweep(samples, times=2)
    assert heard.rates == [RATE, 24_000]


def with_flac_length(flac: bytes, frames: int) -> bytes:
    """36 bits of STREAMINFO, from the middle of byte 21 on."""
    stated = int.from_bytes(flac[18:26], "big") >> 36 << 36 | frames
    return flac[:18] + stated.to_bytes(8, "big") + flac[26:]


def with_wav_length(wav: bytes, stated: int) -> bytes:
    at = wav.index(b"data") + 4
    return wav[:4] + stated.to_bytes(4, "little") + wav[8:at] + stated.to_bytes(4, "little") + wav[at + 4:]


@pytest.mark.parametrize("frames", [0, 48_000, 2**36 - 1])
def test_the_length_in_a_flac_header_may_be_wrong(tmp_path: Path, frames: int) -> None:
    flac = encode(tmp_path / "one.flac", "flac")
    assert_is_sweep(read(tmp_path / "x.flac", with_flac_length(flac, frames))[0], tolerance=1e-3)


@pytest.mark.parametrize("stated", [0, 50_000, 0x7FFFFFFF, 0x7FFFF024, 0xFFFFFFFF])
def test_the_length_in_a_wav_header_may_be_wrong(tmp_path: Path, stated: int) -> None:
    wav = encode(tmp_path / "one.wav", "pcm_s16le")
    assert_is_sweep(read(tmp_path / "x.wav", with_wav_length(wav, stated))[0], tolerance=1e-3)
    assert_is_sweep(read(tmp_path / "y.wav", with_wav_length(wav, stated) * 2)[0], times=2, tolerance=1e-2)


def test_mp3_of_varying_bit_rate_without_its_length(tmp_path: Path) -> None:
    """The first second is silent, so that any estimate from its small frames is far too long or too short."""
    samples = np.concatenate([np.zeros(16_000), sweep(16_000), np.random.default_rng(0).normal(0, 0.2, 160_000)])
    soundfile.write(tmp_path / "x.mp3", samples, 16_000, bitrate_mode="VARIABLE", compression_level=0.5)
    content = (tmp_path / "x.mp3").read_bytes()
    first = content.index(b"Xing")
    samples = read(tmp_path / "y.mp3", content.replace(content[first:first + 4], b"\0\0\0\0"))[0]
    assert len(samples) / 16_000 == pytest.approx(15, abs=0.2)


def test_no_tag_matters(tmp_path: Path) -> None:
    content = encode(tmp_path / "x.m4a", "aac", title="MXXller")
    assert_is_sweep(read(tmp_path / "y.m4a", content.replace(b"MXXller", b"M\xfc\xfcller"))[0])


def test_a_colon_names_no_protocol(tmp_path: Path) -> None:
    assert_is_sweep(read(tmp_path / "2024-01-01T10:30:00.m4a", encode(tmp_path / "x.m4a", "aac"))[0])


@pytest.mark.parametrize("suffix, options, least", [
    ("m4a", {"movflags": "faststart"}, 1.5), ("flac", {}, 1.5), ("wav", {}, 1.9), ("mp3", {}, 1.5)])
def test_what_is_whole_is_kept_and_the_rest_is_told(tmp_path: Path, suffix: str, options: Dict[str, str], least: float) -> None:
    content = encode(tmp_path / f"x.{suffix}", *FORMS[suffix], options=options)
    samples, heard = read(tmp_path / f"cut.{suffix}", content[:len(content) // 2])
    assert least < len(samples) / 16_000 < 2.6
    reference = sweep(16_000)[:len(samples)]
    assert np.abs(np.corrcoef(samples[3000:20_000], reference[3000:20_000])[0, 1]) > 0.5 or suffix in ("mp3", "m4a")
    assert suffix == "mp3" or heard.remarks()  # an mp3 states no length


def test_a_damaged_flac_frame_is_left_out_and_told(tmp_path: Path) -> None:
    content = bytearray(encode(tmp_path / "x.flac", "flac"))
    content[len(content) // 2] ^= 255
    samples, heard = read(tmp_path / "y.flac", bytes(content))
    assert 3.2 < len(samples) / 16_000 < 4 and "cannot be decoded" in heard.remarks()[0]


def antiphase(samples: np.ndarray) -> np.ndarray:
    return np.stack([0.5 * samples, -samples], axis=1)


@pytest.mark.parametrize("channels, remark, peak", [
    (lambda samples: antiphase(samples), "", None), (lambda samples: np.stack([samples, -samples], axis=1), "channel", 1.0),
    (lambda samples: np.stack([0.98 * samples, -samples], axis=1), "only channel 2", 1.0),
    (lambda samples: np.stack([samples, 0 * samples], axis=1), "", 0.5),
    (lambda samples: np.clip(6 * samples, -1, 1), "clipped", None)])
def test_levels(tmp_path: Path, channels: Callable[[np.ndarray], np.ndarray], remark: str, peak: float) -> None:
    soundfile.write(tmp_path / "x.wav", channels(sweep(16_000)), 16_000)
    heard = Heard()
    samples = load_audio(tmp_path / "x.wav", heard)
    assert remark in " ".join(heard.remarks()) and bool(remark) == bool(heard.remarks())
    if peak:
        assert np.abs(samples).max() == pytest.approx(peak * np.abs(sweep(16_000)).max(), rel=1e-3)


def test_integers_stored_as_floats_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", 32_768 * sweep(16_000), 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match="far above full scale.*divide them by 32,768"):
        load_audio(tmp_path / "x.wav")


def test_any_exception_of_a_decoder_is_one_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "x.wav", sweep(16_000), 16_000)

    def fail(*arguments: object, **options: object) -> List[int]:
        raise UnicodeDecodeError("utf-8", b"\xfc", 0, 1, "of a tag\n")

    monkeypatch.setattr(soundfile, "SoundFile", fail)
    with pytest.raises(AudioError, match=r"x.wav: cannot be decoded: UnicodeDecodeError, .*of a tag"):
        load_audio(tmp_path / "x.wav")
