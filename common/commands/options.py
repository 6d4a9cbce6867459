"""Options that several commands have, spelled and explained once."""
from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence

from common.contenders import FRAMEWORKS, either
from common.data.form import NUM_FRAMES
from common.data.randomness import seed
from common.device import Decision, decide
from common.errors import UserError
from common.files import word
from common.machine import THREAD_VARIABLES, available_cores
from common.network.architectures import NETWORKS
from common.parser import number
from common.training.config import WHAT, TrainingConfig
from common.twin import AUTO, CONVOLUTIONS, DEVICES

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.identify.engines import Engine
    from common.twin import Twin

Load = Optional[Callable[[], "Twin"]]  # how a framework's twin is imported; None: ONNX Runtime, without any framework

BATCH_SIZE = 16  # of what is measured, checked or asked: what is trained by a recipe has the recipe's
MODEL = "a run's best.npz or last.npz, or its folder"


class Names(argparse.Action):
    """Names of a list, with spaces or commas between them; each counts once."""

    def __init__(self, option_strings: Sequence[str], dest: str, among: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(option_strings, dest, nargs="+", metavar="NAME", **settings)
        self.among = among

    def __call__(self, parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any,
                 option_string: Optional[str] = None) -> None:
        names = list(dict.fromkeys(name for value in values for name in value.split(",") if name))
        unknown = [name for name in names if name not in self.among]
        if unknown or not names:
            parser.error(f"argument {option_string}: invalid choice: {unknown[0] if unknown else ''!r} (choose from "
                         f"{', '.join(self.among)})")
        setattr(options, self.dest, names)


class _Shared(NamedTuple):
    """An option of several commands. default: its value, or in words what it means that there is none."""

    what: str
    default: Any
    settings: Dict[str, Any]


_SETTINGS = {field.name: field.metadata[WHAT] for field in dataclasses.fields(TrainingConfig)}
_PATHS = "data folders or record files", "embedded synthetic voices"
_SHARED: Dict[str, _Shared] = {
    "data": _Shared(*_PATHS, {"nargs": "*", "type": Path}),
    "--data": _Shared(*_PATHS, {"nargs": "+", "type": Path, "metavar": "PATH"}),
    "--networks": _Shared(f"of {', '.join(NETWORKS)}", "all", {"action": Names, "among": NETWORKS, "default": list(NETWORKS)}),
    "--frameworks": _Shared(f"of {', '.join(FRAMEWORKS)}", "both", {
        "action": Names, "among": FRAMEWORKS, "default": FRAMEWORKS}),
    "--in": _Shared("the framework to break", FRAMEWORKS[0], {"dest": "side", "choices": FRAMEWORKS}),
    "--network": _Shared(_SETTINGS["network"], "tdnn", {"choices": list(NETWORKS)}),
    "--width": _Shared(_SETTINGS["width"], 1.0, {"type": float}),
    "--speakers": _Shared("number of speakers", 50, {"type": int}),
    "--frames": _Shared("of an utterance", NUM_FRAMES, {"type": number}),
    "--batch-size": _Shared(f"{_SETTINGS['batch_size']}, or at once", BATCH_SIZE, {"type": number}),
    "--crop-frames": _Shared(f"{_SETTINGS['crop_frames']}; what is timed or tested is whole", NUM_FRAMES, {
        "type": int, "metavar": "N"}),
    "--learning-rate": _Shared(_SETTINGS["learning_rate"], 1e-2, {"type": float}),
    "--seed": _Shared(_SETTINGS["seed"], 0, {"type": seed}),
    "--json": _Shared("one JSON object on standard output, remarks and errors in it", "text", {
        "action": "store_true"}),
    "--device": _Shared("where to compute; auto: a GPU that every framework of the command can drive, else the CPU", "auto", {
        "choices": DEVICES}),
    "--threads": _Shared("threads an operation may use; 0: all", "all of this process's CPUs", {
        "type": int, "metavar": "N", "default": 0}),
    "--convolutions": _Shared(
        "how each is computed on a CPU; auto: as is quickest on this machine, measured once and remembered; measure: forget "
        "that and measure again; default: by Winograd wherever that saves multiplications; direct: by the framework's own "
        "alone", AUTO, {"choices": CONVOLUTIONS}),
}


def add_options(parser: argparse._ActionsContainer, *names: str, **defaults: Any) -> None:
    """Options that several commands have; defaults: what a command has in place of an option's own."""
    for name in names:
        what, default, settings = _SHARED[name]
        default = defaults.pop(name.strip("-").replace("-", "_"), default)
        if isinstance(default, str) and "choices" not in settings:
            parser.add_argument(name, help=f"{what} (default: {default})", **settings)
        else:
            parser.add_argument(name, default=default, help=f"{what} ({default})", **settings)
    assert not defaults, defaults


def add_out_options(parser: argparse.ArgumentParser, name: Optional[str], what: str) -> None:
    """--out and --force, see `common.outputs`; `name`: of the folder in runs/, None: there is none without --out."""
    default = "nowhere" if name is None else f"a new runs/NNNN-{name}"
    parser.add_argument("--out", type=Path, metavar="FOLDER",
                        help=f"write {what} to this folder, which must be new or empty (default: {default})")
    add_force(parser, "in a folder that is not empty, replace what this command wrote there before")


def add_force(parser: argparse.ArgumentParser, what: str) -> None:
    """--force, without which nothing is replaced."""
    parser.add_argument("--force", action="store_true", help=what)


def num_threads(threads: int) -> int:
    """The number of threads that `--threads` asks for; 0 means every CPU this process may use."""
    if threads < 0:
        raise UserError(f"--threads must be positive, not {threads}")
    return threads or available_cores()


def prepare_threads(threads: int) -> int:
    """Pin the thread pools of BLAS and OpenMP in this process, and in those it starts."""
    from threadpoolctl import threadpool_limits

    number = num_threads(threads)
    if number > available_cores():
        print(f"note: {number} threads on {available_cores()} CPUs hinder each other: all is slower than with --threads "
              f"{available_cores()}, much slower with many more", file=sys.stderr)
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(number)  # read by a library when it is loaded
    threadpool_limits(number)  # and these are loaded already, where a command's options need NumPy
    return number


def choose_device(asked: str, loads: Iterable[Callable[[], Twin]]) -> Decision:
    """Decide for the frameworks of these twins, see `common.device`; before anything is written."""
    return decide(asked, [load.__module__ for load in loads])


def prepare_machine(options: argparse.Namespace, loads: Iterable[Callable[[], Twin]]) -> int:
    """Do as --threads and --device ask; returns the number of threads, and `options.device` is cpu or gpu from here on."""
    threads = prepare_threads(options.threads)
    options.device = choose_device(options.device, loads).device
    return threads


def say_device(decision: Decision) -> None:
    """Tell on standard error, once the command's work begins."""
    print(f"device: {decision}", file=sys.stderr)


def data_or_embedded(paths: Optional[Sequence[Path]]) -> List[Path]:
    """What --data names, or the embedded synthetic voices, which are made at first use."""
    if paths:
        return list(paths)
    from common.voices.synthetic import default_corpus

    return [default_corpus()]


def existing(kind: str) -> Callable[[str], Path]:
    """An argparse type: a path that exists, or a clear error that calls it a `kind`."""

    def parse(text: str) -> Path:
        path = Path(text)
        if not path.exists():
            raise argparse.ArgumentTypeError(f"there is no {kind} {text}")
        return path

    return parse


def model_file(text: str) -> Path:
    """An argparse type: a saved model, or the best one of the run whose folder is named."""
    path = existing("model")(text)
    if not path.is_dir():
        return path
    if not (path / "best.npz").exists():
        raise argparse.ArgumentTypeError(f"{text} is a folder without a best.npz; give a run's folder or a model's file")
    return path / "best.npz"


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
            raise UserError(f"{model} is an ONNX file, and ONNX Runtime answers with it: python -m common.{command} "
                            f"{word(model)} ...")
        try:
            return model_file(str(model))
        except argparse.ArgumentTypeError as error:
            raise UserError(str(error)) from None
    if model.is_dir() or model.suffix == ".npz":
        raise UserError(f"{model} is a checkpoint, and a framework answers with it: {either(command)}; "
                        f"{either(f'export {word(model)} speaker.onnx')} makes an ONNX file of it")
    return model
