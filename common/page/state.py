"""What the page knows and can be asked: a model in its engines, and the voices that are enrolled.

    with Page(engines, trained) as page:
        shown = page.identify(stream, "hello.wav")
        page.enroll("Ada", stream, "ada.wav")
"""
from __future__ import annotations

import base64
import dataclasses
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Iterator, List, Optional, Sequence

import numpy as np

from common.data.form import composed
from common.page.answers import Row, Said, agreement, ask, first, rows
from common.page.engines import EMBEDDINGS, LOGITS, Asked
from common.page.listening import Upload, listen
from common.page.picture import draw
from common.training.metrics import probabilities
from common.training.trained import Trained
from common.verify.gallery import Gallery, changed, load_gallery, mean_direction

_TOP = 5
_SURE = 0.5  # the likeliest speaker is as likely as all others together


@dataclass(frozen=True)
class Shown:
    """Of one recording, what the templates show: speakers that the model knows, and enrolled voices with their scores."""

    heard: Upload
    said: List[Said]
    speakers: List[Row]
    voices: List[Row]
    threshold: Optional[float]  # of a score, from which on a voice is accepted

    @property
    def verdict(self) -> str:
        """Who of the model's speakers it is."""
        first = self.speakers[0]
        return f"{'' if first.mean > _SURE else 'Not sure: perhaps '}{first.name}, {100 * first.mean:.0f} %"

    @property
    def verified(self) -> str:
        """Who of the enrolled voices it is, or that it is nobody."""
        first = self.voices[0]
        if self.threshold is None:
            return f"{first.name} is closest, if it is one of them"
        return first.name if first.mean >= self.threshold else f"Nobody; {first.name} is closest"

    @property
    def agreement(self) -> str:
        """See `common.page.answers.agreement`."""
        return agreement(self.said)

    @property
    def picture(self) -> str:
        """The spectrogram as base64 of a PNG."""
        return base64.b64encode(draw(self.heard.samples)).decode()


class Page:
    """Use as a context: leaving it ends the engines."""

    def __init__(self, engines: Sequence[Asked], trained: Trained, gallery: Optional[Path] = None) -> None:
        """gallery: the file of enrolled voices; None: they are forgotten when the page ends. Raises UserError."""
        self.engines, self.trained = engines, trained
        self._file, self._changing = gallery, threading.Lock()
        self.gallery = Gallery(trained.network, trained.parameters)  # as it was last seen; replaced and not changed
        self._look()

    def identify(self, stream: IO[bytes], name: str) -> Shown:
        """Ask every engine about a recording. Raises UserError if it cannot be used, or none answers."""
        heard, gallery = listen(stream, name, self.trained), self._look()
        said = ask(self.engines, LOGITS, heard.spectrograms)
        speakers = rows(said, lambda logits: probabilities(logits, self.trained.temperature), self.trained.speakers)
        voices: List[Row] = []
        if gallery.voices:
            enrolled = np.array([voice.embedding for voice in gallery.voices.values()])  # (voices, units)
            voices = rows(ask(self.engines, EMBEDDINGS, heard.spectrograms),
                          lambda pieces: enrolled @ mean_direction(pieces), list(gallery.voices))
        return Shown(heard, said, speakers[:_TOP], voices, gallery.threshold and gallery.threshold.value)

    def enroll(self, voice: str, stream: IO[bytes], name: str) -> None:
        """Add a recording to a voice, be it a new one or not. Raises UserError."""
        heard = listen(stream, name, self.trained)
        # Backwards: the last is ONNX Runtime, where it is there, which never has to start.
        embedding = mean_direction(first(self.engines[::-1], EMBEDDINGS, heard.spectrograms))
        voice = composed(voice.strip())
        with self._changed() as gallery:
            known = gallery.voices.get(voice)
            before = [known.embedding] * known.recordings if known else []
            gallery.enroll(voice, np.array([*before, embedding]), replace=True)

    def forget(self, voice: str) -> None:
        """Take an enrolled voice away. Raises UserError for one that is not there."""
        with self._changed() as gallery:
            gallery.remove(voice)

    def _look(self) -> Gallery:
        """The gallery as it is now: `python -m common.enroll` and its like may change the file, too."""
        if self._file is not None and self._file.exists():
            self.gallery = load_gallery(self._file, self.trained)
        return self.gallery

    @contextmanager
    def _changed(self) -> Iterator[Gallery]:
        """The gallery to change; others see it before or after, and never meanwhile."""
        if self._file is not None:
            with changed(self._file, self.trained) as gallery:
                yield gallery
            self.gallery = gallery
            return
        with self._changing:
            gallery = dataclasses.replace(self.gallery, voices=dict(self.gallery.voices))
            yield gallery
            self.gallery = gallery

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self.engines:
            engine.close()
