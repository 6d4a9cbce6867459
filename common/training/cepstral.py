"""A plain recogniser to beat: statistics of cepstra and a linear discriminant, as before neural networks.

    model = fit(dataset, split.train)
    logits = model.logits(dataset, split.test)

A cepstrum is the cosine transform of a frame's log spectrum (Davis and Mermelstein 1980, here over the
512 bins as they are); its first coefficients tell the envelope, which is voice and recording channel.
"""
from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Tuple

import numpy as np

from common.data.dataset import Dataset
from common.errors import UserError
from common.prepare.features import LOG_FLOOR

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from sklearn.pipeline import Pipeline

COEFFICIENTS = 20
_AT_ONCE = 64  # utterances in memory


def features(spectrograms: np.ndarray) -> np.ndarray:
    """(N, 512, frames) log spectra to float64 (N, 60): the cepstra's means, deviations, and those of their steps."""
    from scipy import fft

    cepstra = fft.dct(spectrograms.astype(np.float64), axis=1, norm="ortho")[:, :COEFFICIENTS]  # (N, 20, frames)
    steps = np.diff(cepstra, axis=2)
    return np.concatenate([cepstra.mean(axis=2), cepstra.std(axis=2), steps.std(axis=2)], axis=1)


@dataclass(frozen=True)
class Baseline:
    """Trained: a linear discriminant, and which speakers it has met."""

    discriminant: Pipeline
    num_speakers: int

    def logits(self, dataset: Dataset, indices: np.ndarray) -> np.ndarray:
        """Log probabilities float64 (n, num_speakers) of these records; a speaker it never met has the least there is."""
        values, _ = _read(dataset, indices)
        logits = np.full((len(indices), self.num_speakers), math.log(np.finfo(np.float64).tiny))
        logits[:, self.discriminant.classes_] = np.maximum(self.discriminant.predict_log_proba(values), logits.min())
        return logits


def fit(dataset: Dataset, indices: np.ndarray) -> Baseline:
    """Train on these records. Raises UserError where they are too few."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    values, speakers = _read(dataset, indices)
    if not 1 < len(np.unique(speakers)) < len(speakers):
        raise UserError(f"{len(speakers)} training utterances of {len(np.unique(speakers))} speakers are too few for a "
                        "linear discriminant; it needs two speakers and more utterances than speakers")
    # The covariance is shrunk towards a multiple of 1 by as much as the data ask for (Ledoit and Wolf 2004).
    discriminant = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    with warnings.catch_warnings():
        # Of a speaker's only utterance no covariance is known, which the library tells in lines of its own code.
        warnings.filterwarnings("ignore", "Only one sample available", UserWarning)
        return Baseline(discriminant.fit(values, speakers), len(dataset.speakers))


def _read(dataset: Dataset, indices: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Features (n, 60) and speakers (n,) of records."""
    values, speakers = [], []
    for start in range(0, len(indices), _AT_ONCE):
        spectrograms, labels = dataset.records.read(indices[start:start + _AT_ONCE])
        if dataset.scale == "magnitude" and dataset.normalised is False:
            spectrograms = np.log(spectrograms + LOG_FLOOR)  # what is normalised has no logarithm, and is taken as it is
        values.append(features(spectrograms))
        speakers.append(labels)
    return np.concatenate(values), np.concatenate(speakers)
