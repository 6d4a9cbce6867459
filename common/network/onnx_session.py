"""An exported file in ONNX Runtime on the CPU; needs neither framework, nor the package `onnx`.

    open_session(Path("speaker.onnx"), threads=2).run(["logits"], {"spectrograms": spectrograms})
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # slow to import, and only named in annotations
    import onnxruntime


def open_session(path: Path, threads: int) -> "onnxruntime.InferenceSession":
    """Raises errors of ONNX Runtime's own kinds, which have nothing in common, for a file that it cannot read."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
