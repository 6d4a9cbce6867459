"""`python compare.py plots`: the pictures of what was measured, drawn again from what is stored."""
from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Type, TypeVar

from common.commands.options import existing
from common.errors import UserError
from common.parser import Parser
from common.twin import Twin

T = TypeVar("T")

_DESCRIPTION = """Draw the pictures of a comparison, profile, scaling or crossover again, without measuring.

  python compare.py plots results/speed results/scaling

Each goes beside the report.json, profile.json, scaling.json or crossover.json that it shows, in place
of the picture that was there."""


def run(loads: Mapping[str, Callable[[], Twin]], argv: Optional[List[str]]) -> int:
    """Draw all pictures of each folder and name them."""
    parser = Parser("python compare.py plots", _DESCRIPTION)
    parser.add_argument("folders", nargs="+", type=existing("folder"), metavar="FOLDER", help="where results are stored")
    for folder in parser.parse_args(argv).folders:
        for path in _draw(folder):
            print(path)
    return 0


def _draw(folder: Path) -> List[Path]:
    """Every picture of what one folder holds. Raises UserError where that is nothing."""
    drawn: List[Path] = []
    drawings = _drawings()
    for name, draw in drawings.items():
        if (folder / name).is_file():
            drawn += draw(folder)
    if not drawn:
        raise UserError(f"{folder} holds no {', '.join(drawings)}; name a folder that a command of compare.py wrote")
    return drawn


def _drawings() -> Dict[str, Callable[[Path], List[Path]]]:
    """What is stored under which name, and how that is drawn."""
    from common.compare.report import read_report
    from common.files import read_json
    from common.show.crossing_curves import draw_crossings
    from common.show.learning_curves import draw_learning
    from common.show.profile import draw_profiles
    from common.show.scaling import draw_scaling
    from common.show.speed_bars import draw_speed
    from common.speed.profile import ProfileStudy
    from common.speed.scaling import ScalingStudy
    from common.training.crossover import CrossoverStudy
    from common.typed import typed

    def stored(kind: Type[T], folder: Path, name: str) -> T:
        path = folder / f"{name}.json"
        return typed(kind, read_json(path, name), f"{path}: this is not what `compare.py {name}` stores; run it again")

    def report(folder: Path) -> List[Path]:
        read = read_report(folder)
        return [path for path in (draw_learning(read, folder), draw_speed(read, folder)) if path]

    return {"report.json": report,
            "profile.json": lambda folder: draw_profiles(stored(ProfileStudy, folder, "profile"), folder),
            "scaling.json": lambda folder: draw_scaling(stored(ScalingStudy, folder, "scaling"), folder),
            "crossover.json": lambda folder: [draw_crossings(stored(CrossoverStudy, folder, "crossover"), folder)]}
