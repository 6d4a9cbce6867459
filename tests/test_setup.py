"""The README's recipes, as they are written there, in a fresh copy of the project beside a Python with only pip."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import pytest
from commands import PROJECT

# What is run by a recipe, which is to run, but not for minutes: --version says as much of the set-up.
SHORTER = {"python compare.py": "python compare.py --version", "python -m pytest": "python -m pytest --version",
           "source .venv/bin/activate": "source .venv/bin/activate && which python && python compare.py --version"}


def recipes() -> List[str]:
    """Every line of the README that sets the project up."""
    lines = re.findall(r"^python3 -m pip install .*uv .*$", (PROJECT / "README.md").read_text(), flags=re.MULTILINE)
    assert len(lines) == len(SHORTER)
    return lines


@pytest.fixture(scope="module")
def only_pip(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, str]:
    """The variables of a shell whose python3 has pip and nothing else."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    variables = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
        variables.pop(name, None)
    reached = subprocess.run(["python3", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "uv"],
                             env=variables, capture_output=True, text=True)
    if reached.returncode:
        pytest.skip(f"no package index within reach: {reached.stderr.strip()[-200:]}")
    return variables


@pytest.fixture()
def fresh_copy(tmp_path: Path) -> Path:
    """What a clone would hold."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if not name.startswith("results/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, tmp_path / name)
    return tmp_path


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="sets up three environments, one to two minutes even from uv's "
                    "own cache; set CI=true, as services for CI do")
@pytest.mark.parametrize("recipe", recipes(), ids=list(SHORTER))
def test_a_recipe_works_as_it_is_written(recipe: str, only_pip: Dict[str, str], fresh_copy: Path) -> None:
    last, shorter = next((last, shorter) for last, shorter in SHORTER.items() if recipe.endswith(last))
    done = subprocess.run(["bash", "-c", recipe[:-len(last)] + shorter], cwd=fresh_copy, env=only_pip,
                          capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    if last == "python -m pytest":
        assert "pytest " in done.stdout
        return
    assert re.search(r"^python +3\.9\.", done.stdout, flags=re.MULTILINE) and "TensorFlow " in done.stdout
    if last.startswith("source"):
        assert f"{fresh_copy}/.venv/bin/python\n" in done.stdout


def test_ci_runs_what_the_readme_says() -> None:
    tests, = (recipe for recipe in recipes() if recipe.endswith("-m pytest"))
    assert tests in (PROJECT / ".ci" / "run").read_text().splitlines()
