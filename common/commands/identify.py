"""`python -m tf_impl.identify` and `python -m caffe2_impl.identify`: who speaks in a recording?"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Callable, List, Optional

from common.commands.options import (
    add_machine_options,
    choose_device,
    make_parser,
    model_file,
    prepare_threads,
    recording_file,
    say_device,
)
from common.twin import Twin

_DESCRIPTION = """Say who speaks in a recording, as far as the model knows voices.

  {prog} runs/first/best.npz hello.wav

Any length from one second up, any format that soundfile or FFmpeg reads. Longer recordings are cut
into pieces of 3.015 s whose probabilities are averaged; silent ones are left out."""

_LEAST_SECONDS = 1.05  # the networks need 100 frames, and a frame is 25 ms long


def run(prog: str, load: Callable[[], Twin], argv: Optional[List[str]]) -> int:
    """Identify the speakers of the recordings given; returns the exit status."""
    options = _parser(prog).parse_args(argv)
    threads = prepare_threads(options.threads)
    device = choose_device(options.device, [load])

    from common.proof import gate
    from common.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.model)
    pieces = {path: _pieces(path, checkpoint) for path in options.recordings}
    say_device(device)
    twin = gate.require(load(), checkpoint, device.device, threads)
    twin.configure(device.device, threads)
    model = twin.model(checkpoint.spec, checkpoint.params, checkpoint.config.optimizer)
    for path, spectrograms in pieces.items():
        _report(path, _probabilities(model, spectrograms), checkpoint, options.top)
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = make_parser(prog, _DESCRIPTION.format(prog=prog))
    parser.add_argument("model", type=model_file, help="a run's best.npz or last.npz, or its folder")
    parser.add_argument("recordings", nargs="+", type=recording_file,
                        help="wav, flac, ogg, mp3, m4a, ...")
    parser.add_argument("--top", type=int, default=5, help="how many speakers to list (5)")
    add_machine_options(parser)
    return parser


def _pieces(path: Path, checkpoint) -> List:
    """Spectrograms (512, frames) of a recording, as the model's training data were made; silent pieces are left out."""
    from common.errors import UserError
    from common.prepare.audio import Heard, load_audio
    from common.prepare.features import SAMPLE_RATE, SEGMENT_SAMPLES, spectrogram
    from common.prepare.levels import SILENCE_DB, is_silent

    heard = Heard()
    samples = load_audio(path, heard)
    for remark in heard.remarks():
        print(f"{path}: {remark}", file=sys.stderr)
    if len(samples) < _LEAST_SECONDS * SAMPLE_RATE:
        raise UserError(f"{path} has {len(samples) / SAMPLE_RATE:.2f} s of sound; at least "
                        f"{_LEAST_SECONDS} s are needed to tell who speaks")
    whole = max(1, len(samples) // SEGMENT_SAMPLES)
    pieces = [samples[i * SEGMENT_SAMPLES:(i + 1) * SEGMENT_SAMPLES] for i in range(whole)]
    loud = [piece for piece in pieces if not is_silent(piece)]
    if not loud:
        raise UserError(f"{path}: nothing is heard in it: no {len(pieces[0]) / SAMPLE_RATE:.1f} s of it are louder than "
                        f"{SILENCE_DB:.0f} dB of full scale; check the microphone or the file")
    return [spectrogram(piece, normalise=checkpoint.normalised is not False, scale=checkpoint.scale or "magnitude")
            for piece in loud]


def _probabilities(model, spectrograms: List):
    """Mean probability of each speaker over the pieces, (num_speakers,)."""
    import numpy as np

    from common.training.metrics import softmax

    total = []
    for piece in spectrograms:
        model.stage(piece[np.newaxis])
        total.append(softmax(model.predict_staged())[0])
    return np.mean(total, axis=0)


def _report(path: Path, probabilities, checkpoint, top: int) -> None:
    print(f"{path}:")
    for speaker in probabilities.argsort()[::-1][:max(1, top)]:
        print(f"  {100 * probabilities[speaker]:5.1f} %  {checkpoint.speakers[speaker]}")
