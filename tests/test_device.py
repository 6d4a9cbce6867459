"""One device for all frameworks of a command, from what a card is and what their wheels hold code for."""
from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import List, Optional

import pytest
from commands import PROJECT, run_apart

from common import device
from common.commands import options
from common.device import Build, Card, Decision, decide, judge, runs
from common.errors import UserError

CAFFE2 = Build("Caffe2 of PyTorch 1.10.2", (10, 2), ["sm_37", "sm_50", "sm_60", "sm_70"],
               elsewhere={"the one for CUDA 11.3": ["sm_80", "sm_86"]})
TENSORFLOW = Build("TensorFlow 2.17", (12, 3), ["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"])
BARE = replace(TENSORFLOW, missing=["libcudnn.so.8"], remedy="pip install 'tensorflow[and-cuda]'")
BOTH = [TENSORFLOW, CAFFE2]


def card(capability: str, driver: str = "12.4") -> Card:
    return Card("A Card", device.version(capability), device.version(driver))


@pytest.mark.parametrize("capability, caffe2, tensorflow", [
    ("3.5", False, False), ("3.7", True, False), ("5.2", True, False), ("6.0", True, True), ("6.1", True, True),
    ("7.0", True, True), ("7.5", True, True), ("8.0", False, True), ("8.6", False, True), ("8.9", False, True),
    ("9.0", False, True), ("10.0", False, True), ("12.0", False, True)])
def test_code_runs_within_its_major_version_and_ptx_on_all_later_ones(capability: str, caffe2: bool, tensorflow: bool) -> None:
    assert runs(CAFFE2.codes, device.version(capability)) is caffe2
    assert runs(TENSORFLOW.codes, device.version(capability)) is tensorflow


def test_machine_code_of_a_later_minor_version_does_not_run() -> None:
    assert not runs(["sm_86"], (8, 0)) and runs(["sm_86"], (8, 9)) and not runs(["compute_90"], (8, 9))


@pytest.mark.parametrize("code, capability, able", [
    ("sm_90a", "9.0", True), ("sm_90a", "9.1", False), ("compute_90a", "10.0", False), ("sm_100f", "10.3", True),
    ("compute_100f", "12.0", False), ("sm_121", "12.1", True), ("lto_90", "9.0", False)])
def test_code_for_one_kind_of_card(code: str, capability: str, able: bool) -> None:
    assert runs([code], device.version(capability)) is able


@pytest.mark.parametrize("asked", ["auto", "gpu"])
@pytest.mark.parametrize("builds", [BOTH, [CAFFE2], [TENSORFLOW]], ids=["both", "caffe2", "tensorflow"])
def test_a_card_that_all_can_drive_is_used(asked: str, builds: List[Build]) -> None:
    chosen = judge(asked, card("7.5"), builds)
    assert chosen.device == "gpu" and "A Card (compute capability 7.5)" in chosen.reason
    assert all(build.framework in chosen.reason for build in builds)


REFUSALS = {
    "no card": (None, BOTH, ["no card"], []),
    "too new for Caffe2": (card("9.0"), BOTH, ["Caffe2 of PyTorch 1.10.2", "capability 9.0", "sm_70"], ["TensorFlow", "11.3"]),
    "another build could": (card("8.9"), BOTH, ["Caffe2", "capability 8.9", "the one for CUDA 11.3 has"], ["TensorFlow"]),
    "too old for TensorFlow": (card("5.2"), BOTH, ["TensorFlow 2.17", "capability 5.2"], ["Caffe2"]),
    "no CUDA beside TensorFlow": (card("7.5"), [BARE, CAFFE2], ["TensorFlow", "libcudnn.so.8", "and-cuda"], ["Caffe2"]),
    "neither": (card("8.0"), [BARE, CAFFE2], ["TensorFlow", "libcudnn.so.8", "Caffe2", "capability 8.0"], []),
    "an old driver": (card("7.0", "11.4"), BOTH, ["TensorFlow", "CUDA 12.0", "11.4"], ["Caffe2"]),
    "an older one": (card("7.0", "10.1"), [CAFFE2], ["Caffe2", "CUDA 10.2", "10.1"], []),
    "PTX of a newer CUDA": (card("10.0", "12.1"), [TENSORFLOW], ["TensorFlow", "only PTX of CUDA 12.3", "12.1 cannot translate"], []),
    "a build without CUDA": (card("7.0"), [replace(CAFFE2, cuda=(0, 0), codes=[], elsewhere={})], ["Caffe2", "for CPUs"], []),
}


@pytest.mark.parametrize("seen, builds, named, unnamed", REFUSALS.values(), ids=REFUSALS)
def test_else_all_go_to_the_cpu_and_gpu_is_refused(seen: Optional[Card], builds: List[Build], named: List[str],
                                                   unnamed: List[str]) -> None:
    chosen = judge("auto", seen, builds)
    with pytest.raises(UserError, match="use --device cpu") as refused:
        judge("gpu", seen, builds)
    assert chosen.device == "cpu"
    for text in (chosen.reason, str(refused.value)):
        assert all(word in text for word in named) and not any(word in text for word in unnamed), text


@pytest.mark.parametrize("driver", ["12.0", "13.0"])
def test_a_driver_takes_programs_of_its_major_version_and_earlier_ones(driver: str) -> None:
    assert judge("gpu", card("7.5", driver), BOTH).device == "gpu"


def test_wheels_are_asked_only_where_there_is_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the import of a framework."""
    asked: List[str] = []
    monkeypatch.setattr(device, "ask_build", lambda package: asked.append(package) or CAFFE2)
    monkeypatch.setattr(device, "first_card", lambda: None)
    assert decide("auto", ["tf_impl", "caffe2_impl"]).device == "cpu"
    monkeypatch.setattr(device, "first_card", lambda: card("7.5"))
    assert decide("cpu", ["tf_impl"]) == Decision("cpu", "as asked")
    assert not asked
    assert decide("auto", ["tf_impl", "caffe2_impl"]).device == "gpu" and asked == ["tf_impl", "caffe2_impl"]


def test_the_wheels_say_what_they_hold() -> None:
    caffe2, tensorflow = map(device.ask_build, ("caffe2_impl", "tf_impl"))
    assert caffe2.framework.startswith("Caffe2 of PyTorch 1.10.2") and tensorflow.framework == "TensorFlow 2.17.1"
    assert caffe2.cuda == (10, 2) and caffe2.codes == ["sm_37", "sm_50", "sm_60", "sm_70"]
    assert tensorflow.cuda == (12, 3) and tensorflow.codes == ["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"]


def test_tensorflow_is_not_imported_to_be_asked() -> None:
    source = "import sys, tf_impl.cards; tf_impl.cards.build(); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", source], cwd=PROJECT).returncode == 0


# A driver for one card of compute capability 8.6, as far as it is asked.
DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return RESULT; }
int cuDeviceGet(int *device, int ordinal) { *device = 5; return ordinal != 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "Made Up", length); return device != 5; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute == 75 ? 8 : attribute == 76 ? 6 : 99; return 0; }
int cuDriverGetVersion(int *version) { *version = 12040; return 0; }
"""


def made_driver(folder: Path, result: int) -> None:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler to make a driver with")
    (folder / "driver.c").write_text(DRIVER.replace("RESULT", str(result)))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "libcuda.so.1", folder / "driver.c"], check=True)


def seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    source = "from common.device import first_card; print(first_card())"
    return subprocess.run([sys.executable, "-c", source], cwd=PROJECT, capture_output=True, text=True, check=True).stdout


def test_the_driver_says_which_card_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_driver(tmp_path, 0)
    assert seen(tmp_path, monkeypatch) == "Made Up (compute capability 8.6)\n"


def test_a_driver_without_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_driver(tmp_path, 100)
    assert seen(tmp_path, monkeypatch) == "None\n"


def test_a_refusal_leaves_no_folder(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_driver(tmp_path, 0)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    out = tmp_path / "out"
    for module, *words in (("compare.py", "--data", tiny_data), ("caffe2_impl.train", "--data", tiny_data, "--network", "tdnn")):
        done = run_apart(module, *words, "--device", "gpu", "--out", out)
        assert done.returncode == 2 and not out.exists()
        assert "Caffe2 of PyTorch 1.10.2" in done.stderr and "compute capability 8.6" in done.stderr
        assert "CUDA 11.3, has" in done.stderr and "Traceback" not in done.stderr


def test_a_command_says_what_was_chosen_and_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(device, "first_card", lambda: card("9.0"))
    monkeypatch.setattr(device, "ask_build", lambda package: {"tf_impl": TENSORFLOW, "caffe2_impl": CAFFE2}[package])
    import caffe2_impl
    import tf_impl

    options.say_device(options.choose_device("auto", [tf_impl.load, caffe2_impl.load]))
    assert capsys.readouterr().err.startswith("device: cpu (Caffe2 of PyTorch 1.10.2 has no code for the A Card")
    assert options.choose_device("auto", [tf_impl.load]).device == "gpu"
