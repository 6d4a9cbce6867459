"""Which device computes: one decision for every framework of a command, made before any is started.

    decision = decide("auto", ["tf_impl", "caffe2_impl"])
    decision.device                  # "cpu" or "gpu"
    python compare.py --version      # what both frameworks would use here

A card is used if all frameworks have code for its compute capability and all the libraries that they
need; else all compute on the CPU. What a framework has is said by its own wheel (`cards.py` of each
twin, asked in a process of its own), what the card is by CUDA's driver.
"""
from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from common.errors import UserError
from common.machine import PROJECT

Version = Tuple[int, int]

_CODE = re.compile(r"(?P<kind>sm|compute)_(?P<major>\d+)(?P<minor>\d)(?P<only>[af]?)")
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR of cuda.h


@dataclass(frozen=True)
class Card:
    """The first card that programs see through CUDA; CUDA_VISIBLE_DEVICES chooses another."""

    name: str
    capability: Version
    driver: Version  # the newest CUDA that the driver knows

    def __str__(self) -> str:
        return f"{self.name} (compute capability {_dotted(self.capability)})"


@dataclass(frozen=True)
class Build:
    """What an installed framework can drive."""

    framework: str
    cuda: Version
    codes: List[str]  # sm_70: machine code for 7.0; compute_90: PTX, which a driver translates
    missing: List[str] = field(default_factory=list)  # libraries of CUDA that cannot be loaded
    remedy: str = ""  # how to get those
    elsewhere: Dict[str, List[str]] = field(default_factory=dict)  # other builds of it -> their codes


class Decision(NamedTuple):
    """The device of all frameworks of a command, and why."""

    device: str  # cpu | gpu
    reason: str

    def __str__(self) -> str:
        return f"{self.device} ({self.reason})"


def decide(asked: str, packages: Sequence[str]) -> Decision:
    """The device for the frameworks of these twins; `asked`: auto, cpu or gpu.

    Raises UserError when a GPU is asked for that one of them cannot drive.
    """
    if asked == "cpu":
        return Decision("cpu", "as asked")
    card = first_card()
    return judge(asked, card, [] if card is None else [ask_build(package) for package in packages])


def judge(asked: str, card: Optional[Card], builds: Sequence[Build]) -> Decision:
    """The decision as it follows from the card and what the frameworks can drive."""
    if card is None:
        obstacles = ["CUDA's driver shows no card here"]
    else:
        obstacles = [each for each in (obstacle(card, build) for build in builds) if each]
    if not obstacles:
        return Decision("gpu", f"{card}, which {' and '.join(build.framework for build in builds)} can drive")
    if asked == "gpu":
        raise UserError(f"--device gpu: {'; '.join(obstacles)}; use --device cpu")
    return Decision("cpu", "; ".join(obstacles))


def obstacle(card: Card, build: Build) -> Optional[str]:
    """Why a build cannot drive the card, and what could; None if it can."""
    if not runs(build.codes, card.capability):
        able = [name for name, codes in build.elsewhere.items() if runs(codes, card.capability)]
        return (f"{build.framework} has no code for the {card}, only {' '.join(build.codes) or 'for CPUs'}"
                + (f"; {' or '.join(able)} has" if able else ""))
    if build.missing:
        return f"{build.framework} does not find {', '.join(build.missing)} ({build.remedy})"
    if card.driver < build.cuda and not runs(build.codes, card.capability, ptx=False):
        return (f"{build.framework} has only PTX of CUDA {_dotted(build.cuda)} for the {card}, and a driver for "
                f"{_dotted(card.driver)} cannot translate it")
    # From CUDA 11 on a driver takes programs of every later minor version.
    needed = build.cuda if build.cuda[0] < 11 else (build.cuda[0], 0)
    if card.driver < needed:
        return (f"{build.framework} needs a driver for CUDA {_dotted(needed)}, and the {card.name}'s is for "
                f"{_dotted(card.driver)}")
    return None


def runs(codes: Sequence[str], capability: Version, ptx: bool = True) -> bool:
    """Whether one of the codes runs on a card.

    Machine code runs on cards of its own major version from its minor version on, PTX on all later ones if the driver can
    translate it (`ptx`); what ends in a (sm_90a) on cards of that capability alone, in f on those of its major version.
    """
    return any(_runs(code, capability, ptx) for code in codes)


def _runs(code: str, capability: Version, ptx: bool) -> bool:
    found = _CODE.fullmatch(code)
    if not found or found["kind"] == "compute" and not ptx:
        return False
    of = int(found["major"]), int(found["minor"])
    if found["only"] == "a":  # for the features of this very kind of card
        return of == capability
    return of <= capability and (found["kind"] == "compute" and not found["only"] or of[0] == capability[0])


def first_card() -> Optional[Card]:
    """What CUDA's driver says of its first card; None without a driver or a card that it shows."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, major, minor, version = (ctypes.c_int() for _ in range(4))
    name = ctypes.create_string_buffer(256)
    calls = (lambda: cuda.cuInit(0), lambda: cuda.cuDeviceGet(ctypes.byref(device), 0),
             lambda: cuda.cuDeviceGetName(name, len(name), device),
             lambda: cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device),
             lambda: cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device),
             lambda: cuda.cuDriverGetVersion(ctypes.byref(version)))
    if any(call() for call in calls):  # the first that fails ends it: each answers 0 for success
        return None
    return Card(name.value.decode(errors="replace"), (major.value, minor.value),
                (version.value // 1000, version.value % 1000 // 10))


def ask_build(package: str) -> Build:
    """What a twin's framework can drive; takes the seconds that its import takes."""
    source = ("import dataclasses, json\n"
              f"from {package}.cards import build\n"
              "print(json.dumps(dataclasses.asdict(build())))")
    done = subprocess.run([sys.executable, "-c", source], cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{package} cannot tell which cards it drives; use --device cpu:\n{done.stderr}")
    values = json.loads(done.stdout)
    return Build(**{**values, "cuda": tuple(values["cuda"])})


def version(text: str) -> Version:
    """(12, 3) for "12.3"."""
    major, minor = (int(number) for number in text.split(".")[:2])
    return major, minor


def _dotted(numbers: Version) -> str:
    return ".".join(map(str, numbers))
