"""What several test files share, and how their tests get along in two processes side by side."""
from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import List

import pytest
from threadpoolctl import ThreadpoolController
from tiny_data import write_data

from common.twin import Twin

# They take longest: begun first, one in each process, they are not what the end waits for.
FIRST = ("test_instruction_sets.py", "test_readme.py")

# Threads that wait, here and in what tests start, leave the core to the other process's tests at once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # the least: of so many bits is a waiting loop's count

importlib.import_module("scipy.linalg")  # which brings a library of its own; NumPy's is there
LIBRARIES = ThreadpoolController()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in FIRST)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before every test and what it shares with others, NumPy and SciPy have one thread, as the frameworks have: the other
    core is the other process's, and the last bit of a sum goes by their number. A command's `main` that a test called here
    has taken every core.
    """
    for library in LIBRARIES.lib_controllers:
        library.set_num_threads(1)


@pytest.fixture(scope="module", params=["tf_impl", "caffe2_impl"])
def twin(request: pytest.FixtureRequest) -> Twin:
    """Each framework in turn, imported at first use; one that does not import is a failure.

    Of a module, not of the session: pytest would take modules apart to have all tests of a framework in a row, and
    make whatever these share anew.
    """
    loaded = importlib.import_module(request.param).load()
    loaded.configure("cpu", 1)
    return loaded


@pytest.fixture(scope="session")
def tensorflow() -> None:
    """For tests that compute in TensorFlow without `twin`: how many threads it has cannot be said after its first operation."""
    importlib.import_module("tf_impl").load().configure("cpu", 1)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of 48 records by 4 speakers; not to be changed by a test."""
    return write_data(tmp_path_factory.mktemp("tiny") / "voices")
