"""Which graphics cards this Caffe2 can drive, by its own wheel; see `common.device`.

    build().codes                    # of `sm_70` and the like
"""
from __future__ import annotations

import torch  # Caffe2's kernels are in its wheel

from common.device import Build, version

# Published by PyTorch outside the package index, of the same release.
_ELSEWHERE = {"torch 1.10.2+cu113, the same release for CUDA 11.3,": ["sm_80", "sm_86"]}


def build() -> Build:
    """What is installed; Caffe2's wheel brings CUDA's libraries along."""
    framework = f"Caffe2 of PyTorch {torch.__version__}"
    if torch.version.cuda is None:
        return Build(framework, (0, 0), [], elsewhere=_ELSEWHERE)
    return Build(framework, version(torch.version.cuda), torch._C._cuda_getArchFlags().split(), elsewhere=_ELSEWHERE)
