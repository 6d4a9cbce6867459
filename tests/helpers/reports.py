"""Results of a comparison made by hand, for the tests of what is said and drawn of them."""
from __future__ import annotations

import csv
import dataclasses
import io
from typing import Any, Dict, List, Optional

from common.compare.report import Report
from common.compare.results import ContenderResult, FrameworkResult, NetworkResult, RatioOf, RepeatedStep
from common.compare.verdict import judge
from common.proof.crosscheck import CrossCheck
from common.proof.step_difference import StepDifference
from common.speed.blocks import Block, Ratio, Speed
from common.speed.rounds import Proof
from common.training.certificate import Certificate
from common.training.config import TrainingConfig
from common.training.evaluation import Evaluation
from common.training.run_folder import EpochRecord
from common.twin import CLOCKS

CERTIFICATE = dataclasses.replace(Certificate(*["same"] * len(dataclasses.fields(Certificate))), batch_size=16, macs=500_000_000,
                                  threads="2")
EPOCHS = [EpochRecord(1, 2, 0.01, 1.3, train_top1=0.5, dev_loss=1.2, dev_top1=0.25, utterances_per_second=8.0, seconds=2.0),
          EpochRecord(2, 4, 0.001, 0.8, train_top1=0.75, dev_loss=0.8, dev_top1=0.5, utterances_per_second=16.0, seconds=1.0)]


def speed(*seconds: float, utterances: int = 8, joules: Optional[float] = None) -> Speed:
    return Speed.of([Block([s], 1000, 0, 2, joules) for s in seconds], utterances)


TRAINING, INFERENCE = speed(0.64, 0.8, 1.0), speed(0.2, 0.19, 0.25, joules=4.0)  # medians of 10 and 40 a second
LATENCY = speed(*[0.030] * 50, 0.050, utterances=1)
SPEEDS = {"training": {"resident": TRAINING, "end-to-end": speed(0.8, 0.85, 1.0)}, "inference": {"resident": INFERENCE},
          "forward": {"resident": speed(0.19, 0.2, 0.21)},
          "backward": {"resident": speed(0.58, 0.76, 0.99)}, "latency": {"resident": LATENCY}}
MEASURED = dict(start_seconds=3.0, first_step_seconds=1.25, warm_up={"training": 4, "inference": 3}, unsettled=[],
                peak_memory_mib=1234.4)

FACTS = {"threads": "2", "device": "cpu", "precision": "float32"}
TIMED = dict.fromkeys(CLOCKS, CrossCheck(16, 4e-6, 2.5, 1.0))
REPEATED = dict.fromkeys(CLOCKS, RepeatedStep(40.0, StepDifference(7e-3, 1e-3, 2e-5, 6e-5, 7e-3)))


def framework(name: str, **changed: Any) -> FrameworkResult:
    values: Dict[str, Any] = dict(
        MEASURED, facts={"framework": f"{name} 1.0", "engine": f"{name}'s engine", **FACTS}, speeds=SPEEDS,
        proof=Proof(1e-6, 2e-6), timed=TIMED, repeated=REPEATED, certificate=CERTIFICATE, probe=[1.5] * 5,
        epochs=EPOCHS, losses=[1.4, 1.2, 0.9, 0.7],
        evaluation=Evaluation(144, 0.875, 0.81, 0.92, 1.0, 0.4, 30.0), crosscheck=CrossCheck(144, 3e-6, 12.3, 1.0))
    return FrameworkResult(**{**values, **changed})


def baseline(name: str, proof: Proof = Proof(2e-6, None), step: float = 0.1, timed: Dict[str, CrossCheck] = TIMED,
             **facts: str) -> ContenderResult:
    return ContenderResult(facts={"framework": f"{name} 9", "engine": "its own", **FACTS, **facts}, **MEASURED, proof=proof,
                           timed=timed, repeated={}, speeds={"inference": {"resident": speed(step, step)}})


LEARNING = TrainingConfig(network="tdnn", epochs=8, crop_frames=100, learning_rate=0.02, final_learning_rate=2e-4, schedule="cosine")


def network(**changed: Any) -> NetworkResult:
    """A result with every check that it calls for; all pass unless `changed` makes them fail."""
    values: Dict[str, Any] = dict(
        network="vgg_m", parameters=16_680_242, macs=500_000_000, matmul_library="caffe2",
        matmul_gflops=[100.0, 90.0, 110.0], matmuls={"NumPy": 80.0, "caffe2": 100.0}, largest_gflops=110.0, needed={},
        frameworks={"tensorflow": framework("TensorFlow"), "caffe2": framework("Caffe2")}, baselines={},
        ratios=[RatioOf("training", "tensorflow", "caffe2", Ratio(0.8, 0.7, 0.9)),
                RatioOf("inference", "tensorflow", "caffe2", Ratio(1.02, 0.9, 1.1))],
        end_to_end=[RatioOf("training", "caffe2", "resident", Ratio(0.94, 0.9, 0.96))],
        sides=["tensorflow", "caffe2"], differences={}, loss_difference=2e-6, learning_difference=5e-6, drift=3e-3, agreement=0.9931,
        learning=LEARNING)
    result = NetworkResult(**{**values, **changed})
    result.checks = judge(result)
    return result


def report(*results: NetworkResult, synthetic: bool = True) -> Report:
    data = {"name": "voices", "synthetic": synthetic, "by": "session", "speakers": 12, "train": 288, "dev": 48,
            "test": 144, "fingerprint": "00ff"}
    return Report("2021-12-31", {"processor": "A fast one", "cores": "2", "threads": "2"}, {"caffe2": "Caffe2 1.0"}, data,
                  {"batch_size": 16, "width": 0.5, "crop_frames": 150}, list(results))


def rows_of(made: Report) -> Dict[str, List[str]]:
    """The rows of all Markdown tables."""
    return {name: cells for table in markdown_tables(made.text("github")) for name, cells in table.items()}


def markdown_tables(text: str) -> List[Dict[str, List[str]]]:
    """All tables of a Markdown text: the name in the first column -> the cells beside it."""
    tables: List[Dict[str, List[str]]] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells and not inside:
            tables.append({})
        inside = bool(cells)
        if cells and not set("".join(cells)) <= set("-:"):
            tables[-1][cells[0]] = cells[1:]
    return tables


def csv_rows(made: Report) -> List[Dict[str, str]]:
    return list(csv.DictReader(io.StringIO(made.csv_text())))
