"""Pictures: drawn again from what is stored, whole, with axes that say what they are and nothing cut off."""
from __future__ import annotations

import dataclasses
import re
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
from reports import baseline, network, report
from studies import made_profile, point

from common.contenders import CONTENDERS, FRAMEWORKS
from common.files import write_json
from common.network import params as parameters
from common.show import breakdown, drawing, learning_curves, scaling, speed_bars
from common.show.confusion import confusion_png
from common.show.run_page import RunPage
from common.speed.profile import ProfileStudy
from common.speed.scaling import FRAMES, THREADS, ScalingStudy
from common.training.breakdown import Breakdown, Calibration, Group, Length, Share, Speaker
from common.training.certificate import Certificate, Stretch
from common.training.checkpoint import Checkpoint, save_checkpoint
from common.training.config import TrainingConfig, save_config
from common.training.crossover import Crossing, CrossoverStudy
from common.training.run_folder import EpochRecord, write_log
from common.typed import plain
from compare import main

CERTIFICATE = Certificate(*["x"] * 7, 4, 5, *["x"] * 3)
MEASURED = {"date": "2021-12-31", "processor": "A fast one (SSE)", "cores": "2", "threads": "2"}
POINTS = [point(value, framework, kind, axis) for value in (100, 200) for framework in FRAMEWORKS
          for kind in ("training", "inference") for axis in (FRAMES, THREADS)]
PROFILES = {"training": {"tensorflow": made_profile(), "caffe2": made_profile(2.0)}}
CROSSINGS = [Crossing("TensorFlow", "Caffe2", 1, [2.0, 1.5, 1.0], [2.0, 1.5, 1.0001]),
             Crossing("Caffe2", "TensorFlow", 1, [2.0, 1.5, 1.0], [2.0, 1.5001, 1.0])]
STORED: Dict[str, Any] = {
    "report": (report(network()).stored(), ["learning-curves.png", "speed.png"]),
    "scaling": (plain(ScalingStudy(MEASURED, POINTS, [])), ["scaling-tdnn.png"]),
    "profile": (plain(ProfileStudy(MEASURED, {"tdnn": PROFILES})), ["tdnn.png"]),
    "crossover": (plain(CrossoverStudy(MEASURED, "tdnn", CROSSINGS)), ["crossover.png"])}


@pytest.fixture()
def figures(monkeypatch: pytest.MonkeyPatch) -> List[Any]:
    """What would be written."""
    seen: List[Any] = []
    for module in (breakdown, learning_curves, scaling, speed_bars):
        monkeypatch.setattr(module, "save", lambda figure, path: seen.append(figure))
    return seen


@pytest.mark.parametrize("name", STORED)
def test_what_is_stored_is_drawn_again(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    stored, pictures = STORED[name]
    write_json(tmp_path / f"{name}.json", stored)
    assert main(["plots", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / picture) for picture in pictures]
    assert all((tmp_path / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.parametrize("name, content, words", [
    ("other.json", "{}", "holds no report.json, profile.json"), ("scaling.json", '{"points": []}', "measured"),
    ("profile.json", "[]", "is not what `compare.py profile` stores"), ("report.json", "{}", "not a report")])
def test_what_cannot_be_drawn_is_said(name: str, content: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / name).write_text(content)
    assert main(["plots", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err and sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_no_step_is_cut_off_and_logarithms_are_declared(figures: List[Any], tmp_path: Path) -> None:
    """One step took a hundred times as long as the others."""
    slow = point(100, seconds=[4.0, 4.0, 400.0])
    scaling.draw_scaling(ScalingStudy(MEASURED, [slow, *POINTS], []), tmp_path)
    axis = figures[0].axes[0]
    assert axis.get_ylim()[1] > slow.per_utterance * 100 > 1
    for each in figures[0].axes:
        assert each.get_xscale() == each.get_yscale() == "log"
        assert "logarithmic" in each.get_xlabel() and "logarithmic" in each.get_ylabel()


def test_each_network_has_axes_of_its_own_and_the_bars_are_explained(figures: List[Any], tmp_path: Path) -> None:
    others = {name: baseline("other") for name in ("keras", "tensorflow-direct")}
    speed_bars.draw_speed(report(network(baselines=others), network(network="tdnn")), tmp_path)
    figure, = figures
    assert [axis.get_title() for axis in figure.axes] == [f"{name}, {kind}" for name in ("vgg_m", "tdnn")
                                                          for kind in ("training", "inference")]
    assert "2021-12-31, A fast one, 2 cores, 2 threads" in figure.get_suptitle()
    for words in ("slowest to fastest step", "matrix product", '"Own convolutions": '):
        assert words in figure.get_supxlabel().replace("\n", " ")
    dashed = figure.axes[1].lines[-1]  # 100 GFLOP/s over 2 * 0.5 GMAC
    assert dashed.get_linestyle() == "--" and list(dashed.get_xdata()) == [100.0, 100.0]


def test_the_mark_of_what_is_invalid_is_whole_in_every_picture(figures: List[Any], tmp_path: Path) -> None:
    broken = [network(network=name, loss_difference=1.0) for name in ("vgg_m", "tdnn")]
    for results in (broken[:1], broken):
        learning_curves.draw_learning(report(*results), tmp_path)
        speed_bars.draw_speed(report(*results), tmp_path)
    for figure in figures:
        text, = (text for text in figure.texts if text.get_text().startswith("INVALID"))
        place = text.get_window_extent()
        assert figure.bbox.x0 < place.x0 and place.x1 < figure.bbox.x1 and figure.bbox.y0 < place.y0 and place.y1 < figure.bbox.y1
        assert text.get_fontsize() > 15


@pytest.mark.parametrize("seconds, label", [(0.1, "80.0"), (8 / 123.4, "123"), (8 / 999.7, "1,000"), (8 / 14814, "14,814")])
def test_speeds_are_written_in_plain_digits(seconds: float, label: str, figures: List[Any], tmp_path: Path) -> None:
    speed_bars.draw_speed(report(network(baselines={"keras": baseline("Keras", step=seconds)})), tmp_path)
    assert label in [text.get_text() for text in figures[0].axes[1].texts]


def test_contenders_are_told_apart_without_colour() -> None:
    bars = [drawing.bar_look(name)["hatch"] for name in CONTENDERS]
    lines = [(look["linestyle"], look["marker"]) for look in map(drawing.line_look, CONTENDERS)]
    assert len(set(bars)) == len(set(lines)) == len(CONTENDERS)
    assert drawing.bar_look("caffe2", 0.1)["edgecolor"] == drawing.INK, "or the palest would be lost on white"


NAMES = ["run$x^{$", "_r", "\u674e", "two words"]
SHOWN = ["run$x^{$", " _r", r"\u674e", "two words"]


def logged(folder: Path, epochs: int = 2) -> Path:
    """The folder as if so much had been trained in it."""
    folder.mkdir()
    save_config(folder / "config.json", TrainingConfig("tdnn"))
    for epoch in range(1, epochs + 1):
        write_log(folder, EpochRecord(epoch, 4 * epoch, 0.1, 2.5 / epoch, 0.5, 1.0, 0.25 * epoch, 9.0, 1.0))
    return folder


def save_best(folder: Path, epoch: int) -> None:
    config = TrainingConfig("tdnn", width=0.02)
    spec = config.spec(2)
    save_checkpoint(folder / "best.npz", Checkpoint(config, ("Ada", "Bea"), parameters.initialise(spec), parameters.zeros(spec), epoch))


def broken_down() -> Breakdown:
    half = Share(1, 2)
    return Breakdown([Length("1 s", "utterances", half, half)], [Speaker(name, half, "", 0) for name in NAMES],
                     [Group(name, 2, half, half, 0) for name in NAMES], [Calibration(1.0, 0.1, 0.1, [0.5], [half])])


def texts(figure: Any) -> List[str]:
    """All that it shows once drawn, without a word about what it cannot show."""
    from matplotlib.text import Text

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        figure.draw_without_rendering()
    return [text.get_text().replace(r"\$", "$") for text in figure.findobj(Text)]


def test_a_name_is_shown_as_it_is_whatever_is_in_it(figures: List[Any], tmp_path: Path) -> None:
    """Neither read as a formula, nor left out of a legend, nor as boxes."""
    learning_curves.draw_runs([logged(tmp_path / name) for name in NAMES], tmp_path / "runs.png")
    breakdown.draw_breakdown(broken_down(), NAMES[0], tmp_path / "breakdown.png")
    runs, found = map(texts, figures)
    assert all(shown in runs for shown in [*SHOWN, "training side", "development side"])
    assert all(shown in found and f"{shown}\n2 speakers\n2" in found for shown in SHOWN)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert confusion_png(np.eye(4, dtype=np.float32), np.arange(4), NAMES).startswith(b"\x89PNG")


def test_no_legend_lies_over_what_it_explains_and_epochs_are_whole(figures: List[Any], tmp_path: Path) -> None:
    learning_curves.draw_runs([logged(tmp_path / "run")], tmp_path / "run.png")
    breakdown.draw_breakdown(broken_down(), "a network", tmp_path / "breakdown.png")
    for figure in figures:
        figure.draw_without_rendering()
        legends = [(axis, axis.get_legend()) for axis in figure.axes if axis.get_legend()]
        assert legends and not any(legend.get_window_extent().overlaps(axis.get_window_extent()) for axis, legend in legends)
    assert [tick for tick in figures[0].axes[1].get_xticks() if 1 <= tick <= 2] == [1, 2]


def test_runs_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    line = ('{"epoch": %d, "step": 4, "learning_rate": 0.1, "train_loss": 2.5, "train_top1": 0.5, "dev_loss": null, '
            '"dev_top1": null, "utterances_per_second": 9.0, "seconds": 1.0}\n')
    for name in ("one", "another", "empty"):
        (tmp_path / name).mkdir()
        save_config(tmp_path / name / "config.json", TrainingConfig("tdnn"))
        (tmp_path / name / "log.jsonl").write_text("" if name == "empty" else line % 1 + line % 2)
    assert main(["curves", str(tmp_path / "one"), str(tmp_path / "another"), "--out", str(tmp_path / "new" / "curves.png")]) == 0
    assert (tmp_path / "new" / "curves.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(["curves", str(tmp_path / "one"), "--out", str(tmp_path / "new" / "curves.png")]) == 2
    assert "there already" in capsys.readouterr().err
    assert main(["curves", str(tmp_path / "one"), "--out", str(tmp_path / "new" / "curves.png"), "--force"]) == 0
    assert main(["curves", str(tmp_path / "empty"), "--out", str(tmp_path / "no.png")]) == 2
    assert "holds no whole epoch" in capsys.readouterr().err and not (tmp_path / "no.png").exists()


def test_the_page_of_a_run_that_is_stopped_is_of_its_last_epoch(tmp_path: Path) -> None:
    """While it trains the page is renewed now and then only."""
    save_config(tmp_path / "config.json", TrainingConfig("tdnn"))
    page = RunPage(tmp_path, {"network": "tdnn", "steps": "4 an epoch"}, TrainingConfig("tdnn"), {"identify": "python -m x"})
    write_json(tmp_path / "certificate.json", [dataclasses.asdict(Stretch(epoch, CERTIFICATE, {"framework": name})) for epoch, name
                                               in enumerate(("Caffe2", "Caffe2", "NumPy|x"))])
    write_json(tmp_path / "data.json", ["/data/voices"])
    write_json(tmp_path / "split.json", {"records": 9, "train": [0, 1], "dev": [2], "test": [3]})
    for epoch in (1, 2, 3):
        write_log(tmp_path, EpochRecord(epoch, 4 * epoch, 0.1, 2.5 / epoch, 0.5, 1.0, 0.25 * epoch, 9.0, 1.0))
        save_best(tmp_path, epoch)
        page.epoch()
    assert "| last | 1 " in (tmp_path / "run.md").read_text()
    page.stopped()
    text = (tmp_path / "run.md").read_text()
    assert "| best | 3 " in text and "| last | 3 " in text and "was stopped" in text and "python -m x" in text
    assert "from epoch 1" in text and "from epoch 3" in text and "from epoch 2" not in text
    assert r"NumPy\|x" in text and "3 of 30 done" in text and "4 an epoch" in text
    assert "/data/voices" in text and "5 training utterances, by --share" in text and "0.1 minutes of training" in text


def test_the_best_epoch_on_the_page_is_that_of_best_npz(tmp_path: Path) -> None:
    """Whatever the log says: of two epochs here the second is the better one, and the third is lost to it."""
    logged(tmp_path / "run")
    page = RunPage(tmp_path / "run", {}, TrainingConfig("tdnn"), {})
    for epoch, row in ((1, "| best | 1 | 2.5000 | 50.0 % | 25.0 %"), (3, "| best | 3 | |"), (None, "| last | 2 |")):
        (tmp_path / "run" / "best.npz").unlink(missing_ok=True)
        if epoch:
            save_best(tmp_path / "run", epoch)
        page.finish("")
        text = re.sub(" +", " ", (tmp_path / "run" / "run.md").read_text())
        assert row in text and ("| best |" in text) == bool(epoch)


@pytest.mark.parametrize("name, damage", [
    ("config.json", Path.unlink), ("config.json", lambda path: path.write_text("{")),
    ("run.md", Path.mkdir), ("run.md", lambda path: path.symlink_to("nowhere/run.md")), ("learning-curves.png", Path.mkdir)])
def test_a_page_that_cannot_be_written_is_told_once_and_ends_nothing(name: str, damage: Callable[[Path], Any], tmp_path: Path,
                                                                   capsys: pytest.CaptureFixture) -> None:
    damage(logged(tmp_path / "run") / name)
    page = RunPage(tmp_path / "run", {}, TrainingConfig("tdnn"), {})
    for call in (page.epoch, page.stopped, lambda: page.finish("good")):
        call()
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith("note: ") and "run.md or its picture is not written" in told and name in told


def test_many_runs_leave_room_for_their_curves_and_a_long_title_for_itself(figures: List[Any], tmp_path: Path) -> None:
    learning_curves.draw_runs([logged(tmp_path / f"run-{number}") for number in range(12)], tmp_path / "runs.png")
    figure, = figures
    drawing.entitle(figure, "12 runs", " ".join(["DNNL_MAX_CPU_ISA=AVX2"] * 5))
    figure.draw_without_rendering()
    whole, title = figure.get_window_extent(), figure.findobj(lambda artist: getattr(artist, "get_fontsize", int)() == 11)
    assert all(axis.get_window_extent().height > 0.25 * whole.height for axis in figure.axes)
    assert len(title) == 1 and title[0].get_window_extent().width < whole.width
