"""`verify --trials LIST`: how often a model errs on pairs of recordings, and the threshold to use."""
from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional

from common.outputs import output
from common.typed import json_text, plain

if TYPE_CHECKING:  # slow to import, and only named in annotations
    from common.identify.engines import Engine
    from common.verify.gallery import Threshold
    from common.verify.scoring import ErrorRates, Scored

WRITES = ("verification.json", "scores.csv", "scores.png")
CALIBRATE_EQUAL = "equal"  # in place of a rate of false accepts


def evaluate(engine: Engine, options: argparse.Namespace) -> int:
    """Score a list of trials as the options say; returns the exit status."""
    from common.verify.scoring import ErrorRates, score
    from common.verify.trials import read_trials

    trials = read_trials(options.trials)
    known = _kept(options.gallery, engine, must_exist=options.calibrate is None)
    with contextlib.nullcontext() if options.out is None else output(
            options.out, "verify", WRITES, options.force) as folder:
        scored = score(engine, trials, options.root or options.trials.parent, options.trials)
        found = ErrorRates.of(scored)
        if options.calibrate is not None:
            known = _calibrate(scored, options)
            _keep(options.gallery, engine, known)
        facts = _facts(engine, found, scored, known)
        if folder is not None:
            _write(folder, facts, scored, known, f"{engine.trained.network} on {options.trials.name}")
    if options.json:
        print(json_text(facts))
        return 0
    print(f"{options.trials}: {found}")
    if known is not None:
        kept = f", kept in {options.gallery}" if options.gallery is not None and options.calibrate is not None else ""
        print(f"threshold {known}{kept}\n  here: {scored.errors(known.value)}")
    if folder is not None:
        print(f"written to {folder}: {', '.join(WRITES)}")
    return 0


def _calibrate(scored: Scored, options: argparse.Namespace) -> Threshold:
    from common.verify.gallery import Threshold

    rate = None if options.calibrate == CALIBRATE_EQUAL else options.calibrate
    at = "equal error rate" if rate is None else f"false accepts at most {100 * rate:g} %"
    return Threshold(scored.curve.threshold(rate), f"{at} on {options.trials.name}: {scored.counts}")


def _kept(gallery: Optional[Path], engine: Engine, must_exist: bool) -> Optional[Threshold]:
    """The threshold of a gallery, if there is one. Raises UserError for one that cannot be used, before the work."""
    from common.verify.gallery import load_gallery

    if gallery is None or not (must_exist or gallery.exists()):
        return None
    return load_gallery(gallery, engine.trained).threshold


def _keep(gallery: Optional[Path], engine: Engine, threshold: Threshold) -> None:
    from common.verify.gallery import changed

    if gallery is not None:
        with changed(gallery, engine.trained) as voices:
            voices.threshold = threshold


def _facts(engine: Engine, found: ErrorRates, scored: Scored, threshold: Optional[Threshold]) -> Dict[str, Any]:
    """All that was found, for JSON."""
    trained = engine.trained
    return plain({
        "engine": engine.name, "network": trained.network, "parameters": trained.parameters, "synthetic": trained.synthetic,
        **vars(found), "threshold": threshold, "at_threshold": threshold and scored.errors(threshold.value)})


def _write(folder: Path, facts: Dict[str, Any], scored: Scored, threshold: Optional[Threshold], title: str) -> None:
    from common.files import write_json, write_text
    from common.show.verification import draw_scores

    write_json(folder / "verification.json", facts)
    write_text(folder / "scores.csv", scored.table())
    draw_scores(scored, threshold, title, folder / "scores.png")
