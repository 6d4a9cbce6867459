"""Generated voices: espeak-ng speaks, repeatably, and its refusals are reported."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import PROJECT

from common.errors import UserError
from common.voices import espeak as voices
from common.voices.channel import random_channel

TEXT = "Every hollow lemon judges my doctor before noon."


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return voices.speak(voices.random_voice(np.random.default_rng(0)), TEXT, 160)


def test_it_speaks(speech: np.ndarray) -> None:
    assert speech.dtype == np.float32 and speech.ndim == 1
    assert 1.5 < len(speech) / 16_000 < 6.0
    assert 0.2 < np.abs(speech).max() < 1.1
    power = np.square(np.abs(np.fft.rfft(speech)))
    assert power[:len(power) // 4].sum() > 0.5 * power.sum()  # below 2 kHz, where vowels are


def test_rate_and_pitch_do_what_they_say() -> None:
    voice = voices.random_voice(np.random.default_rng(1))
    slow, fast = voices.speak(voice, TEXT, 110), voices.speak(voice, TEXT, 220)
    assert len(slow) > 1.3 * len(fast)
    assert not np.array_equal(voices.speak(voice, TEXT, 160, 20)[:16_000], voices.speak(voice, TEXT, 160, 80)[:16_000])


def test_voices_differ_and_are_decided_by_the_seed() -> None:
    drawn = [voices.random_voice(np.random.default_rng(seed)) for seed in (0, 1, 2, 0)]
    assert drawn[0] == drawn[3] and len(set(drawn)) == 3
    assert drawn[0].file_text().startswith("language en\n")


def test_a_new_process_says_the_same() -> None:
    program = ("import hashlib, numpy as np; from common.voices.espeak import random_voice, speak; "
               f"speech = speak(random_voice(np.random.default_rng(3)), {TEXT!r}, 160); "
               "print(hashlib.sha256(speech.tobytes()).hexdigest())")
    said = {subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True,
                           cwd=PROJECT).stdout for _ in range(2)}
    assert len(said) == 1


def test_a_long_data_path_is_reached_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import espeakng_loader

    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    (deep / "espeak-ng-data").symlink_to(espeakng_loader.get_data_path())
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(deep / "espeak-ng-data"))
    _, data = voices.load_library(tmp_path)
    assert data == tmp_path / "espeak-ng-data" and (data / "phontab").is_file()


def test_a_missing_library_is_an_error_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import espeakng_loader

    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(tmp_path / "none.so"))
    with pytest.raises(UserError, match="--data"):
        voices.load_library(tmp_path)


def test_a_refused_voice_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices.Voice, "file_text", lambda self: "")
    with pytest.raises(UserError, match="espeak_ng_SetVoiceByFile.*0x100006ff"):
        voices.speak(voices.random_voice(np.random.default_rng(9)), TEXT, 160)


def test_a_channel_keeps_the_length_and_sets_the_level(speech: np.ndarray) -> None:
    channel = random_channel(np.random.default_rng(0))
    recorded = channel.record(speech, np.random.default_rng(1))
    assert recorded.shape == speech.shape and recorded.dtype == np.float32
    assert np.abs(recorded).max() == pytest.approx(channel.peak, rel=1e-5)
    np.testing.assert_array_equal(recorded, channel.record(speech, np.random.default_rng(1)))
    assert not np.array_equal(recorded, channel.record(speech, np.random.default_rng(2)))
    assert np.isfinite(channel.record(np.zeros_like(speech), np.random.default_rng(1))).all()


def test_channel_response_and_noise_level() -> None:
    """A click comes out as the impulse response; loud steady sound has noise at the level that was drawn."""
    channel = random_channel(np.random.default_rng(4))
    quiet = type(channel)(channel.response, channel.noise_response, -300.0, channel.peak)
    click = np.zeros(48_240, np.float32)
    click[0] = 1.0
    expected = np.zeros(48_240)
    expected[:len(channel.response)] = channel.response[:48_240]
    expected *= channel.peak / np.abs(expected).max()
    np.testing.assert_allclose(quiet.record(click, np.random.default_rng(0)), expected, atol=1e-5)

    tone = np.sin(np.arange(48_240, dtype=np.float32))
    clean, noisy = (c.record(tone, np.random.default_rng(0)).astype(np.float64) for c in (quiet, channel))
    scale = (clean @ noisy) / (clean @ clean)
    noise_db = 10 * np.log10(np.square(noisy - scale * clean).mean() / np.square(scale * clean).mean())
    assert noise_db == pytest.approx(channel.noise_db, abs=0.3)
