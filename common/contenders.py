"""Who is measured: one row each, with all that the rest of the code has to know of it.

    CONTENDERS["keras"].label                    # by_label("Keras") is "keras"
    with Worker.of(CONTENDERS["caffe2-direct"], threads=2) as worker: ...

A new baseline is a row here and a module that serves its worker (see `common.speed.worker`). What
differs from another by settings alone is a row with variables, or a plan (`common.speed.convolutions`), for the same module.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Mapping, Optional

_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # TensorFlow decides by the processor where it is not set


@dataclass(frozen=True)
class Contender:
    """A framework of the comparison, or a baseline beside it."""

    key: str  # in options and reports
    label: str  # as people write it, and a framework's twin calls itself
    module: str  # that serves its worker
    package: str  # that has to be installed
    colour: str
    # So that all can be told apart in grey print, too: matplotlib's names.
    hatch: str = ""
    line: str = "-"
    marker: str = "o"
    environment: Mapping[str, Optional[str]] = field(default_factory=dict)  # None: not set
    trains: bool = True
    framework: bool = False  # one of those that are compared: a twin that learns, too
    own_of: Optional[str] = None  # the framework that this is, with its own convolutions alone
    switch_of: Optional[str] = None  # the baseline that this is, with a switch set
    takes_export: bool = False  # its worker is given an ONNX file
    exports: bool = False  # whose ONNX file that is, where there is a choice: the smaller graph

    @property
    def implementation(self) -> str:
        """The package of ours that computes."""
        return self.module.partition(".")[0]

    @property
    def is_twin(self) -> bool:
        """Whether one of the two implementations computes, with or without its own convolutions."""
        return self.framework or self.own_of is not None


_ROWS = (
    Contender("tensorflow", "TensorFlow", "tf_impl.worker", "tensorflow", "#e8710a", framework=True),
    Contender("caffe2", "Caffe2", "caffe2_impl.worker", "torch", "#1a73e8", "///", "--", "s", framework=True, exports=True),
    Contender("tensorflow-direct", "TensorFlow, own convolutions", "tf_impl.worker", "tensorflow", "#a34d05", "..", "-.", "^",
              own_of="tensorflow"),
    Contender("caffe2-direct", "Caffe2, own convolutions", "caffe2_impl.worker", "torch", "#0d47a1", "xx", ":", "D", own_of="caffe2"),
    # What people get out of the box. Keras as it comes leaves oneDNN to the processor.
    Contender("keras", "Keras", "tf_impl.baseline", "keras", "#f5b971", "\\\\", marker="v", environment={_ONEDNN: None}),
    Contender("keras-onednn", "Keras, oneDNN on", "tf_impl.baseline", "keras", "#fbdcc0", "\\\\..", marker="<",
              environment={_ONEDNN: "1"}, switch_of="keras"),
    Contender("torch", "PyTorch", "caffe2_impl.baseline", "torch", "#8ab4f8", "||", marker="P"),
    Contender("onnxruntime", "ONNX Runtime", "common.speed.onnx_baseline", "onnxruntime", "#9aa0a6", "--", marker="X",
              trains=False, takes_export=True),
)
CONTENDERS: Dict[str, Contender] = {row.key: row for row in _ROWS}
FRAMEWORKS = [row.key for row in _ROWS if row.framework]
BASELINES = [row.key for row in _ROWS if not row.framework]


def label(key: str) -> str:
    """How people write a contender; whoever is none (NumPy) is called as its key says."""
    return CONTENDERS[key].label if key in CONTENDERS else key


def either(command: str) -> str:
    """How a framework is asked for what all of them can do, such as "export"."""
    return " or ".join(f"python -m {CONTENDERS[name].implementation}.{command}" for name in FRAMEWORKS)


def by_label(written: str) -> str:
    """The key of the contender that people write so; what is written where that is none."""
    return next((row.key for row in CONTENDERS.values() if row.label == written), written)
