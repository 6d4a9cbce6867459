"""`python -m tf_impl.export` and `python -m caffe2_impl.export`: a saved model as an ONNX file."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Callable, List, Optional

from common.commands.options import make_parser, model_file
from common.errors import UserError
from common.twin import Twin

_DESCRIPTION = """Export a saved model to ONNX with the framework's own exporter.

  {prog} runs/first/best.npz speaker.onnx

Input `spectrograms` (utterances, 512, frames), output `logits` (utterances, speakers), any number
of utterances and frames. The speakers' names and how spectrograms are made are in its metadata."""


def run(prog: str, load: Callable[[], Twin], argv: Optional[List[str]]) -> int:
    """Write the ONNX file; returns the exit status."""
    options = _parser(prog).parse_args(argv)
    if not options.onnx.parent.is_dir():
        raise UserError(f"there is no folder {options.onnx.parent} to write {options.onnx.name} to")

    from common.files import replacing
    from common.identify.trained import Trained
    from common.network.onnx_file import annotate
    from common.proof import gate
    from common.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.model)
    twin = gate.require(load(), checkpoint, "cpu", 1)
    twin.configure("cpu", 1)
    model = twin.model(checkpoint.spec, checkpoint.params, checkpoint.config.optimizer)
    with replacing(options.onnx) as temporary:  # it gets its name with its metadata, not before
        model.export_onnx(temporary)
        annotate(temporary, Trained.of(checkpoint).metadata())
    print(f"written: {options.onnx}")
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = make_parser(prog, _DESCRIPTION.format(prog=prog))
    parser.add_argument("model", type=model_file, help="a run's best.npz or last.npz, or its folder")
    parser.add_argument("onnx", type=Path, help="the file to write")
    return parser
