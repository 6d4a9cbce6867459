"""The README: short, every number from results/, every link there, every command as written."""
from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator, List, NoReturn

import pytest
from readme_figures import CLAIMS, PROJECT, RESULTS, TABLES, commands, region, say
from test_setup import recipes

import compare

README = (PROJECT / "README.md").read_text()
# Numbers that were not measured: they are what is meant, or what somebody else's thing is called.
DEFINED = ("Python 3.9", "Python 3 with", "95 % intervals", "test utterances of 3 s", "% on 3 s", "hears 3 s",
           "512 x 300 float32", "25 ms every 10 ms, 1024-point", "(50 speakers)", "TensorFlow 1.3 and Caffe2 0.8",
           "100 steps", "Zisserman 2017", "et al. 2018", "et al. 2014", "Gray 2016", "exit status is 1", ": 2-D convolutions")
NUMBER = re.compile(r"(?<![\w.-])\d[\d,.]*(?:e-?\d+)?")


def blocks() -> List[str]:
    """What stands between fences."""
    return re.findall(r"^```\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def pages() -> Iterator[Path]:
    yield PROJECT / "README.md"
    yield from RESULTS.rglob("*.md")


def unaccounted(readme: str) -> str:
    """The README's prose without figures that are claims or in tables, and without what is no figure."""
    for claim in CLAIMS:
        hit, = re.finditer(claim.pattern, readme)
        for number in range(len(hit.groups()), 0, -1):
            readme = readme[:hit.start(number)] + "#" * len(hit[number]) + readme[hit.end(number):]
    for name in TABLES:
        begin, end = region(readme, name)
        readme = readme[:begin] + readme[end:]
    readme = re.sub(r"^```\n.*?^```$", "", readme, flags=re.DOTALL | re.MULTILINE)
    readme = re.sub(r"`[^`]*`|\]\([^)]*\)", "", readme)
    for phrase in DEFINED:
        shown = NUMBER.sub(lambda hit: "#" * len(hit[0]), phrase)
        readme = readme.replace(phrase, shown)
    return readme


def test_it_can_be_read_in_one_sitting() -> None:
    assert len(README) <= 12_000


def test_every_figure_is_what_results_says() -> None:
    assert README == say(README), "python tests/readme_figures.py writes the README's figures anew"


def test_there_is_no_other_number() -> None:
    text = unaccounted(README)
    assert [text[max(0, hit.start() - 30):hit.end() + 10] for hit in NUMBER.finditer(text)] == []


@pytest.mark.parametrize("changed", [README.replace("two cores", "2 cores", 1), README + "\nIt is 3 times as good.\n"])
def test_a_number_without_a_source_is_seen(changed: str) -> None:
    assert NUMBER.search(unaccounted(changed))


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


def test_every_folder_of_results_is_in_the_index() -> None:
    index = (RESULTS / "README.md").read_text()
    tracked = subprocess.run(["git", "ls-files", "results"], cwd=PROJECT, capture_output=True, text=True).stdout
    folders = {path.split("/")[1] for path in tracked.splitlines() if path.count("/") > 1}
    assert folders and [folder for folder in folders if f"]({folder}/" not in index] == []


def test_accuracies_of_the_breakdown_are_those_of_its_tables() -> None:
    """Framework by framework, as the columns of its own table have them."""
    folder, share = RESULTS / "breakdown", re.compile(r"[\d.]+ % \([\d.]+ to [\d.]+\)")
    rows = [share.findall(line) for line in (folder / "README.md").read_text().splitlines() if share.search(line)]
    assert len(rows) == 9 and all(len(row) == 2 for row in rows)
    for column, framework in zip(zip(*rows), ("tensorflow", "caffe2")):
        tables = (folder / f"tdnn-{framework}" / "breakdown.md").read_text()
        assert [figure for figure in column if figure not in tables] == []


def test_every_package_is_in_the_licence() -> None:
    text = (PROJECT / ".LICENSE").read_text().lower()
    names = [name for file in PROJECT.glob(".requirements*.in") for name in re.findall(r"^[\w-]+", file.read_text(), flags=re.MULTILINE)]
    assert len(names) > 23 and [name for name in names if name not in text] == []


# Commands

def lines() -> List[str]:
    """Every `python` command of the README and of the index of results/, without its comment."""
    written = [line for block in blocks() for line in block.splitlines()] + [command for command, _, _ in commands()]
    return [line.split("  #")[0].strip() for line in written if line.startswith("python ")]


def test_help_and_documents_say_the_same_of_the_commands() -> None:
    written = {command.split()[2]: (what, takes) for command, what, takes in commands() if command.startswith("python compare.py ")}
    assert written == compare.ABOUT


class Understood(Exception):
    """The command's options are read."""


@pytest.mark.parametrize("line", lines())
def test_a_commands_options_exist(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run: what the words of capitals stand for is not there."""
    words = shlex.split(line)[1:]
    name, arguments = (words[1], words[2:]) if words[0] == "-m" else (words[0].replace(".py", ""), words[1:])

    def only(parse: Callable[..., object]) -> Callable[..., NoReturn]:
        def only_parse(parser: argparse.ArgumentParser, *given: object) -> NoReturn:
            parse(parser, *given)
            raise Understood
        return only_parse

    monkeypatch.setattr(Path, "exists", lambda path: True)  # a file that is not there is no fault of the README
    for method in ("parse_intermixed_args", "parse_args"):
        monkeypatch.setattr(argparse.ArgumentParser, method, only(getattr(argparse.ArgumentParser, method)))
    module = importlib.import_module(name if importlib.util.find_spec(name).submodule_search_locations is None
                                     else f"{name}.__main__")
    with pytest.raises(Understood):
        module.main(arguments)


def test_every_block_is_run_or_is_none_of_commands() -> None:
    commanded = [block for block in blocks() if not block.startswith("compare.py ")]  # the layout
    assert len(commanded) == len(recipes()) + len(TO_RUN)
    assert all(block.strip() in recipes() for block in commanded if block not in TO_RUN)


TO_RUN = [block for block in blocks() if block.startswith(("recordings=", "hers=", "python compare.py"))]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", TO_RUN, ids=["a first table", "who is this", "your own recordings"])
def test_a_block_runs_as_written(block: str, tmp_path: Path) -> None:
    for name in ("compare.py", "results"):
        (tmp_path / name).symlink_to(PROJECT / name)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT),
                   "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, env=environment, capture_output=True,
                          text=True, timeout=590)
    assert done.returncode == 0, done.stdout + done.stderr
    if block.startswith("hers="):
        assert len(re.findall(r"^ +\d[\d.]+ %  synthetic_03$", done.stdout, flags=re.MULTILINE)) == 3, done.stdout
        assert re.search(r"Ada", done.stdout.splitlines()[-1]), done.stdout
    elif block.startswith("recordings="):
        assert "verdict: sound" in done.stdout and "top-1" in done.stdout
        assert "synthetic_" in done.stdout and (tmp_path / "runs" / "mine" / "speaker.onnx").is_file()
    else:
        assert "TensorFlow / Caffe2" in done.stdout and "TensorFlow, own convolutions" in done.stdout
        assert len(list(tmp_path.glob("runs/0001-compare-*/report.md"))) == 1
