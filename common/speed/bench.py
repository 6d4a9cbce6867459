"""One network in one engine, timed command by command: what a worker does for a speed figure.

    bench = Bench(lambda: twin_engine(twin))
    bench.build(asdict(Work("tdnn", num_speakers=50, threads=2)))
    bench.warm_up("training")
    bench.time("training", steps=4)

An engine is one of the twins or a baseline. Everything a command returns is plain data that can be
sent as JSON.
"""
from __future__ import annotations

import dataclasses
import gc
import itertools
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np

from common.data.batches import Batch, BatchReader
from common.data.dataset import open_dataset
from common.data.form import NUM_BINS, NUM_FRAMES
from common.data.splits import split_dataset
from common.errors import UserError
from common.machine import best_gflops, clocked, peak_memory_mib
from common.memory import freed_memory_kept
from common.network import params as parameters
from common.network.architectures import build
from common.network.layers import NetworkSpec
from common.network.optimizer import SGD
from common.network.params import Params
from common.network.winograd import Plan
from common.proof import selfcheck
from common.speed.blocks import Tick, repeat, timed
from common.speed.engine import INFERENCE, LATENCY, TRAINING, Engine, TwinRunner
from common.speed.tuning import Candidate, Race, Steps, search
from common.twin import END_TO_END, RESIDENT

PROOF_STEPS, PROOF_RATE = 3, 1e-3  # the first steps by which an engine proves which network it runs
_STABLE = 0.05  # warm-up ends when the last three steps differ by no more
PATIENCE = 5.0  # or after so many seconds: what has not settled by then is told
# Before a block: threads of the process that computed before may still be waiting for work, awake. Those of
# OpenMP were seen to do so for 8 ms, those of ONNX Runtime for 30.
SETTLE_SECONDS = 0.05


@dataclass(frozen=True)
class Work:
    """What is to be timed: the same for every engine."""

    network: str
    num_speakers: int
    width: float = 1.0
    frames: int = NUM_FRAMES
    batch_size: int = 16
    seed: int = 0  # of the parameters, and of the order of the data or the random spectrograms
    device: str = "cpu"
    threads: int = 1
    data: Optional[List[str]] = None  # None: random spectrograms, of any number of frames
    # How a twin computes convolutions, see `common.network.winograd`; None: by default.
    plan: Optional[Dict[str, int]] = None
    label_smoothing: float = 0.0  # see `common.network.layers.NetworkSpec`

    @property
    def spec(self) -> NetworkSpec:
        return build(self.network, self.num_speakers, self.width, self.label_smoothing)


class Bench:
    """Times one network in one engine."""

    def __init__(self, load: Callable[[], Engine]) -> None:
        self._load = load
        self._engine: Optional[Engine] = None
        self._streaming: Optional[Iterator[np.ndarray]] = None

    def build(self, work: Dict[str, Any]) -> Dict[str, Any]:
        """Load engine and network, then read and stage a batch.

        Returns facts, and the moment at which the network was built, of `time.monotonic`: that clock
        is the whole machine's, so a process that noted when it started this one tells how long it took.
        May be called again, for another network or size, but with the same device and threads.
        """
        return self.begin(Work(**work), SGD())

    def begin(self, work: Work, optimizer: SGD) -> Dict[str, Any]:
        """The same for an optimiser of one's own."""
        self.close_stream()
        gc.unfreeze()  # the network before may go
        self.work = work
        self._start(work, optimizer)
        built_at = time.monotonic()  # before data are opened, which is no framework's work
        self._reader = self._open_reader()
        self.batch = next(self._batches())
        self._stage()
        return {"facts": self.runner.facts(), "kinds": list(self.runner.kinds),
                "built_at": built_at}

    def _start(self, work: Work, optimizer: SGD) -> None:
        """Load the engine, if need be, and build the network."""
        if self._engine is None:
            self._engine = self._load()
            self._engine.configure(work.device, work.threads)
        spec = work.spec
        self._first_steps: Dict[str, List[float]] = {}  # kind -> seconds, taken for `evidence`
        planned = {} if work.plan is None else {"plan": work.plan}
        self.runner = self._engine.runner(spec, parameters.initialise(spec, work.seed), optimizer, **planned)

    def give_up(self) -> None:
        """Let go of the network, before there is another."""
        self.close_stream()
        del self.runner
        gc.unfreeze()
        gc.collect()

    def tune(self, work: Dict[str, Any], seconds: float, tried_before: Sequence[Dict[str, Any]] = ()) -> Dict[str, Any]:
        """Find the plan by which a twin's network is quickest, see `tuning.search`: a `tuning.Tuned`."""
        work_ = Work(**work)
        batch = random_batch(work_, 0)

        def start(plan: Plan) -> Steps:
            self._start(dataclasses.replace(work_, plan=dict(plan)), SGD())
            runner = self.runner
            runner.stage(batch.spectrograms, batch.speakers)
            return Steps(*(lambda kind=kind: runner.run(kind, 1, lambda: None) for kind in (TRAINING, INFERENCE)))

        spec = work_.spec
        return dataclasses.asdict(search(spec, Race(start), seconds, tried_before=[Candidate(**each) for each in tried_before]))

    def selfcheck(self, work: Dict[str, Any]) -> Dict[str, Any]:
        """Hold a twin's network against the reference: its facts and every `selfcheck.Deviation`."""
        self._start(Work(**work), SGD())
        with freed_memory_kept():
            deviations = selfcheck.hold(self.runner.model)
        return {"facts": self.runner.facts(), "deviations": [dataclasses.asdict(each) for each in deviations]}

    def evidence(self, steps: int = PROOF_STEPS, learning_rate: float = PROOF_RATE) -> Dict[str, Any]:
        """What the network says of the staged batch, and its losses over the first steps.

        To be asked right after `build`: by its answers an engine proves which network it runs. Also
        returns how long the very first training step took, or prediction if it cannot train.
        """
        logits, seconds = clocked(lambda: self.runner.answer(self.batch.spectrograms))
        self._stage()
        losses = []
        if TRAINING in self.runner.kinds:
            taken = [clocked(lambda: self.runner.loss(learning_rate)) for _ in range(steps)]
            losses = [loss for loss, _ in taken]
            self._first_steps[TRAINING] = [each for _, each in taken]
            seconds = taken[0][1]
        return {"logits": logits.tolist(), "losses": losses, "first_step_seconds": seconds}

    def warm_up(self, kind: str, most: int = 10) -> Dict[str, Any]:
        """Run steps until the last three take the same time, at least one.

        Steps that were taken for `evidence` count. It gives up after `most` steps or `PATIENCE`.
        Returns the seconds of all, and whether they settled.
        """
        seconds, start = self._first_steps.pop(kind, []), time.perf_counter()
        settled = False
        while not settled:
            seconds += timed(lambda tick: self._steps(kind, RESIDENT, 1, tick)).seconds
            settled = len(seconds) >= 3 and max(seconds[-3:]) <= (1 + _STABLE) * min(seconds[-3:])
            late = len(seconds) >= most or time.perf_counter() - start > PATIENCE
            if late and len(seconds) >= 3:
                break
        return {"seconds": seconds, "settled": settled}

    def time(self, kind: str, steps: int, clock: str = RESIDENT) -> Dict[str, Any]:
        """Time a block of steps of one kind; returns a `blocks.Block`."""
        time.sleep(SETTLE_SECONDS)
        self._stage()
        if kind in (INFERENCE, LATENCY):  # one beforehand: it pays for new weights
            self._steps(kind, RESIDENT, 1, lambda: None)
        return dataclasses.asdict(timed(lambda tick: self._steps(kind, clock, steps, tick)))

    def save(self, path: str) -> Dict[str, Any]:
        """Write parameters and momenta as they stand (npz)."""
        parameters.save(Path(path), params=self.runner.params(), momenta=self.runner.momenta())
        return {}

    def step(self, path: str, after: str, clock: str = RESIDENT) -> Dict[str, Any]:
        """Take one training step on the timed batch as those that were timed, from a state that `save` wrote; write the one
        after it. Returns how far the steps before it had gone from that state, by this one's length."""
        now = self.runner.params()
        state = self._begin_again(path)
        self._bring(clock)
        self.runner.run(TRAINING, 1, lambda: None)
        self.save(after)
        taken = self.runner.params()
        way, step = (sum(float(np.square(each[name] - state["params"][name], dtype=np.float64).sum())
                         for name in state["momenta"]) for each in (now, taken))
        return {"way": math.sqrt(way / step) if step else 0.0}

    def answer(self, path: str, clock: str = RESIDENT) -> Dict[str, Any]:
        """Logits of the timed batch by the steps that were timed, with the parameters of a file of `save`."""
        self._begin_again(path)
        self._bring(clock)
        said = self.runner.run(INFERENCE, 1, lambda: None)
        return {"logits": np.asarray(said, np.float64).tolist()}  # not a number where nothing was said

    def profile(self, kind: str, steps: int) -> Dict[str, Any]:
        """Every operator of a training step or a prediction by a twin's own profiler."""
        operators = self.runner.twin.profile(self.runner.model, kind == TRAINING, steps)
        return {"operators": [dataclasses.astuple(operator) for operator in operators]}

    def matmul(self, size: int) -> Dict[str, Any]:
        """The engine's own speed at the product of two square float32 matrices."""
        return {"gflops": best_gflops(self._engine.matmul(size), size)}

    def peak_memory(self) -> Dict[str, Any]:
        return {"mib": peak_memory_mib()}

    def _steps(self, kind: str, clock: str, steps: int, tick: Tick) -> None:
        one = Batch(self.batch.spectrograms[:1], self.batch.speakers[:1])
        if kind == LATENCY:
            repeat(lambda: self.runner.answer(one.spectrograms), steps, tick)
        elif clock == RESIDENT:
            self.runner.run(kind, steps, tick)
        else:
            def step() -> None:
                self._bring(clock)
                self.runner.run(kind, 1, lambda: None)

            repeat(step, steps, tick)

    def _bring(self, clock: str) -> None:
        """A batch to where steps work on it."""
        if clock == END_TO_END:
            next(self._stream())
        else:
            self._stage()

    def _begin_again(self, path: str) -> Dict[str, Params]:
        """A state that `save` wrote, loaded; the stream of batches, too, is at its beginning, which is the timed batch."""
        self.close_stream()
        state = parameters.load(Path(path))
        self.runner.load(state["params"], state.get("momenta"))
        return state

    def _stage(self) -> None:
        self.runner.stage(self.batch.spectrograms, self.batch.speakers)

    def _open_reader(self) -> Optional[BatchReader]:
        """Shuffled training batches of whole utterances; None without data."""
        work = self.work
        if work.data is None:
            return None
        self.dataset = open_dataset([Path(path) for path in work.data])
        self.split = split_dataset(self.dataset, work.seed)
        return BatchReader.shuffled(self.dataset.records, self.split.train, work.batch_size, work.seed)

    def _batches(self) -> Iterator[Batch]:
        """Batches without end, epoch after epoch; of random values if there are no data."""
        for epoch in itertools.count():
            if self._reader is not None:
                yield from self._reader.epoch(epoch)
            else:
                yield random_batch(self.work, epoch)

    def _stream(self) -> Iterator[np.ndarray]:
        """Batches through the framework's own queue, which stays open from block to block.

        So it is full when a block begins and when it ends: as many batches are read as are used.
        """
        if self._streaming is None:
            if self._reader is None or not isinstance(self.runner, TwinRunner):
                raise UserError("only the twins are timed end to end, and only with data")
            self._streaming = self.runner.twin.staged(self.runner.model, self._batches())
        return self._streaming

    def close_stream(self) -> None:
        """What reads ahead ends."""
        if self._streaming is not None:
            self._streaming.close()
            self._streaming = None


def random_batch(work: Work, number: int) -> Batch:
    """Standard normal spectrograms: as heavy to compute as any."""
    generator = np.random.default_rng((work.seed, number))
    shape = work.batch_size, NUM_BINS, work.frames
    return Batch(generator.standard_normal(shape, np.float32),
                 generator.integers(work.num_speakers, size=work.batch_size).astype(np.int32))
