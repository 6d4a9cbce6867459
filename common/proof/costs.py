"""What a mistake costs: where the ladder catches it, what it does to logits and to accuracy.

    honest = train_and_test(twin, trial, test)
    wrong = train_and_test(twin, MISTAKES["nesterov"].make(trial), test)
    logit_difference(wrong, honest), wrong.evaluation.top1
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from common.data.batches import BatchReader
from common.proof.disagreement import analyse
from common.proof.recording import Trial
from common.training.evaluation import Evaluation, predict
from common.twin import Twin, train_on


class Outcome(NamedTuple):
    """What training came to, on the utterances it is tested on."""

    early_logits: np.ndarray  # (N, num_speakers), after one step; later even rounding has grown
    logits: np.ndarray  # the same after all steps
    speakers: np.ndarray  # (N,): the right ones
    evaluation: Evaluation  # of these


def train_and_test(twin: Twin, trial: Trial, test: BatchReader) -> Outcome:
    """Run all steps of a trial. Raises UserError when training diverges to no finite numbers."""
    model = twin.model(trial.spec, trial.params, trial.optimizer, trial.momenta)
    for step, (batch, rate) in enumerate(zip(trial.batches, trial.learning_rates)):
        train_on(model, batch, rate)
        if step == 0:
            early, _, _ = predict(twin, model, test)
    logits, speakers, rate = predict(twin, model, test)
    return Outcome(early, logits, speakers, Evaluation.of(logits, speakers, rate))


def logit_difference(one: Outcome, other: Outcome) -> float:
    """Largest early difference, relative to the largest logit of `other`."""
    return float(np.abs(one.early_logits - other.early_logits).max()
                 / np.abs(other.early_logits).max())


def chance(one: Outcome, other: Outcome) -> float:
    """How likely accuracies as different as these are by chance: McNemar's test, which sees each utterance in both."""
    return analyse(one.logits, other.logits, one.speakers).p_value

