"""Lists of trials: reading, refusing by line, and drawing them from a folder of recordings."""
from __future__ import annotations

from pathlib import Path

import pytest
from commands import run, succeed
from recordings import write_tree

from common.errors import UserError
from common.verify.trials import Trial, read_trials

FILES = [f"{speaker}/{session}/{number}.wav" for speaker in ("Ada", "Bea", "Cleo")
         for session in (("s1",) if speaker == "Cleo" else ("s1", "s2")) for number in (1, 2)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("tree"), FILES, seconds=0.1)


def test_the_format_of_voxceleb(tmp_path: Path) -> None:
    path = tmp_path / "veri_test.txt"
    path.write_text("1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav\r\n"
                    "\n0 id10270/x6uYqmx31kE/00001.wav id10300/ize_eiCFEg0/00003.wav\r\n")
    assert read_trials(path) == [
        Trial(True, "id10270/x6uYqmx31kE/00001.wav", "id10270/8jEAjG6SegY/00008.wav"),
        Trial(False, "id10270/x6uYqmx31kE/00001.wav", "id10300/ize_eiCFEg0/00003.wav")]


@pytest.mark.parametrize("line", ["2 a.wav b.wav", "1 a.wav", "1 a.wav b.wav c.wav", "a.wav b.wav 1", "1" * 500])
def test_a_line_that_is_no_trial_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "trials.txt"
    path.write_text(f"1 a.wav b.wav\n0 a.wav c.wav\n{line}\n")
    with pytest.raises(UserError, match=r"trials\.txt: line 3: .* is no trial; expected `1 a\.wav b\.wav`") as refused:
        read_trials(path)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("kind, missing", [("1", "0 (two voices)"), ("0", "1 (one voice)")])
def test_both_kinds_are_needed(tmp_path: Path, kind: str, missing: str) -> None:
    path = tmp_path / "trials.txt"
    path.write_text(f"{kind} a.wav b.wav\n")
    with pytest.raises(UserError) as refused:
        read_trials(path)
    assert missing in str(refused.value)


def test_targets_are_across_sessions_where_there_are_several(tree: Path, tmp_path: Path) -> None:
    told = succeed("common.verify.trials", tree, tmp_path / "all.txt")
    trials = read_trials(tmp_path / "all.txt")
    # Ada and Bea: 2 x 2 pairs of two sessions; Cleo: the pair of her one. Others: 4 x 4 + 4 x 2 + 4 x 2.
    assert told.splitlines()[-1] == f"written: {tmp_path / 'all.txt'}, 9 trials of one voice and 32 of two"
    for trial in trials:
        (one, session, _), (other, second, _) = trial.first.split("/"), trial.second.split("/")
        assert trial.target == (one == other)
        assert not trial.target or session != second or one == "Cleo"
        assert (tree / trial.first).exists() and (tree / trial.second).exists()
    assert len({frozenset((trial.first, trial.second)) for trial in trials}) == len(trials)


def test_fewer_are_drawn_by_the_seed_and_voices_take_turns(tree: Path, tmp_path: Path) -> None:
    lists = {}
    for seed in (0, 0, 1):
        succeed("common.verify.trials", tree, tmp_path / "some.txt", "--targets", 3, "--nontargets", 5, "--seed", seed)
        found = (tmp_path / "some.txt").read_text()
        assert lists.setdefault(seed, found) == found
    assert lists[0] != lists[1]
    trials = read_trials(tmp_path / "some.txt")
    assert [trial.target for trial in trials] == [True] * 3 + [False] * 5
    assert {trial.first.split("/")[0] for trial in trials if trial.target} == {"Ada", "Bea", "Cleo"}
    assert len({(trial.first, trial.second) for trial in trials}) == 8


@pytest.mark.parametrize("files, said", [
    (["Ada/s1/1.wav", "Ada/s1/2.wav"], "2 recordings of 1 speakers"),
    (["Ada/s1/1.wav", "Bea/s1/1.wav"], "2 recordings of 2 speakers"),
    (["Ada/s 1/1.wav", "Bea/s1/1.wav"], "rename it")])
def test_what_gives_no_trials(tmp_path: Path, files: list, said: str) -> None:
    done = run("common.verify.trials", write_tree(tmp_path / "tree", files, seconds=0.1), tmp_path / "trials.txt")
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "trials.txt").exists()
