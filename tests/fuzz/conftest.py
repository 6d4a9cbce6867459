"""Damaged files of every kind: each is read correctly or refused in one clear line that names it.

A reader must not raise anything else, hang, take memory without bound, unpickle, run anything, or
write outside its folder. The suite tries a few hundred inputs, the same each time. The long form
tries as many as asked, new ones each time, and notes what became of them:

    FUZZ_INPUTS=1500 FUZZ_RESULT=results/fuzz/readers.json python -m pytest -n 0 tests/fuzz
    FUZZ_INPUTS=1100 FUZZ_RESULT=results/fuzz/records-and-checkpoints.json python -m pytest -n 0 tests/fuzz \\
        -k "records or doctor or checkpoint"
"""
from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Dict, Iterator

import hypothesis
import pytest
from fuzzing import Tally

from common.measured import facts


@pytest.fixture(scope="session")
def tallies() -> Iterator[Dict[str, Tally]]:
    """One tally a reader; at the end of a long run they are written where FUZZ_RESULT says."""
    found: Dict[str, Tally] = {}
    yield found
    if "FUZZ_RESULT" in os.environ:
        readers = {name: {key: round(value, 3) for key, value in dataclasses.asdict(tally).items()}
                   for name, tally in found.items()}
        result = {"machine": facts(threads=1), "hypothesis": hypothesis.__version__,
                  "inputs": sum(tally.inputs for tally in found.values()),
                  "read": sum(tally.read for tally in found.values()),
                  "refused": sum(tally.refused for tally in found.values()), "readers": readers}
        path = Path(os.environ["FUZZ_RESULT"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")


@pytest.fixture()
def tally(request: pytest.FixtureRequest, tallies: Dict[str, Tally]) -> Tally:
    return tallies.setdefault(request.node.name[len("test_"):], Tally())
