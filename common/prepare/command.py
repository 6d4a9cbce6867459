"""From recordings to a data folder that every command here takes with --data.

    python -m common.prepare MY_RECORDINGS data/mine
    python -m common.prepare MY_RECORDINGS data/mine --copies 2 --noise MY_NOISES --channel MY_ROOMS
    python -m common.prepare --from-url https://example.org/part-{1..6}.bin https://example.org/classes.txt data/theirs

MY_RECORDINGS holds SPEAKER/SESSION/ with wav, flac, ogg, opus, mp3, m4a, aac, wma, aiff or webm files
of any sampling rate and number of channels; VoxCeleb's own tree is one, and vox1_meta.csv and
iden_split.txt beside it are used. So is an archive such as the homework's samples.tar.gz. The data
folder gets part-N.bin in the homework's format, each with part-N.sessions.csv beside it, classes.txt,
dataset.json, a samples folder, and skipped.csv with the reason for every recording that was left out, in
whole or in part: damaged, silent, too short, far above full scale, or there twice by what is heard (other
suffix, rate or loudness). A summary at the end says what there is. Interrupted at any moment, the same
command goes on from the parts that are complete, and the bytes are those of a run in one go.

--copies adds augmented utterances for training: random crops of the recordings on the training side,
each with one of your noises and through one of your impulse responses, all drawn by the seed. The
split is then fixed in dataset.json, and no other side ever has one.

--from-url downloads such record files, made by whoever, in place of making them. A file has its name
only when all of it is there; until then it is NAME.part, and the same command goes on where it stopped.
"""
from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterator, List, Optional, Sequence, Tuple

from common.data.form import SAMPLE_RATE, SCALES, SEGMENT_SAMPLES
from common.data.randomness import seed
from common.errors import UserError
from common.parser import Parser
from common.prepare.options import CROPS, SNR, Options
from common.prepare.processes import begin_imports
from common.progress import THINGS, Progress

if TYPE_CHECKING:  # slow to import, and --help does not need them
    from common.prepare.sources import Recording
    from common.prepare.summary import Summary

SAMPLES_EACH = 3  # as the homework's


@contextlib.contextmanager
def opened_source(source: Path) -> Iterator[Path]:
    """The tree of recordings: `source` itself, or for an archive a temporary folder with its content."""
    from common.prepare.archive import is_archive, unpack_recordings

    if not is_archive(source):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="recordings-") as folder:
        yield unpack_recordings(source, Path(folder))


def prepare(args: argparse.Namespace) -> Summary:
    """What the command does, with its parsed options. Raises UserError."""
    begin_imports()
    from common.data.dataset import read_info
    from common.prepare.building import build
    from common.prepare.copies import plan_copies
    from common.prepare.plan import choose_cast, plan_preparation
    from common.prepare.sources import find_recordings
    from common.prepare.voxceleb import find_split, name_speakers

    with opened_source(args.sources[0]) as tree:
        if tree.resolve() == args.out.resolve():
            raise UserError(f"{args.out}: is the folder of the recordings; choose another for the data")
        found = find_recordings(tree, args.out)
        recordings = name_speakers(tree, found.recordings)
        if args.speakers is not None:
            recordings = choose_cast(recordings, args.speakers, args.seed)
        elif len({recording.speaker for recording in recordings}) == 1:
            raise UserError(_one_speaker(tree, recordings))
        split = None if args.own_split else find_split(tree, recordings)
        copies = None
        if args.copies:
            copies, split = plan_copies(recordings, split, args.seed, args.copies, args.noise, args.channel, tuple(args.snr))
        options = Options(args.crop, round(args.hop * SAMPLE_RATE), args.scale, not args.raw, args.seed, args.samples)
        plan = plan_preparation(recordings, options, args.parts, copies)
        notes: Dict[str, object] = {"split": split} if split else {}
        if read_info(tree.resolve().parent).get("synthetic"):  # of a corpus beside whose data its recordings lie
            notes["synthetic"] = True
        with Progress(THINGS) as bar:

            def progress(recordings: int, records: int) -> None:
                bar.show(f"recordings  {records:,} utterances", recordings, plan.readings)

            return build(tree, args.out, plan, args.workers, progress, notes, found)


def _one_speaker(tree: Path, recordings: List[Recording]) -> str:
    above = sorted({recording.path.split("/")[0] for recording in recordings})[0]
    return (f"{tree}: all of its {len(recordings)} recordings are in the folder of one speaker, {recordings[0].speaker}; "
            f"expected SPEAKER/SESSION/FILE. If the speakers are the folders in it, give {tree / above}; if one speaker is "
            "what you want, python -m common.prepare has --speakers 1")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser("python -m common.prepare", __doc__)
    parser.add_argument("sources", nargs="+", metavar="source", help="folder of recordings, SPEAKER/SESSION/*, "
                        "or a tar archive of one; with --from-url, addresses of files")
    parser.add_argument("out", type=Path, help="data folder to make, or to complete")
    parser.add_argument("--from-url", action="store_true", help="download the sources into the data folder: resumes, "
                        "checks lengths; takes no other option")
    parser.add_argument("--speakers", type=int, metavar="N", help="draw N of the speakers by the seed (default: all)")
    parser.add_argument("--crop", choices=CROPS, default="sliding",
                        help="which 3.015 s of a recording: the first, a random one, or a sliding window (default)")
    parser.add_argument("--hop", type=float, default=SEGMENT_SAMPLES / SAMPLE_RATE, metavar="SECONDS",
                        help="step of the sliding window (default 3.015: no overlap)")
    parser.add_argument("--scale", choices=SCALES, default="magnitude", help="of the spectrograms (default magnitude)")
    parser.add_argument("--raw", action="store_true", help="leave out the normalisation of every frequency bin")
    parser.add_argument("--seed", type=seed, default=0, help="of the cast, the order, the random crops, and with --copies "
                        "of the split and of what is mixed (default 0)")
    parser.add_argument("--parts", type=int, metavar="N", help="number of record files (default: 1 for 1,000 "
                        "recordings, at least 8)")
    parser.add_argument("--samples", type=int, default=SAMPLES_EACH, metavar="N",
                        help=f"utterances of each speaker in the samples folder (default {SAMPLES_EACH})")
    parser.add_argument("--own-split", action="store_true", help="pay no attention to an iden_split.txt")
    parser.add_workers("processes")
    _add_augmentation(parser)
    return parser


def _add_augmentation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("augmentation of the training side (off by default)")
    group.add_argument("--copies", type=int, default=0, metavar="N", help="random crops of every training recording, "
                       "in addition (default 0)")
    group.add_argument("--noise", type=Path, metavar="FOLDER", help="recordings of noise, one of which is added to each copy; "
                       "of a long one the first minute is used")
    group.add_argument("--snr", type=float, nargs=2, default=SNR, metavar=("LOW", "HIGH"),
                       help="speech above noise in dB, drawn between these (default {:g} {:g})".format(*SNR))
    group.add_argument("--channel", type=Path, metavar="FOLDER", help="impulse responses, of rooms or microphones, one of "
                       "which is applied to each copy")


def _check(args: argparse.Namespace) -> None:
    if len(args.sources) > 1:
        raise UserError(f"{len(args.sources)} sources; only --from-url takes more than one")
    limits: Tuple[Tuple[str, float], ...] = (("hop", 1 / SAMPLE_RATE), ("parts", 1), ("samples", 0), ("copies", 0))
    for name, least in limits:
        value = getattr(args, name)
        if value is not None and not least <= value < float("inf"):
            raise UserError(f"--{name} must be {least:g} or more, not {value:g}")
    if not args.copies and (args.noise or args.channel):
        raise UserError("--noise and --channel are for copies of training recordings; say how many with --copies")
    if not -100 <= args.snr[0] <= args.snr[1] <= 100:
        raise UserError("--snr must be the least and the most, between -100 and 100 dB, not {:g} {:g}".format(*args.snr))


def _download(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from common.prepare.fetch import fetch_all

    others = [f"--{name.replace('_', '-')}" for name, value in vars(args).items()
              if name not in ("sources", "out", "from_url") and value != parser.get_default(name)]
    if others:
        raise UserError(f"--from-url downloads records that are already made, so {others[0]} cannot be used with it")
    for path in fetch_all(args.sources, args.out):
        print(f"{path}: {path.stat().st_size} bytes")
    return 0


def run(argv: Optional[Sequence[str]] = None) -> int:
    """Prepare as the words say, None for the command line's; returns the exit status. Raises UserError."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.from_url:
        return _download(args, parser)
    args.sources = [Path(source) for source in args.sources]
    _check(args)
    from common.prepare.summary import as_text

    summary = prepare(args)
    print(as_text(args.out, summary))
    return 0
