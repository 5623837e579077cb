"""Which TP and FP print as given on a test part: bounds by whole-number division, and by bisection.

With P positive and N negative test images and TP hits, every metric of the confusion matrix rises or
falls with FP. So the FP that print as given are one interval of whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np

from harness.matrices import Array, Figure, Matrix, Range, Rounding, up

__all__ = ["false_alarms", "hits"]

NEAR = 1e-9
"""A float this close to an edge does not decide it: whole numbers do."""


def hits(
    figures: Mapping[str, Figure], positives: Array, negatives: Array, rounding: Rounding
) -> tuple[Array, Array]:
    """Return bounds of TP of each test part: no TP outside them prints as given, whatever FP is.

    FP decides the rest; what is bounded here need not be looked at.
    """
    least, most = np.zeros_like(positives), positives.copy()
    for name, figure in figures.items():
        if name in _HITS:
            low, high = _HITS[name](figure.range(rounding), positives, negatives)
            least, most = np.maximum(least, low), np.minimum(most, high)
    return least, most


def _hits_by_recall(allowed: Range, p: Array, _n: Array) -> tuple[Array, Array]:
    least, most = allowed.parts(p)
    return least, np.where(p > 0, most, -1)  # without positive images there is no recall


def _hits_by_accuracy(allowed: Range, p: Array, n: Array) -> tuple[Array, Array]:
    """At FP = 0 TP + N must be enough, at FP = N TP must not be too many."""
    least, most = allowed.parts(p + n)
    return least - n, most


def _hits_by_f1(allowed: Range, p: Array, n: Array) -> tuple[Array, Array]:
    """F1 is at most 2 TP / (TP + P), at least 2 TP / (TP + P + N)."""
    unit = 2 * allowed.unit
    least = up(allowed.low * p, unit - allowed.low)
    if allowed.high >= unit // 2:
        return least, p
    return least, allowed.high * (p + n) // (unit - allowed.high)


def _hits_by_balanced_accuracy(allowed: Range, p: Array, _n: Array) -> tuple[Array, Array]:
    """Specificity is from 0 to 1."""
    least, most = allowed.parts(2 * p)
    return least - p, most


_HITS: dict[str, Callable[[Range, Array, Array], tuple[Array, Array]]] = {
    "recall": _hits_by_recall,
    "accuracy": _hits_by_accuracy,
    "weighted_recall": _hits_by_accuracy,
    "f1": _hits_by_f1,
    "balanced_accuracy": _hits_by_balanced_accuracy,
    "macro_recall": _hits_by_balanced_accuracy,
    "auc": _hits_by_balanced_accuracy,
}


def false_alarms(
    ranges: Mapping[str, Range], positives: Array, negatives: Array, tp: Array
) -> tuple[Array, Array]:
    """Return the least and largest FP with which every metric but recall prints as given (least > most: none)."""
    least, most = np.zeros_like(tp), negatives.copy()
    for name, allowed in ranges.items():
        if name in _BOUNDS:
            low, high = _BOUNDS[name](allowed, positives, negatives, tp)
            least, most = np.maximum(least, low), np.minimum(most, high)
    for name, allowed in ranges.items():
        if name in _FALLING:  # dearer: only where something is left
            rows = np.flatnonzero(least <= most)
            sides = (positives[rows], negatives[rows], tp[rows])
            least[rows], most[rows] = _by_bisection(name, allowed, sides, least[rows], most[rows])
    return least, most


def _by_accuracy(allowed: Range, p: Array, n: Array, tp: Array) -> tuple[Array, Array]:
    least, most = allowed.parts(p + n)
    return tp + n - most, tp + n - least


def _by_precision(allowed: Range, _p: Array, n: Array, tp: Array) -> tuple[Array, Array]:
    least, most = allowed.wholes(tp, tp + n)
    return least - tp, most - tp


def _by_f1(allowed: Range, p: Array, n: Array, tp: Array) -> tuple[Array, Array]:
    least, most = allowed.wholes(2 * tp, tp + p + n)
    return least - tp - p, most - tp - p


def _by_specificity(allowed: Range, _p: Array, n: Array, _tp: Array) -> tuple[Array, Array]:
    least, most = allowed.parts(n)
    return np.where(n > 0, n - most, 1), np.where(n > 0, n - least, 0)


def _by_balanced_accuracy(allowed: Range, p: Array, n: Array, tp: Array) -> tuple[Array, Array]:
    """(TP/P + TN/N) / 2 = (TP N + TN P) / (2 P N)."""
    least, most = allowed.parts(2 * p * n)
    both, some = (p > 0) & (n > 0), np.maximum(p, 1)
    fewest, most_right = up(least - tp * n, some), (most - tp * n) // some
    return np.where(both, n - most_right, 1), np.where(both, n - fewest, 0)


_BOUNDS: dict[str, Callable[[Range, Array, Array, Array], tuple[Array, Array]]] = {
    "accuracy": _by_accuracy,
    "weighted_recall": _by_accuracy,
    "precision": _by_precision,
    "f1": _by_f1,
    "specificity": _by_specificity,
    "balanced_accuracy": _by_balanced_accuracy,
    "macro_recall": _by_balanced_accuracy,
    "auc": _by_balanced_accuracy,
}
"""Metrics whose FP follow from one division."""


def _npv(_tp: Array, fn: Array, _fp: Array, tn: Array) -> Array:
    return tn / (tn + fn)


def _kappa(tp: Array, fn: Array, fp: Array, tn: Array) -> Array:
    return 2 * (tp * tn - fp * fn) / ((tp + fp) * (fp + tn) + (tp + fn) * (fn + tn))


def _mcc(tp: Array, fn: Array, fp: Array, tn: Array) -> Array:
    return (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


def _precisions(tp: Array, fn: Array, fp: Array, tn: Array) -> tuple[Array, Array]:
    return tp / (tp + fp), tn / (tn + fn)


def _f1s(tp: Array, fn: Array, fp: Array, tn: Array) -> tuple[Array, Array]:
    return 2 * tp / (2 * tp + fp + fn), 2 * tn / (2 * tn + fp + fn)


def _mean_of(metric: Callable[..., tuple[Array, Array]], weighted: bool) -> Callable[..., Array]:
    def mean(tp: Array, fn: Array, fp: Array, tn: Array) -> Array:
        one, other = metric(tp, fn, fp, tn)
        if not weighted:
            return (one + other) / 2
        return (one * (tp + fn) + other * (fp + tn)) / (tp + fn + fp + tn)

    return mean


_FALLING: dict[str, Callable[[Array, Array, Array, Array], Array]] = {
    "npv": _npv,
    "kappa": _kappa,
    "mcc": _mcc,
    "macro_precision": _mean_of(_precisions, weighted=False),
    "macro_f1": _mean_of(_f1s, weighted=False),
    "weighted_precision": _mean_of(_precisions, weighted=True),
    "weighted_f1": _mean_of(_f1s, weighted=True),
}
"""Metrics that fall with FP, in floats; where these come near an edge `Matrix.exceeds` decides."""


def _by_bisection(
    name: str, allowed: Range, sides: tuple[Array, Array, Array], least: Array, most: Array
) -> tuple[Array, Array]:
    low, high = _defined(name, *sides, least, most)
    bottom, top = Fraction(allowed.low, allowed.unit), Fraction(allowed.high, allowed.unit)
    last = _last_above(name, bottom, sides, low, high, or_equals=True)
    before = _last_above(name, top, sides, low, high, or_equals=allowed.open_above)
    return before + 1, last


def _defined(name: str, p: Array, n: Array, tp: Array, least: Array, most: Array) -> tuple[Array, Array]:
    """The FP of `least` to `most` where the metric is no 0/0: they are an interval."""
    if name == "npv":
        return least, np.where(tp == p, np.minimum(most, n - 1), most)
    if name in ("kappa", "macro_f1", "weighted_f1"):  # all images in one cell of the matrix
        least = np.where(p == 0, np.maximum(least, 1), least)
        return least, np.where((n == 0) & (tp == p), -1, most)
    least = np.where(tp == 0, np.maximum(least, 1), least)
    most = np.where(tp == p, np.minimum(most, n - 1), most)
    return (least, np.where((p == 0) | (n == 0), -1, most)) if name == "mcc" else (least, most)


def _last_above(
    name: str, bound: Fraction, sides: tuple[Array, Array, Array], low: Array, high: Array, *, or_equals: bool
) -> Array:
    """The largest FP of low to high at which the metric lies above a bound; low - 1 where there is none."""
    p, n, tp = sides
    below, above, edge = low - 1, high, float(bound)
    while (open_rows := np.flatnonzero(below < above)).size:
        rows = open_rows
        middle = (below[rows] + above[rows] + 1) // 2
        is_above = _value(name, p[rows], n[rows], tp[rows], middle) >= edge
        below[rows] = np.where(is_above, middle, below[rows])
        above[rows] = np.where(is_above, above[rows], middle - 1)
    for row in np.flatnonzero(_near(name, edge, sides, below, low, high)):
        counts = int(p[row]), int(n[row]), int(tp[row])
        below[row] = _exactly(
            name, bound, counts, int(below[row]), (int(low[row]), int(high[row])), or_equals
        )
    return below


def _value(name: str, p: Array, n: Array, tp: Array, fp: Array) -> Array:
    tp, fp = tp.astype(float), fp.astype(float)
    return _FALLING[name](tp, p - tp, fp, n - fp)


def _near(
    name: str, edge: float, sides: tuple[Array, Array, Array], fp: Array, low: Array, high: Array
) -> Array:
    """Where the metric comes near the edge at this FP or the next."""
    p, n, tp = sides
    near = np.zeros(len(fp), dtype=bool)
    for place in (fp, fp + 1):
        inside = np.flatnonzero((low <= place) & (place <= high))
        values = _value(name, p[inside], n[inside], tp[inside], place[inside])
        near[inside] |= np.abs(values - edge) < NEAR
    return near


def _exactly(
    name: str,
    bound: Fraction,
    counts: tuple[int, int, int],
    fp: int,
    within: tuple[int, int],
    or_equals: bool,
) -> int:
    """The same as `_last_above` of one test part and TP, from a guess, in whole numbers."""
    p, n, tp = counts

    def above(fp: int) -> bool:
        return Matrix(tp, p - tp, fp, n - fp).exceeds(name, bound, or_equals=or_equals)

    while fp < within[1] and above(fp + 1):
        fp += 1
    while fp >= within[0] and not above(fp):
        fp -= 1
    return fp
