"""How fast shuffled batches come out of the page cache, and how much memory that takes.

    python -m common.data.reading_speed "$(python -m common.voices.synthetic)"
    python -m common.data.reading_speed DATA --memory 1 3 9

Rounds of four ways take turns, over the same bytes: a plain copy between two arrays, a copy out of
mapped files whose pages are in place, plain reads of the files, and the reader. With --memory, data
sets of so many GB (sparse files: they take no room on most disks) are read through, shuffled, by a
process that may not have 2 GiB of memory of its own.
"""
from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from common.data.batches import BatchReader
from common.data.dataset import record_files
from common.data.records import RECORD_BYTES, RECORD_FLOATS, RecordSet
from common.errors import UserError, friendly
from common.measured import facts, told
from common.parser import Parser, number

MEMORY_LIMIT = 2 * 2**30  # bytes of its own that the reading process may have
_COPY, _MAPPED, _READ, _READER = (
    "memcpy, array to array", "memcpy out of mapped page cache", "read() of whole records, in order",
    "the reader: shuffled, checked batches")
_SOURCE_RECORDS = 1024  # of the array that is copied from: 629 MB, more than any cache holds
_FILE_RECORDS = 1600    # of a sparse file, about a GB


class Memory(NamedTuple):
    """Of a process that read a data set through; MiB."""

    records: int
    seconds: float
    own: float     # most memory of its own at any time (RssAnon)
    mapped: float  # most pages of the files at any time (RssFile), over those it started with


def measure_speed(paths: Sequence[Path], batch_size: int, rounds: int) -> Dict[str, List[float]]:
    """Bytes a second of each way, in every round. Reads the files once beforehand."""
    records = RecordSet.open(paths)
    reader = BatchReader.shuffled(records, np.arange(len(records)), batch_size, seed=0)
    batch = np.ones((batch_size, RECORD_FLOATS), np.float32)
    source = np.ones((min(len(records), _SOURCE_RECORDS), RECORD_FLOATS), np.float32)
    mapped = [np.memmap(path, np.float32, "r").reshape(-1, RECORD_FLOATS) for path in paths]
    ways: Dict[str, Callable[[int], int]] = {
        _COPY: lambda epoch: _copy([source] * (-(-len(records) // len(source))), batch),
        _MAPPED: lambda epoch: _copy(mapped, batch),
        _READ: lambda epoch: _read(paths, batch),
        _READER: lambda epoch: sum(each.spectrograms.nbytes for each in reader.epoch(epoch))}
    speeds: Dict[str, List[float]] = {way: [] for way in ways}
    for turn in range(-1, rounds):  # the first brings files into the page cache and does not count
        for way, run in ways.items():
            start = time.perf_counter()
            copied = run(turn + 1)
            if turn >= 0:
                speeds[way].append(copied / (time.perf_counter() - start))
    return speeds


def _copy(sources: Sequence[np.ndarray], batch: np.ndarray) -> int:
    """Copy arrays of records into one batch, a batch at a time. Returns the bytes."""
    copied = 0
    for source in sources:
        for start in range(0, len(source), len(batch)):
            piece = source[start:start + len(batch)]
            batch[:len(piece)] = piece
            copied += piece.nbytes
    return copied


def _read(paths: Sequence[Path], batch: np.ndarray) -> int:
    copied = 0
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while True:
                got = file.readinto(batch)
                if not got:
                    break
                copied += got
    return copied


def measure_memory(folder: Path, gigabytes: float, batch_size: int) -> Memory:
    """Read a sparse data set of that size through, in a process of its own, once and shuffled."""
    paths = list(_sparse_files(folder, round(gigabytes * 1e9 / RECORD_BYTES)))
    try:
        with multiprocessing.get_context("spawn").Pool(1) as process:
            return process.apply(_read_through, (paths, batch_size))
    finally:
        for path in paths:
            path.unlink()


def _sparse_files(folder: Path, records: int) -> Iterator[Path]:
    """Record files of zeros, which are silence by speaker 0."""
    for part, start in enumerate(range(0, records, _FILE_RECORDS), 1):
        path = folder / f"part-{part}.bin"
        with open(path, "wb") as file:
            file.truncate(min(_FILE_RECORDS, records - start) * RECORD_BYTES)
        yield path


def _read_through(paths: Sequence[Path], batch_size: int) -> Memory:
    """What the process does; it fails when it wants more than MEMORY_LIMIT of its own."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
    records = RecordSet.open(paths)
    reader = BatchReader.shuffled(records, np.arange(len(records)), batch_size, seed=0)
    before, own, mapped = _resident(), 0.0, 0.0
    start = time.perf_counter()
    for _ in reader.epoch(0):
        now = _resident()
        own, mapped = max(own, now["RssAnon"]), max(mapped, now["RssFile"] - before["RssFile"])
    return Memory(len(records), time.perf_counter() - start, own, mapped)


def _resident() -> Dict[str, float]:
    """Resident memory by kind in MiB, as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: int(value.split()[0]) / 2**10 for name, _, value in (line.partition(":") for line in lines)
            if name in ("RssAnon", "RssFile")}


def speed_table(speeds: Dict[str, List[float]]) -> str:
    """A line for each way: median, slowest and fastest round, and its share of the first way's median."""
    from common.tables import table

    first = np.median(speeds[_COPY])
    rows = [[way, f"{np.median(each) / 1e9:.2f} [{min(each) / 1e9:.2f}, {max(each) / 1e9:.2f}]",
             f"{np.median(each) / first:.2f}"] for way, each in speeds.items()]
    return table(rows, ["", "GB/s, median [slowest, fastest round]", "of memcpy"], "github")


def memory_table(found: Sequence[Memory]) -> str:
    """A line for each data set that was read through."""
    from common.tables import table

    rows = [[f"{each.records * RECORD_BYTES / 1e9:.1f} GB", f"{each.records:,}", f"{each.own:.0f} MiB",
             f"{each.mapped:.0f} MiB", f"{each.records * RECORD_BYTES / each.seconds / 1e9:.2f} GB/s"] for each in found]
    return table(rows, ["data set", "records", "most memory of its own", "most mapped at a time",
                        "read, shuffled, not in the page cache before"], "github")


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    options = _parser().parse_args(argv)
    if min(options.memory, default=1) <= 0:
        raise UserError("--memory must be above 0")
    print(_report(options))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m common.data.reading_speed", __doc__)
    parser.add_argument("data", nargs="+", type=Path, help="data folders or record files")
    parser.add_argument("--batch-size", type=number, default=32, help="records (32)")
    parser.add_argument("--rounds", type=number, default=9, help="of each way (9)")
    parser.add_argument("--memory", nargs="+", type=float, default=[], metavar="GB",
                        help="sizes of sparse data sets to read through under a limit of memory")
    parser.add_argument("--scratch", type=Path, metavar="FOLDER",
                        help="where those are made, on a disk, not in memory (the temporary folder)")
    return parser


def _report(options: argparse.Namespace) -> str:
    paths = [file for path in options.data for file in record_files(path)]
    total = sum(path.stat().st_size for path in paths)
    parts = ["# How fast the reader is\n", told(facts(threads=1)),
        f"\n{len(paths)} record files, {total / 2**20:.0f} MiB, in the page cache; batches of "
        f"{options.batch_size}; {options.rounds} rounds, the ways taking turns.\n",
        speed_table(measure_speed(paths, options.batch_size, options.rounds))]
    if options.memory:
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            found = [measure_memory(Path(folder), size, options.batch_size) for size in options.memory]
        parts += [f"\nRead through by a process that may have {MEMORY_LIMIT / 2**30:.0f} GiB of memory of "
                  "its own (RLIMIT_DATA); the files are sparse, so what is read are zeros, and GB/s are no disk's:\n", memory_table(found)]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
