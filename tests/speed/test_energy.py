"""Energy counters, from a folder that looks like Linux's."""
from __future__ import annotations

from pathlib import Path

import pytest

from common.speed.energy import EnergyMeter


def zone(powercap: Path, name: str, kind: str, microjoules: int, largest: int = 10_000_000) -> Path:
    folder = powercap / name
    folder.mkdir()
    for file, text in (("name", kind), ("energy_uj", microjoules), ("max_energy_range_uj", largest)):
        (folder / file).write_text(f"{text}\n")
    return folder


def test_packages_and_their_memory_are_added_and_no_part_is_counted_twice(tmp_path: Path) -> None:
    names = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram", "intel-rapl:1": "psys",
             "intel-rapl:2": "package-1"}
    zones = {name: zone(tmp_path, name, kind, 1_000_000) for name, kind in names.items()}
    meter = EnergyMeter(tmp_path)
    before = meter.read()
    for each in zones.values():
        (each / "energy_uj").write_text("1500000\n")
    assert meter.joules_since(before) == pytest.approx(3 * 0.5)


def test_a_counter_that_starts_again(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000)
    meter = EnergyMeter(tmp_path)
    before = meter.read()
    (package / "energy_uj").write_text("500000\n")
    assert meter.joules_since(before) == pytest.approx(1.5)


@pytest.mark.parametrize("broken", ["nothing there", "no folder", "not for us"])
def test_without_a_counter_nothing_is_said(tmp_path: Path, broken: str) -> None:
    if broken == "not for us":  # as root a test may read anything: a folder is what cannot be read
        folder = zone(tmp_path, "intel-rapl:0", "package-0", 0)
        (folder / "energy_uj").unlink()
        (folder / "energy_uj").mkdir()
    meter = EnergyMeter(tmp_path / "none" if broken == "no folder" else tmp_path)
    assert meter.joules_since(meter.read()) is None
