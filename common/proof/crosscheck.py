"""The same utterances through ONNX: does an export say what its framework says?

    check = CrossCheck.of(run_onnx(Path("net.onnx"), records, indices, threads=2), native)
    ways = every_way(twins, checkpoint, records, indices, threads, folder)
"""
from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Mapping

import numpy as np

from common.data.batches import BatchReader
from common.data.records import RecordSet
from common.network.layers import INPUT, OUTPUT
from common.network.onnx_session import open_session
from common.training.checkpoint import Checkpoint, model_of
from common.training.evaluation import gathered, predict
from common.training.trained import Trained
from common.twin import Twin

LOGIT_TOLERANCE = 1e-3  # largest logit difference that rounding explains, with room


@dataclass(frozen=True)
class CrossCheck:
    """One way from parameters to logits against another on the same utterances: ONNX Runtime, and a framework's own."""

    utterances: int
    largest_difference: float  # of any logit
    logit_scale: float  # largest absolute native logit
    same_answer: float  # share of utterances with the same top-1

    @property
    def agrees(self) -> bool:
        """The same logits but for rounding, and the same answers."""
        return self.largest_difference < LOGIT_TOLERANCE and self.same_answer == 1

    @classmethod
    def of(cls, onnx: np.ndarray, native: np.ndarray) -> CrossCheck:
        """From the logits (N, speakers) of both; where the native ones are of another shape nothing agrees."""
        if native.shape != onnx.shape:
            return cls(len(onnx), math.nan, math.nan, 0.0)
        difference = np.abs(onnx.astype(np.float64) - native)
        return cls(len(native), float(difference.max()), float(np.abs(native).max()),
                   float((onnx.argmax(axis=1) == native.argmax(axis=1)).mean()))


def run_onnx(path: Path, records: RecordSet, indices: np.ndarray, threads: int) -> np.ndarray:
    """Logits float32 (N, speakers) by ONNX Runtime on the CPU."""
    session = open_session(path, threads)
    return _gathered(lambda x: session.run([OUTPUT], {INPUT: x})[0], records, indices)


def every_way(twins: Mapping[str, Twin], checkpoint: Checkpoint, records: RecordSet,
              indices: np.ndarray, threads: int, folder: Path) -> Dict[str, np.ndarray]:
    """Logits of one set of weights by every way there is; `folder` gets both ONNX files.

    Each framework natively, each export in ONNX Runtime, and each export in the other framework.
    """
    ways, spec = {}, checkpoint.spec
    files = {name: folder / f"{spec.name}-{name}.onnx" for name in twins}
    for name, twin in twins.items():
        model = model_of(twin, checkpoint)
        ways[f"{name} native"] = predict(twin, model, BatchReader.in_order(records, indices))[0]
        model.export_onnx(files[name], Trained.of(checkpoint).metadata())
        ways[f"{name} > ONNX Runtime"] = run_onnx(files[name], records, indices, threads)
    for source, target in itertools.permutations(twins, 2):
        imported = twins[target].import_onnx(files[source], spec)
        ways[f"{source} > ONNX > {target}"] = _gathered(imported, records, indices)
    return ways


def _gathered(logits: Callable[[np.ndarray], np.ndarray], records: RecordSet, indices: np.ndarray) -> np.ndarray:
    return gathered((logits(batch.spectrograms), batch.speakers) for batch in BatchReader.in_order(records, indices).epoch(0))[0]
