"""A visitor's recording, from the bytes that came to what is shown of it.

    heard = listen(io.BytesIO(data), "hello.webm", trained)
    heard.spectrograms, heard.remarks
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import IO, List

import numpy as np

from common.errors import UserError
from common.identify.pieces import Listening, kept, pieces
from common.prepare.audio import load_audio
from common.prepare.decoding import AudioError
from common.training.trained import Trained

MOST_BYTES = 20 * 10**6
MOST_SECONDS = 600


@dataclass(frozen=True)
class Upload:
    """seconds: of sound; spectrograms: float32 (pieces, 512, frames), of what is not silent; samples: all, (n,) at 16 kHz."""

    name: str
    seconds: float
    spectrograms: np.ndarray
    remarks: List[str]
    samples: np.ndarray


def listen(stream: IO[bytes], name: str, trained: Trained) -> Upload:
    """Read a recording of any format as a model's training data were made. Raises UserError if it cannot be used."""
    listening = Listening(name)
    with kept(stream, name) as source:
        try:
            spectrograms = list(pieces(source, trained, listening, MOST_SECONDS))
            return Upload(name, listening.seconds, np.stack(spectrograms), listening.remarks, load_audio(source.path))
        except AudioError as error:
            raise UserError(f"{name}: {error.problem}") from None
