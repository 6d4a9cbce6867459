"""`compare.py parity` and `compare.py mistakes`: verdicts, files, exit statuses."""
import json
import re

from commands import run

from common.proof.mistakes import MISTAKES
from common.speed import gate

SMALL = ["--networks", "tdnn", "--width", "0.05", "--crop-frames", "100", "--steps", "2",
         "--threads", "1"]


def test_both_frameworks_stay_with_the_reference(tiny_data, tmp_path):
    done = run("compare.py", "parity", *SMALL, "--data", tiny_data, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for framework in ("TensorFlow", "Caffe2"):
        assert f"{framework} stays with the reference on every rung" in done.stdout
    assert done.stdout.split("\nwritten to ")[0].strip() in (tmp_path / "parity.md").read_text()
    findings = json.loads((tmp_path / "parity.json").read_text())["tdnn"]["caffe2"]
    assert findings[0]["rung"] == "start" and findings[0]["error"] == 0


def test_a_seeded_mistake_fails_and_names_rung_and_tensor(tiny_data, tmp_path):
    done = run("compare.py", "parity", *SMALL, "--data", tiny_data, "--break", "nesterov", "--in", "caffe2", "--out", tmp_path)
    assert done.returncode == 1, done.stderr
    assert "Caffe2 DIVERGES: first step of frame1/weight on rung 'update' of step 0" in done.stdout
    assert "TensorFlow stays with the reference" in done.stdout


def test_what_cannot_be_done_is_one_line(tiny_data):
    for wrong, message in ((["--steps", "0"], "--steps must be at least 1"),
                           (["--crop-frames", "5"], "tdnn cannot take 5 frames"),
                           (["--break", "hw_swap"], "tdnn has no square kernels")):
        done = run("compare.py", "parity", *SMALL, "--data", tiny_data, *wrong)
        assert done.returncode == 2 and done.stderr.strip().splitlines()[-1].startswith("error: ")
        assert message in done.stderr and "Traceback" not in done.stderr


def test_every_mistake_is_caught_and_priced(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "passed", lambda *_: True)
    done = run("compare.py", "mistakes", "--data", tiny_data, "--width", "0.05", "--crop-frames", "100", "--epochs", "1",
               "--batch-size", "8", "--threads", "1", "--in", "caffe2", "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "mistakes.md").read_text()
    rows = {cells[1].strip(): [cell.strip() for cell in cells[2:]]
            for cells in (line.split("|") for line in table.splitlines() if line.startswith("|"))}
    assert set(MISTAKES) <= set(rows)
    assert re.search(r"^\| none +\|( +\|){5} [\d.]+ %", table, re.MULTILINE), "nothing honest is caught"
    assert rows["nesterov"][1:3] == ["update", "step of conv1/weight"]
    assert "cannot pad one side more" in rows["same_padding"][1]
    assert 0 < float(rows["label_shift"][6]) <= 1  # the paired test
    assert float(rows["bn_momentum"][4]) > 100 * float(rows["none"][4])  # against TensorFlow
