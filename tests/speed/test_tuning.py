"""Which way of computing convolutions is taken: the quickest, by measurements that a clock of our own makes up."""
from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy_twin
import pytest

from common import remembered
from common.contenders import CONTENDERS, Contender, by_label
from common.network.architectures import build
from common.network.optimizer import SGD
from common.network.params import initialise
from common.network.winograd import Plan, algorithm, default_plan
from common.speed import gate
from common.speed.bench import Bench, Work
from common.speed.engine import twin_engine
from common.speed.convolutions import as_known, choose, known, planned
from common.speed.tuning import ALL, Race, Steps, Tuned, other_ways, search
from common.training.certificate import Stretch
from common.training.checkpoint import Checkpoint
from common.training.config import TrainingConfig
from common.twin import AUTO, Twin

TDNN, VGG_M = build("tdnn", 4), build("vgg_m", 4)
DEFAULT = default_plan(TDNN)
CAFFE2, WORK = CONTENDERS["caffe2"], Work("tdnn", 4, threads=2)


@pytest.fixture(autouse=True)
def nothing_to_collect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up networks leave no memory behind, and beside TensorFlow a collection takes 0.2 s."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


class Machine:
    """A clock, and networks whose steps take what `seconds` says of their plan, else 1.2 for each direct layer, times a noise."""

    def __init__(self, seconds: Dict[Tuple[str, int], float], noise: Iterator[float] = iter(())) -> None:
        self.now, self._seconds, self._noise = 0.0, seconds, noise
        self.built: List[Plan] = []

    def start(self, plan: Plan) -> Steps:
        self.built.append(plan)
        took = 1.0
        for name in ("frame1", "frame2", "frame3"):
            took *= self._seconds.get((name, plan.get(name, 0)), 1.0 if name in plan else 1.2)
        took *= self._seconds.get((ALL, len(plan)), 1.0)
        return Steps(*(lambda share=share: self._take(took * share) for share in (0.75, 0.25)))

    def clock(self) -> float:
        return self.now

    def search(self, seconds: float = 1e9) -> Tuned:
        return search(TDNN, Race(self.start, self.clock), seconds, self.clock)

    def _take(self, seconds: float) -> None:
        self.now += seconds * next(self._noise, 1.0)


# What is tried

def test_every_other_way_of_every_layer_is_tried_the_heaviest_first() -> None:
    assert list(other_ways(TDNN, DEFAULT)) == [(f"frame{n}", points) for n in (1, 2, 3) for points in (0, 6)]
    assert list(other_ways(VGG_M, default_plan(VGG_M))) == [(f"conv{n}", 0) for n in (2, 3, 4, 5)]
    assert list(other_ways(TDNN, {})) == [(f"frame{n}", points) for n in (1, 2, 3) for points in (6, 8)]


# What is found

@pytest.mark.parametrize("seconds, expected", [
    ({}, DEFAULT),
    ({("frame2", 0): 0.9}, {"frame1": 8, "frame3": 8}),
    ({("frame2", 6): 0.9}, {**DEFAULT, "frame2": 6}),
    ({("frame2", 0): 0.9, ("frame2", 6): 0.8}, {**DEFAULT, "frame2": 6}),
    ({("frame2", 0): 0.8, ("frame2", 6): 0.9}, {"frame1": 8, "frame3": 8}),
    ({(f"frame{n}", 0): 0.9 for n in (1, 2, 3)}, {}),
    ({(ALL, 0): 0.5}, {}),  # though each layer for itself is slower
    ({(ALL, 0): 0.5, ("frame3", 6): 0.5}, {"frame3": 6}),
    ({("frame1", 6): 0.98}, DEFAULT),  # not worth a word
    ({("frame1", 0): 1.2, ("frame3", 6): 1.1}, DEFAULT),
], ids=str)
def test_the_quickest_of_each_layer_is_kept(seconds: Dict, expected: Plan) -> None:
    found = Machine(seconds).search()
    assert found.plan == expected and len(found.candidates) == 7
    for each in found.candidates:
        assert each.kept == (each.times_as_quick > 1.03)


def test_layers_that_are_quick_only_together_with_others_are_measured_so() -> None:
    """What was kept before is part of what the next is measured in."""
    machine = Machine({("frame1", 0): 0.9})
    machine.search()
    assert machine.built[:4] == [DEFAULT, {}, {"frame2": 8, "frame3": 8}, {**DEFAULT, "frame1": 6}]
    assert all("frame1" not in plan for plan in machine.built[4:])


def test_noise_changes_nothing() -> None:
    import random

    wild, same = random.Random(0), {(f"frame{n}", 0): 1.0 for n in (1, 2, 3)}
    changed = sum(Machine(same, iter(lambda: wild.lognormvariate(0, 0.05), None)).search().plan != DEFAULT for _ in range(50))
    assert changed <= 10, "a plan in five at most, of 50 with seven ways each that are all the same"
    quicker = {("frame2", 6): 0.8}
    found = sum(Machine(quicker, iter(lambda: wild.lognormvariate(0, 0.05), None)).search().plan.get("frame2") == 6
                for _ in range(50))
    assert found >= 48, "and what is much quicker is found"


def test_one_slow_moment_changes_nothing() -> None:
    """The machine stops for a while in some step of the first plan: all its other rounds say nothing of the kind."""
    for number in range(20):
        assert Machine({}, iter([1.0] * number + [9.0])).search().plan == DEFAULT


def test_both_plans_of_a_race_take_turns() -> None:
    ran: List[str] = []

    def start(plan: Plan) -> Steps:
        name = str(plan["a"])
        return Steps(lambda: ran.append(name + "t"), lambda: ran.append(name + "p"))

    race = Race(start, iter(range(1000)).__next__)
    race({"a": 1}, {"a": 2})
    assert "".join(ran) == "1t2t" + "1t2t2t1t1t2t" + "1t2t2t1t" + "1p2p" + "1p2p2p1p1p2p2p1p1p2p"


def test_no_time_no_race() -> None:
    machine = Machine({("frame1", 0): 0.9, ("frame3", 6): 0.8})
    found = machine.search(seconds=8.0)
    assert found.plan == {"frame2": 8, "frame3": 8}, "what was found in time holds"
    assert [each.times_as_quick is None for each in found.candidates] == [False, False, *[True] * 5]
    assert Machine({}).search(seconds=0).plan == DEFAULT


def test_what_was_measured_before_is_not_measured_again() -> None:
    seconds = {("frame1", 0): 0.9, ("frame3", 6): 0.8}
    first, again, whole = Machine(seconds), Machine(seconds), Machine(seconds)
    tried = first.search(seconds=5.0).candidates
    found = search(TDNN, Race(again.start, again.clock), 1e9, again.clock, tried)
    assert found.plan == whole.search().plan and again.now < whole.now
    assert found.candidates[0] == tried[0] and all(each.times_as_quick for each in found.candidates)


def test_a_worker_tunes_its_network() -> None:
    answer = Bench(lambda: twin_engine(numpy_twin.load())).tune(dataclasses.asdict(
        Work("tdnn", 4, width=0.05, batch_size=2, frames=40)), seconds=60)
    ways = [(each["layer"], each["points"]) for each in answer["candidates"]]
    assert ways in [[(ALL, 0), *((f"frame{n}", points) for n in (1, 2, 3) for points in others)] for others in ((0, 6), (6, 8))]
    assert set(answer["plan"]) <= {"frame1", "frame2", "frame3"} and json.dumps(answer)


# What is remembered

class Asked(List[Dict[str, Any]]):
    """Workers that note what they were asked to measure; each finds that frame2 is quickest with 6 points."""

    def of(self, contender: Contender) -> Asked:
        return self

    ends = (0.9,)  # what the second of two ways turns out to be, search by search; None: time was up

    def ask(self, command: str, work: Dict[str, Any], seconds: float, tried_before: List[Dict[str, Any]]) -> Dict[str, Any]:
        self.append({**work, "seconds": seconds, "tried_before": tried_before})
        return {"plan": {**DEFAULT, "frame2": 6}, "candidates": [
            {"times_as_quick": 1.1}, {"times_as_quick": self.ends[min(len(self), len(self.ends)) - 1]}]}


@pytest.fixture()
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asked:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Asked()


def test_it_is_measured_once_and_said_so(asked: Asked, capsys: pytest.CaptureFixture) -> None:
    for _ in range(2):
        choice = choose(CAFFE2, dataclasses.replace(WORK, batch_size=16, data=["somewhere"], seed=3), AUTO, asked)
        assert choice.plan == {**DEFAULT, "frame2": 6} and choice.origin == "2 of 2 other ways measured on this machine"
    work, = asked
    assert work["batch_size"] == 4 and work["data"] is None and work["seconds"] < 10
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Caffe2 computes the convolutions of tdnn" in said


def test_a_search_that_time_ended_goes_on_in_the_next_run(asked: Asked) -> None:
    asked.ends = (None, None, 0.9)
    told = [choose(CAFFE2, WORK, AUTO, asked).origin[:6] for _ in range(5)]
    assert told == ["1 of 2", "1 of 2", "2 of 2", "2 of 2", "2 of 2"] and len(asked) == 3
    assert [work["tried_before"] for work in asked] == [[], *[[{"times_as_quick": 1.1}, {"times_as_quick": None}]] * 2]


def test_another_machine_network_or_framework_is_measured_anew(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(CAFFE2, WORK, AUTO, asked)
    for number, (contender, work) in enumerate([
            (CONTENDERS["tensorflow"], WORK), (CAFFE2, dataclasses.replace(WORK, threads=1)),
            (CAFFE2, dataclasses.replace(WORK, width=0.5)), (CAFFE2, dataclasses.replace(WORK, network="vgg_m"))], 2):
        choose(contender, work, AUTO, asked)
        assert len(asked) == number
    choose(CAFFE2, dataclasses.replace(WORK, num_speakers=99), AUTO, asked)
    assert len(asked) == 5, "the last layer is no convolution"
    monkeypatch.setitem(remembered.AT_START, "DNNL_MAX_CPU_ISA", "another")  # whichever the tests are held to
    choose(CAFFE2, WORK, AUTO, asked)
    assert len(asked) == 6


def test_what_is_asked_for_is_done(asked: Asked) -> None:
    assert choose(CAFFE2, WORK, "default", asked) == (DEFAULT, "by default")
    assert choose(CAFFE2, WORK, "direct", asked) == ({}, "as asked for")
    assert choose(CAFFE2, dataclasses.replace(WORK, device="gpu"), AUTO, asked).plan == {} and not asked
    assert choose(CAFFE2, dataclasses.replace(WORK, width=0.02), AUTO, asked) == ({}, "by default") and not asked, "no other way"
    for number in (1, 2):
        choose(CAFFE2, WORK, "measure", asked)
        assert len(asked) == number and asked[-1]["seconds"] == 60, "there is time for all ways"
    choose(CAFFE2, WORK, AUTO, asked)
    assert len(asked) == 2


def test_others_take_what_is_remembered_and_measure_nothing(asked: Asked) -> None:
    assert known("caffe2_impl", TDNN, "cpu", 2) == DEFAULT and not asked
    choose(CAFFE2, WORK, AUTO, asked)
    found = {**DEFAULT, "frame2": 6}
    assert known("caffe2_impl", TDNN, "cpu", 2) == found and known("caffe2_impl", TDNN, "gpu", 2) == {}
    assert known("tf_impl", TDNN, "cpu", 2) == known("caffe2_impl", TDNN, "cpu", 1) == DEFAULT
    assert as_known(CAFFE2, WORK).plan == found and as_known(CONTENDERS["caffe2-direct"], WORK).plan == {} and as_known(CONTENDERS["keras"], WORK) == WORK
    assert len(asked) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"plan": 3}', '{"plan": {"frame9": 8}}', '{"plan": {"frame1": 7}}',
                                  '{"plan": {"frame1": 0}}', '{"plan": {"frame4": 8}}'])
def test_a_damaged_memory_is_none(asked: Asked, text: str) -> None:
    choose(CAFFE2, WORK, AUTO, asked)
    file, = Path(remembered.cache_folder()).glob("convolutions/caffe2_impl-tdnn-*.json")
    file.write_text(text)
    assert known("caffe2_impl", TDNN, "cpu", 2) == DEFAULT
    assert choose(CAFFE2, WORK, AUTO, asked).plan == {**DEFAULT, "frame2": 6} and len(asked) == 2


def test_nothing_to_remember_with_is_no_failure(asked: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for number in (1, 2):
        assert choose(CAFFE2, WORK, AUTO, asked).plan == {**DEFAULT, "frame2": 6} and len(asked) == number


# What is done with it

def test_models_are_computed_by_it_and_it_is_what_is_checked(asked: Asked, twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: List[Work] = []
    configured: List[Tuple[str, int]] = []
    twin = dataclasses.replace(twin, configure=lambda *given: configured.append(given))
    monkeypatch.setattr(gate, "ensure", lambda contender, work, workers: checked.append(work))
    checkpoint = begun()
    choose(CONTENDERS[by_label(twin.framework)], WORK, AUTO, asked)
    for ready in (gate.require(twin, checkpoint, "cpu", 2), planned(twin, "cpu", 2)):
        algorithm = ready.model(TDNN, initialise(TDNN), SGD()).facts()["algorithm"]
        assert algorithm == ("Winograd, 8 points: frame1, frame3; Winograd, 6 points: frame2; direct: frame4, frame5")
    assert gate.require(twin, checkpoint, "cpu", 2, "direct").model(TDNN, initialise(TDNN), SGD()).facts()["algorithm"] == "direct"
    assert [work.plan for work in checked] == [{**DEFAULT, "frame2": 6}, {}] and configured == [("cpu", 2)] * 2


def begun(*stretches: Stretch) -> Checkpoint:
    return Checkpoint(TrainingConfig("tdnn"), tuple("abcd"), {}, {}, stretches=stretches)


def test_a_run_goes_on_by_the_plan_it_has_whatever_is_remembered(asked: Asked, twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the same device and as many threads, in the same framework, and if nobody asks for another; that is what is checked."""
    checked: List[Plan] = []
    monkeypatch.setattr(gate, "ensure", lambda contender, work, workers: checked.append(work.plan))
    monkeypatch.setattr(gate, "Workers", lambda threads: contextlib.nullcontext(asked))
    twin, plan, remembered_plan = dataclasses.replace(twin, configure=lambda *_: None), {"frame2": 6}, {**DEFAULT, "frame2": 6}
    facts = {"framework": f"{twin.framework} 1", "device": "cpu", "threads": "2", "algorithm": algorithm(TDNN, plan)}

    def by(mode: str, threads: int = 2, **changed: str) -> Plan:
        another = Stretch(1, None, {**facts, "framework": "NumPy", "algorithm": "direct"})
        gate.require(twin, begun(Stretch(0, None, {**facts, **changed}), another), "cpu", threads, mode)
        return checked[-1]

    assert by(AUTO) == plan and not asked, "another framework had it since"
    assert by("default") == DEFAULT and by("direct") == {} and by("measure") == remembered_plan
    assert by(AUTO, threads=1) == by(AUTO, device="gpu") == by(AUTO, framework="Theano") == remembered_plan
    assert by(AUTO, algorithm="damaged") == remembered_plan
