"""Energy that the processor and the graphics cards took, where the machine lets it be read.

    meter = EnergyMeter()
    before = meter.read()
    ...
    meter.joules_since(before)        # None where there is no counter

The processor's counters are Linux's (powercap, RAPL: packages and their memory), which most machines
show to root only and virtual machines not at all; the cards' are NVIDIA's (NVML).
"""
from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from typing import Dict, List, Optional

POWERCAP = Path("/sys/class/powercap")

Reading = Dict[str, float]  # counter -> joules since some moment


class EnergyMeter:
    """Reads every counter that can be read; `powercap` is the folder of the processor's."""

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self._zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if _counts(zone)]
        self._cards = _cards()

    def read(self) -> Reading:
        """What the counters stand at now; empty if there are none."""
        zones = {zone.name: _number(zone / "energy_uj") / 1e6 for zone in self._zones}
        return {**zones, **{f"card {i}": card() for i, card in enumerate(self._cards)}}

    def joules_since(self, before: Reading) -> Optional[float]:
        """Joules of all counters together since `before`, None if there are none."""
        if not before:
            return None
        total = 0.0
        for name, joules in self.read().items():
            taken = joules - before[name]
            if taken < 0:  # the counter started again at zero
                zone = next(zone for zone in self._zones if zone.name == name)
                taken += _number(zone / "max_energy_range_uj") / 1e6
            total += taken
        return total


def _counts(zone: Path) -> bool:
    """Whether a zone is a package, or memory beside it: others are counted by their package."""
    try:
        name = (zone / "name").read_text().strip()
        _number(zone / "energy_uj")
    except (OSError, ValueError):  # only root may read it, or it is no counter
        return False
    return name.startswith("package") or name == "dram"


def _number(path: Path) -> int:
    return int(path.read_text())


def _cards() -> List:
    """A function for each NVIDIA card that returns its joules; needs the package nvidia-ml-py."""
    if importlib.util.find_spec("pynvml") is None:
        return []
    import pynvml

    cards = []
    with contextlib.suppress(pynvml.NVMLError):  # no driver, no card, or a card without a counter
        pynvml.nvmlInit()
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            cards.append(lambda handle=handle:
                         pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)
    return cards
