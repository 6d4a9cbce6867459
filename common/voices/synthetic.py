"""The embedded corpus: synthetic voices, so that everything runs without a download.

    python -m common.voices.synthetic          # builds it on first use, prints the data folder

About a dozen generated speakers, five sessions each. A session has its own rate and pitch of
speaking and its own channel (room, equaliser, noise, level). The recordings go the same way into
records as anybody's: as wav files, through common.prepare. They stay beside the records, in the
folder `recordings`, to listen to. The same options give the same recordings and records.
"""
from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Tuple

import numpy as np

from common.data.form import SAMPLE_RATE, SEGMENT_SAMPLES
from common.data.randomness import seed
from common.errors import UserError, friendly
from common.files import cache_folder, locked, make_folder
from common.machine import available_cores
from common.parser import Parser, number
from common.prepare.processes import CONTEXT, start_worker, starting
from common.progress import Progress

if TYPE_CHECKING:
    from common.voices.espeak import Voice

VERSION = 1  # part of the cache key: raise it whenever the recordings or records come out different

DETERMINERS = ("the", "a", "every", "no", "some", "that", "this", "another", "my", "your")
ADJECTIVES = ("old", "quiet", "yellow", "heavy", "foolish", "narrow", "distant", "young", "broken", "gentle",
              "frozen", "clever", "hollow", "bright", "thirsty", "wooden", "royal", "simple", "vague", "giant")
NOUNS = ("river", "teacher", "window", "orange", "village", "machine", "dolphin", "jacket", "thunder", "choir",
         "pepper", "island", "doctor", "feather", "kitchen", "giraffe", "question", "bishop", "lemon", "yard",
         "voyage", "shoulder", "measure", "father", "church", "beach", "needle", "garden", "cloud", "umbrella")
VERBS = ("follows", "paints", "measures", "forgets", "chases", "carries", "believes", "watches", "judges", "leaves",
         "throws", "visits", "hears", "buys", "shakes", "opens", "zips", "kicks", "enjoys", "warms")
PLACES = ("under the bridge", "near the harbour", "in the morning", "without a word", "before noon", "at home",
          "behind the theatre", "for a year", "on the other side", "after the show", "by the fire", "in July")


@dataclass(frozen=True)
class Corpus:
    """How large a corpus, and which. Every field is part of what it sounds like."""

    speakers: int = 12
    sessions: int = 5
    utterances: int = 8  # in a session, one record each
    seed: int = 0
    scale: str = "magnitude"

    @property
    def key(self) -> str:
        """Names the corpus in the cache: another version or other options give another name."""
        text = json.dumps([VERSION, dataclasses.asdict(self)])
        return f"synthetic-{self.speakers}x{self.sessions}x{self.utterances}-" \
               + hashlib.sha256(text.encode()).hexdigest()[:8]


def default_corpus(cache_dir: Optional[Path] = None, corpus: Corpus = Corpus()) -> Path:
    """The data folder of a synthetic corpus, built on first use and then taken from the cache.

    cache_dir: default is the user's cache, $XDG_CACHE_HOME or ~/.cache.
    Of several processes that ask at once one builds and the others wait for it. An interrupted build
    leaves nothing that could be taken for a corpus. Raises UserError.
    """
    cache = Path(cache_dir) if cache_dir else cache_folder()
    folder = cache / corpus.key
    if folder.is_dir():
        return folder
    with locked(cache / f"{corpus.key}.lock", busy="", wait=True,
                hint="the synthetic corpus is kept here; set XDG_CACHE_HOME to a folder that can be written"):
        if not folder.is_dir():
            unfinished = cache / f"{corpus.key}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            with Progress() as progress:
                progress.show("building the synthetic corpus, once", 0, 1)
                _build(unfinished, corpus)
            os.replace(unfinished, folder)
    return folder


def _build(folder: Path, corpus: Corpus) -> None:
    """Speak, record, and prepare."""
    from concurrent.futures import ThreadPoolExecutor

    from common.prepare.building import build
    from common.prepare.options import Options
    from common.prepare.plan import plan_preparation
    from common.prepare.sources import find_recordings

    recordings = folder / "recordings"
    cores = available_cores()
    with ThreadPoolExecutor(cores) as threads:
        list(threads.map(lambda speaker: in_a_new_process(recordings, corpus, speaker), range(corpus.speakers)))
    plan = plan_preparation(find_recordings(recordings).recordings, Options(crop="fixed", scale=corpus.scale, seed=corpus.seed))
    build(recordings, folder, plan, workers=cores, notes={"synthetic": True, "made_by": "common.voices.synthetic"})


def in_a_new_process(tree: Path, corpus: Corpus, speaker: int) -> None:
    """What espeak-ng says depends on what it said before in its process: so every speaker gets a new one."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    with starting():
        pool = ProcessPoolExecutor(1, CONTEXT, start_worker)
    with pool as process:
        try:
            process.submit(record_speaker, tree, corpus, speaker).result()
        except BrokenProcessPool as error:
            raise UserError(f"the process that speaks synthetic voice {speaker + 1} died; is memory short? "
                            "Start again, or give recordings of your own with --data") from error


def record_speaker(tree: Path, corpus: Corpus, speaker: int) -> None:
    """Write SPEAKER/SESSION/NN.wav of one speaker, each of 48,240 samples. Raises UserError."""
    from common.prepare.samples import write_wav
    from common.voices.channel import random_channel
    from common.voices.espeak import random_voice

    voice = random_voice(np.random.default_rng([corpus.seed, speaker]))
    for session in range(corpus.sessions):
        generator = np.random.default_rng([corpus.seed, speaker, session])
        channel = random_channel(generator)
        words_per_minute, pitch_percent = int(generator.integers(120, 190)), int(generator.integers(38, 63))
        folder = tree / f"synthetic_{speaker + 1:02d}" / f"session_{session + 1}"
        make_folder(folder)
        for utterance in range(corpus.utterances):
            clean = _utterance(voice, words_per_minute, pitch_percent, generator)
            write_wav(folder / f"{utterance + 1:02d}.wav", channel.record(clean, generator))


def _utterance(voice: Voice, words_per_minute: int, pitch_percent: int,
               generator: np.random.Generator) -> np.ndarray:
    """48,240 samples out of new sentences, from a random start: (48240,) float32."""
    from common.voices.espeak import speak

    speech = np.zeros(0, np.float32)
    while len(speech) < SEGMENT_SAMPLES + SAMPLE_RATE:
        speech = np.concatenate([speech, speak(voice, sentence(generator), words_per_minute, pitch_percent)])
    start = int(generator.integers(len(speech) - SEGMENT_SAMPLES))
    return speech[start:start + SEGMENT_SAMPLES]


def sentence(generator: np.random.Generator) -> str:
    """A sentence nobody has said before, such as "Every hollow lemon judges my doctor before noon."."""
    def one_of(words: Tuple[str, ...]) -> str:
        return words[int(generator.integers(len(words)))]

    words = [one_of(DETERMINERS), one_of(ADJECTIVES), one_of(NOUNS), one_of(VERBS), one_of(DETERMINERS),
             one_of(NOUNS), one_of(PLACES)]
    return " ".join(words).capitalize() + "."


@friendly
def main(argv: Optional[List[str]] = None) -> int:
    parser = Parser("python -m common.voices.synthetic", __doc__)
    parser.add_argument("--cache", type=Path, help="folder to keep it in (default: the user's cache)")
    for field in dataclasses.fields(Corpus):
        if isinstance(field.default, int):
            parser.add_argument(f"--{field.name}", type=seed if field.name == "seed" else number, default=field.default,
                                help=f"default {field.default}")
    args = vars(parser.parse_args(argv))
    cache = args.pop("cache")
    print(default_corpus(cache, Corpus(**args)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
