"""What the tests of the doctor share."""
from __future__ import annotations

from pathlib import Path

import pytest
from damage import make_folder


@pytest.fixture()
def data(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data")
