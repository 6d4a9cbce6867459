"""A gallery: the voices that are enrolled, each one embedding, in one file for all engines.

    gallery = load_gallery(path, engine.trained)      # refuses one made with another model
    gallery.scores(embedding)                         # name -> cosine, highest first
    with changed(path, engine.trained) as gallery:    # no other process changes it meanwhile
        gallery.enroll("Ada", embeddings)             # (recordings, units)

A voice is the mean of its recordings' embeddings, brought back to length 1; a score is the cosine of the
angle between two embeddings, 1 for the same direction. Embeddings of two models have nothing in common,
so the file names its model by the fingerprint of the parameters, which is in every file made of them.
"""
from __future__ import annotations

import dataclasses
import json
import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Optional

import numpy as np

from common.data.form import composed
from common.errors import UserError
from common.files import locked
from common.network import params as parameters
from common.typed import typed

if TYPE_CHECKING:
    from common.training.trained import Trained

FORMAT = 1
LONGEST_NAME = 100
_KIND = "gallery of enrolled voices"
_HINT = "take it away and enroll the voices again"


@dataclass(frozen=True)
class Threshold:
    """The least score that is accepted, and in words where it is from."""

    value: float
    source: str

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.source})"


@dataclass(frozen=True)
class EnrolledVoice:
    """Embedding float32 (units,) of length 1, and how many recordings it is the mean of."""

    embedding: np.ndarray
    recordings: int


@dataclass
class Gallery:
    """Voices by name, and what is needed to compare a recording with them."""

    network: str
    parameters: str  # their fingerprint
    voices: Dict[str, EnrolledVoice] = field(default_factory=dict)
    threshold: Optional[Threshold] = None

    def enroll(self, name: str, embeddings: np.ndarray, replace: bool = False) -> None:
        """Add a voice by the embeddings (recordings, units) of some of its recordings.

        Raises UserError for a name that is there already, unless it is to be replaced, or that is none.
        """
        name = composed(name)
        if not _is_name(name):
            raise UserError(f"{name[:LONGEST_NAME]!r} is no name for a voice: 1 to {LONGEST_NAME} printable characters "
                            "without spaces around them")
        if not replace:
            self.refuse([name])
        self.voices[name] = EnrolledVoice(mean_direction(embeddings), len(embeddings))

    def refuse(self, names: Iterable[str]) -> None:
        """Raise UserError if one of these is enrolled already."""
        for name in map(composed, names):
            if name in self.voices:
                raise UserError(f"{name} is enrolled already, by {counted(self.voices[name].recordings, 'recording')}; --force replaces "
                                "the voice")

    def remove(self, name: str) -> None:
        """Take a voice out. Raises UserError for a name that is not there."""
        self.voice(name)
        del self.voices[composed(name)]

    def voice(self, name: str) -> EnrolledVoice:
        """Raises UserError for a name that is not there."""
        name = composed(name)
        if name not in self.voices:
            raise UserError(f"{name} is not enrolled; enrolled are {', '.join(self.voices) or 'none'}")
        return self.voices[name]

    def scores(self, embedding: np.ndarray, claim: Optional[str] = None) -> Dict[str, float]:
        """Cosine of each voice, or of the claimed one alone, with an embedding (units,), highest first.

        Raises UserError for a claimed name that is not there.
        """
        voices = self.voices if claim is None else {claim: self.voice(claim)}
        scores = {name: cosine(voice.embedding, embedding) for name, voice in voices.items()}
        return dict(sorted(scores.items(), key=lambda each: -each[1]))


def counted(number: int, what: str) -> str:
    """Such as "1 voice" or "2 voices"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def unit(vector: np.ndarray) -> np.ndarray:
    """(..., units) float32 brought to length 1."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return (vector / np.maximum(length, np.finfo(np.float32).tiny)).astype(np.float32)


def mean_direction(embeddings: np.ndarray) -> np.ndarray:
    """(n, units) float32 to their mean, (units,): each brought to length 1 before, and the mean after."""
    return unit(unit(embeddings).mean(axis=0))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of the angle between two embeddings (units,) of length 1."""
    return float(np.clip(one.astype(np.float64) @ other.astype(np.float64), -1, 1))


@dataclass(frozen=True)
class _Facts:
    """What the file says beside the embeddings, in their order."""

    format: int
    network: str
    parameters: str
    names: List[str]
    recordings: List[int]
    threshold: Optional[Threshold]


@contextmanager
def changed(path: Path, trained: Trained) -> Iterator[Gallery]:
    """The gallery at `path`, or a new one, to change; it is written if the block ends well. Raises UserError."""
    with locked(path.with_name(f".{path.name}.lock"), busy="", wait=True, hint="name another gallery"):
        gallery = load_gallery(path, trained) if path.exists() else Gallery(trained.network, trained.parameters)
        yield gallery
        save_gallery(path, gallery)


def save_gallery(path: Path, gallery: Gallery) -> None:
    """Write all or nothing. Raises UserError."""
    voices = list(gallery.voices.values())
    facts = _Facts(FORMAT, gallery.network, gallery.parameters, list(gallery.voices),
                   [voice.recordings for voice in voices], gallery.threshold)
    text = json.dumps(dataclasses.asdict(facts), ensure_ascii=False)
    parameters.save(path, voices={"embeddings": np.array([voice.embedding for voice in voices], np.float32)},
                    facts={"json": np.frombuffer(text.encode(), np.uint8)})


def load_gallery(path: Path, trained: Trained) -> Gallery:
    """The gallery at `path`, made with this model. Raises UserError for one that is damaged, or another model's."""
    groups = parameters.load(path, _KIND, _HINT)
    facts = _facts(groups.get("facts", {}).get("json"), path)
    if facts.parameters != trained.parameters:
        raise UserError(f"{path}: its voices were enrolled with another model ({facts.network}, parameters {facts.parameters}) "
                        f"than this one ({trained.network}, parameters {trained.parameters}); embeddings of two models "
                        "cannot be compared: name that model, or another gallery")
    embeddings = groups.get("voices", {}).get("embeddings")
    _check(facts, embeddings, path)
    voices = {name: EnrolledVoice(embedding, count) for name, embedding, count in zip(facts.names, embeddings, facts.recordings)}
    return Gallery(facts.network, facts.parameters, voices, facts.threshold)


def _facts(text: Any, path: Path) -> _Facts:
    refusal = f"{path} is no {_KIND}; {_HINT}"
    try:
        value = json.loads(np.asarray(text, np.uint8).tobytes().decode())
    except (ValueError, TypeError, RecursionError):
        raise UserError(refusal) from None
    facts = typed(_Facts, value, refusal)
    if facts.format != FORMAT:
        raise UserError(refusal)
    return facts


def _check(facts: _Facts, embeddings: Any, path: Path) -> None:
    """Raise UserError for what `save_gallery` would not have written."""
    wrong = ""
    if not (isinstance(embeddings, np.ndarray) and embeddings.dtype == np.float32 and embeddings.ndim == (2 if facts.names else 1)
            and len(embeddings) == len(facts.names) == len(facts.recordings)):
        wrong = "it has other numbers of names, embeddings and recordings"
    elif len(set(facts.names)) < len(facts.names) or not all(_is_name(name) for name in facts.names):
        wrong = "its names are damaged"
    elif not all(count > 0 for count in facts.recordings):
        wrong = "its numbers of recordings are damaged"
    elif len(embeddings) and not np.allclose(np.linalg.norm(embeddings, axis=-1), 1, atol=1e-3):
        wrong = "its embeddings have not the length 1"  # nor have those that hold no numbers
    elif facts.threshold is not None and not math.isfinite(facts.threshold.value):
        wrong = "its threshold is no number"
    if wrong:
        raise UserError(f"{path} is a damaged {_KIND}: {wrong}; {_HINT}")


def _is_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name == name.strip() and name.isprintable()
