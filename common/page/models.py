"""The files of one trained model: the checkpoint for the frameworks, and the ONNX file made of it.

    files = find(Path("runs/mine"))       # a run's folder, a folder of models, or either file
    engines, trained = start(files, threads=2)
"""
from __future__ import annotations

from pathlib import Path
from typing import List, NamedTuple, Optional, Tuple

from common.contenders import CONTENDERS, FRAMEWORKS
from common.errors import UserError
from common.identify.engines import OnnxEngine
from common.page.engines import Apart, Asked, Here
from common.training.checkpoint import load_checkpoint
from common.training.trained import Trained

_CHECKPOINT, _ONNX = ".npz", ".onnx"
_FIRST = ("best", *FRAMEWORKS)  # of several checkpoints in a folder: a run's, and that of shipped models


class Files(NamedTuple):
    """One may be missing."""

    checkpoint: Optional[Path]
    onnx: Optional[Path]


def find(path: Path) -> Files:
    """The files that a path names. Raises UserError where there is no model."""
    if path.is_dir():
        checkpoint = _choose(path, _CHECKPOINT, _FIRST)
        onnx = _choose(path, _ONNX, _FIRST if checkpoint is None else (checkpoint.stem,))
        if checkpoint is None and onnx is None:
            raise UserError(f"{path}: a folder without a model; name a run's folder, a best.npz or an ONNX file")
        return Files(checkpoint, onnx)
    if not path.is_file():
        raise UserError(f"there is no model {path}; name a run's folder, a best.npz or an ONNX file")
    if path.suffix == _ONNX:
        return Files(_choose(path.parent, _CHECKPOINT, (path.stem, "best")), path)
    return Files(path, _choose(path.parent, _ONNX, (path.stem,)))


def start(files: Files, threads: int) -> Tuple[List[Asked], Trained]:
    """Every engine that has a file. Raises UserError for files that are damaged, or two models."""
    known: List[Trained] = []
    engines: List[Asked] = []
    if files.onnx is not None:
        engine = OnnxEngine(files.onnx, threads)
        known.append(engine.trained)
        engines.append(Here(engine))
    if files.checkpoint is not None:
        known.append(Trained.of(load_checkpoint(files.checkpoint)))
        if len({trained.parameters for trained in known}) > 1:
            raise UserError(f"{files.checkpoint} and {files.onnx} are two models, or one of them in half precision; export the "
                            "first one again beside it")
        engines[:0] = [Apart(CONTENDERS[name], files.checkpoint, threads) for name in FRAMEWORKS]
    return engines, known[0]


def _choose(folder: Path, suffix: str, first: Tuple[str, ...]) -> Optional[Path]:
    """The file of this kind called as one of `first`, else the only one there is."""
    named = [folder / f"{stem}{suffix}" for stem in first if (folder / f"{stem}{suffix}").is_file()]
    found = named[:1] or list(folder.glob(f"*{suffix}"))
    return found[0] if len(found) == 1 else None
