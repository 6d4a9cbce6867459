"""What several test files of training share."""
from __future__ import annotations

from pathlib import Path

import pytest
from training_runs import train


@pytest.fixture(scope="session")
def run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run over the NumPy twin; not to be changed by a test."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(folder, tiny_data)
    return folder
