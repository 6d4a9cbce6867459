"""A framework's process behind the page: it is told when it starts, dies or does not start, and started again."""
from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
import pytest

from common.contenders import Contender
from common.errors import UserError
from common.page.engines import EMBEDDINGS, FAILED, LOGITS, READY, STARTING, Apart

PROJECT = Path(__file__).parents[2]
# A worker whose engine needs no framework. `open` fails as long as there is a file "broken".
WORKER = """
import os, sys
from types import SimpleNamespace
import numpy as np
from common.page import engines
from common.speed.worker import serve

class Made(engines.Answering):
    def open(self, model, threads):
        assert sys.argv[1:] == [engines.WORD], sys.argv
        if os.path.exists("{folder}/broken"):
            raise ImportError("libmade.so is missing")
        self._engine = SimpleNamespace(logits=lambda x: x.sum(axis=1), embeddings=lambda x: x[:, :, 0] + float(threads))
        return {{}}

serve(Made(None))
"""


@pytest.fixture()
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Apart]]:
    """Starts one more of them."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{PROJECT}")
    (tmp_path / "made_impl").mkdir()
    (tmp_path / "made_impl" / "worker.py").write_text(WORKER.format(folder=tmp_path))
    started = []

    def start() -> Apart:
        started.append(Apart(Contender("made", "Made", "made_impl.worker", "numpy", "red"), tmp_path / "x.npz", 3))
        return started[-1]

    yield start
    for engine in started:
        engine.close()


def until(state: str, engine: Apart) -> None:
    for _ in range(600):
        if engine.state == state:
            return
        time.sleep(0.05)
    raise AssertionError((engine.state, engine.problem))


def test_numbers_go_both_ways_unchanged(made: Callable[[], Apart]) -> None:
    engine = made()
    until(READY, engine)
    values = np.random.default_rng(0).standard_normal((2, 5, 7)).astype(np.float32)
    logits, seconds = engine.ask(LOGITS, values)
    np.testing.assert_array_equal(logits, values.sum(axis=1))
    assert logits.dtype == np.float32 and 0 <= seconds < 1
    np.testing.assert_array_equal(engine.ask(EMBEDDINGS, values)[0], values[:, :, 0] + np.float32(3))


def test_one_that_starts_says_so(made: Callable[[], Apart]) -> None:
    engine = made()
    assert engine.state == STARTING
    with pytest.raises(UserError, match="^is starting$"):
        engine.ask(LOGITS, np.zeros((1, 5, 7), np.float32))


def test_one_that_died_says_so_and_is_started_again(made: Callable[[], Apart]) -> None:
    engine, values = made(), np.ones((1, 5, 7), np.float32)
    until(READY, engine)
    os.kill(engine.worker.process.pid, signal.SIGKILL)
    with pytest.raises(UserError, match="its process ended; it is started again"):
        engine.ask(LOGITS, values)
    until(READY, engine)
    assert engine.problem == "" and engine.ask(LOGITS, values)[0].shape == (1, 7)


def test_one_that_does_not_start_says_why_and_is_tried_again(made: Callable[[], Apart], tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    engine, values = made(), np.ones((1, 5, 7), np.float32)
    until(FAILED, engine)
    assert "does not start: " in engine.problem and "libmade.so is missing" in engine.problem
    (tmp_path / "broken").unlink()
    with pytest.raises(UserError, match="libmade.so is missing"):
        engine.ask(LOGITS, values)
    until(READY, engine)
    assert engine.ask(LOGITS, values)[0].shape == (1, 7)


def test_one_that_is_ended_while_it_starts_is_gone(made: Callable[[], Apart]) -> None:
    engine = made()
    process = engine.worker.process
    engine.close()
    assert process.poll() is not None
