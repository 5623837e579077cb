"""Pairs of models on the same test images: which of them can be told apart, and the ranks that follow."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from harness.board_cells import Cell
from harness.board_draws import Draws
from harness.paired import (
    ALPHA,
    Test,
    bootstrap_test,
    corrected_resampled_t,
    delong_test,
    holm,
    mcnemar,
    smallest_difference,
)

__all__ = ["PAIRED", "Pair", "Pairs", "Smallest", "pair_test", "pairs_of"]

PAIRED = ("f1", "accuracy", "auc")
"""The metrics in which pairs are compared; each is a family of its own for Holm's adjustment."""


@dataclass(frozen=True)
class Pair:
    """Two methods; `tests` of first minus second and their p-values `adjusted` by Holm, by metric."""

    first: str
    second: str
    tests: Mapping[str, Test]
    adjusted: Mapping[str, float | None]

    def better(self, metric: str) -> str | None:
        """Return the method that is better beyond chance, None when the two cannot be told apart."""
        p, difference = self.adjusted[metric], self.tests[metric].difference
        if p is None or difference is None or p > ALPHA:
            return None
        return self.first if difference > 0 else self.second


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest true difference (a share) that would be found: by one test `alone`, and `adjusted` for all."""

    alone: float
    adjusted: float


@dataclass(frozen=True)
class Pairs:
    """All pairs of the ranked methods of one recipe."""

    pairs: tuple[Pair, ...] = ()

    def rank(self, method: str, metric: str) -> int:
        """Return 1 + the number of methods that are better beyond chance."""
        found = (pair.better(metric) for pair in self.pairs if method in (pair.first, pair.second))
        return 1 + sum(better not in (None, method) for better in found)

    def between(self, first: str, second: str) -> Pair | None:
        """Return the pair of these two, in whichever order it is kept."""
        names = {first, second}
        return next((pair for pair in self.pairs if {pair.first, pair.second} == names), None)

    def tested(self, metric: str) -> list[Test]:
        """Return the tests of the family that could be made."""
        return [pair.tests[metric] for pair in self.pairs if pair.tests[metric].p is not None]

    def smallest(self, metric: str) -> Smallest | None:
        """Return the smallest difference by the median standard error of the pairs, None without any."""
        family = self.tested(metric)
        errors = [test.error for test in family if test.error]
        if not errors:
            return None
        degrees = next(test.degrees for test in family if test.error)
        error = statistics.median(errors)
        return Smallest(
            smallest_difference(error, degrees),
            smallest_difference(error, degrees, alpha=ALPHA / len(family)),
        )


def pairs_of(rows: Mapping[str, Sequence[Cell]], draws: Draws) -> Pairs:
    """Return every pair of methods, in the order of `rows` (their finished cells by name).

    Pairs are compared on the seeds and folds that both have. The adjustment counts the tests that could be made.
    """
    found = []
    for first, second in combinations(rows, 2):
        tests = {metric: pair_test(metric, rows[first], rows[second], draws) for metric in PAIRED}
        found.append((first, second, tests))
    families = {metric: _adjusted([tests[metric].p for _, _, tests in found]) for metric in PAIRED}
    return Pairs(
        tuple(
            Pair(first, second, tests, {metric: families[metric][number] for metric in PAIRED})
            for number, (first, second, tests) in enumerate(found)
        )
    )


def _adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    adjusted = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(adjusted) for p in p_values]


def pair_test(metric: str, first: Sequence[Cell], second: Sequence[Cell], draws: Draws) -> Test:
    """Return the test of first minus second in a metric of `PAIRED`, on the seeds and folds that both have."""
    by_place = {cell.place: cell for cell in second}
    both = [(cell, by_place[cell.place]) for cell in first if cell.place in by_place]
    if not both:
        return Test(None, None, "none", reason="no seed and fold in common")
    differences: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for a, b in both:
        ours, theirs = (draws.scores[cell.entry.key][metric] for cell in (a, b))
        if ours.value is None or theirs.value is None:
            return Test(None, None, "none", reason=ours.reason or theirs.reason)
        differences[a.ids].append(ours.value - theirs.value)
    means = [math.fsum(of_part) / len(of_part) for of_part in differences.values()]
    if len(means) > 1:
        return corrected_resampled_t(means, _test_to_train([a for a, _ in both]))
    if len(both) == 1 and not draws.grouped:
        closed = _closed_form(metric, *both[0], draws)
        if closed is not None:
            return closed
    drawn = [draws.mean(side)[metric] for side in zip(*both, strict=True)]
    units = "groups" if draws.grouped else "images"
    return bootstrap_test(means[0], drawn[0] - drawn[1], draws.resamples.fewest - 1, units)


def _test_to_train(cells: Sequence[Cell]) -> float:
    """Test images over those that the model was tuned and fitted on, the mean over cells."""
    counts = [cell.manifest["dataset"]["n"] for cell in cells]
    return math.fsum(n["test"] / (n["train"] + n["val"]) for n in counts) / len(counts)


def _closed_form(metric: str, first: Cell, second: Cell, draws: Draws) -> Test | None:
    """McNemar or DeLong; None where there is no such test."""
    assert first.labels is not None
    assert first.probabilities is not None
    assert second.probabilities is not None
    labels, ours, theirs = first.labels, first.probabilities, second.probabilities
    if metric == "accuracy":
        return mcnemar(ours.argmax(axis=1) == labels, theirs.argmax(axis=1) == labels)
    k = draws.positive
    if metric != "auc" or draws.auc != "scores" or k is None or len(first.classes) != 2:
        return None
    if min((labels == k).sum(), (labels != k).sum()) < 2:
        return None
    return delong_test(labels == k, ours[:, k], theirs[:, k])
