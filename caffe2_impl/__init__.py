"""The networks in Caffe2: the twin of `tf_impl`, file by file."""
from __future__ import annotations

import os
from pathlib import Path

from common.errors import unbroken
from common.twin import Twin


def load() -> Twin:
    """Import Caffe2 and return this implementation."""
    _ask_mkl_for_avx2()
    with unbroken():
        from caffe2_impl import feeding, from_onnx, model, profile, runtime

    return Twin("caffe2_impl", "Caffe2", runtime.configure, model.Model, feeding.staged,
                from_onnx.import_onnx, runtime.about, profile.profile, runtime.matmul)


def _ask_mkl_for_avx2() -> None:
    """MKL 2020 gives AMD's processors its slowest kernels, a quarter as fast, unless told otherwise."""
    processor = Path("/proc/cpuinfo").read_text()
    if "AuthenticAMD" in processor and " avx2 " in processor:
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")
