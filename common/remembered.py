"""What was found out on this machine and holds until something of it changes, in the user's cache.

    file = remembered("selfcheck", "tf_impl-tdnn", ["tf_impl", "common/network"], "cpu", {"threads": 2})
    file.exists()          # found out before, on this processor, with these libraries, settings and this code

Which kernels a library runs, and how quick they are, is decided by processor, versions and variables;
what was found out with others says nothing, so all of them are in the file's name. To forget, delete
the file or the whole folder.
"""
from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from common.contenders import CONTENDERS
from common.files import cache_folder
from common.machine import PROJECT, THREAD_VARIABLES, installed_version

# Variables by which libraries choose kernels, devices and threads begin so. Keras's are kept from it, see `tf_impl`.
_CHOOSING = ("DNNL_", "ONEDNN_", "TF_", "XLA_", "MKL_", "OPENBLAS_", "OMP_", "KMP_", "GOMP_", "CAFFE2_", "ATEN_", "LRU_CACHE_",
             "NPY_", "CUDA_", "CUDNN_", "NVIDIA_", "LD_PRELOAD", "LD_LIBRARY_PATH", "GLIBC_TUNABLES")
# TensorFlow's log, and Terraform's, which begin with TF_, too: some of them are secrets.
_OTHERS = tuple(f"TF_{name}" for name in (
    "CPP_", "ACC", "APPEND_", "CLI_", "CLOUD_", "DATA_DIR", "HTTP_", "IGNORE", "IN_", "INPUT", "LOG", "PLUGIN_", "REATTACH_",
    "REGISTRY_", "SKIP_", "STATE_", "TEMP_", "TOKEN", "VAR_", "WORKSPACE"))
# --threads sets these, and threadpoolctl the last.
_OWN = (*THREAD_VARIABLES, "KMP_DUPLICATE_LIB_OK")
AT_START = dict(os.environ)  # twins and frameworks set more of them when they are imported, always the same


def settings() -> Dict[str, str]:
    """The variables that choose kernels, devices or threads, as this process began with them."""
    return {name: value for name, value in sorted(AT_START.items())
            if name.startswith(_CHOOSING) and not name.startswith(_OTHERS) and name not in _OWN}


def remembered(kind: str, name: str, code: Sequence[str], device: str, known: Mapping[str, Any]) -> Path:
    """The file, there or not, in which something of this `kind` is remembered for all that is the same.

    code: folders and files of the project whose source it depends on; known: whatever else, as JSON.
    """
    packages = {"numpy", *(row.package for row in CONTENDERS.values() if row.is_twin)}
    key = {"code": _hash_of(code), "device": [device, _cards(device)], "processor": _processor(),
           "versions": {package: installed_version(package) for package in packages}, "settings": settings(), **known}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / kind / f"{name}-{digest}.json"


def _processor() -> List[str]:
    """Its model, and what instructions it has."""
    return sorted({line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("model name", "flags"))})


def _cards(device: str) -> List[str]:
    """What NVIDIA's driver says of itself and each card; nothing where none can be meant."""
    driver = Path("/proc/driver/nvidia")
    files = [] if device == "cpu" else [driver / "version", *sorted(driver.glob("gpus/*/information"))]
    return [path.read_text(errors="replace") for path in files if path.exists()]


def _hash_of(code: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for place in code:
        path = PROJECT / place
        for file in [path] if path.is_file() else sorted(path.glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
