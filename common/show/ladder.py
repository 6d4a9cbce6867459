"""What the parity ladder found, as text: a verdict and a table for each framework, and two of them side by side.

    print("\\n".join(verdicts(findings, twins)))
"""
from __future__ import annotations

import dataclasses
from typing import Dict, Iterator, List

from common.proof.parity import DRIFT, LOSSES, Finding, differences, first_divergence, same_shapes, tipped_relus
from common.proof.recording import Trace, Trial
from common.tables import table
from common.twin import Twin


def verdicts(findings: Dict[str, List[Finding]], twins: Dict[str, Twin]) -> Iterator[str]:
    """For each framework the verdict and the table it rests on."""
    for name, own in findings.items():
        first = first_divergence(own)
        verdict = f"DIVERGES: first {first}" if first else "stays with the reference on every rung"
        yield f"{twins[name].framework} {verdict}"
        yield table(_rows(own), ["step", "rung", "tensors", "worst", "error", "rounding", "limit"], "github")


def side_by_side(trial: Trial, recordings: Dict[str, Trace]) -> Iterator[str]:
    """The first step of one framework against another's, without the reference. recordings: of those two."""
    first, second = recordings.values()
    one, other = first.rungs[0], second.rungs[0]
    yield f"{' against '.join(recordings)}, first step and drift, each from its own outputs:"
    rows = [[rung, max(errors, key=errors.get), f"{max(errors.values()):.1e}"]
            for rung, errors in differences(one, other).items()]
    drift = abs(first.losses / second.losses - 1)
    rows.append([DRIFT, f"loss of step {drift.argmax()} of {len(drift)}", f"{drift.max():.1e}"])
    yield table(rows, ["rung", "worst", "difference"], "github")
    if same_shapes(one["outputs"], other["outputs"]):
        tipped, relus = tipped_relus(trial.spec, one, other)
        yield (f"{tipped:,} of {relus:,} ReLU outputs are zero in one framework only. Where rounding "
               "has done that, gradients differ here that agree given the same outputs.")


def _rows(findings: List[Finding]) -> List[List[str]]:
    """For each step and rung, the finding that comes closest to its limit or beyond."""
    groups: Dict[tuple, List[Finding]] = {}
    for finding in findings:
        step = "all" if finding.rung in (LOSSES, DRIFT) else str(finding.step)
        groups.setdefault((step, finding.rung), []).append(finding)
    rows = []
    for (step, rung), group in groups.items():
        worst = max(group, key=lambda f: (f.diverges, f.error / (f.limit or 1), f.error))
        tensor = f"of step {worst.step}" if step == "all" else worst.tensor
        limit = f"{worst.limit:.1e}" if worst.limit < float("inf") else "not judged"
        rows.append([step, rung, str(len(group)), tensor, f"{worst.error:.1e}", f"{worst.rounding:.1e}",
                     limit])
    return rows


def as_json(finding: Finding) -> Dict[str, object]:
    """Numbers that JSON does not have as text."""
    values = dataclasses.asdict(finding)
    return {**values, **{name: repr(values[name]) for name in ("error", "rounding", "limit")
                         if not abs(values[name]) < float("inf")}}
