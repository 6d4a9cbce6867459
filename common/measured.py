"""When, where and with what something was measured: the head of everything that is kept in results/.

    python -c "from common.measured import facts, told; print(told(facts(threads=2)))"
"""
from __future__ import annotations

import datetime
import subprocess
from pathlib import Path
from typing import Dict, Mapping

from common.contenders import CONTENDERS
from common.machine import PROJECT, describe, installed_version
from common.remembered import settings


def facts(threads: int) -> Dict[str, str]:
    """Date, commit, machine, versions, threads, and the variables that choose kernels, if any."""
    return {"date": datetime.date.today().isoformat(), "commit": commit(PROJECT), **describe(), **_versions(),
            "threads": str(threads), "variables": " ".join(f"{name}={value}" for name, value in settings().items()) or "none"}


def told(stated: Mapping[str, object]) -> str:
    """Facts as a line of text."""
    return "; ".join(f"{name} {value}" for name, value in stated.items())


def commit(folder: Path) -> str:
    """The commit of the code in a folder, and whether the code has been changed since; or that none is known."""
    try:
        name = _git(folder, "rev-parse", "--short", "HEAD")
        # What was measured may be on its way into results/ while this is asked.
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    except (OSError, subprocess.CalledProcessError):  # no git, or no clone
        return "unknown"
    return f"{name} and changes" if changed else name


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def _versions() -> Dict[str, str]:
    """Of what contenders need, as far as it is installed; none is imported. NumPy stands with the machine."""
    found = {row.package: installed_version(row.package) for row in CONTENDERS.values()}
    return {package: version for package, version in found.items() if version is not None}
