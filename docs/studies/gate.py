"""The simulations of docs/gate.md, one command each; the tables there are their output.

python docs/studies/gate.py alarms      # how often a gate fails models that lost nothing, or no more than the margin
python docs/studies/gate.py power       # how often it finds a model that lost 3, 5 or 8 points

Nine models, each stored and run anew on the same images. Evidence for the true class = skill + patient + image + the
model's own noise, all normal, variance 1 in all; the noise of two trainings of one model is correlated. So the true
scores are known: accuracy is the normal distribution function at the skill, AUC at sqrt(2) times it.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from harness.board_cells import Cell, Entry
from harness.board_draws import draws_of
from harness.board_pairs import PAIRED
from harness.gate.deciding import Finding, decided
from harness.gate.losses import paired_loss
from harness.metrics import Auc
from harness.paired import ALPHA
from harness.records import Record
from harness.types import unique

CLASSES = ("negative", "positive")
MODELS = 9
MARGIN = 0.01
NORMAL = NormalDist()


@dataclass(frozen=True)
class World:
    """A test part, and how good its models are: `units` negative and positive patients, or images without patients.

    `patient` and `image` are their shares of the evidence's variance, `retrained` the correlation of a model's own
    noise between two trainings.
    """

    units: tuple[int, int]
    accuracy: float
    patient: float
    image: float
    retrained: float = 0.5
    largest: int = 1


WORLDS = {
    "496 images": World((246, 250), 0.95, 0.0, 0.7),
    "203 images of 95 patients": World((53, 42), 0.75, 0.3, 0.4, largest=9),
    "203 images": World((105, 98), 0.75, 0.0, 0.7),
}


def true_score(metric: str, accuracy: float, share: float) -> float:
    """Return the score of a model whose two recalls are `accuracy`; `share` of the images is positive."""
    if metric == "f1":
        return 2 * share * accuracy / (2 * share * accuracy + 1 - accuracy)
    return accuracy if metric == "accuracy" else NORMAL.cdf(math.sqrt(2) * NORMAL.inv_cdf(accuracy))


def accuracy_after(metric: str, world: World, loss: float) -> float:
    """Return the accuracy of a model that lost `loss` of a metric, by halving."""
    if loss == 0:
        return world.accuracy
    share = world.units[1] / sum(world.units)
    wanted = true_score(metric, world.accuracy, share) - loss
    low, high = 0.5, world.accuracy
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if true_score(metric, middle, share) < wanted else (low, middle)
    return high


def patients_of(world: World, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and the patients of a new test part, 203 images on average where patients have several."""
    labels = np.repeat([0, 1], world.units)
    if world.largest == 1:
        return labels, np.arange(len(labels))
    sizes = np.minimum(rng.geometric(0.47, len(labels)), world.largest)
    return np.repeat(labels, sizes), np.repeat(np.arange(len(labels)), sizes)


def cells_of(world: World, after: Sequence[float], rng: np.random.Generator) -> Iterator[tuple[Cell, Cell]]:
    """Yield each model's stored and new cell; `after` are the new accuracies."""
    labels, patients = patients_of(world, rng)
    sign = 2 * labels - 1
    own = 1 - world.patient - world.image
    shared = math.sqrt(world.patient) * rng.standard_normal(patients[-1] + 1)[patients]
    shared = shared + math.sqrt(world.image) * rng.standard_normal(len(labels))
    grouped = world.largest > 1
    for number, accuracy in enumerate(after):
        first, second = rng.standard_normal((2, len(labels)))
        anew = world.retrained * first + math.sqrt(1 - world.retrained**2) * second
        sides = ((world.accuracy, first, "base"), (accuracy, anew, "new"))
        before, now = (
            _cell(
                f"{side} {number}",
                labels,
                patients if grouped else None,
                sign * NORMAL.inv_cdf(skill) + shared + math.sqrt(own) * noise,
            )
            for skill, noise, side in sides
        )
        yield before, now


def _cell(key: str, labels: np.ndarray, patients: np.ndarray | None, evidence: np.ndarray) -> Cell:
    positive = 1 / (1 + np.exp(-2 * evidence))
    n = {"train": 800, "val": 200, "test": len(labels)}
    entry = Entry(
        record=Record({"dataset": {"n": n}}, Path()),
        key=key,
        dataset="made",
        content="",
        protocol="official",
        fold=0,
        folds=1,
        split="",
        label=key,
        variant=None,
        recipe="quick",
        seed=0,
        code="",
        setting="",
        finished="",
        failure=None,
    )
    groups = None if patients is None else tuple(map(str, patients))
    ids = tuple(f"{row:04d}" for row in range(len(labels)))
    return Cell(entry, CLASSES, ids, labels, np.column_stack([1 - positive, positive]), groups)


def gated(
    world: World, after: dict[str, Sequence[float]], rng: np.random.Generator
) -> dict[str, tuple[Finding, ...]]:
    """Return the findings of one gate on a new test part by metric, each metric a gate of its own."""
    found = {}
    for accuracies, metrics in _alike(after):
        pairs = list(cells_of(world, accuracies, rng))
        auc: Auc = "scores" if "auc" in metrics else "hard-labels"  # areas are slow to resample
        draws = draws_of([cell for pair in pairs for cell in pair], "positive", auc)
        for metric in metrics:
            losses = [paired_loss(metric, [before], [now], draws, MARGIN) for before, now in pairs]
            findings = [
                Finding(f"model {number}", "quick", metric, "cannot tell", loss)
                for number, loss in enumerate(losses)
            ]
            found[metric], _ = decided(findings, MARGIN)
    return found


def _alike(after: dict[str, Sequence[float]]) -> Iterator[tuple[Sequence[float], list[str]]]:
    for accuracies in unique(tuple(of) for of in after.values()):
        yield accuracies, [metric for metric, of in after.items() if tuple(of) == accuracies]


def alarm_rates(
    world: World, loss: float, metrics: Sequence[str], runs: int, seed: int = 2020
) -> dict[str, tuple[float, float]]:
    """Return how often a gate fails when each model lost `loss`, by metric: by our rule, and by the other one."""
    rng = np.random.default_rng(seed)
    after = {metric: (accuracy_after(metric, world, loss),) * MODELS for metric in metrics}
    ours: Counter[str] = Counter()
    other: Counter[str] = Counter()
    for _ in range(runs):
        for metric, findings in gated(world, after, rng).items():
            ours[metric] += any(finding.verdict == "worse" for finding in findings)
            other[metric] += any(map(_otherwise, findings))
    return {metric: (ours[metric] / runs, other[metric] / runs) for metric in metrics}


def alarms(arguments: argparse.Namespace) -> None:
    """How many gates of nine models fail although no model lost more than the margin."""
    print_row("world", "each model lost", "metric", "failed", "failed by the other rule")
    for name in arguments.world or WORLDS:
        for loss, metrics in ((0.0, arguments.metric), (MARGIN, ("f1",))):
            for metric, rates in alarm_rates(WORLDS[name], loss, metrics, arguments.runs).items():
                print_row(name, f"{100 * loss:.0f}", metric, *(f"{100 * rate:.1f} %" for rate in rates))


def _otherwise(finding: Finding) -> bool:
    """The rule that is not used: worse beyond chance, and an estimate beyond the margin."""
    loss = finding.loss
    return (
        loss is not None
        and loss.value is not None
        and loss.value > MARGIN
        and finding.p_any is not None
        and finding.p_any <= ALPHA
    )


def finding_rates(
    world: World, loss: float, metric: str, runs: int, seed: int = 2020
) -> tuple[float, float, float]:
    """Return how often the model that lost `loss` is found, the smallest loss named, how often another is blamed."""
    rng = np.random.default_rng(seed)
    after = {metric: (accuracy_after(metric, world, loss), *[world.accuracy] * (MODELS - 1))}
    found = blamed = 0
    named = []
    for _ in range(runs):
        first, *others = gated(world, after, rng)[metric]
        found += first.verdict == "worse"
        blamed += any(other.verdict == "worse" for other in others)
        named.append(first.smallest or math.nan)
    return found / runs, float(np.nanmedian(named)), blamed / runs


def power(arguments: argparse.Namespace) -> None:
    """How often the one model of nine that lost something is found, and how often another is blamed."""
    print_row("world", "metric", "lost", "found", "named smallest", "another blamed")
    for name in arguments.world or WORLDS:
        for loss in (0.03, 0.05, 0.08):
            for metric in arguments.metric:
                found, smallest, blamed = finding_rates(WORLDS[name], loss, metric, arguments.runs)
                shares = f"{100 * found:.0f} %", f"{100 * smallest:.1f}", f"{100 * blamed:.0f} %"
                print_row(name, metric, f"{100 * loss:.0f}", *shares)


def print_row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for command, runs in {alarms: 500, power: 150}.items():
        sub = commands.add_parser(command.__name__, help=command.__doc__)
        sub.add_argument("--runs", type=int, default=runs)
        sub.add_argument("--world", nargs="+", help=f"of {', '.join(WORLDS)}")
        sub.add_argument("--metric", nargs="+", default=["f1"], help=f"of {', '.join(PAIRED)}")
        sub.set_defaults(command=command)
    arguments = parser.parse_args()
    arguments.command(arguments)


if __name__ == "__main__":
    main()
