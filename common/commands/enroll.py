"""`python -m tf_impl.enroll`, `caffe2_impl.enroll` and `common.enroll`: voices into a gallery, and out of it."""
from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from common.commands.options import Load, add_engine_options, add_force, open_engine
from common.commands.sound_files import exit_status, say, sources
from common.errors import UserError
from common.parser import Parser

if TYPE_CHECKING:  # slow to import, and only named in annotations
    import numpy as np

    from common.identify.engines import Engine
    from common.identify.pieces import Source
    from common.verify.gallery import Gallery

_DESCRIPTION = """Enroll voices in a gallery, by some recordings of each; no training is needed.

  {prog} {model} Ada ada-1.wav ada-2.wav --gallery voices.npz
  {prog} {model} RECORDINGS --gallery voices.npz          # SPEAKER/SESSION/ recordings: all of the speakers
  {prog} {model} --gallery voices.npz                     # who is enrolled?
  {prog} {model} --gallery voices.npz --remove Ada

The model need not know the voices. A gallery belongs to the model that it was made with, in whatever
framework or as an ONNX file. python -m common.verify and its like then say whether a recording is by one
of them. Of several recordings one that cannot be used is said to be so, and the exit status is then 1."""


def run(prog: str, load: Load, argv: Optional[List[str]]) -> int:
    """Enroll, remove or list as the options say; returns the exit status."""
    options = _parser(prog, load).parse_intermixed_args(argv)  # recordings after options too
    changes = bool(options.voices or options.remove or options.threshold is not None)
    if options.threshold is not None and not -1 <= options.threshold <= 1:
        raise UserError(f"--threshold must be from -1 to 1, as scores are, not {options.threshold}")
    with contextlib.ExitStack() as held:
        meant = _voices(options.voices, held)
        engine = open_engine(prog, load, options)

        from common.verify.gallery import Threshold, changed, load_gallery

        if meant and not options.force and options.gallery.exists():  # before the work, not after it
            load_gallery(options.gallery, engine.trained).refuse(meant)
        heard, errors = _listen(engine, meant)
    if changes:
        with changed(options.gallery, engine.trained) as gallery:
            for name, embeddings in heard.items():
                gallery.enroll(name, embeddings, options.force)
            if options.remove:
                gallery.remove(options.remove)
            if options.threshold is not None:
                gallery.threshold = Threshold(options.threshold, "given with --threshold")
    _show(load_gallery(options.gallery, engine.trained), options.gallery)
    return exit_status(errors)


def _parser(prog: str, load: Load) -> argparse.ArgumentParser:
    model = "speaker.onnx" if load is None else "runs/first"
    parser = Parser(prog, _DESCRIPTION.format(prog=prog, model=model))
    add_engine_options(parser, load)
    parser.add_argument("voices", nargs="*", metavar="NAME RECORDING ...", help="a name, and recordings of that voice or folders "
                        "of them; or one folder SPEAKER/SESSION/ of several voices")
    parser.add_argument("--gallery", type=Path, required=True, metavar="FILE", help="the file of enrolled voices (.npz)")
    add_force(parser, "replace voices that are enrolled already")
    parser.add_argument("--remove", metavar="NAME", help="take a voice out of the gallery")
    parser.add_argument("--threshold", type=float, metavar="SCORE", help="the least score to accept; better found on trials, "
                        "with verify --calibrate")
    return parser


def _voices(words: List[str], held: contextlib.ExitStack) -> Dict[str, List[Source]]:
    """Recordings by voice. Raises UserError."""
    from common.identify.pieces import Source
    from common.prepare.sources import find_recordings

    if len(words) == 1 and not Path(words[0]).is_dir():
        raise UserError(f"{words[0]}: expected a name and recordings of that voice, or one folder SPEAKER/SESSION/ of several "
                        "voices")
    if len(words) == 1:
        found: Dict[str, List[Source]] = {}
        for each in find_recordings(Path(words[0])).recordings:
            path = Path(words[0]) / each.path
            found.setdefault(each.speaker, []).append(Source(str(path), path))
        return found
    return {words[0]: sources(words[1:], held)} if words else {}


def _listen(engine: Engine, voices: Dict[str, List[Source]]) -> Tuple[Dict[str, np.ndarray], List[str]]:
    """Embeddings (recordings, units) by voice, and every recording's error or "". Raises UserError for a voice without."""
    import numpy as np

    from common.verify.answers import embed

    names = [name for name, own in voices.items() for _ in own]
    heard: Dict[str, List[np.ndarray]] = {name: [] for name in voices}
    errors: List[str] = []
    for name, (listening, embedding) in zip(names, embed(engine, [source for own in voices.values() for source in own])):
        say(listening.name, listening.remarks, listening.error)
        errors.append(listening.error)
        if not listening.error:
            heard[name].append(embedding)
    for name, embeddings in heard.items():
        if not embeddings:
            raise UserError(f"no recording of {name} can be used, so nobody has been enrolled")
    return {name: np.array(embeddings) for name, embeddings in heard.items()}, errors


def _show(gallery: Gallery, path: Path) -> None:
    from common.verify.gallery import counted

    for name, voice in gallery.voices.items():
        print(f"  {name}: {counted(voice.recordings, 'recording')}")
    threshold = gallery.threshold
    told = "no threshold yet (verify --calibrate finds one)" if threshold is None else f"threshold {threshold}"
    print(f"{path}: {counted(len(gallery.voices), 'voice')}, {gallery.network} with parameters {gallery.parameters}, {told}")
