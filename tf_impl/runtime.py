"""TensorFlow in this process: device, threads, versions."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Callable, Dict

import tensorflow as tf
from tensorflow.python.framework import test_util

from common.errors import UserError
from common.machine import in_force

_device = "/CPU:0"


def configure(device: str, threads: int) -> None:
    """Use `device` (cpu or gpu, see `common.device`) and at most `threads` threads an operation.

    Has to come before TensorFlow's first operation. Raises UserError when it finds no GPU after all.
    """
    global _device
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    # One operation at a time: Caffe2's simple net runs that way too, and on a few cores the
    # threads of one convolution already use them all.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
        _device = "/CPU:0"
        return
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise UserError(f"TensorFlow {tf.__version__} does not find the GPU that CUDA shows; use --device cpu")
    # Equal arithmetic on both sides: Caffe2's CUDA 10.2 knows no TF32.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.experimental.set_memory_growth(gpus[0], True)
    _device = "/GPU:0"


def device() -> str:
    """The TensorFlow name of the configured device."""
    return _device


def on_gpu() -> bool:
    return _device.startswith("/GPU")


def facts() -> Dict[str, str]:
    """How this process computes."""
    tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
    return {
        "framework": f"TensorFlow {tf.__version__}",
        "device": "gpu" if on_gpu() else "cpu",
        "engine": "cuDNN" if on_gpu() else _engine(),
        "layout": "NHWC",
        "precision": "TF32" if on_gpu() and tf32 else "float32",
        "threads": str(tf.config.threading.get_intra_op_parallelism_threads()),
        **(_cuda_libraries() if on_gpu() else _cpu_libraries(test_util.IsMklEnabled())),
    }


def _engine() -> str:
    """On a CPU, by TensorFlow's own word: it may differ from the variable's."""
    return "Eigen + oneDNN" if test_util.IsMklEnabled() else "Eigen"


def _cpu_libraries(onednn: bool) -> Dict[str, str]:
    """The compiled library tells no versions; the headers it was built with lie beside it."""
    headers = Path(tf.sysconfig.get_include())
    eigen = "Eigen " + _version(headers / "Eigen/src/Core/util/Macros.h",
                                "EIGEN_WORLD_VERSION", "EIGEN_MAJOR_VERSION", "EIGEN_MINOR_VERSION")
    dnnl = "oneDNN " + _version(headers / "external/onednn/include/oneapi/dnnl/dnnl_version.h",
                                "DNNL_VERSION_MAJOR", "DNNL_VERSION_MINOR", "DNNL_VERSION_PATCH")
    return {"blas": f"{dnnl}, the rest {eigen}" if onednn else f"{eigen} with the inner product of {dnnl}",
            "convolutions": dnnl if onednn else eigen,
            # oneDNN's choice can only be read from its log (ONEDNN_VERBOSE=1); what bounds it can be told.
            "instructions": "".join(f"{told}; " for told in [in_force("TF_ENABLE_ONEDNN_OPTS")] if told)
            + (in_force("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA") or "oneDNN: by the processor")}


def _cuda_libraries() -> Dict[str, str]:
    build = tf.sysconfig.get_build_info()
    return {"blas": f"cuBLAS of CUDA {build['cuda_version']}",
            "convolutions": f"cuDNN {build['cudnn_version']}", "instructions": "the card's"}


def _version(header: Path, *names: str) -> str:
    """The numbers that a C header defines under these names; "unknown" if it does not."""
    try:
        text = header.read_text(errors="replace")
        return ".".join(re.search(rf"#define {name} +(\d+)", text)[1] for name in names)
    except (OSError, TypeError):  # no such file, no such name
        return "unknown"


def matmul(size: int) -> Callable[[], object]:
    """A function that multiplies two square float32 matrices, to see what the machine can do."""
    a, b = (tf.random.stateless_normal((size, size), (seed, 0)) for seed in range(2))
    multiply = tf.function(tf.matmul)
    return lambda: multiply(a, b)


def about() -> Dict[str, str]:
    """Version, build and devices, for a person."""
    build = tf.sysconfig.get_build_info()
    gpus = [gpu.name for gpu in tf.config.list_physical_devices("GPU")]
    return {
        "TensorFlow": tf.__version__,
        "TensorFlow's engine on a CPU": _engine(),
        "TensorFlow's CUDA build": f"CUDA {build.get('cuda_version', 'none')}, compute "
                                   + ", ".join(build.get("cuda_compute_capabilities", ["none"])),
        "TensorFlow's devices": ", ".join(["cpu", *gpus]),
    }
