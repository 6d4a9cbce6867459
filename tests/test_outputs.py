"""Where commands put what they found: nothing earlier is lost, and nothing of two runs lies side by side."""
from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path
from typing import List

import pytest

import compare
from common.commands import train
from common.commands.compare import parse
from common.commands.stopping import Stopping
from common.errors import UserError, friendly
from common.network.architectures import NETWORKS, build
from common.outputs import output

WRITES = ("report.md", "*.png", "work/*.*")


def fill(folder: Path) -> None:
    (folder / "work").mkdir(parents=True)
    for name in ("report.md", "old.png", "work/a.onnx", "notes.txt"):
        (folder / name).write_text("earlier")


def test_folders_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "0041-else").mkdir(parents=True)
    for number in (42, 43):
        with output(None, "compare-a/b", WRITES) as folder:
            (folder / "report.md").write_text("new")
        assert folder == Path(f"runs/00{number}-compare-a_b")


def test_a_folder_that_nothing_came_into_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for out in (None, Path("new"), Path("mine")):
        with pytest.raises(UserError), output(out, "compare", WRITES) as folder:
            (folder / "work").mkdir()
            raise UserError("no card")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "runs"] and not list(Path("runs").iterdir())


def test_what_is_there_is_refused_or_replaced(tmp_path: Path) -> None:
    fill(tmp_path / "x")
    with pytest.raises(UserError, match="x is not empty.* --out, .* --force"), output(tmp_path / "x", "", WRITES):
        pass
    assert len(list((tmp_path / "x").rglob("*"))) == 5
    with output(tmp_path / "x", "", WRITES, force=True) as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "work"] and not any((folder / "work").iterdir())


def test_a_misspelt_command_is_guessed(capsys: pytest.CaptureFixture) -> None:
    assert compare.main(["selfchek"]) == 2
    assert "no command 'selfchek'; did you mean selfcheck?" in capsys.readouterr().err


def test_help_lists_the_other_commands_with_their_durations(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parse(compare.ABOUT, ["--help"])
    shown = capsys.readouterr().out
    assert all(f"  {name:<12} {what} ({takes})" in shown for name, (what, takes) in compare.ABOUT.items())


def test_every_network_is_compared_where_none_is_named_the_quick_one_first() -> None:
    assert parse({}, []).networks == ["tdnn", *(name for name in NETWORKS if name != "tdnn")]


def test_names_go_by_commas_and_by_spaces() -> None:
    for words in (["tdnn,vgg_m"], ["tdnn", "vgg_m", "tdnn"]):
        assert parse({}, ["--networks", *words]).networks == ["tdnn", "vgg_m"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_a_run_is_told_how_to_go_on(number: int, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def main(argv: object) -> int:
        with Stopping(f"python -m tf_impl.train --resume {tmp_path}", lambda: "no epoch is saved yet"):
            os.kill(os.getpid(), number)
            signal.pause()
        return 0

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert friendly(main)([]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == ("interrupted: no epoch is saved yet; go on with: python -m tf_impl.train --resume "
                                       f"{tmp_path}\n")


@pytest.mark.parametrize("words, kept", [
    ([], ""), (["--threads", "1", "--convolutions", "default"], " --threads 1 --convolutions default"),
    (["--save-minutes", "0", "--data", "voices"], " --save-minutes 0.0"),
    (["--resume", "runs/a", "--data", "moved", "more"], " --data moved more"),
    (["--resume", "runs/a", "--data", "my data"], " --data 'my data'")], ids=str)
def test_a_run_goes_on_in_the_same_way(words: List[str], kept: str) -> None:
    options = train.build_parser("train").parse_args(words)
    assert train.going_on("train", Path("runs/a"), options) == f"train --resume runs/a{kept}"
    assert train.build_parser("train").parse_args(["--resume", *shlex.split(train.going_on("train", Path("runs/a"), options))[2:]])


def test_the_learning_runs_of_a_comparison_do_so_too() -> None:
    options = parse({}, ["--threads", "1", "--device", "cpu", "--convolutions", "direct", "--data", "voices"])
    assert train.going_on("train", Path("runs/a"), options) == "train --resume runs/a --device cpu --threads 1 --convolutions direct"
    assert train.going_on("train", Path("runs/a"), parse({}, [])) == "train --resume runs/a"


def test_the_first_signal_waits_for_whoever_asks_for_it(capsys: pytest.CaptureFixture) -> None:
    """The second does not; nor does the first, once nobody asks any more."""
    def main(words: List[str]) -> int:
        with Stopping("go on", lambda: "little is saved") as stopping:
            assert not stopping.asked()
            if "no longer" in words:
                stopping.no_longer_asked()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stopping.asked()
            if "again" in words:
                os.kill(os.getpid(), signal.SIGTERM)
            raise KeyboardInterrupt("step 3 is saved")

    for words, told in (([], "step 3 is saved"), (["again"], "little is saved"), (["no longer"], "little is saved")):
        assert friendly(main)(words) == 130
        assert capsys.readouterr().err.endswith(f"interrupted: {told}; go on with: go on\n")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_what_a_library_makes_of_an_interruption_is_taken_for_it(capsys: pytest.CaptureFixture) -> None:
    def main(argv: object) -> int:
        with Stopping("go on", lambda: "epoch 1 is saved"):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                signal.pause()
            except KeyboardInterrupt:
                raise TypeError("nest of a traced function") from None
        return 0

    assert friendly(main)([]) == 130
    assert capsys.readouterr().err == "interrupted: epoch 1 is saved; go on with: go on\n"


def test_an_error_without_an_interruption_stays_one() -> None:
    with pytest.raises(TypeError), Stopping("go on", lambda: "nothing"):
        raise TypeError


def test_chatter_of_compiled_code_is_held_back_and_errors_are_not(capfd: pytest.CaptureFixture,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    from tf_impl import to_onnx

    def convert(*_: object, **__: object) -> None:
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
                    b"I0000 00:00:17 5 devices.cc:67] Number of eligible GPUs: 0\nE0000 00:00:17 a real error\n")
        raise UserError("as it may")

    monkeypatch.setattr(to_onnx.tf2onnx.convert, "from_function", convert)
    capfd.readouterr()  # what the import said
    with pytest.raises(UserError):
        to_onnx.export(build("tdnn", 2, width=0.02), {})
    assert capfd.readouterr().err == "E0000 00:00:17 a real error\n"
