"""The accuracy table of a comparison, and whether a difference is chance."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from reports import framework, markdown_tables, network, report

from common.compare.accuracy import CEPSTRAL, Paired, pair, told
from common.compare.results import NetworkResult
from common.training.evaluation import Evaluation

SPEAKERS = np.arange(12) % 3


def answers(*wrong: int) -> np.ndarray:
    """Logits that are right except about these utterances."""
    logits = np.eye(3)[SPEAKERS]
    logits[list(wrong)] = np.roll(logits[list(wrong)], 1, axis=1)
    return logits


def learned(**changed: Any) -> NetworkResult:
    pairs = [Paired("tensorflow", "caffe2", 3, 9, -0.0417, -0.0912, 0.0101, 0.146),
             Paired("tensorflow", CEPSTRAL, 30, 2, 0.2, 0.12, 0.27, 0.00001)]
    both = {"tensorflow": framework("TensorFlow", tested_epoch=1), "caffe2": framework("Caffe2", tested_epoch=2)}
    return network(**{**dict(frameworks=both, recipe="robust", paired=pairs,
                             cepstral=Evaluation(144, 0.5, 0.42, 0.58, None, 1.0, None)), **changed})


def test_every_pair_is_tested_on_the_utterances_that_one_of_them_is_right_about() -> None:
    """Five to none: by chance alone twice 1/32."""
    found = pair({"tensorflow": answers(), "caffe2": answers(0, 2, 4, 6, 8), CEPSTRAL: answers(0, 1)}, SPEAKERS)
    assert [(each.first, each.second) for each in found] == [
        ("tensorflow", "caffe2"), ("tensorflow", CEPSTRAL), ("caffe2", CEPSTRAL)]
    assert (found[0].only_first, found[0].only_second, found[0].p_value) == (5, 0, pytest.approx(1 / 16))
    assert found[0].difference == pytest.approx(5 / 12) and found[0].low < 5 / 12 < found[0].high
    assert (found[2].only_first, found[2].only_second, found[2].difference) == (1, 4, pytest.approx(-3 / 12))


def test_one_table_has_all_networks_and_the_baseline_once() -> None:
    table, differences = markdown_tables(told([learned(), learned(network="tdnn", recipe=None)], "github"))
    assert list(table) == ["network", "vgg_m", "tdnn", ""], "by network, the last of its frameworks"
    assert table["network"] == ["framework", "recipe", "top-1", "95 % interval", "top-5", "test utterances", "epoch"]
    assert table["vgg_m"] == ["Caffe2", "robust", "87.5 %", "81.0 to 92.0 %", "100.0 %", "144", "2 of 8"]
    assert table["tdnn"][:2] == ["Caffe2", "short run"]
    assert table[""] == ["cepstral baseline", "", "50.0 %", "42.0 to 58.0 %", "", "144", ""]
    assert differences["vgg_m"] == ["TensorFlow / cepstral baseline", "+20.0 [+12.0, +27.0]", "30 / 2", "below 0.001"]
    first = told([learned()]).splitlines()[-4].split()
    assert " ".join(first) == "vgg_m TensorFlow / Caffe2 -4.2 [-9.1, +1.0] 3 / 9 0.146"


def test_it_stands_in_the_report_before_all_else_but_the_verdict() -> None:
    text = report(learned()).text()
    assert text.index("McNemar's p") < text.index("utterances/s")
    assert "cepstral baseline" not in report(network(learning=None)).text()


def test_accuracy_of_wrong_numbers_is_marked() -> None:
    """And no difference is made of them, neither shown nor stored."""
    wrong = learned(loss_difference=0.5)
    assert "INVALID Caffe2" in told([wrong]) and "right alone" in told([learned()])
    assert "difference of top-1" not in told([wrong])
    assert [bool(values["paired"]) for values in report(wrong, learned()).stored()["results"]] == [False, True]
