"""What several test files share."""
import importlib
from pathlib import Path

import pytest
from tiny_data import write_data

from common.twin import Twin


@pytest.fixture(scope="module", params=["tf_impl", "caffe2_impl"])
def twin(request) -> Twin:
    """Each framework in turn, imported at first use; one that does not import is a failure.

    Of a module, not of the session: pytest would take modules apart to have all tests of a framework in a row, and
    make whatever these share anew.
    """
    loaded = importlib.import_module(request.param).load()
    loaded.configure("cpu", 1)
    return loaded


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of 48 records by 4 speakers; not to be changed by a test."""
    return write_data(tmp_path_factory.mktemp("tiny") / "voices")
