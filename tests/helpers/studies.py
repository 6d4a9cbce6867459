"""Profiles and points of a scaling study made by hand, for the tests of what is said and drawn of them."""
from __future__ import annotations

import dataclasses
from typing import Any

from common.network.architectures import build
from common.speed.engine import BACKWARD, FORWARD
from common.speed.profile import LOSS, UPDATE, Profile
from common.speed.scaling import FRAMES, Point
from common.twin import OpTime


def made_profile(factor: float = 1.0) -> Profile:
    return Profile([OpTime("Conv", "frame1", FORWARD, 0.010 * factor), OpTime("ConvGradient", "frame1", BACKWARD, 0.030),
                    OpTime("Update", "frame1", UPDATE, 0.002), OpTime("Softmax", LOSS, FORWARD, 0.001)], 0.050)


def point(value: int, framework: str = "caffe2", kind: str = "training", axis: str = FRAMES, **changed: Any) -> Point:
    macs = build("tdnn", 50).macs(value if axis == FRAMES else 300)
    made = Point("tdnn", axis, value, kind, framework, 4, macs, [0.04 * value, 0.05 * value, 0.04 * value], 900.0, True)
    return dataclasses.replace(made, **changed)
