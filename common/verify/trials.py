"""Trials: pairs of recordings of which it is known whether one voice speaks in both, in VoxCeleb's own format.

    python -m common.verify.trials MY_RECORDINGS trials.txt        # from SPEAKER/SESSION/ recordings

A line is `1 FIRST SECOND` where both are by one voice (a target trial), `0 FIRST SECOND` where they are
not. Paths are relative to the folder of the recordings and have no spaces, as VoxCeleb's have.
"""
from __future__ import annotations

import itertools
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Tuple

from common.data.randomness import seed
from common.errors import UserError, friendly
from common.files import read_text, write_text
from common.parser import Parser, number

if TYPE_CHECKING:
    from common.prepare.sources import Recording

TARGETS, NONTARGETS = 2000, 10_000
_MOST_BYTES = 2**28  # VoxCeleb's longest list has 580,000 trials in 40 MB
_SHOWN = 60          # characters of a line that is not understood


@dataclass(frozen=True)
class Trial:
    """Two recordings, and whether one voice speaks in both. line: of the list it is from."""

    target: bool
    first: str
    second: str
    line: int = field(default=0, compare=False)


def read_trials(path: Path) -> List[Trial]:
    """Every trial of a list, in its order; empty lines are passed over. Raises UserError with the line's number."""
    trials = [_trial(line, number, path)
              for number, line in enumerate(read_text(path, "list of trials", _MOST_BYTES).splitlines(), 1) if line.strip()]
    for target, what in ((True, "1 (one voice)"), (False, "0 (two voices)")):
        if not any(trial.target is target for trial in trials):
            raise UserError(f"{path}: none of its {len(trials)} trials begins with {what}; error rates need both kinds")
    return trials


def _trial(line: str, number: int, path: Path) -> Trial:
    fields = line.split()
    if len(fields) != 3 or fields[0] not in ("0", "1"):
        shown = line if len(line) <= _SHOWN else line[:_SHOWN] + "..."
        raise UserError(f"{path}: line {number}: {shown!r} is no trial; expected `1 a.wav b.wav` where one voice speaks in both, "
                        "`0 a.wav b.wav` where two do")
    return Trial(fields[0] == "1", fields[1], fields[2], number)


def write_trials(path: Path, trials: Sequence[Trial]) -> None:
    """Write a list that `read_trials` reads. Raises UserError."""
    write_text(path, "".join(f"{int(trial.target)} {trial.first} {trial.second}\n" for trial in trials))


def draw_trials(recordings: Sequence[Recording], targets: int, nontargets: int, seed: int) -> List[Trial]:
    """So many trials of each kind, drawn by the seed without repetition, or all there are.

    A target trial takes two sessions where the voice has several: what two recordings of one session share
    is the room and the microphone too. Voices take turns, so that one with many recordings does not outweigh
    the others. Raises UserError where there is no trial of a kind.
    """
    by_speaker: Dict[str, List[Recording]] = {}
    for recording in recordings:
        if len(recording.path.split()) > 1:
            raise UserError(f"{recording.path}: a list of trials has spaces between its fields, so no name may have one; "
                            "rename it")
        by_speaker.setdefault(recording.speaker, []).append(recording)
    chance = random.Random(seed)
    own = [_pairs(spoken, chance) for spoken in by_speaker.values()]
    trials = [Trial(True, *pair) for pair in itertools.islice(_in_turn(own), targets)]
    if not trials or len(by_speaker) < 2:
        raise UserError(f"{len(recordings)} recordings of {len(by_speaker)} speakers give no trials of both kinds; two "
                        "speakers are needed, one of them with two recordings")
    return trials + [Trial(False, *pair) for pair in _across(list(by_speaker.values()), nontargets, chance)]


def _pairs(spoken: Sequence[Recording], chance: random.Random) -> List[Tuple[str, str]]:
    """All pairs of one voice's recordings in random order, across sessions if there are several."""
    across = len({recording.session for recording in spoken}) > 1
    pairs = [(first.path, second.path) for first, second in itertools.combinations(spoken, 2)
             if not across or first.session != second.session]
    chance.shuffle(pairs)
    return pairs


def _in_turn(lists: Sequence[List[Tuple[str, str]]]) -> itertools.chain[Tuple[str, str]]:
    """The first of every list, then the second of every list that has one, and so on."""
    return itertools.chain.from_iterable((each for each in row if each is not None)
                                         for row in itertools.zip_longest(*lists))


def _across(voices: Sequence[Sequence[Recording]], wanted: int, chance: random.Random) -> List[Tuple[str, str]]:
    """Different pairs of recordings by two voices, each two voices equally likely."""
    possible = sum(len(one) * len(other) for one, other in itertools.combinations(voices, 2))
    drawn: Dict[Tuple[str, str], None] = {}
    if possible <= 2 * wanted:  # drawing would meet the same pairs again and again
        every = [(a.path, b.path) for one, other in itertools.combinations(voices, 2) for a in one for b in other]
        return chance.sample(every, min(wanted, possible))
    while len(drawn) < wanted:
        one, other = chance.sample(range(len(voices)), 2)
        pair = tuple(sorted((chance.choice(voices[one]).path, chance.choice(voices[other]).path)))
        drawn[pair] = None  # type: ignore[index]
    return list(drawn)


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    parser = Parser("python -m common.verify.trials", __doc__)
    parser.add_argument("recordings", type=Path, help="folder of recordings, SPEAKER/SESSION/*")
    parser.add_argument("out", type=Path, help="the list to write")
    parser.add_argument("--targets", type=number, default=TARGETS, metavar="N",
                        help=f"trials of one voice, at most ({TARGETS}); in two sessions where the voice has several")
    parser.add_argument("--nontargets", type=number, default=NONTARGETS, metavar="N",
                        help=f"trials of two voices, at most ({NONTARGETS})")
    parser.add_argument("--seed", type=seed, default=0, help="which are drawn (0)")
    options = parser.parse_args(argv)
    from common.prepare.sources import find_recordings

    trials = draw_trials(find_recordings(options.recordings).recordings, options.targets, options.nontargets, options.seed)
    write_trials(options.out, trials)
    targets = sum(trial.target for trial in trials)
    print(f"written: {options.out}, {targets} trials of one voice and {len(trials) - targets} of two")
    return 0


if __name__ == "__main__":
    sys.exit(main())
