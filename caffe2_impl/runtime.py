"""Caffe2 in this process: device, threads, versions."""
from __future__ import annotations

import ctypes
import logging
import re
from pathlib import Path
from typing import Callable, Dict

# caffe2.python logs at every start that it found no CUDA and which CPU features it was not
# compiled with; its oneDNN kernels choose theirs at run time.
logging.getLogger("caffe2.python._import_c_extension").setLevel(logging.ERROR)
logging.getLogger().addFilter(lambda record: "caffe2_pybind11_state" not in record.getMessage())

import numpy as np
import torch  # Caffe2's compiled part lives in PyTorch's wheel (up to 1.10) and links to it
from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace

from common.errors import UserError
from common.machine import in_force

CPU = core.DeviceOption(caffe2_pb2.CPU)
IDEEP = core.DeviceOption(caffe2_pb2.IDEEP)  # Intel's oneDNN kernels, on the CPU
CUDA = core.DeviceOption(caffe2_pb2.CUDA, 0)

_device = IDEEP
_threads = 0


def configure(device: str, threads: int) -> None:
    """Use `device` (cpu or gpu, see `common.device`) and `threads` threads an operation.

    Raises UserError when it finds no GPU after all.
    """
    global _device, _threads
    if device == "gpu" and not _gpus():
        raise UserError("Caffe2 does not find the GPU that CUDA shows; use --device cpu")
    workspace.GlobalInit(["caffe2", "--caffe2_log_level=3",
                          f"--caffe2_omp_num_threads={threads}",
                          f"--caffe2_mkl_num_threads={threads}"])
    torch.set_num_threads(threads)
    _threads = threads
    _device = CUDA if device == "gpu" else IDEEP


def device() -> caffe2_pb2.DeviceOption:
    """Where convolutions run."""
    return _device


def on_gpu() -> bool:
    return _device.device_type == caffe2_pb2.CUDA


def facts() -> Dict[str, str]:
    """How this process computes."""
    return {
        "framework": f"Caffe2 of PyTorch {torch.__version__}",
        "device": "gpu" if on_gpu() else "cpu",
        "engine": "cuDNN" if on_gpu() else "IDEEP (oneDNN) + MKL",
        "layout": "NCHW",
        "precision": "float32",  # CUDA 10.2 and its cards know no TF32
        "threads": str(_threads),
        **(_cuda_libraries() if on_gpu() else _cpu_libraries()),
    }


def _cpu_libraries() -> Dict[str, str]:
    build = torch.__config__.show()
    mkl, dnnl = (re.search(rf"{name} v?(?:Version )?([\d.]+)", build)
                 for name in ("Math Kernel Library", "MKL-DNN"))
    return {"blas": f"MKL {mkl[1] if mkl else 'unknown'}",
            "convolutions": f"oneDNN {dnnl[1] if dnnl else 'unknown'} (IDEEP)",
            "instructions": f"MKL: {_mkl_kernels()}; {in_force('DNNL_MAX_CPU_ISA') or 'oneDNN: by the processor'}"}


def _mkl_kernels() -> str:
    """For which processors MKL, by its own word, takes its kernels."""
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib/libtorch_cpu.so"))
    kind = library.mkl_serv_cpu_detect()
    # Set by `caffe2_impl` or by hand, and where it is the other one has no effect.
    told = in_force("MKL_DEBUG_CPU_TYPE") or in_force("MKL_ENABLE_INSTRUCTIONS")
    return {0: "for any processor", 5: "AVX2"}.get(kind, f"type {kind}") + (f" ({told})" if told else "")


def _cuda_libraries() -> Dict[str, str]:
    return {"blas": f"cuBLAS of CUDA {torch.version.cuda}",
            "convolutions": f"cuDNN {torch.backends.cudnn.version()}", "instructions": "the card's"}


def matmul(size: int) -> Callable[[], object]:
    """A function that multiplies two square float32 matrices, to see what the machine can do: a dense layer where networks run."""
    generator = np.random.default_rng(0)
    blobs = [f"matmul_{size}/{name}" for name in ("a", "b", "bias")]
    for blob, shape in zip(blobs, ((size, size), (size, size), (size,))):
        workspace.FeedBlob(blob, generator.standard_normal(shape, np.float32), device_option=_device)
    net = core.Net("matmul")
    net.Proto().op.extend([core.CreateOperator("FC", blobs, [f"matmul_{size}/product"], device_option=_device)])
    workspace.CreateNet(net, overwrite=True)
    return lambda: workspace.RunNet(net)


def about() -> Dict[str, str]:
    """Version, origin and devices, for a person."""
    codes = torch._C._cuda_getArchFlags() or "none"
    return {
        "Caffe2": f"the one in PyTorch {torch.__version__}'s wheel, "
                  "the last release line that carries it compiled",
        "Caffe2's operators": str(len(workspace.RegisteredOperators())),
        "Caffe2's CUDA build": f"CUDA {torch.version.cuda}, compute {codes.replace(' ', ', ')}",
        "Caffe2's devices": ", ".join(["cpu (IDEEP)", *(f"gpu {i}" for i in range(_gpus()))]),
    }


def _gpus() -> int:
    return workspace.NumCudaDevices() if workspace.has_cuda_support else 0
