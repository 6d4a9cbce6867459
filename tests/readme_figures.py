"""The figures of the README and where in results/ each comes from.

    python tests/readme_figures.py     # writes them anew into the README, after something was measured again

`test_readme.py` holds that the README says these and has no other number. A claim is a pattern of the README's
text with a group for each figure; a table lies between <!-- name --> and <!-- end -->.
"""
from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Tuple

PROJECT = Path(__file__).parents[1]
sys.path[:0] = [str(PROJECT)]  # when it is run as a script

from common.compare.report import Report, read_report  # noqa: E402
from common.compare.results import NetworkResult  # noqa: E402
from common.contenders import CONTENDERS, FRAMEWORKS, label  # noqa: E402
from common.network.architectures import build  # noqa: E402
from common.speed.blocks import Ratio  # noqa: E402
from common.training.recipes import configure  # noqa: E402

RESULTS = PROJECT / "results"
SPEED = {"AVX-512": "speed", "AVX2": "speed-avx2"}  # the kind of processor: its folder
NETWORKS = {"vgg_m": "VGG-M", "tdnn": "time-delay"}
KINDS = ("training", "inference")
Row = List[str]


# What was measured

def text(name: str) -> str:
    return (RESULTS / name).read_text()


def found(name: str, pattern: str) -> Callable[[], Tuple[str, ...]]:
    """The figures that a file of results/ states in words: the groups of a pattern that is there once."""
    def look() -> Tuple[str, ...]:
        hits = list(re.finditer(pattern, text(name)))
        assert len(hits) == 1, f"results/{name} has {len(hits)} times: {pattern}"
        return hits[0].groups()
    return look


@functools.lru_cache(maxsize=None)
def report(folder: str) -> Report:
    return read_report(RESULTS / folder)


def networks(folder: str) -> Dict[str, NetworkResult]:
    return {result.network: result for result in report(folder).results}


def speeds(result: NetworkResult, kind: str) -> Dict[str, float]:
    """Utterances a second by contender, with resident input."""
    return {name: own.speeds[kind]["resident"].median for name, own in result.contenders.items() if kind in own.speeds}


def ratios(result: NetworkResult, kind: str) -> Dict[Tuple[str, str], Ratio]:
    return {(each.first, each.second): each.ratio for each in result.ratios if each.kind == kind}


# Tables

def speed_table() -> str:
    """Speeds on both kinds of processor, then how many times as fast as the other a framework is, with the interval.

    Without Keras with oneDNN on: it is on by default where these were measured.
    """
    columns = [(name, kind) for name in NETWORKS for kind in KINDS]
    sides = [[(networks(folder)[name], kind) for name, kind in columns] for folder in SPEED.values()]
    rows = [[CONTENDERS[name].label, *(" / ".join(_speed(speeds(*side), name) for side in both) if name in speeds(*both[0])
                                       else "" for both in zip(*sides))]
            for name in CONTENDERS if name != "keras-onednn" and any(name in speeds(*side) for side in sides[0])]
    rows += [[f"{' / '.join(map(label, FRAMEWORKS))}, {processor}",
              *(_interval(ratios(*side)[tuple(FRAMEWORKS)]) for side in own)] for processor, own in zip(SPEED, sides)]
    heads = [f"{NETWORKS[name]}, {kind}" for name, kind in columns]
    return f"{' / '.join(SPEED)} ({_measured_on('speed')}):\n\n{_table(['', *heads], rows)}"


def _measured_on(folder: str) -> str:
    stored = report(folder)
    processor = re.sub(r" \(.*\)", "", stored.machine["processor"])  # which kind is said beside it
    return f"{processor}, {stored.machine['cores']} cores, {stored.settings['threads']} threads, {stored.date}"


def _speed(measured: Dict[str, float], name: str) -> str:
    if name not in measured:
        return ""
    best = max(measured[framework] for framework in FRAMEWORKS)
    shown = f"{measured[name]:#.3g}".rstrip(".")  # with its zeros
    return f"**{shown}**" if measured[name] == best else shown


def _interval(ratio: Ratio) -> str:
    return f"{ratio.ratio:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def accuracy_table() -> str:
    """Every training on real speech by the recipe of today, as `evaluate` left it, and the cepstral baseline on the same splits."""
    names = {("time-delay", label(name)): f"tdnn-{name}-robust" for name in FRAMEWORKS}
    names.update({("VGG-M", label(name)): f"vgg_m-{name}-robust" for name in FRAMEWORKS})
    rows = [[*who, *_seeds(trained(folder))] for who, folder in [*sorted(names.items()), (("cepstral baseline", ""), "cepstral-baseline")]]
    return _table(["network", "framework", "top-1 by seed", "median", "its 95 % interval"], rows)


def trained(folder: str) -> List[Dict[str, float]]:
    """What `evaluate` said of the first seed, and of those that were tried beside it."""
    others = sorted((RESULTS / "real-speech").glob(f"{folder}-[0-9]"))
    runs = [RESULTS / "real-speech" / folder, *others]
    for config in (json.loads(path.read_text()) for run in runs for path in run.glob("config.json")):
        today = dataclasses.asdict(configure({"network": config["network"], "seed": config["seed"]}))
        assert config == today, f"{folder} was not trained by the recipe of today"
    return [json.loads((run / "evaluation.json").read_text()) for run in runs]


def _seeds(runs: List[Dict[str, float]]) -> Row:
    own = _median(runs)
    return [" / ".join(f"{100 * each['top1']:.1f}" for each in runs) + " %", _percent(own["top1"]) if len(runs) > 1 else "",
            f"{100 * own['top1_low']:.1f} to {_percent(own['top1_high'])}"]


def _median(runs: List[Dict[str, float]]) -> Dict[str, float]:
    assert len(runs) % 2, "of an even number none is the median"
    return sorted(runs, key=lambda each: each["top1"])[len(runs) // 2]


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def commands_table() -> str:
    """The commands of results/README.md: what each does, and how long it takes."""
    rows = [[f"`{command.replace('python compare.py ', '')}`", what, takes] for command, what, takes in commands()]
    return _table(["command", "what it does", "takes"], rows)


def commands() -> Iterator[Tuple[str, str, str]]:
    """(command, what it does, duration) of the index of results/."""
    for line in text("README.md").splitlines():
        row = re.fullmatch(r"\| `(.+?)` +\| (.+?) +\| (.+?) +\|", line)
        if row:
            yield row.groups()


def _table(heads: Row, rows: List[Row]) -> str:
    """Without padding, which is half of a table's characters."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


TABLES: Dict[str, Callable[[], str]] = {"speed": speed_table, "accuracy": accuracy_table, "commands": commands_table}


# Claims in the text

class Claim(NamedTuple):
    """Figures in a sentence: the groups of a pattern, and what they have to be."""

    pattern: str
    figures: Callable[[], Tuple[str, ...]]


def between(first: str, second: str) -> Callable[[], Tuple[str, str]]:
    """The least and the largest of a ratio over processors, networks, training and inference."""
    def look() -> Tuple[str, str]:
        every = [ratios(result, kind)[first, second].ratio for folder in SPEED.values()
                 for result in networks(folder).values() for kind in KINDS]
        return f"{min(every):.2f}", f"{max(every):.2f}"
    return look


def alone() -> Tuple[str, str]:
    """Speed with one utterance of the time-delay network, over ONNX Runtime's."""
    own = ratios(networks("speed")["tdnn"], "latency")
    return tuple(f"{own[name, 'onnxruntime'].ratio:.2f}" for name in FRAMEWORKS)


def memory() -> Tuple[str]:
    """GiB of all processes of the default run at once, for the larger network."""
    return str(max(math.ceil(sum(own.peak_memory_mib for own in result.contenders.values()) / 2**10)
                   for result in networks("synthetic-voices").values())),


def drift() -> Tuple[str, str]:
    probe = networks("synthetic-voices")["tdnn"]
    return str(len(probe.frameworks["caffe2"].probe)), f"{100 * probe.drift:.1f}"


def medians() -> Tuple[str, ...]:
    """Of the time-delay network over seeds, TensorFlow first."""
    return tuple(_percent(_median(trained(f"tdnn-{name}-robust"))["top1"]).split()[0] for name in FRAMEWORKS)


def test_sides() -> Tuple[str, str]:
    """The smallest and the largest number of test utterances."""
    counts = [own["utterances"] for own in trained("cepstral-baseline")]
    return str(min(counts)), str(max(counts))


def version(package: str, parts: int) -> Callable[[], Tuple[str]]:
    def look() -> Tuple[str]:
        pinned = re.search(rf"^{package}==([\d.]+)", (PROJECT / "requirements.txt").read_text(), re.MULTILINE).group(1)
        return ".".join(pinned.split(".")[:parts]),
    return look


def size(network: str) -> Callable[[], Tuple[str, str]]:
    def look() -> Tuple[str, str]:
        spec = build(network, 50)
        return f"{spec.num_parameters:,}", f"{spec.macs() / 1e6:,.0f}"
    return look


SPEECH = "real-speech/README.md"
CLAIMS = [
    Claim(r"TensorFlow has ([\d.]+) to ([\d.]+) times the speed of Caffe2\.", between("tensorflow-direct", "caffe2-direct")),
    Claim(r"it has ([\d.]+) to ([\d.]+) times the speed of Caffe2 and", between("tensorflow", "caffe2")),
    Claim(r"Caffe2 and ([\d.]+) to ([\d.]+) times that of Keras", between("tensorflow", "keras")),
    Claim(r"has ([\d.]+) times the speed of ONNX Runtime in TensorFlow and ([\d.]+) in Caffe2", alone),
    Claim(r"(\d+) GiB of free memory", memory),
    Claim(r"(\d+) GB of disk", found("README.md", r"(\d+) GB of disk")),
    Claim(r"Set-up takes (\w+ to \w+ minutes)", found("README.md", r"Set-up: (\w+ to \w+ minutes)")),
    Claim(r"`python compare.py`, takes (.+?)\. Expect", lambda: (dict((c, t) for c, _, t in commands())["python compare.py"],)),
    Claim(r"Tests take about (\d+ minutes)", found("README.md", r"Tests: about (\d+ minutes)")),
    Claim(r"in batches of (\d+)", lambda: (str(report("speed").settings["batch_size"]),)),
    Claim(r"equally well: ([\d.]+) % and ([\d.]+) % of test utterances", medians),
    Claim(r"test utterances of (\d+) voices", found(SPEECH, r"recordings of (\d+) voices")),
    Claim(r"on (\d+) real voices", found(SPEECH, r"recordings of (\d+) voices")),
    Claim(r"(\d+) to (\d+) test utterances of 3 s", test_sides),
    Claim(r"report ([\d.]+) % for VGG-M, of ([\d,]+) speakers", found(SPEECH, r"reports ([\d.]+) % top-1 .* of ([\d,]+) speakers, on")),
    Claim(r"has ([\d.]+) % on 3 s", found(SPEECH, r"and ([\d.]+) % when it hears 3 s")),
    Claim(r"learns from ([\d,]+) utterances", found(SPEECH, r": ([\d,]+) training, ")),
    Claim(r"homework asked for (\d+) %", found(SPEECH, r"homework asked for (\d+) %")),
    Claim(r"EER ([\d.]+) %, and (\d+) % within", found("README.md", r"EER ([\d.]+) %, mean of .*; (\d+) % within")),
    Claim(r"`vgg_m` \| ([\d,]+) \| ([\d,]+) million", size("vgg_m")),
    Claim(r"`tdnn` \| ([\d,]+) \| ([\d,]+) million", size("tdnn")),
    Claim(r"By step (\d+) of a learning run the losses differ by ([\d.]+) %", drift),
    Claim(r"may differ by (\d+) to (\d+) %", found("parity-100-steps/parity-100-steps.md", r"drift apart by (\d+) to (\d+) %")),
    Claim(r"in TensorFlow ([\d.]+) and in the real", version("tensorflow", 2)),
    Claim(r"Used are TensorFlow ([\d.]+),", version("tensorflow", 3)),
    Claim(r"inside PyTorch ([\d.]+),", version("torch", 3)),
    Claim(r"\((Zen \d), AVX-512, (\d) cores, (\d+ MiB) of second-level cache a core, (\d+ MiB) of third",
          found("README.md", r"\((Zen \d)\), (\d) cores, .*second-level cache (\d+ MiB) a core, third-level cache (\d+ MiB)")),
]


# What the README says

def say(readme: str) -> str:
    """The README with all figures as results/ has them. Raises AssertionError for a claim that is not there."""
    for name, table in TABLES.items():
        begin, end = region(readme, name)
        readme = f"{readme[:begin]}\n{table()}\n{readme[end:]}"
    for claim in CLAIMS:
        hit, = re.finditer(claim.pattern, readme)
        figures = claim.figures()
        assert len(figures) == len(hit.groups()), claim.pattern
        for number in range(len(figures), 0, -1):  # from the last: the places of those before stay
            readme = readme[:hit.start(number)] + figures[number - 1] + readme[hit.end(number):]
    return readme


def region(readme: str, name: str) -> Tuple[int, int]:
    """Where a table lies."""
    begin = readme.index(f"<!-- {name} -->") + len(f"<!-- {name} -->")
    return begin, readme.index("<!-- end -->", begin)


if __name__ == "__main__":
    README = PROJECT / "README.md"
    README.write_text(say(README.read_text()))
