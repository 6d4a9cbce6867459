"""Whether TensorFlow computes with oneDNN is decided here, and stated as TensorFlow itself says."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, Tuple

import pytest

import tf_impl

PROJECT = Path(__file__).parents[1]
# oneDNN tells on standard output which operations it runs; then TensorFlow's facts.
FACTS = """
import json
import tf_impl
tf_impl.load()
import tensorflow as tf
from tf_impl import runtime
runtime.configure("cpu", 1)
tf.nn.conv2d(tf.ones((1, 8, 8, 8)), tf.ones((3, 3, 8, 8)), 1, "VALID")
print(json.dumps(runtime.facts()))
"""


def facts(switch: str) -> Tuple[Dict[str, str], bool]:
    """What is stated, and whether oneDNN convolved."""
    variables = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": switch, "ONEDNN_VERBOSE": "1"}
    done = subprocess.run([sys.executable, "-c", FACTS], cwd=PROJECT, env=variables, capture_output=True, text=True,
                          check=True)
    return json.loads(done.stdout.splitlines()[-1]), ",exec,cpu,convolution," in done.stdout


def test_it_is_on_unless_it_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """On some processors TensorFlow would leave it off."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "any")  # so that what is set below ends with the test
    for given, expected in ((None, "1"), ("0", "0")):
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS") if given is None else monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
        tf_impl.load()
        assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == expected


@pytest.mark.parametrize("switch, engine, convolutions, blas", [
    ("0", "Eigen", "Eigen ", "Eigen "), ("1", "Eigen + oneDNN", "oneDNN ", "oneDNN ")])
def test_what_is_stated_is_what_runs(switch: str, engine: str, convolutions: str, blas: str) -> None:
    stated, convolved = facts(switch)
    assert stated["engine"] == engine and convolved == (switch == "1")
    assert stated["convolutions"].startswith(convolutions) and stated["blas"].startswith(blas)
