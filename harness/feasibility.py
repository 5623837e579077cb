"""Which confusion matrices print as given: exact arithmetic over counts of test images.

Of every test part each TP is looked at that may print as given, and the FP of it are an interval
(`harness.matrix_bounds`): no matrix is missed, and none is decided by the rounding of a float.

A metric that is 0/0 has no value, so it never prints as given.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from harness.matrices import Array, Figure, Matrix, Rounding
from harness.matrix_bounds import false_alarms, hits

__all__ = [
    "MOST_DECIMALS",
    "MOST_IMAGES",
    "MOST_WORK",
    "Conflict",
    "Fits",
    "Parts",
    "contradictions",
    "fits",
    "smallest_conflicts",
    "work",
]

MOST_IMAGES = 100_000
"""Of one test part: with `MOST_DECIMALS` every product below stays under 2**63."""

MOST_DECIMALS = 6
"""Of a percentage."""

MOST_PARTS = 4_000_000
"""Test parts of one search: 32 MB for each array over them."""

MOST_WORK = 20_000_000
"""Pairs of (test part, TP) that one search may look at: a few seconds."""

CHUNK = 500_000
"""Pairs that are held in memory at once."""

LISTED = 20
"""How many of the matrices that fit are listed; all are counted."""

LISTED_PARTS = 100_000
"""How many test parts that fit are listed."""


@dataclass(frozen=True)
class Fits:
    """How many matrices print as given, and the first `LISTED` of them.

    `parts` are the test parts (positive and negative images) of all of them, in the order of the search; None where
    they are more than `LISTED_PARTS`.
    """

    count: int
    matrices: tuple[Matrix, ...]
    parts: tuple[tuple[int, int], ...] | None


@dataclass(frozen=True)
class Parts:
    """Test parts to search: (K,) counts of positive and of negative images."""

    positives: Array
    negatives: Array

    @classmethod
    def of(cls, positives: int, negatives: int) -> Parts:
        """One test part. Raises `ValueError` for counts that are none, or beyond `MOST_IMAGES`."""
        if positives < 0 or negatives < 0 or not 0 < positives + negatives <= MOST_IMAGES:
            raise ValueError(
                f"{positives} positive and {negatives} negative test images: expected 1 to {MOST_IMAGES} in all"
            )
        return cls(np.array([positives], dtype=np.int64), np.array([negatives], dtype=np.int64))

    @classmethod
    def of_sizes(cls, least: int, most: int) -> Parts:
        """Every test part of `least` to `most` images, any number of them positive.

        Raises `ValueError` for sizes that are none, beyond `MOST_IMAGES`, or too many to be listed.
        """
        if not 0 < least <= most <= MOST_IMAGES:
            raise ValueError(f"test sizes {least} to {most}: expected 1 to {MOST_IMAGES}, the smaller first")
        parts = (most - least + 1) * (least + most + 2) // 2
        if parts > MOST_PARTS:
            raise ValueError(
                f"test sizes {least} to {most} are {parts:,} test parts, at most {MOST_PARTS:,} are searched; "
                "name fewer sizes"
            )
        sizes = np.arange(least, most + 1, dtype=np.int64)
        positives = np.concatenate([np.arange(size + 1, dtype=np.int64) for size in sizes])
        return cls(positives, np.repeat(sizes, sizes + 1) - positives)


def work(figures: Mapping[str, Figure], parts: Parts, rounding: Rounding = "nearest") -> int:
    """Return how many (test part, TP) a search looks at; more than `MOST_WORK` are refused."""
    least, most = hits(figures, parts.positives, parts.negatives, rounding)
    return int(np.maximum(most - least + 1, 0).sum())


def fits(figures: Mapping[str, Figure], parts: Parts, rounding: Rounding = "nearest") -> Fits:
    """Return the confusion matrices of `parts` whose metrics print as `figures` (by name of `VERIFIABLE`).

    Without figures every matrix fits. Raises `ValueError` when the search is larger than `MOST_WORK`.

    >>> printed = {"precision": Figure(9916, 10_000), "recall": Figure(9553, 10_000)}
    >>> str(fits(printed, Parts.of(246, 250)).matrices[0])
    '235/11/2/248'
    """
    looked_at = work(figures, parts, rounding)
    if looked_at > MOST_WORK:
        raise ValueError(f"a search of {looked_at:,} pairs of test part and TP, at most {MOST_WORK:,}")
    ranges = {name: figure.range(rounding) for name, figure in figures.items()}
    count, matrices = 0, list[Matrix]()
    fitting: dict[tuple[int, int], None] = {}
    within = hits(figures, parts.positives, parts.negatives, rounding)
    for positives, negatives, tps in _pairs(*within, parts):
        least, most = false_alarms(ranges, positives, negatives, tps)
        found = np.maximum(most - least + 1, 0)
        count += int(found.sum())
        if len(fitting) <= LISTED_PARTS:
            fitting |= dict.fromkeys(_parts_of(positives, negatives, found > 0))
        for row in np.flatnonzero(found)[: LISTED - len(matrices)]:
            p, n, tp = int(positives[row]), int(negatives[row]), int(tps[row])
            last = min(int(most[row]), int(least[row]) + LISTED - len(matrices) - 1)
            matrices += [Matrix(tp, p - tp, fp, n - fp) for fp in range(int(least[row]), last + 1)]
    return Fits(count, tuple(matrices), tuple(fitting) if len(fitting) <= LISTED_PARTS else None)


def _parts_of(positives: Array, negatives: Array, fitting: Array) -> Iterator[tuple[int, int]]:
    """The test parts of the pairs that fit, each once: pairs of one test part follow each other."""
    p, n = positives[fitting], negatives[fitting]
    first = np.ones(len(p), dtype=bool)
    first[1:] = (p[1:] != p[:-1]) | (n[1:] != n[:-1])
    return zip(p[first].tolist(), n[first].tolist(), strict=True)


def _pairs(least: Array, most: Array, parts: Parts) -> Iterator[tuple[Array, Array, Array]]:
    """(positives, negatives, TP) of every test part and each TP it may have, at most `CHUNK` at once."""
    counts = np.maximum(most - least + 1, 0)
    ends = np.cumsum(counts)
    for start in range(0, int(ends[-1]), CHUNK):
        places = np.arange(start, min(start + CHUNK, int(ends[-1])), dtype=np.int64)
        rows = np.searchsorted(ends, places, side="right")
        tps = least[rows] + places - (ends[rows] - counts[rows])
        yield parts.positives[rows], parts.negatives[rows], tps


@dataclass(frozen=True)
class Conflict:
    """Cells that, if they are wrong, let the others be possible, and the matrices that then fit."""

    metrics: tuple[str, ...]
    fits: Fits


def smallest_conflicts(
    figures: Mapping[str, Figure],
    parts: Parts,
    rounding: Rounding = "nearest",
    pays: Callable[[int], bool] = lambda cost: cost <= MOST_WORK,
) -> tuple[Conflict, ...] | None:
    """Return every smallest set of cells without which the rest fits; empty when all fit together.

    All returned sets are of one size: no smaller one does. `pays` is asked before each search whether its work is
    affordable; None when it was not.
    """
    for size in range(len(figures) + 1):
        found = []
        for left_out in itertools.combinations(figures, size):
            kept = {name: figure for name, figure in figures.items() if name not in left_out}
            if not pays(len(parts.positives) + work(kept, parts, rounding)):
                return None
            fitting = fits(kept, parts, rounding)
            if fitting.count:
                found.append(Conflict(left_out, fitting))
        if found:
            return tuple(found) if size else ()
    raise ValueError("no test part to search")


def contradictions(figures: Mapping[str, Figure], rounding: Rounding = "nearest") -> tuple[str, ...]:
    """Return the metrics that others of the row rule out for every matrix of every size.

    F1 is the harmonic mean of precision and recall; balanced accuracy (and AUC of hard labels) the
    mean of recall and specificity; both rise with each of them. Accuracy, too, is a mean of recall and
    specificity, by images: it lies between them.

    >>> row = {"precision": Figure(94, 100), "recall": Figure(95, 100), "f1": Figure(97, 100)}
    >>> contradictions(row)
    ('f1',)
    """
    rules = (
        ("f1", "precision", "recall", _harmonic),
        ("balanced_accuracy", "recall", "specificity", _arithmetic),
        ("auc", "recall", "specificity", _arithmetic),
    )
    found = []
    for name, one, other, mean in rules:
        if not {name, one, other} <= figures.keys():
            continue
        first, second = _ends(figures[one], rounding), _ends(figures[other], rounding)
        said = _ends(figures[name], rounding)
        if mean(first[1], second[1]) < said[0] or mean(first[0], second[0]) > said[1]:
            found.append(name)
    if {"accuracy", "recall", "specificity"} <= figures.keys():
        said, *others = (_ends(figures[of], rounding) for of in ("accuracy", "recall", "specificity"))
        if said[0] > max(high for _, high in others) or said[1] < min(low for low, _ in others):
            found.append("accuracy")
    return tuple(found)


def _ends(figure: Figure, rounding: Rounding) -> tuple[Fraction, Fraction]:
    allowed = figure.range(rounding)
    return max(Fraction(allowed.low, allowed.unit), Fraction(0)), min(
        Fraction(allowed.high, allowed.unit), Fraction(1)
    )


def _harmonic(one: Fraction, other: Fraction) -> Fraction:
    return 2 * one * other / (one + other) if one + other else Fraction(0)


def _arithmetic(one: Fraction, other: Fraction) -> Fraction:
    return (one + other) / 2
