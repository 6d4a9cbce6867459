"""An exported file in ONNX Runtime on the CPU; needs neither framework, nor the package `onnx`.

    open_session(Path("speaker.onnx"), threads=2).run(["logits"], {"spectrograms": spectrograms})
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:  # slow to import, and only named in annotations
    import onnxruntime


def open_session(file: Union[Path, bytes], threads: int) -> onnxruntime.InferenceSession:
    """Of an exported file, or what one holds.

    Raises errors of ONNX Runtime's own kinds, which have nothing in common, for a file that it cannot read.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(file if isinstance(file, bytes) else str(file), options, ["CPUExecutionProvider"])
