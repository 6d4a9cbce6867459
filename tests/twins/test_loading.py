"""Ctrl-C while a framework is imported."""
from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any, List

import pytest

from common.errors import friendly
from common.twin import Twin


@pytest.mark.parametrize("times", [1, 2])
def test_it_is_heard_once_the_import_is_whole(twin: Twin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
                                              times: int) -> None:
    """Caffe2 takes it for a missing library, says so on 60 lines and ends with status 1."""
    class Finder:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            found.append(name)
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    found: List[str] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run where it is ignored
    name = f"{twin.package}.from_onnx"
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(name)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    try:
        assert friendly(lambda argv: importlib.import_module(twin.package).load() and 0)([]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert found == [name] and name in sys.modules and capsys.readouterr().err == "interrupted\n"
