"""Scores of predicted probabilities, and the check that they are probabilities.

The decision is the class of the largest probability, the first of them at a tie. With two
classes and a positive one, precision, recall, F1 and specificity are those of the positive
class. Otherwise each is the unweighted mean over the classes, every class in turn against the
rest. AUC orders the images by the probability of the positive class (or of each class against
the rest): the share of pairs in the right order, a tie counted half.

A metric that is undefined has no value but a reason; nothing is put in its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harness.errors import PredictionError

__all__ = ["METRICS", "Auc", "Score", "Scores", "check_probabilities", "lower_bound", "scores"]

METRICS = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "auc",
    "specificity",
    "balanced_accuracy",
    "brier",
)
"""Names of the metrics, the papers' columns first. All lie in 0 to 1 (macro Brier: 0 to 2)."""

Auc = Literal["scores", "hard-labels"]
"""What AUC orders the images by: probabilities, or decisions (then it equals balanced accuracy)."""

ROW_SUM_TOLERANCE = {np.dtype(np.float64): 1e-6, np.dtype(np.float32): 1e-3}
"""How far from 1 a row may sum: well above the rounding of a softmax over 1000 classes in that precision."""

ONE_SIDED_95 = 1.6448536269514722
"""The 0.95 quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's value, or None with the reason why there is none."""

    value: float | None
    reason: str | None = None


@dataclass(frozen=True)
class Scores:
    """The metrics of one set of predictions.

    `confusion` (C, C) counts images by their class (row) and the decided one (column).
    """

    accuracy: Score
    precision: Score
    recall: Score
    f1: Score
    auc: Score
    specificity: Score
    balanced_accuracy: Score
    brier: Score
    confusion: np.ndarray

    def __getitem__(self, metric: str) -> Score:
        """Return one of `METRICS` by name."""
        if metric not in METRICS:
            raise KeyError(metric)
        score: Score = getattr(self, metric)
        return score


def scores(
    labels: np.ndarray, probabilities: np.ndarray, *, positive: int | None, auc: Auc = "scores"
) -> Scores:
    """Return every metric of N predictions over C classes.

    `labels` are class numbers (N,), `probabilities` (N, C) as `check_probabilities` wants them.
    `positive` is the number of the positive class; without one, or with more than two classes,
    metrics are means over the classes. F1 is 2 TP / (2 TP + FP + FN), so it is 0, not undefined,
    where images of the class are there and none is found. Brier is the mean squared difference
    between the positive class's probability and its presence; without one, that sum over classes.
    Raises `ValueError` for labels that are none and `PredictionError` for probabilities that are none.

    >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    >>> result = scores(np.array([0, 0, 1, 1]), p, positive=1)
    >>> result.confusion.tolist(), result.accuracy.value, result.recall.value, result.auc.value
    ([[1, 1], [0, 2]], 0.75, 1.0, 1.0)
    """
    p_NC = check_probabilities(probabilities, len(labels))
    n_classes = p_NC.shape[1]
    labels = _checked_labels(labels, n_classes)
    if positive is not None and not 0 <= positive < n_classes:
        raise ValueError(f"positive class number {positive!r}: there are {n_classes} classes")
    decided = p_NC.argmax(axis=1)
    confusion = np.bincount(labels * n_classes + decided, minlength=n_classes**2)
    confusion = confusion.reshape(n_classes, n_classes)
    classes = list(range(n_classes)) if positive is None or n_classes > 2 else [positive]
    counts = [_Counts.of(confusion, k) for k in classes]
    ranked_by = p_NC if auc == "scores" else np.eye(n_classes)[decided]
    present = np.eye(n_classes)[labels]
    squared = (p_NC - present)[:, classes] ** 2
    return Scores(
        accuracy=Score(float(np.trace(confusion) / len(labels))),
        precision=_mean([c.precision for c in counts]),
        recall=_mean([c.recall for c in counts]),
        f1=_mean([c.f1 for c in counts]),
        auc=_mean([_auc(labels == k, ranked_by[:, k], k) for k in classes]),
        specificity=_mean([c.specificity for c in counts]),
        balanced_accuracy=_mean([_Counts.of(confusion, k).recall for k in range(n_classes)]),
        brier=Score(float(squared.sum(axis=1).mean())),
        confusion=confusion,
    )


def check_probabilities(probabilities: Any, n: int, classes: int | None = None) -> np.ndarray:
    """Return `probabilities` as float64 (n, classes), or raise `PredictionError` naming the first bad row.

    Every value lies in 0 to 1 and every row sums to 1, within 1e-6 for float64 and 1e-3 for
    float32. Float32 rows are then divided by their sum in float64; float64 is returned as it is.
    """
    p_NC = probabilities
    if not isinstance(p_NC, np.ndarray) or p_NC.dtype not in ROW_SUM_TOLERANCE:
        got = f"{type(p_NC).__name__}" + (f" of {p_NC.dtype}" if isinstance(p_NC, np.ndarray) else "")
        raise PredictionError(f"probabilities: expected a numpy array of float64 or float32, got {got}")
    expected = f"({n}, {'classes' if classes is None else classes})"
    if p_NC.ndim != 2 or p_NC.shape[0] != n or classes not in (None, p_NC.shape[1]) or p_NC.shape[1] < 2:
        raise PredictionError(f"probabilities: expected shape {expected}, a row an image, got {p_NC.shape}")
    exact = np.array(p_NC, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = exact.sum(axis=1)
    faults: dict[str, Any] = {
        "holds a value that is not finite": ~np.isfinite(exact).all(axis=1),
        "holds a value outside 0 to 1": ((exact < 0) | (exact > 1)).any(axis=1),
        "does not sum to 1": np.abs(sums - 1) > ROW_SUM_TOLERANCE[p_NC.dtype],
    }
    for fault, bad in faults.items():
        if bad.any():
            raise PredictionError(_bad_row(exact, sums, bad, fault))
    return exact if p_NC.dtype == np.float64 else exact / sums[:, np.newaxis]


def _bad_row(p_NC: np.ndarray, sums: np.ndarray, bad: np.ndarray, fault: str) -> str:
    row = int(np.flatnonzero(bad)[0])
    shown = ", ".join(f"{value:.9g}" for value in p_NC[row, :4]) + (", ..." if p_NC.shape[1] > 4 else "")
    return (
        f"probabilities: row {row} [{shown}] (sum {sums[row]:.9g}) {fault}; "
        f"{int(bad.sum())} of {len(bad)} rows are so"
    )


def _checked_labels(labels: np.ndarray, n_classes: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels: expected one integer an image, got {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels: {labels.min()} to {labels.max()}, but there are {n_classes} classes")
    return labels.astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Counts:
    """One class against the rest."""

    number: int
    tp: int
    fn: int
    fp: int
    tn: int

    @classmethod
    def of(cls, confusion: np.ndarray, k: int) -> _Counts:
        tp, of_class, decided = (int(x) for x in (confusion[k, k], confusion[k].sum(), confusion[:, k].sum()))
        total = int(confusion.sum())
        return cls(k, tp, of_class - tp, decided - tp, total - of_class - decided + tp)

    @property
    def precision(self) -> Score:
        return _ratio(self.tp, self.tp + self.fp, f"no image was decided to be of class number {self.number}")

    @property
    def recall(self) -> Score:
        return _ratio(self.tp, self.tp + self.fn, f"no image is of class number {self.number}")

    @property
    def f1(self) -> Score:
        reason = f"no image is, or was decided to be, of class number {self.number}"
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn, reason)

    @property
    def specificity(self) -> Score:
        return _ratio(self.tn, self.tn + self.fp, f"every image is of class number {self.number}")


def _ratio(part: int, whole: int, reason: str) -> Score:
    return Score(part / whole) if whole else Score(None, reason)


def _mean(values: Sequence[Score]) -> Score:
    """The mean, undefined as soon as one of the values is."""
    known = [score.value for score in values if score.value is not None]
    if len(known) < len(values):
        return next(score for score in values if score.value is None)
    return Score(math.fsum(known) / len(known))


def _auc(is_positive: np.ndarray, ranked_by: np.ndarray, number: int) -> Score:
    """Mann-Whitney: the share of (positive, negative) pairs in the right order, a tie counted half."""
    n_positive = int(is_positive.sum())
    n_negative = len(is_positive) - n_positive
    if not n_positive or not n_negative:
        which = "no" if not n_positive else "every"
        return Score(None, f"{which} image is of class number {number}, so there is no pair to put in order")
    _, place, repeats = np.unique(ranked_by, return_inverse=True, return_counts=True)
    midranks = np.cumsum(repeats) - (repeats - 1) / 2
    wins = midranks[place][is_positive].sum() - n_positive * (n_positive + 1) / 2
    return Score(float(wins / (n_positive * n_negative)))


def lower_bound(share: float, n: int) -> float:
    """Return the one-sided 95 % lower confidence bound of a share seen in `n` trials.

    It is the score interval of Wilson (1927).

    >>> round(lower_bound(0.5, 100), 4)
    0.4188
    """
    z2 = ONE_SIDED_95**2
    spread = ONE_SIDED_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (share + z2 / (2 * n) - spread) / (1 + z2 / n)
