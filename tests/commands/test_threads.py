"""--threads reaches NumPy in the process of the command itself, not only in its workers."""
from __future__ import annotations

import subprocess
import sys
from typing import List

import commands
import pytest
import threadpoolctl

from common.commands import options
from common.commands.options import prepare_threads

# Runs a command up to where its work would begin, and tells of every pool of threads there is then.
UP_TO_THE_WORK = """
import importlib, sys
import threadpoolctl

def tell(*_):
    print(*sorted(f"{pool['user_api']}={pool['num_threads']}" for pool in threadpoolctl.threadpool_info()))
    sys.exit()

module, function, *arguments = sys.argv[1:]
main = importlib.import_module(module).main
print("numpy" in sys.modules)
place, _, name = function.rpartition(".")
setattr(sys.modules[place], name, tell)
main(arguments)
"""


@pytest.mark.parametrize("module, work", [
    ("compare", "common.commands.compare.data_or_embedded"), ("caffe2_impl.train", "common.commands.train.data_or_embedded")])
def test_threads_reach_numpy(module: str, work: str) -> None:
    """Which does not come with the options: its BLAS reads the variables when it is loaded."""
    done = subprocess.run([sys.executable, "-c", UP_TO_THE_WORK, module, work, "--threads", "1"], cwd=commands.PROJECT,
                          capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["False", "blas=1"], done.stderr


def test_a_command_in_a_tests_process_leaves_the_next_test_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the last bit of what NumPy sums there goes by which tests ran before."""
    def numbers() -> List[int]:
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    def main(_: List[str]) -> int:
        prepare_threads(2)
        assert set(numbers()) == {2}
        return 0

    monkeypatch.setattr(commands, "main_of", lambda _: main)
    assert commands.run("any").returncode == 0
    assert set(numbers()) == {1}


def test_more_threads_than_cpus_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(options, "available_cores", lambda: 1)
    for name in options.THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")
    with threadpoolctl.threadpool_limits(1):
        assert (prepare_threads(1), capsys.readouterr().err) == (1, "")
        assert prepare_threads(2) == 2 and "note: 2 threads on 1 CPUs hinder each other" in capsys.readouterr().err
