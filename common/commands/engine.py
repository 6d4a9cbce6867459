"""The engine that a command line asks for: a framework's for a checkpoint, ONNX Runtime for an ONNX file.

    engine = open_engine(prog, load, options)         # load None: python -m common.identify and its like
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from common.commands.options import MODEL, add_options, choose_device, existing, model_file, prepare_threads, say_device
from common.errors import UserError

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.identify.engines import Engine
    from common.twin import Twin

Load = Optional[Callable[[], "Twin"]]  # how a framework's twin is imported; None: ONNX Runtime, without any framework


def add_engine_options(parser: argparse.ArgumentParser, load: Load) -> None:
    """The model, --device and --threads."""
    parser.add_argument("model", type=existing("model"), help="an ONNX file" if load is None else MODEL)
    add_options(parser, "--device", "--threads")


def open_engine(prog: str, load: Load, options: argparse.Namespace) -> Engine:
    """The engine for `options.model`; a framework is imported at the first question. Raises UserError."""
    path = model_of_kind(prog, load, options.model)
    threads = prepare_threads(options.threads)
    if load is None:
        if options.device == "gpu":
            raise UserError("--device gpu: ONNX Runtime is installed here for the CPU alone; use --device cpu")
        from common.identify.engines import OnnxEngine

        return OnnxEngine(path, threads)
    device = choose_device(options.device, [load])

    from common.identify.engines import TwinEngine
    from common.training.checkpoint import load_checkpoint

    def announced() -> Twin:
        say_device(device)
        return load()

    return TwinEngine(announced, load_checkpoint(path), device.device, threads)


def model_of_kind(prog: str, load: Load, model: Path) -> Path:
    """The model's file. Raises UserError where it is of the kind that another engine takes, and names that."""
    command = prog.rpartition(".")[2]
    if load is not None:
        if model.suffix == ".onnx":
            raise UserError(f"{model} is an ONNX file, and ONNX Runtime answers with it: python -m common.{command} {model} ...")
        try:
            return model_file(str(model))
        except argparse.ArgumentTypeError as error:
            raise UserError(str(error)) from None
    if model.is_dir() or model.suffix == ".npz":
        raise UserError(f"{model} is a checkpoint, and a framework answers with it: python -m tf_impl.{command} or python -m "
                        f"caffe2_impl.{command}; python -m tf_impl.export {model} speaker.onnx makes an ONNX file of it")
    return model
