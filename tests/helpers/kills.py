"""Kill a training run again and again, go on each time, and hold the end against a run that nobody killed.

    python tests/helpers/kills.py --kills 50 --out results/kills      # the long form, both frameworks; needs minutes

Every other kill comes while a file is being written, the others at a random moment after some steps.
"""
from __future__ import annotations

import argparse
import dataclasses
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

PROJECT = Path(__file__).parents[2]
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests/helpers")]

from commands import command  # noqa: E402
from tiny_data import write_data  # noqa: E402

from common.measured import facts, told  # noqa: E402
from common.training.checkpoint import load_checkpoint  # noqa: E402
from common.training.run_folder import read_log  # noqa: E402

_STEPS = 3  # of an epoch: 24 training records in batches of 8
# All of what a resumed run has to take up again; every step is saved, so that kills meet files half written.
SETTINGS = ["--network", "tdnn", "--width", "0.2", "--batch-size", "8", "--crop-frames", "120", "--time-mask", "10",
            "--frequency-mask", "40", "--save-minutes", "0"]
RESUMED = ["--save-minutes", "0"]


def kill_and_resume(package: str, data: Path, folder: Path, kills: int, epochs: int, threads: int = 1,
                    seed: int = 0, after_kill: Callable[[], None] = lambda: None, begin: Sequence[str] = ()) -> Dict[str, int]:
    """Train with so many SIGKILLs on the way, to the end; returns how many of what kind there were."""
    chance, made = random.Random(seed), {"while a file was written": 0, "between": 0}
    while True:
        on = ["--resume", folder, *RESUMED] if (folder / "config.json").exists() else [
            "--data", data, "--out", folder, "--epochs", epochs, *SETTINGS, *begin]
        words = command(f"{package}.train", *on, "--threads", threads)
        said = ""
        with subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            if sum(made.values()) < kills:
                kind = "while a file was written" if sum(made.values()) % 2 else "between"
                said = wait(process, folder, kind, chance)
                process.kill()
            said += process.stderr.read()
        if process.returncode == -signal.SIGKILL:
            made[kind] += 1
            after_kill()
        elif process.returncode:
            raise AssertionError(f"status {process.returncode} after {made}: {said}")
        else:
            return made


def wait(process: subprocess.Popen[str], folder: Path, kind: str, chance: random.Random) -> str:
    """For the moment to kill, or the run's end; returns what it said before it trained."""
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith("folder "):  # from here on it trains
            break
    wanted, seen = chance.randint(1, 3), {changed(folder)}
    while process.poll() is None and len(seen) <= wanted:
        seen.add(changed(folder))
    if kind == "between":
        time.sleep(chance.uniform(0, 0.05))
    while kind != "between" and process.poll() is None and not any(folder.glob("*.partial")):
        pass
    return said


def changed(folder: Path) -> int:
    """When the checkpoint to go on from was written, in nanoseconds; 0: there is none, maybe for a moment."""
    try:
        return (folder / "last.npz").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def differences(folder: Path, whole: Path) -> List[str]:
    """What two finished runs have not in common, bit for bit, but for what is of the clock."""
    own, other = (load_checkpoint(path / "last.npz") for path in (folder, whole))
    found = [f"{group} {name}" for group in ("params", "momenta") for name, value in getattr(own, group).items()
             if value.tobytes() != getattr(other, group)[name].tobytes()]
    logs = [[dataclasses.replace(record, seconds=0.0, utterances_per_second=0.0) for record in read_log(path)]
            for path in (folder, whole)]
    return found + [f"epoch {one.epoch} of the log" for one, another in zip(*logs) if one != another] + (
        [] if len(logs[0]) == len(logs[1]) else ["the length of the log"])


def long_form(kills: int, threads: int, out: Path) -> int:
    """Both frameworks, so many kills each; writes out/README.md. Returns the exit status."""
    lines, failed = ["# Killed and gone on with", told(facts(threads)), ""], 0
    with tempfile.TemporaryDirectory() as scratch:
        data = write_data(Path(scratch) / "voices")
        for package in ("tf_impl", "caffe2_impl"):
            epochs = 1 + kills  # a life trains for two or three steps
            start, (whole, killed) = time.time(), (Path(scratch) / f"{package}-{name}" for name in ("whole", "killed"))
            kill_and_resume(package, data, whole, 0, epochs, threads, begin=["--convolutions", "measure"])  # the other finds it
            made = kill_and_resume(package, data, killed, kills, epochs, threads)
            found = differences(killed, whole)
            failed += bool(found) or sum(made.values()) < kills
            lines.append(f"- {package}: {sum(made.values())} SIGKILLs ({', '.join(f'{n} {kind}' for kind, n in made.items())}) "
                         f"over {_STEPS * epochs} steps; beside the run that nobody killed: "
                         f"{'THESE DIFFER: ' + ', '.join(found[:5]) if found else 'the same bits, and the same log'} "
                         f"({time.time() - start:.0f} s)")
            print(lines[-1], flush=True)
            shutil.rmtree(killed)
    out.mkdir(parents=True, exist_ok=True)
    (out / "README.md").write_text("\n".join([*lines, "", "Settings: " + " ".join(SETTINGS), "",
                                              f"`python tests/helpers/kills.py --kills {kills} --threads {threads} --out {out}`"])
                                   + "\n")
    return int(failed > 0)


def main() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    return long_form(options.kills, options.threads, options.out)


if __name__ == "__main__":
    sys.exit(main())
