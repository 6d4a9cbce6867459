"""Which graphics cards this TensorFlow can drive, by its own wheel; see `common.device`.

    build().codes                    # of `sm_70` and the like
"""
from __future__ import annotations

import ctypes
import importlib.util
import re
import runpy
from importlib.metadata import version as installed
from pathlib import Path
from typing import List

from common.device import Build, version

_CONFIGURED = "include/external/local_config_cuda/cuda/cuda/cuda_config.h"
# The libraries without any of which TensorFlow registers no card -> whose version each has.
_LIBRARIES = {"cudart": "CUDART", "cublas": "CUBLAS", "cublasLt": "CUBLAS", "cufft": "CUFFT",
              "cusolver": "CUSOLVER", "cusparse": "CUSPARSE", "cudnn": "CUDNN"}


def build() -> Build:
    """What is installed, from files of the package: nothing of TensorFlow is imported, which takes seconds."""
    name = f"TensorFlow {installed('tensorflow')}"
    package = Path(importlib.util.find_spec("tensorflow").submodule_search_locations[0])
    said = runpy.run_path(str(package / "python/platform/build_info.py"))["build_info"]
    if not said["is_cuda_build"]:
        return Build(name, (0, 0), [])
    return Build(name, version(said["cuda_version"]), list(said["cuda_compute_capabilities"]), _missing(package),
                 f'pip install "tensorflow[and-cuda]=={installed("tensorflow")}"')


def _missing(package: Path) -> List[str]:
    """Those of CUDA's libraries that neither their packages beside TensorFlow's nor the system has."""
    configured = (package / _CONFIGURED).read_text()
    missing = []
    for name, whose in _LIBRARIES.items():
        number = re.search(rf'TF_{whose}_VERSION "(\d+)', configured)[1]
        file = f"lib{name}.so.{number}"
        if not any(package.parent.glob(f"nvidia/*/lib/{file}")) and not _loads(file):
            missing.append(file)
    return missing


def _loads(file: str) -> bool:
    try:
        ctypes.CDLL(file)
    except OSError:
        return False
    return True
