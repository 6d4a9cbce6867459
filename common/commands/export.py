"""`python -m tf_impl.export` and `python -m caffe2_impl.export`: a saved model as a file to hand on."""
from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Optional

from common.commands.options import MODEL, model_file
from common.errors import UserError
from common.parser import Parser
from common.twin import Twin

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.training.checkpoint import Checkpoint

_DESCRIPTION = """Export a saved model: to ONNX with the framework's own exporter, or as a checkpoint of half the size.

  {prog} runs/first/best.npz speaker.onnx
  {prog} runs/first/best.npz speaker.onnx --half
  {prog} runs/first/best.npz speaker.npz

An ONNX file has the input `spectrograms` (utterances, 512, frames), the output `logits` (utterances,
speakers) and, for those who ask for it, `embedding` (utterances, units), what the last layer sees; any
number of utterances and frames. The speakers' names and how spectrograms are made are in its metadata,
so that python -m common.identify needs nothing else. --half keeps its weights in half precision:
Caffe2's exporter as they are, TensorFlow's once batch normalisation is part of them.

A .npz has the parameters, weights in half precision, without what training would go on with; either
framework evaluates it and identifies by it."""


def run(prog: str, load: Callable[[], Twin], argv: Optional[List[str]]) -> int:
    """Write the file; returns the exit status."""
    options = _parser(prog).parse_args(argv)
    if not options.file.parent.is_dir():
        raise UserError(f"there is no folder {options.file.parent} to write {options.file.name} to")

    from common.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.model)
    if options.file.suffix == ".npz":
        _write_checkpoint(checkpoint, options.file)
    else:
        _write_onnx(load, checkpoint, options.file, options.half)
    print(f"written: {options.file}, {options.file.stat().st_size / 1e6:.2f} MB")
    return 0


def _write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    from common.network.params import halved
    from common.training.checkpoint import save_checkpoint

    save_checkpoint(path, dataclasses.replace(checkpoint, params=halved(checkpoint.params), momenta={}))


def _write_onnx(load: Callable[[], Twin], checkpoint: Checkpoint, path: Path, half: bool) -> None:
    from common.speed import gate
    from common.training.checkpoint import model_of
    from common.training.trained import Trained

    twin = gate.require(load(), checkpoint, "cpu", 1)
    model_of(twin, checkpoint).export_onnx(path, Trained.of(checkpoint).metadata(), half)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = Parser(prog, _DESCRIPTION.format(prog=prog))
    parser.add_argument("model", type=model_file, help=MODEL)
    parser.add_argument("file", type=Path, help="the file to write: NAME.onnx or NAME.npz")
    parser.add_argument("--half", action="store_true", help="weights in half precision in the ONNX file too")
    return parser
