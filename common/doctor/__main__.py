"""Look at record files for what would cost a night of training, in one pass over them.

    python -m common.doctor data
    python -m common.doctor data --repair data-repaired

Finds truncated files, labels that are no class, speakers without records, NaN, infinity and values of no sensible
magnitude, constant and mirrored spectrograms, silence, noise, samples far above full scale, exact and near duplicates,
recordings on both sides of a split and data too small for one; tells how the spectrograms were made, and where they
were not made alike or otherwise than dataset.json says.
Near duplicates are copies that differ by noise, loudness or up to 5 frames (0.05 s): the same recording
cut at another place is not told by its sound, only by its name in the sidecars.
Exit status: 0 sound or usable with warnings, 1 not usable (with --strict also for warnings), 2 cannot look.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

from common.errors import friendly
from common.parser import Parser
from common.progress import BYTES, Progress
from common.typed import json_text

if TYPE_CHECKING:  # slow to import, and --help does not need them
    from common.doctor.diagnosis import Diagnosis
    from common.doctor.scan import Scan


def build_parser() -> argparse.ArgumentParser:
    parser = Parser("python -m common.doctor", __doc__)
    parser.add_argument("data", type=Path, nargs="+", help="data folders or record files")
    parser.add_argument("--split", type=Path, metavar="FILE", help="a stored split (split.json) to look for leakage in; "
                        "default: the split of seed 0")
    parser.add_argument("--repair", type=Path, metavar="OUT", help="write the good records to this new folder; "
                        "the originals are left as they are")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write the class histogram and some spectrograms "
                        "as PNG to this folder, which must be new or empty")
    parser.add_argument("--force", action="store_true", help="replace what --plots wrote there before")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    parser.add_workers("threads")
    return parser


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    args = build_parser().parse_args(argv)
    # Imported late: --help and a mistyped option should not wait for NumPy.
    from common.data.dataset import record_files
    from common.doctor.diagnosis import diagnose
    from common.doctor.report import as_json, as_text

    if args.plots is not None:
        from common.doctor.plots import WRITES
        from common.outputs import vacate

        vacate(args.plots, WRITES, args.force, "--plots")
    scan = _scan([file for path in args.data for file in record_files(path)], args.workers)
    diagnosis = diagnose(scan, args.split)
    report = diagnosis.report
    print(json_text(as_json(report)) if args.json else as_text(report))
    if args.plots is not None:
        _plot(scan, diagnosis, args.plots)
    if args.repair is not None:
        _repair(scan, diagnosis, args.repair)
    return 1 if report.verdict == "not usable" or (args.strict and report.findings) else 0


def _scan(paths: List[Path], workers: int) -> Scan:
    from threadpoolctl import threadpool_limits

    from common.data.records import RECORD_BYTES
    from common.doctor.scan import scan_files
    from common.memory import keep_freed_memory

    keep_freed_memory()
    size = sum(path.stat().st_size for path in paths if path.exists())
    # One BLAS thread: each of our own threads has a core already.
    with threadpool_limits(1), Progress(BYTES) as progress:
        return scan_files(paths, workers, lambda records: progress.show("reading", records * RECORD_BYTES, size))


def _plot(scan: Scan, diagnosis: Diagnosis, folder: Path) -> None:
    from common.doctor.plots import plot
    from common.files import make_folder

    make_folder(folder)
    written = plot(scan, diagnosis.report, folder)
    print(f"plots: {', '.join(map(str, written)) or 'none, there are no records'}", file=sys.stderr)


def _repair(scan: Scan, diagnosis: Diagnosis, out: Path) -> None:
    from common.doctor.repair import repair

    done = repair(scan, diagnosis.good, diagnosis.speakers, out)
    print(f"repaired: {done.records} of {len(scan.labels)} records written to {out} in {len(done.files)} files, "
          f"{'with' if done.sidecars else 'without'} sidecars", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
