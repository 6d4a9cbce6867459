"""Who was taken for whom, as a picture.

    png = confusion_png(logits, speakers, names)
"""
from __future__ import annotations

from typing import Sequence

import numpy as np

from common.show.drawing import as_png, named, panels
from common.training.metrics import confusion_matrix

_NAMED = 60  # speakers at most whose names can be read at the edge


def confusion_png(logits: np.ndarray, speakers: np.ndarray, names: Sequence[str]) -> bytes:
    """PNG of the shares of each speaker's utterances, from logits (N, num_speakers) and right speakers (N,)."""
    counts = confusion_matrix(logits, speakers)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, ((axes,),) = panels(1, 1, width=8, height=7.5)
    image = axes.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    axes.set(xlabel="taken for", ylabel="spoken by", title=f"{len(speakers)} utterances, {np.trace(counts)} right")
    if len(names) <= _NAMED:
        shown = list(map(named, names))
        axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=7)
        axes.set_yticks(range(len(names)), shown, fontsize=7)
    figure.colorbar(image, label="share of the speaker's utterances", shrink=0.8)
    return as_png(figure)
