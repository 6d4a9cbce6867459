"""Scaling: which points are measured, in which order and beside whom, and what the table makes of them."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from commands import run
from studies import point

from common.compare.verdict import of_proofs
from common.contenders import FRAMEWORKS, Contender
from common.network.architectures import build
from common.show.scaling import rows_of_costs
from common.speed import scaling
from common.speed.bench import Work
from common.speed.scaling import BATCH, FRAMES, SPEAKERS, THREADS, Point, Scaling, ScalingStudy

LOGITS = {"tensorflow": 2.0, "caffe2": 2.0}
BASE = Work("tdnn", 50, width=0.1, batch_size=8, threads=2)


@pytest.fixture()
def asked(monkeypatch: pytest.MonkeyPatch) -> List[Tuple[str, str, Dict[str, Any]]]:
    """Workers that only say what they are asked: (framework, command, arguments)."""
    made: List[Tuple[str, str, Dict[str, Any]]] = []

    class Fake:
        @classmethod
        def of(cls, contender: Contender, threads: int) -> Fake:
            own = cls()
            own.name = contender.key
            made.append((own.name, "start", {"threads": threads}))
            return own

        def __enter__(self) -> Fake:
            return self

        def __exit__(self, *_: object) -> None:
            made.append((self.name, "end", {}))

        def ask(self, command: str, **arguments: Any) -> Dict[str, Any]:
            made.append((self.name, command, arguments))
            return {"warm_up": {"seconds": [0.9, 0.1]}, "evidence": {"logits": [[1.0, LOGITS[self.name]]], "losses": [1.0]},
                    "time": {"seconds": [0.2] * arguments.get("steps", 0)},
                    "peak_memory": {"mib": 1000.0}}.get(command, {})

    monkeypatch.setattr(scaling, "Worker", Fake)
    return made


def measured(values: Dict[str, List[int]]) -> Tuple[List[Point], Scaling]:
    made = Scaling(BASE, FRAMEWORKS, lambda *_: None)
    return made.run(values), made


def test_one_axis_changes_at_a_time(asked: List) -> None:
    points, _ = measured({BATCH: [2, 1], THREADS: [1], FRAMES: [100], SPEAKERS: [1251]})
    works = [arguments["work"] for name, command, arguments in asked if command == "build" and name == "tensorflow"]
    varied = [{key: value for key, value in work.items()
               if key != "plan" and value != getattr(BASE, key)} for work in works]
    assert varied == [{"batch_size": 1}, {"batch_size": 2}, {"threads": 1}, {"frames": 100}, {"num_speakers": 1251}]
    assert [arguments["threads"] for _, command, arguments in asked if command == "start"][4:6] == [1, 1]
    assert len(points) == 5 * 2 * 2
    assert points[0].per_utterance == pytest.approx(200) and points[4].per_utterance == pytest.approx(100)


def test_wrong_numbers_at_any_point_are_a_failure(asked: List, monkeypatch: pytest.MonkeyPatch) -> None:
    points, _ = measured({BATCH: [4]})
    assert [point.proof for point in points[::2]] == [None] * 2 and of_proofs(ScalingStudy({}, points, []).proofs) == []
    monkeypatch.setitem(LOGITS, "caffe2", 2.1)
    points, _ = measured({BATCH: [4]})
    invalid, line, *_ = of_proofs(ScalingStudy({}, points, []).proofs)
    assert invalid.startswith("INVALID: ") and line.startswith("tdnn, batch size 4, caffe2: logits before")


def test_frameworks_take_turns(asked: List) -> None:
    measured({BATCH: [4]})
    timed = [(name[:2], arguments["kind"], arguments["steps"]) for name, command, arguments in asked if command == "time"]
    order = [name for name, kind, _ in timed if kind == "training"]
    assert sorted(order[:2]) == sorted(order[2:4]) == ["ca", "te"] and order[:4] == order[:4][::-1] and len(order) == 8
    assert {steps for *_, steps in timed} == {3}  # of 0.1 s, for a third of a second


@pytest.mark.parametrize("free, together, left_out", [(10_000.0, True, 0), (3_000.0, False, 0), (2_000.0, None, 1)])
def test_what_does_not_fit_in_memory(asked: List, monkeypatch: pytest.MonkeyPatch, free: float, together: bool,
                                     left_out: int) -> None:
    """1,000 MiB each at a batch of 4, so about 2,000 each at 8."""
    monkeypatch.setattr(scaling, "available_memory_mib", lambda: free)
    points, made = measured({BATCH: [4, 8]})
    assert {point.together for point in points if point.value == 8} == ({together} if together is not None else set())
    assert len(made.left_out) == left_out and all("batch size 8: would take about 2,000 MiB" in each for each in made.left_out)
    starts = [command for _, command, _ in asked if command in ("start", "end")][4:]
    assert starts == {True: ["start", "start", "end", "end"], False: ["start", "end"] * 2, None: []}[together]


def test_table_sets_cost_beside_arithmetic() -> None:
    rows = rows_of_costs([point(100), point(200, together=False), point(100, kind="inference"), point(7, axis=BATCH)], FRAMES)
    assert [(row["step"], row["frames"]) for row in rows] == [("training", 100), ("training", 200), ("inference", 100)]
    assert rows[0]["caffe2, ms an utterance"] == "1000.0 [1000.0, 1250.0]" and rows[0]["caffe2, cost, relative"] == "1.00"
    assert rows[1]["caffe2, cost, relative"] == "2.00" and rows[1]["caffe2, MiB"] == "900 *"
    spec = build("tdnn", 50)
    assert rows[1]["MAC, relative"] == f"{spec.macs(200) / spec.macs(100):.2f}" and rows[1]["MMAC"] == spec.macs(200) / 1e6


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})  # frameworks run here, with the threads they have
    done = run("compare.py", "scaling", "--networks", "tdnn", "--width", "0.05", "--threads", "1", "--batch-sizes",
               "--frames", "--speakers", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scaling-tdnn.png", "scaling.json", "scaling.md"]
    assert "## tdnn, by threads" in done.stdout and "by frames" not in done.stdout
    assert len(json.loads((tmp_path / "scaling.json").read_text())["points"]) == 4


@pytest.mark.parametrize("wrong, message", [
    (["--batch-sizes", "0"], "--batch-sizes: must be at least 1, not 0"), (["--frames", "5"], "cannot take 5 frames"), (["--speakers", "1"], "at least 2"),
    (["--batch-sizes", "--threads", "--frames", "--speakers"], "no axis has a value")])
def test_command_refuses(tmp_path: Path, wrong: List[str], message: str, capsys: pytest.CaptureFixture) -> None:
    from compare import main

    assert main(["scaling", *wrong, "--out", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err


def test_an_option_is_not_taken_for_another_that_begins_alike(capsys: pytest.CaptureFixture) -> None:
    from compare import main

    assert main(["scaling", "--batch-size", "16"]) == 2
    assert "unrecognized arguments: --batch-size 16; did you mean --batch-sizes? " in capsys.readouterr().err
