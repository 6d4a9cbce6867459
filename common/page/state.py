"""What the page knows and can be asked: a model in its engines, and the voices that are enrolled.

    with Page(engines, trained) as page:
        shown = page.identify(stream, "hello.wav")
"""
from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import IO, List, Sequence

from common.identify.trained import Trained
from common.page.answers import Row, Said, agreement, ask, ranking
from common.page.engines import LOGITS, Asked
from common.page.listening import Heard, listen

_SURE = 0.5  # the likeliest speaker is as likely as all others together


@dataclass(frozen=True)
class Shown:
    """Of one recording, what the templates show."""

    heard: Heard
    rows: List[Row]
    said: List[Said]
    agreement: str

    @property
    def verdict(self) -> str:
        first = self.rows[0]
        return f"{'' if first.mean > _SURE else 'Not sure: perhaps '}{first.speaker}, {100 * first.mean:.0f} %"

    @property
    def picture(self) -> str:
        """The spectrogram as base64 of a PNG."""
        return base64.b64encode(self.heard.png).decode()


class Page:
    """Use as a context: leaving it ends the engines."""

    def __init__(self, engines: Sequence[Asked], trained: Trained) -> None:
        self.engines, self.trained = engines, trained

    @property
    def about(self) -> str:
        """The model in a sentence."""
        known = self.trained
        return (f"A {known.network} network that knows {len(known.speakers)} {'synthetic ' if known.synthetic else ''}voices, "
                f"trained by {known.trained_by}.")

    def identify(self, stream: IO[bytes], name: str) -> Shown:
        """Ask every engine about a recording. Raises UserError if it cannot be used, or none answers."""
        heard = listen(stream, name, self.trained)
        said = ask(self.engines, LOGITS, heard.spectrograms)
        return Shown(heard, ranking(said, self.trained.speakers), said, agreement(said))

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self.engines:
            engine.close()
