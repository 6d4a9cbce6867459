"""`python -m tf_impl.verify`, `caffe2_impl.verify` and `common.verify`: is it one of the enrolled voices?"""
from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Union

from common.commands.options import Load, add_engine_options, add_options, add_out_options, existing, open_engine
from common.commands.sound_files import HELP, exit_status, say, sources
from common.commands.trials import CALIBRATE_EQUAL, evaluate
from common.errors import UserError
from common.parser import Parser
from common.typed import json_text

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.identify.engines import Engine
    from common.verify.answers import Verification
    from common.verify.gallery import Gallery

_DESCRIPTION = """Say which of the enrolled voices speaks in recordings, or that none does; or how often such answers are wrong.

  {prog} {model} --gallery voices.npz hello.wav
  {prog} {model} --gallery voices.npz --claim Ada hello.wav
  {prog} {model} --trials trials.txt --root RECORDINGS --calibrate --gallery voices.npz

A score is the cosine between two embeddings; a voice is accepted from the gallery's threshold on. Of several
recordings one that cannot be used is said to be so, and the exit status is then 1.

A list of trials is VoxCeleb's: `1 a.wav b.wav` where one voice speaks in both, `0 a.wav b.wav` where two do;
python -m common.verify.trials makes one of your own recordings. Printed are the equal error rate with its
95 % interval and the minimum detection cost. Recordings of voices that the model was trained on would make
them look too good."""


def run(prog: str, load: Load, argv: Optional[List[str]]) -> int:
    """Verify as the options say; returns the exit status."""
    options = _parser(prog, load).parse_intermixed_args(argv)  # recordings after options too
    if options.trials is None:
        return _verify(prog, load, options)
    if options.recordings or options.claim is not None:
        raise UserError("--trials names the recordings itself; leave the others and --claim out")
    return evaluate(open_engine(prog, load, options), options)


def _parser(prog: str, load: Load) -> argparse.ArgumentParser:
    model = "speaker.onnx" if load is None else "runs/first"
    parser = Parser(prog, _DESCRIPTION.format(prog=prog, model=model))
    add_engine_options(parser, load)
    parser.add_argument("recordings", nargs="*", metavar="RECORDING", help=HELP)
    parser.add_argument("--gallery", type=Path, metavar="FILE", help="the file of enrolled voices that enroll wrote")
    parser.add_argument("--claim", metavar="NAME", help="the voice it is said to be: compare with that one alone")
    add_options(parser, "--json")
    trials = parser.add_argument_group("on a list of trials")
    trials.add_argument("--trials", type=Path, metavar="LIST", help="score these and say how often it errs")
    trials.add_argument("--root", type=existing("folder"), metavar="FOLDER",
                        help="where the list's paths begin (default: the list's own folder)")
    trials.add_argument("--calibrate", nargs="?", const=CALIBRATE_EQUAL, type=_rate, metavar="RATE",
                        help="find the threshold: where both errors are equally frequent, or where at most this share of "
                        "trials of two voices is accepted, such as 0.01; with --gallery it is kept there")
    add_out_options(trials, None, "figures, scores and a picture of them")
    return parser


def _rate(text: str) -> Union[str, float]:
    """An argparse type: a share, or what stands for equal errors."""
    if text == CALIBRATE_EQUAL:
        return text
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, not {text}")
    return value


def _verify(prog: str, load: Load, options: argparse.Namespace) -> int:
    """Recordings against a gallery."""
    if options.gallery is None or not options.recordings:
        raise UserError("nothing to verify: name --gallery and recordings, or --trials")
    for name in ("root", "calibrate", "out"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name} goes with --trials")
    with contextlib.ExitStack() as held:
        meant = sources(options.recordings, held)
        engine = open_engine(prog, load, options)

        from common.verify.answers import verify
        from common.verify.gallery import load_gallery

        gallery = load_gallery(options.gallery, engine.trained)
        told: List[Verification] = []
        for answer in verify(engine, gallery, meant, options.claim):
            told.append(answer)
            say(answer.recording, answer.remarks, answer.error)
            if not answer.error and not options.json:
                print(f"{answer.recording}: {_in_words(answer, gallery, options.claim is not None)}")
    if options.json:
        print(_as_json(engine, gallery, told))
    if gallery.threshold is None:
        print(f"{options.gallery} has no threshold to decide by; find one with --trials LIST --calibrate, or give one with "
              "enroll --threshold", file=sys.stderr)
    return exit_status([answer.error for answer in told])


def _in_words(answer: Verification, gallery: Gallery, claimed: bool) -> str:
    best = answer.scores[0]
    score = f"score {best.score:.3f}"
    if gallery.threshold is not None:
        score += f", threshold {gallery.threshold.value:.3f}"
    if not answer.decided:
        return f"{best.voice} or nobody: {score}" if claimed else f"{best.voice} is closest: {score}"
    if answer.accepted is None:
        return f"not {best.voice}: {score}" if claimed else f"nobody who is enrolled; {best.voice} is closest: {score}"
    return f"{answer.accepted}: {score}"


def _as_json(engine: Engine, gallery: Gallery, told: List[Verification]) -> str:
    return json_text({
        "engine": engine.name if any(answer.scores for answer in told) else None, "network": gallery.network,
        "parameters": gallery.parameters, "threshold": gallery.threshold, "recordings": told})
