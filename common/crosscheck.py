"""The same utterances through ONNX Runtime: does an export say what its framework says?

    check = crosscheck(Path("net.onnx"), records, indices, native_logits, threads=2)
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.onnx_file import INPUT, OUTPUT
from common.records import RecordSet

TOLERANCE = 1e-3  # largest logit difference that rounding explains, with room
_BATCH = 16


@dataclass(frozen=True)
class CrossCheck:
    """ONNX Runtime against a framework's own predictions on the same utterances."""

    utterances: int
    largest_difference: float  # of any logit
    logit_scale: float  # largest absolute native logit
    same_answer: float  # share of utterances with the same top-1

    @property
    def passed(self) -> bool:
        return self.largest_difference < TOLERANCE and self.same_answer == 1.0


def crosscheck(path: Path, records: RecordSet, indices: np.ndarray, native: np.ndarray,
               threads: int) -> CrossCheck:
    """Run the export at `path` on `records[indices]`; `native` are the framework's logits (N, S)."""
    logits = run_onnx(path, records, indices, threads)
    difference = np.abs(logits.astype(np.float64) - native)
    return CrossCheck(len(indices), float(difference.max()), float(np.abs(native).max()),
                      float((logits.argmax(axis=1) == native.argmax(axis=1)).mean()))


def run_onnx(path: Path, records: RecordSet, indices: np.ndarray, threads: int) -> np.ndarray:
    """Logits float32 (N, speakers) by ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    batches = [indices[i:i + _BATCH] for i in range(0, len(indices), _BATCH)]
    return np.concatenate([session.run([OUTPUT], {INPUT: records.read(batch)[0]})[0]
                           for batch in batches])
