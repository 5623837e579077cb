"""Which confusion matrices print as given: exact arithmetic over counts of test images.

With P positive and N negative test images and TP hits, every metric of the confusion matrix rises
or falls with FP. So the FP that print as given are one interval of whole numbers, found by integer
division; no matrix is missed, and none is decided by the rounding of a float.

A metric that is 0/0 has no value, so it never prints as given.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np

__all__ = [
    "MOST_DECIMALS",
    "MOST_IMAGES",
    "MOST_WORK",
    "ROUNDINGS",
    "VERIFIABLE",
    "Conflict",
    "Figure",
    "Fits",
    "Matrix",
    "Parts",
    "Rounding",
    "contradictions",
    "fits",
    "smallest_conflicts",
    "work",
]

VERIFIABLE = ("accuracy", "precision", "recall", "f1", "auc", "specificity", "balanced_accuracy")
"""What a confusion matrix determines; `auc` is that of hard labels, which equals balanced accuracy."""

Rounding = Literal["nearest", "truncate", "either"]
ROUNDINGS: tuple[Rounding, ...] = ("nearest", "truncate", "either")

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

Array: TypeAlias = np.ndarray


@dataclass(frozen=True, slots=True)
class Figure:
    """A printed number: `units` of the last digit, of which `scale` make 1 (100 %).

    >>> Figure(9738, 10_000).share      # 97.38 %, or 0.9738
    Fraction(4869, 5000)
    """

    units: int
    scale: int

    @property
    def share(self) -> Fraction:
        return Fraction(self.units, self.scale)

    def range(self, rounding: Rounding = "nearest") -> _Range:
        """Return what may have been printed so. A tie may have gone either way (half up, half even)."""
        low, high = 2 * self.units, 2 * self.units
        low -= rounding in ("nearest", "either")
        high += 1 if rounding == "nearest" else 2
        return _Range(low, high, 2 * self.scale, open_above=rounding != "nearest")


@dataclass(frozen=True, slots=True)
class _Range:
    """low / unit to high / unit; the upper end may not belong to it."""

    low: int
    high: int
    unit: int
    open_above: bool

    def holds(self, value: Fraction) -> bool:
        top = Fraction(self.high, self.unit)
        return Fraction(self.low, self.unit) <= value and (value < top if self.open_above else value <= top)

    def parts(self, whole: Array) -> tuple[Array, Array]:
        """Return the least and largest integer p with p / whole in the range."""
        return _up(self.low * whole, self.unit), (self.high * whole - self.open_above) // self.unit

    def wholes(self, part: Array, most: Array) -> tuple[Array, Array]:
        """Return the least and largest integer q from 1 to `most` with part / q in the range."""
        least = np.maximum(_up(part * self.unit + self.open_above, self.high), 1)
        if self.low <= 0:
            return least, most
        return least, np.minimum(part * self.unit // self.low, most)


def _up(part: Array, whole: int | Array) -> Array:
    """Division rounded up."""
    return -(-part // whole)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A confusion matrix of two classes, in images."""

    tp: int
    fn: int
    fp: int
    tn: int

    def __str__(self) -> str:
        return f"{self.tp}/{self.fn}/{self.fp}/{self.tn}"

    def metric(self, name: str) -> Fraction | None:
        """Return one of `VERIFIABLE`, None where it is 0/0.

        >>> Matrix(235, 11, 2, 248).metric("precision")
        Fraction(235, 237)
        """
        tp, fn, fp, tn = self.tp, self.fn, self.fp, self.tn
        if name in ("auc", "balanced_accuracy"):
            recall, specificity = self.metric("recall"), self.metric("specificity")
            return None if recall is None or specificity is None else (recall + specificity) / 2
        part, whole = {
            "accuracy": (tp + tn, tp + fn + fp + tn),
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
            "f1": (2 * tp, 2 * tp + fp + fn),
            "specificity": (tn, tn + fp),
        }[name]
        return Fraction(part, whole) if whole else None


@dataclass(frozen=True)
class Fits:
    """How many matrices print as given, and the first `LISTED` of them."""

    count: int
    matrices: tuple[Matrix, ...]


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
    least, most = _hits(figures, parts, rounding)
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
    for positives, negatives, hits in _pairs(*_hits(figures, parts, rounding), parts):
        least, most = _false_alarms(ranges, positives, negatives, hits)
        found = np.maximum(most - least + 1, 0)
        count += int(found.sum())
        for row in np.flatnonzero(found)[: LISTED - len(matrices)]:
            p, n, tp = int(positives[row]), int(negatives[row]), int(hits[row])
            last = min(int(most[row]), int(least[row]) + LISTED - len(matrices) - 1)
            matrices += [Matrix(tp, p - tp, fp, n - fp) for fp in range(int(least[row]), last + 1)]
    return Fits(count, tuple(matrices))


def _hits(figures: Mapping[str, Figure], parts: Parts, rounding: Rounding) -> tuple[Array, Array]:
    """The least and largest TP of each test part that the printed recall allows."""
    positives = parts.positives
    if "recall" not in figures:
        return np.zeros_like(positives), positives
    least, most = figures["recall"].range(rounding).parts(positives)
    # without positive images there is no recall: an empty range
    return np.maximum(least, 0), np.where(positives > 0, np.minimum(most, positives), -1)


def _pairs(least: Array, most: Array, parts: Parts) -> Iterator[tuple[Array, Array, Array]]:
    """(positives, negatives, TP) of every test part and each TP it may have, at most `CHUNK` at once."""
    counts = np.maximum(most - least + 1, 0)
    ends = np.cumsum(counts)
    for start in range(0, int(ends[-1]), CHUNK):
        places = np.arange(start, min(start + CHUNK, int(ends[-1])), dtype=np.int64)
        rows = np.searchsorted(ends, places, side="right")
        hits = least[rows] + places - (ends[rows] - counts[rows])
        yield parts.positives[rows], parts.negatives[rows], hits


def _false_alarms(
    ranges: Mapping[str, _Range], positives: Array, negatives: Array, hits: Array
) -> tuple[Array, Array]:
    """The least and largest FP with which every metric but recall prints as given (least > most: none)."""
    least, most = np.zeros_like(hits), negatives.copy()
    for name, allowed in ranges.items():
        if name == "recall":
            continue
        low, high = _BOUNDS[name](allowed, positives, negatives, hits)
        least, most = np.maximum(least, low), np.minimum(most, high)
    return least, most


def _by_accuracy(allowed: _Range, p: Array, n: Array, tp: Array) -> tuple[Array, Array]:
    least, most = allowed.parts(p + n)
    return tp + n - most, tp + n - least


def _by_precision(allowed: _Range, _p: Array, n: Array, tp: Array) -> tuple[Array, Array]:
    least, most = allowed.wholes(tp, tp + n)
    return least - tp, most - tp


def _by_f1(allowed: _Range, p: Array, n: Array, tp: Array) -> tuple[Array, Array]:
    least, most = allowed.wholes(2 * tp, tp + p + n)
    return least - tp - p, most - tp - p


def _by_specificity(allowed: _Range, _p: Array, n: Array, _tp: Array) -> tuple[Array, Array]:
    least, most = allowed.parts(n)
    return np.where(n > 0, n - most, 1), np.where(n > 0, n - least, 0)


def _by_balanced_accuracy(allowed: _Range, p: Array, n: Array, tp: Array) -> tuple[Array, Array]:
    """(TP/P + TN/N) / 2 = (TP N + TN P) / (2 P N)."""
    least, most = allowed.parts(2 * p * n)
    both, some = (p > 0) & (n > 0), np.maximum(p, 1)
    fewest, most_right = _up(least - tp * n, some), (most - tp * n) // some
    return np.where(both, n - most_right, 1), np.where(both, n - fewest, 0)


_BOUNDS = {
    "accuracy": _by_accuracy,
    "precision": _by_precision,
    "f1": _by_f1,
    "specificity": _by_specificity,
    "balanced_accuracy": _by_balanced_accuracy,
    "auc": _by_balanced_accuracy,
}


@dataclass(frozen=True)
class Conflict:
    """Cells that, if they are wrong, let the others be possible, and the matrices that then fit."""

    metrics: tuple[str, ...]
    fits: Fits


def smallest_conflicts(
    figures: Mapping[str, Figure], parts: Parts, rounding: Rounding = "nearest"
) -> tuple[Conflict, ...]:
    """Return every smallest set of cells without which the rest fits; empty when all fit together.

    All returned sets are of one size: no smaller one does. Raises `ValueError` as `fits` does.
    """
    for size in range(len(figures) + 1):
        found = []
        for left_out in itertools.combinations(figures, size):
            kept = {name: figure for name, figure in figures.items() if name not in left_out}
            fitting = fits(kept, parts, rounding)
            if fitting.count:
                found.append(Conflict(left_out, fitting))
        if found:
            return tuple(found) if size else ()
    raise ValueError("no test part to search")


def contradictions(figures: Mapping[str, Figure], rounding: Rounding = "nearest") -> tuple[str, ...]:
    """Return the metrics that others of the row rule out for every matrix of every size.

    F1 is the harmonic mean of precision and recall; balanced accuracy (and AUC of hard labels) the
    mean of recall and specificity; both rise with each of them.

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
