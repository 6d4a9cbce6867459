"""`python compare.py mistakes`: what each classic mistake would have cost."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Callable, Iterator, List, Mapping, Optional, Tuple

from common.commands.options import add_options, add_out_options, data_or_embedded, prepare_machine
from common.errors import UserError
from common.outputs import output
from common.parser import Parser
from common.progress import Progress
from common.twin import Twin

if TYPE_CHECKING:
    from common.data.batches import BatchReader
    from common.proof.costs import Outcome
    from common.proof.parity import Finding
    from common.proof.recording import Trial
    from common.training.checkpoint import Checkpoint

_DESCRIPTION = """Make each classic mistake in one framework and see what it costs.

  python compare.py mistakes

For each: the rung and tensor at which the parity ladder catches it, by how much it moves the
logits on the test side within one step, the accuracy after training, and how likely it is that chance
alone sets it as far apart from that of honest training (McNemar's test on the same utterances)."""


def run(loads: Mapping[str, Callable[[], Twin]], argv: Optional[List[str]]) -> int:
    """Print the table; exit status 1 if a mistake is not caught on its rung, or honest training is caught on one."""
    options = _parser().parse_args(argv)
    threads = prepare_machine(options, loads.values())

    from common.files import write_text
    from common.measured import facts, told
    from common.speed import gate
    from common.speed.convolutions import planned
    from common.tables import table

    head, start, trial, test = _setting(options)
    with output(options.out, "mistakes", ("mistakes.md",), options.force) as folder, Progress() as progress:
        twins = {name: load() for name, load in loads.items()}
        for twin in twins.values():
            gate.require(twin, start, options.device, threads)
        twins = {name: planned(twin, options.device, threads) for name, twin in twins.items()}
        broken = twins.pop(options.side)
        rows, sound = [], True
        for row, as_it_should in _rows(trial, test, broken, list(twins.values()), progress):
            rows.append(row)
            sound = sound and as_it_should
        text = told(facts(threads)) + "\n\n" + head.format(framework=broken.framework) + "\n\n" + table(rows, [
            "mistake", "what it is", "caught on rung", "at", "error there", "logits after 1 step", "top-1 on test",
            "by chance, p"], "github")
        progress.print(text)
        write_text(folder / "mistakes.md", text + "\n")
    print(f"\nwritten to {folder}: mistakes.md")
    return 0 if sound else 1


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python compare.py mistakes", _DESCRIPTION)
    # Some mistakes cannot be made in the other network.
    add_options(parser, "--data", "--network", "--width", "--batch-size", "--crop-frames", "--learning-rate", "--seed",
                network="vgg_m", width=0.25, crop_frames=150)
    parser.add_argument("--epochs", type=int, default=6, help="of each training (6)")
    add_options(parser, "--in")
    add_out_options(parser, "mistakes", "the table")
    add_options(parser, "--device", "--threads")
    return parser


def _setting(options: argparse.Namespace) -> Tuple[str, Checkpoint, Trial, BatchReader]:
    """A line on what is done, a start of the network, the honest training, and the utterances to test on."""
    from common.data.batches import BatchReader
    from common.data.dataset import open_dataset
    from common.data.splits import split_dataset
    from common.proof.recording import first_batches, make_trial
    from common.training.config import TrainingConfig
    from common.training.loop import fresh

    if options.epochs < 1 or options.batch_size < 2:
        raise UserError("--epochs must be at least 1 and --batch-size at least 2")
    dataset = open_dataset(data_or_embedded(options.data))
    split = split_dataset(dataset, options.seed)
    start = fresh(TrainingConfig(network=options.network, width=options.width), dataset)
    train = BatchReader.shuffled(dataset.records, split.train, options.batch_size, options.seed, options.crop_frames)
    test = BatchReader.in_order(dataset.records, split.test)
    # One epoch is held in memory and gone through again in the same order.
    batches = first_batches(train, train.steps_per_epoch) * options.epochs
    head = (f"{options.network} of width {options.width:g} in {{framework}}, data {dataset.name}, "
            f"{options.epochs} epochs of {train.steps_per_epoch} steps, {len(split.test)} test "
            "utterances")
    return head, start, make_trial(start.spec, batches, options.learning_rate, seed=options.seed), test


def _rows(trial: Trial, test: BatchReader, twin: Twin, others: List[Twin], progress: Progress
          ) -> Iterator[Tuple[List[str], bool]]:
    """Rows of the table, each with whether the mistake was caught on the rung it belongs to, and nothing honest on any."""
    from common.proof.costs import chance, logit_difference, train_and_test
    from common.proof.mistakes import MISTAKES
    from common.proof.parity import Arbiter, climb, first_divergence
    from common.proof.recording import record

    total = 1 + len(others) + len(MISTAKES)
    progress.show(f"honest, {twin.framework}", 0, total)
    first = trial.at(0, trial.params, trial.momenta)
    arbiter = Arbiter.of(first)
    found = first_divergence(climb(first, record(twin, first), arbiter))
    honest = train_and_test(twin, trial, test)
    yield ["none", "", *(_where(found) if found else [""] * 3), "", _accuracy(honest), ""], found is None
    for number, other in enumerate(others, 1):
        progress.show(f"honest, {other.framework}", number, total)
        outcome = train_and_test(other, trial, test)
        yield ["none", f"the same in {other.framework}", "", "", "",
               f"{logit_difference(outcome, honest):.1e}", _accuracy(outcome), f"{chance(outcome, honest):.2g}"], True
    for number, (name, mistake) in enumerate(MISTAKES.items(), 1 + len(others)):
        progress.show(name, number, total)
        try:
            recording = record(twin, mistake.make(first))
        except UserError as error:  # not in this network, or not in this framework
            yield [name, mistake.story, f"cannot be made: {error}", "", "", "", "", ""], True
            continue
        found = first_divergence(climb(first, recording, arbiter))
        outcome = train_and_test(twin, mistake.make(trial), test)
        yield ([name, mistake.story, *_where(found), f"{logit_difference(outcome, honest):.1e}",
                _accuracy(outcome), f"{chance(outcome, honest):.2g}"], found is not None and found.rung == mistake.rung)


def _where(found: Optional[Finding]) -> List[str]:
    if found is None:
        return ["NOT CAUGHT", "", ""]
    error = "another shape" if found.error == float("inf") else f"{found.error:.1e}"
    return [found.rung, found.tensor, error]


def _accuracy(outcome: Outcome) -> str:
    own = outcome.evaluation
    return f"{100 * own.top1:.1f} % [{100 * own.top1_low:.1f}, {100 * own.top1_high:.1f}]"
