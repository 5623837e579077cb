"""Confusion matrices of two classes and what prints as given, in exact arithmetic over counts of images.

A printed number allows a range; what a matrix gives is a fraction, compared without rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np

__all__ = ["ROUNDINGS", "VERIFIABLE", "Figure", "Matrix", "Range", "Rounding", "up"]

VERIFIABLE = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "auc",
    "specificity",
    "balanced_accuracy",
    "npv",
    "kappa",
    "mcc",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
)
"""What a confusion matrix determines; `auc` is that of hard labels, which equals balanced accuracy."""

Rounding = Literal["nearest", "truncate", "either"]
ROUNDINGS: tuple[Rounding, ...] = ("nearest", "truncate", "either")

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

    def range(self, rounding: Rounding = "nearest") -> Range:
        """Return what may have been printed so. A tie may have gone either way (half up, half even)."""
        low, high = 2 * self.units, 2 * self.units
        low -= rounding in ("nearest", "either")
        high += 1 if rounding == "nearest" else 2
        return Range(low, high, 2 * self.scale, open_above=rounding != "nearest")


@dataclass(frozen=True, slots=True)
class Range:
    """low / unit to high / unit; the upper end may not belong to it."""

    low: int
    high: int
    unit: int
    open_above: bool

    def parts(self, whole: Array) -> tuple[Array, Array]:
        """Return the least and largest integer p with p / whole in the range."""
        return up(self.low * whole, self.unit), (self.high * whole - self.open_above) // self.unit

    def wholes(self, part: Array, most: Array) -> tuple[Array, Array]:
        """Return the least and largest integer q from 1 to `most` with part / q in the range."""
        least = np.maximum(up(part * self.unit + self.open_above, self.high), 1)
        if self.low <= 0:
            return least, most
        return least, np.minimum(part * self.unit // self.low, most)


def up(part: Array, whole: int | Array) -> Array:
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
        """Return one of `VERIFIABLE`, None where it is 0/0; MCC, a root, to the digits of a float where it is no
        fraction.

        >>> Matrix(235, 11, 2, 248).metric("precision")
        Fraction(235, 237)
        """
        tp, fn, fp, tn = self.tp, self.fn, self.fp, self.tn
        if name == "mcc":
            part, square = self._correlation()
            root = math.isqrt(square)
            exact = Fraction(part, root) if root and root * root == square else None
            return Fraction(part / math.sqrt(square)) if square and exact is None else exact
        if name == "kappa":
            chance = (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)
            return Fraction(2 * (tp * tn - fp * fn), chance) if chance else None
        if name in _MEANS:
            return self._mean(*_MEANS[name])
        part, whole = {
            "accuracy": (tp + tn, tp + fn + fp + tn),
            "weighted_recall": (tp + tn, tp + fn + fp + tn),
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
            "f1": (2 * tp, 2 * tp + fp + fn),
            "specificity": (tn, tn + fp),
            "npv": (tn, tn + fn),
        }[name]
        return Fraction(part, whole) if whole else None

    def _correlation(self) -> tuple[int, int]:
        """MCC is the first by the root of the second (Matthews 1975)."""
        tp, fn, fp, tn = self.tp, self.fn, self.fp, self.tn
        return tp * tn - fp * fn, (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)

    def _mean(self, metric: str, weighted: bool) -> Fraction | None:
        """The mean of a metric over both classes, by images where `weighted`; None where either is 0/0."""
        one, other = self.metric(metric), Matrix(self.tn, self.fp, self.fn, self.tp).metric(metric)
        if one is None or other is None:
            return None
        positives, negatives = (self.tp + self.fn, self.fp + self.tn) if weighted else (1, 1)
        return (one * positives + other * negatives) / (positives + negatives)

    def exceeds(self, name: str, bound: Fraction, *, or_equals: bool) -> bool:
        """True when a metric that is not 0/0 lies above a bound, or on it where `or_equals`; exact for MCC too."""
        if name == "mcc":
            part, square = self._correlation()
            value, bound = _signed_square(Fraction(part)), _signed_square(bound) * square
        else:
            found = self.metric(name)
            assert found is not None
            value = found
        return value >= bound if or_equals else value > bound


def _signed_square(value: Fraction) -> Fraction:
    return value * abs(value)


_MEANS = {
    "balanced_accuracy": ("recall", False),
    "auc": ("recall", False),
    "macro_precision": ("precision", False),
    "macro_recall": ("recall", False),
    "macro_f1": ("f1", False),
    "weighted_precision": ("precision", True),
    "weighted_f1": ("f1", True),
}
"""Means over the two classes: of what, and whether weighted by their images."""
