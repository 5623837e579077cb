"""ROC, precision-recall and reliability of a row, as numbers; drawn by `harness.report.panels`.

A row's curve is the mean over its cells, weighted as its metrics are (a seed's folds, then seeds): its area is
the AUC of the board, and the average precision, to the last digit. Bands come from the same resamples as the
intervals of the board, so patients stay together where they are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.board_cells import Cell
from harness.board_draws import shared_out
from harness.intervals import LEVEL, wilson
from harness.resamples import Part, Resamples, resamples_of

__all__ = ["BAND_AT", "Bin", "Curves", "curves_of", "mean_line", "mean_steps", "precision_recall", "roc"]

BAND_AT = np.array([0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, *np.arange(0.1, 1.001, 0.05)])
"""False positive rates at which the band of a ROC curve is computed: closer where curves are steep."""

BAND_RESAMPLES = 1000
"""The first of the board's resamples: a drawn bound need not be finer than a line is wide."""

MOST_CLASSES = 12
"""Of a band: each class costs as much as a whole band of two."""

BINS = 10
"""Equal parts of 0 to 1 in which stated probabilities are compared with what came true."""

MOST_WEIGHTS = 4_000_000
"""Weights of images held at once: 32 MB."""

Points = np.ndarray
"""(K, 2): x and y in shares, x ascending."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Images whose stated probability lies in one part of 0 to 1: the mean stated, and the share that came true."""

    stated: float
    observed: float
    low: float
    high: float
    images: float


@dataclass(frozen=True, eq=False)
class Curves:
    """What is drawn of a row.

    `band` (K, 3) holds x, low, high; None where a class has a single unit, or for many classes.
    `point` is (false positive rate, true positive rate) of the decisions, None without a positive class.
    A curve is None where a class has no image in some test part; `reason` then says so.
    """

    roc: Points | None
    band: Points | None
    precision_recall: Points | None
    average_precision: float | None
    point: tuple[float, float] | None
    bins: tuple[Bin, ...]
    reason: str | None = None


def curves_of(cells: Sequence[Cell], positive: str | None) -> Curves:
    """Return the curves of a row's finished cells; with three classes or more, means over each against the rest."""
    parts = shared_out(cells)
    classes = _classes(cells[0], positive)
    bins = _bins(cells, positive)
    one_sided = [
        cell.where
        for cell, part in zip(cells, parts, strict=True)
        if any((part.labels == k).all() or not (part.labels == k).any() for k in classes)
    ]
    if one_sided:
        reason = f"no curve: the test part of {one_sided[0]} lacks a class"
        return Curves(None, None, None, None, None, bins, reason)
    shares = [part.share / len(classes) for part in parts for _ in classes]
    sides = [(part.labels == k, part.probabilities[:, k]) for part in parts for k in classes]
    steps = [precision_recall(*side) for side in sides]
    precise = mean_steps(steps, shares)
    return Curves(
        roc=mean_line([roc(*side) for side in sides], shares),
        band=_band(parts, classes),
        precision_recall=precise,
        average_precision=float(np.diff(precise[:, 0], prepend=0.0) @ precise[:, 1]),
        point=_point(parts, classes) if len(classes) == 1 else None,
        bins=bins,
    )


def _classes(cell: Cell, positive: str | None) -> list[int]:
    if positive is None or len(cell.classes) > 2:
        return list(range(len(cell.classes)))
    return [cell.classes.index(positive)]


def roc(is_positive: np.ndarray, scores: np.ndarray) -> Points:
    """Return the vertices (false positive rate, true positive rate) from (0, 0) to (1, 1).

    >>> roc(np.array([True, False, True]), np.array([0.9, 0.5, 0.5])).tolist()
    [[0.0, 0.0], [0.0, 0.5], [1.0, 1.0]]
    """
    hits, alarms = _cumulated(is_positive, scores)
    return np.column_stack([np.r_[0.0, alarms / alarms[-1]], np.r_[0.0, hits / hits[-1]]])


def precision_recall(is_positive: np.ndarray, scores: np.ndarray) -> Points:
    """Return (recall, precision) at each threshold, recall ascending; between two the later precision holds.

    The area under these steps is the average precision. Of equal recalls the most precise stays: the
    others add no area.

    >>> precision_recall(np.array([True, False, True]), np.array([0.9, 0.5, 0.4])).round(4).tolist()
    [[0.5, 1.0], [1.0, 0.6667]]
    """
    hits, alarms = _cumulated(is_positive, scores)
    recall, first = np.unique(hits / hits[-1], return_index=True)
    precision = (hits / (hits + alarms))[first]
    return np.column_stack([recall, precision])[recall > 0]


def _cumulated(is_positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives at or above each distinct score, the highest first."""
    order = np.argsort(-scores, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(scores[order])), len(order) - 1]
    hits = np.cumsum(is_positive[order])[last]
    return hits.astype(float), (last + 1 - hits).astype(float)


def mean_line(lines: Sequence[Points], shares: Sequence[float]) -> Points:
    """Return the mean of rising lines at every x of any of them, its jumps kept: its area is the mean area."""
    if len(lines) == 1:
        return lines[0]
    at = np.unique(np.concatenate([line[:, 0] for line in lines]))
    sides = [_sides(line, at) for line in lines]
    low, high = (sum(s * side[k] for s, side in zip(shares, sides, strict=True)) for k in (0, 1))
    points = np.column_stack([np.repeat(at, 2), np.column_stack([low, high]).ravel()])
    return points[np.r_[True, np.any(np.diff(points, axis=0) != 0, axis=1)]]


def _sides(line: Points, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest y of a rising line at each x: they differ where it is vertical."""
    x, first = np.unique(line[:, 0], return_index=True)
    low, high = line[first, 1], line[np.r_[first[1:], len(line)] - 1, 1]
    here = np.searchsorted(x, at, "right") - 1
    following = np.minimum(here + 1, len(x) - 1)
    width = np.where(following > here, x[following] - x[here], 1.0)
    between = high[here] + (low[following] - high[here]) * (at - x[here]) / width
    known = x[here] == at
    return np.where(known, low[here], between), np.where(known, high[here], between)


def mean_steps(steps: Sequence[Points], shares: Sequence[float]) -> Points:
    """Return the mean of steps, each holding back to the x before it."""
    if len(steps) == 1:
        return steps[0]
    at = np.unique(np.concatenate([step[:, 0] for step in steps]))
    values = [step[np.searchsorted(step[:, 0], at, "left"), 1] for step in steps]
    return np.column_stack([at, np.asarray(shares) @ np.array(values)])


def _band(parts: Sequence[Part], classes: Sequence[int]) -> Points | None:
    """The pointwise interval of the true positive rate over resamples."""
    resamples = resamples_of(parts)
    if resamples.fewest < 2 or len(classes) > MOST_CLASSES:
        return None
    drawn = np.zeros((min(BAND_RESAMPLES, len(resamples.weights)), len(BAND_AT)))
    for part in parts:
        for k in classes:
            drawn += part.share / len(classes) * _drawn_rates(part, k, resamples, len(drawn))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return np.column_stack([BAND_AT, low, high])


def _drawn_rates(part: Part, k: int, resamples: Resamples, n: int) -> np.ndarray:
    """True positive rates (n, K) at `BAND_AT` in each of the first n resamples."""
    numbers, image = resamples.of(part.units)
    scores = part.probabilities[:, k]
    order = np.argsort(-scores, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(scores[order])), len(order) - 1]
    is_positive = (part.labels == k)[order]
    rates = np.empty((n, len(BAND_AT)))
    rows = max(1, MOST_WEIGHTS // len(order))
    for start in range(0, n, rows):
        drawn = resamples.weights[start : min(start + rows, n), numbers][:, image[order]]
        hits = _from_zero(np.cumsum(drawn * is_positive, axis=1)[:, last])
        alarms = _from_zero(np.cumsum(drawn * ~is_positive, axis=1)[:, last])
        for row, (hit, alarm) in enumerate(zip(hits, alarms, strict=True), start=start):
            rates[row] = _rate_at(hit, alarm)
    return rates


def _from_zero(sums: np.ndarray) -> np.ndarray:
    """Running sums (n, K) with the 0 that they begin at, (n, K + 1)."""
    return np.concatenate([np.zeros((len(sums), 1), sums.dtype), sums], axis=1)


def _rate_at(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    """A resample without one of the classes says nothing: every rate is as likely as another."""
    if not hits[-1] or not alarms[-1]:
        return np.full(len(BAND_AT), 0.5)
    return np.interp(BAND_AT, alarms / alarms[-1], hits / hits[-1])


def _point(parts: Sequence[Part], classes: Sequence[int]) -> tuple[float, float]:
    (k,) = classes
    alarm = hit = 0.0
    for part in parts:
        called = part.probabilities.argmax(axis=1) == k
        hit += part.share * float(called[part.labels == k].mean())
        alarm += part.share * float(called[part.labels != k].mean())
    return alarm, hit


def _bins(cells: Sequence[Cell], positive: str | None) -> tuple[Bin, ...]:
    """Stated and observed shares; without a positive class those of the decided class.

    Seeds share their images, so an interval counts the images of one seed.
    """
    stated, came_true = (
        np.concatenate(side) for side in zip(*(_told(c, positive) for c in cells), strict=True)
    )
    seeds = len({cell.entry.seed for cell in cells})
    place = np.minimum((stated * BINS).astype(int), BINS - 1)
    found = []
    for number in range(BINS):
        inside = place == number
        n = int(inside.sum())
        if n:
            observed = float(came_true[inside].mean())
            low, high = _share_interval(observed, n / seeds)
            found.append(Bin(float(stated[inside].mean()), observed, low, high, n / seeds))
    return tuple(found)


def _share_interval(share: float, images: float) -> tuple[float, float]:
    n = max(1, round(images))
    return wilson(share * n, n)


def _told(cell: Cell, positive: str | None) -> tuple[np.ndarray, np.ndarray]:
    assert cell.labels is not None
    assert cell.probabilities is not None
    classes = _classes(cell, positive)
    if len(classes) == 1:
        return cell.probabilities[:, classes[0]], cell.labels == classes[0]
    return cell.probabilities.max(axis=1), cell.probabilities.argmax(axis=1) == cell.labels
