"""The simulations of docs/statistics.md, one command each; the tables there are their output.

python docs/studies/uncertainty.py coverage        # --world to take one of them
python docs/studies/uncertainty.py alternatives
python docs/studies/uncertainty.py errors
python docs/studies/uncertainty.py power
python docs/studies/uncertainty.py test-parts
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from harness.board_cells import Cell, Entry
from harness.board_draws import draws_of, shared_out
from harness.board_pairs import PAIRED, Pair, Pairs, pairs_of
from harness.delong import delong
from harness.intervals import intervals, mean_intervals, on_logit_scale, wilson
from harness.metrics import METRICS, Score, scores
from harness.paired import ALPHA, POWER, corrected_resampled_t
from harness.records import Record
from harness.resamples import Part, resampled, resamples_of, units_of

CLASSES = ("negative", "positive")
LARGEST_GROUP = 9  # of covid-ct, whose test part has 53 + 42 patients with 1 to 9 images
GAP = 0.6  # in skill, of models that are clearly worse
MEAN_IMAGES = 1 / 0.47  # 203 images of 95 patients


@dataclass(frozen=True)
class World:
    """Images whose evidence is skill + patient + image + noise of the model's own, all normal.

    `units` are the patients of the negative and the positive class (or the images, where `grouped` is
    False); `seeds` the models whose mean is taken, `skill` the distance of a class from the threshold.
    """

    units: tuple[int, int]
    skill: float
    grouped: bool
    patient: float = 1.0
    seeds: int = 1


WORLDS = {
    "images": World((105, 98), 1.0, grouped=False),
    "images, good": World((246, 250), 1.55, grouped=False),
    "images, nearly perfect": World((246, 250), 2.3, grouped=False),
    "images, unbalanced": World((170, 30), 1.2, grouped=False),
    "patients": World((42, 53), 1.2, grouped=True),
    "patients, good": World((42, 53), 1.6, grouped=True, patient=0.7),
    "patients, nearly perfect": World((42, 53), 2.0, grouped=True, patient=0.7),
    "few patients": World((20, 20), 1.2, grouped=True),
    "patients, 3 seeds": World((42, 53), 1.2, grouped=True, seeds=3),
}


@dataclass(frozen=True)
class Sample:
    """A test part: labels (N,), names of groups (N,) and what all models see of the images (N,)."""

    labels: np.ndarray
    groups: list[str]
    shared: np.ndarray


def sample_of(world: World, rng: np.random.Generator) -> Sample:
    """Return new patients of this world, with their images."""
    units = sum(world.units)
    of_unit = np.repeat([0, 1], world.units)
    sizes = np.minimum(rng.geometric(1 / MEAN_IMAGES, units), LARGEST_GROUP) if world.grouped else 1
    patient = world.patient * rng.standard_normal(units) if world.grouped else np.zeros(units)
    unit = np.repeat(np.arange(units), sizes)
    labels = of_unit[unit]
    shared = patient[unit] + rng.standard_normal(len(unit)) * math.sqrt(0.5)
    return Sample(labels, [f"{number:04d}" for number in unit], shared)


def probabilities(sample: Sample, skill: float, rng: np.random.Generator) -> np.ndarray:
    """Return what a model of this skill says, float64 (N, 2)."""
    own = rng.standard_normal(len(sample.labels)) * math.sqrt(0.5)
    evidence = skill * (2 * sample.labels - 1) + sample.shared + own
    positive = 1 / (1 + np.exp(-evidence))
    return np.column_stack([1 - positive, positive])


def truth(world: World, rng: np.random.Generator, repeats: int = 2000) -> dict[str, float]:
    """Return the metrics on as good as endlessly many patients."""
    samples = [sample_of(world, rng) for _ in range(repeats)]
    predicted = np.concatenate([probabilities(sample, world.skill, rng) for sample in samples])
    found = scores(np.concatenate([sample.labels for sample in samples]), predicted, positive=1)
    return {metric: float(found[metric].value or 0.0) for metric in METRICS}


def cell_of(sample: Sample, predicted: np.ndarray, method: str, seed: int, *, grouped: bool) -> Cell:
    """Return these predictions as a board knows them."""
    n = len(sample.labels)
    ids = tuple(f"{number:06d}" for number in range(n))
    manifest = {"dataset": {"n": {"train": 4 * n, "val": 0, "test": n}}}
    entry = Entry(
        record=Record(manifest, Path()),
        key=f"{method} {seed}",
        dataset="simulated",
        content="",
        protocol="official",
        fold=0,
        folds=1,
        split="",
        label=method,
        variant=None,
        recipe="simulated",
        seed=seed,
        code="",
        setting="",
        finished="",
        failure=None,
    )
    return Cell(entry, CLASSES, ids, sample.labels, predicted, tuple(sample.groups) if grouped else None)


def simulated_bounds(world: World, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Return the bounds of each metric on one new test part; those without an interval are left out."""
    sample = sample_of(world, rng)
    predicted = [probabilities(sample, world.skill, rng) for _ in range(world.seeds)]
    if world.seeds == 1:
        groups = sample.groups if world.grouped else None
        found = intervals(sample.labels, predicted[0], positive=1, groups=groups)
    else:
        cells = [cell_of(sample, p, "one", seed, grouped=world.grouped) for seed, p in enumerate(predicted)]
        draws = draws_of(cells, "positive")
        of_cells = [draws.scores[cell.entry.key] for cell in cells]
        means = {m: Score(float(np.mean([s[m].value for s in of_cells]))) for m in METRICS}
        found = mean_intervals(
            shared_out(cells), means, draws.mean(cells), draws.resamples, grouped=world.grouped, positive=1
        )
    return {m: (i.low, i.high) for m, i in found.items() if i.low is not None and i.high is not None}


def covered(world: World, runs: int, seed: int = 0) -> dict[str, float]:
    """Return how often each metric's interval held the truth; without an interval it did not."""
    rng = np.random.default_rng(seed)
    true = truth(world, rng)
    hits: Counter[str] = Counter()
    for _ in range(runs):
        bounds = simulated_bounds(world, rng)
        hits.update(m for m, (low, high) in bounds.items() if low <= true[m] <= high)
    return {metric: hits[metric] / runs for metric in METRICS}


def covered_per_slice(world: World, runs: int, seed: int = 0) -> dict[str, float]:
    """Return the same when the patients are not known, so that images are taken for independent."""
    rng = np.random.default_rng(seed)
    true = truth(world, rng)
    hits: Counter[str] = Counter()
    for _ in range(runs):
        sample = sample_of(world, rng)
        found = intervals(sample.labels, probabilities(sample, world.skill, rng), positive=1)
        hits.update(m for m, i in found.items() if i.low is not None and i.low <= true[m] <= (i.high or 0.0))
    return {metric: hits[metric] / runs for metric in METRICS}


def covered_otherwise(world: World, runs: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return how often intervals that the harness does not use hold the truth, by their name.

    Percentiles of the same resamples; without groups also Wilson's of precision and DeLong's of AUC alone.
    """
    rng = np.random.default_rng(seed)
    true = truth(world, rng)
    hits: dict[str, Counter[str]] = {}
    for _ in range(runs):
        sample = sample_of(world, rng)
        predicted = probabilities(sample, world.skill, rng)
        units = units_of(sample.groups, sample.groups if world.grouped else None)
        part = Part(sample.labels, predicted, units)
        drawn = resampled(part, resamples_of([part]), positive=1)
        bounds = {"percentiles": {m: np.nanquantile(drawn[m], [0.025, 0.975]) for m in METRICS}}
        if not world.grouped:
            bounds["Wilson"] = {"precision": _wilson_of_precision(sample.labels, predicted)}
            bounds["DeLong"] = {"auc": _delong_alone(sample.labels, predicted)}
        for name, of_metrics in bounds.items():
            found = (m for m, (low, high) in of_metrics.items() if low <= true[m] <= high)
            hits.setdefault(name, Counter()).update(found)
    return {name: {m: of[m] / runs for m in METRICS if m in of} for name, of in hits.items()}


def _wilson_of_precision(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    decided = predicted.argmax(axis=1) == 1
    return np.array(wilson(int(labels[decided].sum()), int(decided.sum())))


def _delong_alone(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    (area,), ((variance,),) = delong(labels == 1, predicted[:, 1])
    if variance == 0:
        return np.array([area, area])
    return np.array(on_logit_scale(float(area), math.sqrt(variance), NormalDist().inv_cdf(0.975)))


def simulated_pairs(world: World, skills: list[float], rng: np.random.Generator) -> Pairs:
    """Return the pairs of models of these skills on one new test part."""
    sample = sample_of(world, rng)
    rows = {
        f"model {number}": [
            cell_of(sample, probabilities(sample, skill, rng), f"model {number}", seed, grouped=world.grouped)
            for seed in range(world.seeds)
        ]
        for number, skill in enumerate(skills)
    }
    return pairs_of(rows, draws_of([cell for cells in rows.values() for cell in cells], "positive"))


def false_claims(world: World, runs: int, models: int = 5, seed: int = 0, worse: int = 0) -> dict[str, float]:
    """Return on how many boards any pair of equally good models was told apart, by metric.

    The last `worse` models are clearly worse than the others and as good as each other: that these are
    told apart from the others is no false claim, the other way round it is one.
    """
    rng = np.random.default_rng(seed)
    skills = [world.skill] * (models - worse) + [world.skill - GAP] * worse
    claims: Counter[str] = Counter()
    for _ in range(runs):
        pairs = simulated_pairs(world, skills, rng)
        claims.update(m for m in PAIRED if any(_false(pair, m, skills) for pair in pairs.pairs))
    return {metric: claims[metric] / runs for metric in PAIRED}


def _false(pair: Pair, metric: str, skills: list[float]) -> bool:
    """True when a model is called better that is not."""
    better = pair.better(metric)
    other = pair.second if better == pair.first else pair.first
    return better is not None and skills[int(better.split()[1])] <= skills[int(other.split()[1])]


def found_differences(
    world: World, gap: float, runs: int, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Return the true difference of two models, the smallest that boards named, and how often it was found."""
    rng = np.random.default_rng(seed)
    better = truth(World(world.units, world.skill + gap, world.grouped, world.patient), rng)
    true = truth(world, rng)
    found: Counter[str] = Counter()
    named: dict[str, list[float]] = {metric: [] for metric in PAIRED}
    for _ in range(runs):
        pairs = simulated_pairs(world, [world.skill + gap, world.skill], rng)
        found.update(m for m in PAIRED if pairs.pairs[0].better(m) == "model 0")
        for metric in PAIRED:
            smallest = pairs.smallest(metric)
            named[metric] += [] if smallest is None else [smallest.alone]
    return {m: (better[m] - true[m], float(np.median(named[m])), found[m] / runs) for m in PAIRED}


def rejected(
    runs: int, parts: int, *, disjoint: bool, n: int = 200, half: int = 5, seed: int = 0
) -> tuple[float, float]:
    """Return how often the corrected and the plain t-test tell two equally good learners apart.

    Both decide by the nearer class mean, each on a half of the features of its own: the halves are alike,
    so neither learner is better. The test parts are folds (`disjoint`), or drawn anew.
    """
    rng = np.random.default_rng(seed)
    corrected = plain = 0
    for _ in range(runs):
        labels = rng.permutation(np.repeat([0, 1], n // 2))
        X = rng.standard_normal((n, 2 * half)) + 0.35 * (2 * labels[:, np.newaxis] - 1)
        differences = [
            _accuracy(X[:, :half], labels, test) - _accuracy(X[:, half:], labels, test)
            for test in _test_parts(n, parts, disjoint, rng)
        ]
        share = 1 / parts if disjoint else 0.2
        p = corrected_resampled_t(differences, share / (1 - share)).p
        corrected += p is not None and p <= ALPHA
        p = corrected_resampled_t(differences, 0.0).p
        plain += p is not None and p <= ALPHA
    return corrected / runs, plain / runs


def _test_parts(n: int, parts: int, disjoint: bool, rng: np.random.Generator) -> Iterator[np.ndarray]:
    if disjoint:
        yield from np.array_split(rng.permutation(n), parts)
        return
    for _ in range(parts):
        yield rng.permutation(n)[: n // 5]


def _accuracy(X: np.ndarray, labels: np.ndarray, test: np.ndarray) -> float:
    train = np.setdiff1d(np.arange(len(labels)), test)
    means = [X[train][labels[train] == k].mean(axis=0) for k in (0, 1)]
    nearer = [((X[test] - mean) ** 2).sum(axis=1) for mean in means]
    return float(((nearer[1] < nearer[0]) == labels[test]).mean())


def print_row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def coverage(arguments: argparse.Namespace) -> None:
    """How often a 95 % interval holds the truth."""
    print_row("world", *METRICS)
    for name in arguments.world or [*WORLDS, "patients, not known"]:
        if name == "patients, not known":
            found = covered_per_slice(WORLDS["patients"], arguments.runs)
        else:
            found = covered(WORLDS[name], arguments.runs)
        print_row(name, *(f"{100 * found[metric]:.1f}" for metric in METRICS))


def alternatives(arguments: argparse.Namespace) -> None:
    """How often 95 % intervals that the harness does not use hold the truth."""
    print_row("world", "interval", *METRICS)
    for world in arguments.world or WORLDS:
        for name, found in covered_otherwise(WORLDS[world], arguments.runs).items():
            values = (f"{100 * found[m]:.1f}" if m in found else "" for m in METRICS)
            print_row(world, name, *values)


def errors(arguments: argparse.Namespace) -> None:
    """On how many boards of five models any two that are equally good are told apart."""
    print_row("world", "models", *PAIRED)
    for name in arguments.world or WORLDS:
        for worse, models in ((0, "5 alike"), (2, "3 alike, 2 worse")):
            found = false_claims(WORLDS[name], arguments.runs, worse=worse)
            print_row(name, models, *(f"{100 * found[metric]:.1f}" for metric in PAIRED))


def power(arguments: argparse.Namespace) -> None:
    """How often two models are told apart whose true difference is about the smallest that the board names."""
    print_row("world", "gap", "metric", "true difference", "named", f"found (named: {POWER:.0%})")
    for name in arguments.world or ("images", "patients"):
        for gap in (0.1, 0.2, 0.3, 0.4, 0.5):
            found = found_differences(WORLDS[name], gap, arguments.runs)
            for metric, (true, named, share) in found.items():
                print_row(
                    name, gap, metric, f"{100 * true:.1f}", f"{100 * named:.1f}", f"{100 * share:.0f} %"
                )


def test_parts(arguments: argparse.Namespace) -> None:
    """How often two equally good learners are told apart over several test parts."""
    print_row("test parts", "corrected t-test", "plain t-test")
    for parts in (5, 10):
        for disjoint, name in ((True, "folds"), (False, "drawn anew, 20 % each")):
            corrected, plain = rejected(arguments.runs, parts, disjoint=disjoint)
            print_row(f"{parts} {name}", f"{100 * corrected:.1f}", f"{100 * plain:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    runs_of = {coverage: 2000, alternatives: 2000, errors: 1000, power: 200, test_parts: 2000}
    for command, runs in runs_of.items():
        sub = commands.add_parser(command.__name__.replace("_", "-"), help=command.__doc__)
        sub.add_argument("--runs", type=int, default=runs)
        sub.add_argument("--world", nargs="+", help=f"of {', '.join(WORLDS)}")
        sub.set_defaults(command=command)
    arguments = parser.parse_args()
    arguments.command(arguments)


if __name__ == "__main__":
    main()
