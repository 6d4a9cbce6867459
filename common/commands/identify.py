"""`python -m tf_impl.identify`, `caffe2_impl.identify` and `common.identify`: who speaks in recordings?"""
from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING, List, Optional

from common.commands.options import Load, add_engine_options, add_options, open_engine
from common.commands.sound_files import HELP, exit_status, say, sources
from common.parser import Parser, number

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.identify.speakers import Answer

_DESCRIPTION = """Say who speaks in recordings, as far as the model knows voices.

  {prog} {model} hello.wav
  {prog} {model} recordings/ more/*.mp3 --json
  ffmpeg ... | {prog} {model} -

A recording is of any length from one second up and of any format that soundfile or FFmpeg reads; a
folder means all that are in it and in its folders; - is one on standard input. Longer recordings are
cut into pieces of 3.015 s, the last one at the end, whose probabilities are averaged; silent ones are left out. Of several
recordings one that cannot be used is said to be so, and the exit status is then 1."""


def run(prog: str, load: Load, argv: Optional[List[str]]) -> int:
    """Identify the speakers of the recordings given; returns the exit status."""
    options = _parser(prog, load).parse_args(argv)
    with contextlib.ExitStack() as held:
        meant = sources(options.recordings, held)
        engine = open_engine(prog, load, options)

        from common.identify.speakers import about, as_csv, as_json, identify

        told: List[Answer] = []
        for answer in identify(engine, meant, options.top):
            told.append(answer)
            _say(answer, to_people=not (options.json or options.csv))
    if options.json:
        print(as_json(engine, told))
    elif options.csv:
        print(as_csv(told), end="")
    status = exit_status([answer.error for answer in told])
    if status < 2:
        print(f"{engine.name}, {about(engine.trained)}", file=sys.stderr)
    return status


def _parser(prog: str, load: Load) -> argparse.ArgumentParser:
    model = "speaker.onnx" if load is None else "runs/first"
    parser = Parser(prog, _DESCRIPTION.format(prog=prog, model=model))
    add_engine_options(parser, load)
    parser.add_argument("recordings", nargs="+", metavar="RECORDING", help=HELP)
    parser.add_argument("--top", type=number, default=5, metavar="N", help="how many speakers to list (5)")
    how = parser.add_mutually_exclusive_group()
    add_options(how, "--json")
    how.add_argument("--csv", action="store_true", help="a table: recording, seconds, rank, speaker, probability, ...")
    return parser


def _say(answer: Answer, to_people: bool) -> None:
    say(answer.recording, answer.remarks, answer.error)
    if to_people and not answer.error:
        print(f"{answer.recording}:")
        for candidate in answer.speakers:
            print(f"  {100 * candidate.probability:5.1f} %  {candidate.speaker}")
