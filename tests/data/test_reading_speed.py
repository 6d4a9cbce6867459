"""The reader's memory does not grow with the data, and its benchmark says what it measures."""
from __future__ import annotations

from pathlib import Path

import pytest

from common.data.reading_speed import MEMORY_LIMIT, Memory, main, measure_memory, measure_speed, memory_table
from common.data.records import KEPT_RECORDS, RECORD_BYTES


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """Sets of 0.4 and 0.8 GB, both more than stays mapped; the command does it with 9 GB."""
    small, large = (measure_memory(tmp_path, size, batch_size=8) for size in (0.4, 0.8))
    assert (small.records, large.records) == (651, 1302)
    batch = 8 * RECORD_BYTES / 2**20
    assert abs(large.own - small.own) < 4 * batch and abs(large.mapped - small.mapped) < 4 * batch
    assert large.own < 200 and large.mapped < KEPT_RECORDS * RECORD_BYTES / 2**20 + 2 * batch
    assert not list(tmp_path.iterdir())


def test_the_limit_is_one(tmp_path: Path) -> None:
    """A process that wants a batch larger than its limit does not get it."""
    with pytest.raises(MemoryError):
        measure_memory(tmp_path, 3.0, batch_size=2 + MEMORY_LIMIT // RECORD_BYTES)


def test_every_way_copies_the_same_bytes(tiny_data: Path) -> None:
    paths = sorted(tiny_data.glob("*.bin"))
    speeds = measure_speed(paths, batch_size=8, rounds=2)
    assert len(speeds) == 4 and all(len(each) == 2 and min(each) > 0 for each in speeds.values())


def test_command(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tiny_data), "--batch-size", "8", "--rounds", "1"]) == 0
    text = capsys.readouterr().out
    assert "2 record files, 28 MiB" in text
    assert all(f"| {way}" in text for way in ("memcpy, array to array", "memcpy out of", "read() of whole records", "the reader"))
    assert main([str(tmp_path)]) == 2 and main([str(tiny_data), "--rounds", "0"]) == 2
    assert "--rounds: must be at least 1, not 0" in capsys.readouterr().err
    assert main([str(tiny_data), "--memory", "1", "0"]) == 2 and "--memory must be above 0" in capsys.readouterr().err


def test_memory_table() -> None:
    text = memory_table([Memory(15_000, 4.0, 98.6, 19.2)])
    assert "| 9.2 GB" in text and "99 MiB" in text and "2.30 GB/s" in text
