"""What several test files share."""
import importlib

import pytest

from common.twin import Twin


@pytest.fixture(scope="session", params=["tf_impl", "caffe2_impl"])
def twin(request) -> Twin:
    """Each framework in turn, imported at first use; one that does not import is a failure."""
    loaded = importlib.import_module(request.param).load()
    loaded.configure("cpu", 1)
    return loaded
