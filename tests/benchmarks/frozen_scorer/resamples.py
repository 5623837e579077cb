"""Metrics of resampled test parts: whole units drawn with replacement within each class.

A unit is a group (a patient) where groups are known, else an image. All images of a unit are drawn
together, in all the parts that hold them: seeds tested on the same images, folds, and models that are
compared see the same resamples (cluster bootstrap: Field and Welsh 2007).

Units are drawn within their class, because the authors of a dataset chose its mixture of classes: it is
no finding. A unit with images of several classes counts to its most frequent one. Of n units of a
class n - 1 are drawn, each then weighing n / (n - 1), which makes the variance of a mean unbiased (Rao and
Wu 1988); n of n would make it too small by the factor (n - 1) / n.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from frozen_scorer.metrics import METRICS, Auc

__all__ = [
    "RESAMPLES",
    "SEED",
    "Part",
    "Resamples",
    "mean_of",
    "resampled",
    "resamples_of",
    "unit_classes",
    "units_of",
]

RESAMPLES = 2000
"""Resamples of a test part: the Monte-Carlo error of a standard error is then 1 / sqrt(2 x 2000) = 1.6 %."""

SEED = 2020
"""Of the generator that draws the resamples; fixed, so that equal predictions give equal intervals."""

BLOCK = 2_000_000
"""Weights of images that are held at once: 16 MB."""


@dataclass(frozen=True, eq=False)
class Part:
    """One model's predictions of one test part: N images, C classes.

    `labels` are class numbers (N,), `probabilities` float64 (N, C), `units` name each image's unit (N,),
    `share` is this part's share in a mean over parts: 1 for one part, 1/5 for each of five seeds.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    units: Sequence[str]
    share: float = 1.0


@dataclass(frozen=True, eq=False)
class Resamples:
    """How often each of G units is drawn in each of B resamples.

    `names` are the units in their order, `weights` (B, G) their multiplicities, `fewest` the number of
    units of the class that has the fewest.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    fewest: int

    def of(self, units: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers (U,) of the units that occur, and each image's place (N,) among them."""
        number_of = {name: number for number, name in enumerate(self.names)}
        numbers = np.array([number_of[name] for name in units], dtype=np.int64)
        occurring, image = np.unique(numbers, return_inverse=True)
        return occurring, image


def units_of(ids: Sequence[str], groups: Sequence[str | None] | None) -> tuple[str, ...]:
    """Return the name of each image's unit: its group, or itself where it has none.

    >>> units_of(["a.png", "b.png"], ["patient 1", None])
    ('group patient 1', 'image b.png')
    """
    if groups is None:
        return tuple(f"image {name}" for name in ids)
    pairs = zip(ids, groups, strict=True)
    return tuple(f"image {name}" if group is None else f"group {group}" for name, group in pairs)


def resamples_of(parts: Sequence[Part]) -> Resamples:
    """Return the resamples of all units of these parts, ordered by name: the order of images changes nothing."""
    of_unit = unit_classes(parts)
    classes = tuple(of_unit.values())
    return Resamples(tuple(of_unit), _weights(classes), min(Counter(classes).values(), default=0))


def unit_classes(parts: Sequence[Part]) -> dict[str, int]:
    """Return the class of each unit, the most frequent one of its images, ordered by the unit's name."""
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    for part in parts:
        for unit, label in zip(part.units, part.labels.tolist(), strict=True):
            seen[unit][label] += 1
    return {
        name: max(labels.items(), key=lambda item: (item[1], -item[0]))[0]
        for name, labels in sorted(seen.items())
    }


@lru_cache(maxsize=2)
def _weights(classes: tuple[int, ...]) -> np.ndarray:
    """(B, G): units drawn within their class."""
    rng = np.random.default_rng(SEED)
    of_unit = np.array(classes)
    weights = np.ones((RESAMPLES, len(of_unit)))
    for label in sorted(set(classes)):
        members = np.flatnonzero(of_unit == label)
        n = len(members)
        if n > 1:
            drawn = rng.integers(n, size=(RESAMPLES, n - 1)) + n * np.arange(RESAMPLES)[:, np.newaxis]
            times = np.bincount(drawn.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n)
            weights[:, members] = times * (n / (n - 1))
    weights.setflags(write=False)
    return weights


def mean_of(parts: Sequence[Part], drawn: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the mean over parts, by their shares, of every metric in each resample (B,)."""
    shares = np.array([part.share for part in parts])
    return {metric: shares @ np.array([of_part[metric] for of_part in drawn]) for metric in METRICS}


def resampled(
    part: Part, resamples: Resamples, *, positive: int | None, auc: Auc = "scores"
) -> dict[str, np.ndarray]:
    """Return every metric of `harness.metrics` in each resample (B,), NaN where it is undefined there."""
    occurring, image = resamples.of(part.units)
    whole = len(occurring) == len(resamples.names)
    weights = resamples.weights if whole else resamples.weights[:, occurring]
    n_classes = part.probabilities.shape[1]
    classes = list(range(n_classes)) if positive is None or n_classes > 2 else [positive]
    confusion = _confusion(part, weights, image)
    by_class = [_of_class(confusion, k) for k in range(n_classes)]
    of_classes = [by_class[k] for k in classes]
    names = ("precision", "recall", "f1", "specificity")
    if auc == "hard-labels":
        areas = [(of["recall"] + of["specificity"]) / 2 for of in of_classes]
    else:
        areas = [_areas(part.labels == k, part.probabilities[:, k], weights, image) for k in classes]
    total = confusion.sum(axis=(1, 2))
    return {name: _mean([of[name] for of in of_classes]) for name in names} | {
        "accuracy": _ratio(np.trace(confusion, axis1=1, axis2=2), total),
        "auc": _mean(areas),
        "balanced_accuracy": _mean([of["recall"] for of in by_class]),
        "brier": _ratio(weights @ np.bincount(image, _squared_error(part, classes)), total),
    }


def _confusion(part: Part, weights: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(B, C, C): weighted counts of images by class and decision."""
    n_classes, n_units = part.probabilities.shape[1], weights.shape[1]
    decided = part.probabilities.argmax(axis=1)
    place = (image * n_classes + part.labels) * n_classes + decided
    of_units = np.bincount(place, minlength=n_units * n_classes**2).reshape(n_units, -1)
    confusion: np.ndarray = (weights @ of_units).reshape(-1, n_classes, n_classes)
    return confusion


def _squared_error(part: Part, classes: Sequence[int]) -> np.ndarray:
    present = np.eye(part.probabilities.shape[1])[part.labels]
    error: np.ndarray = ((part.probabilities - present)[:, classes] ** 2).sum(axis=1)
    return error


def _of_class(confusion: np.ndarray, k: int) -> dict[str, np.ndarray]:
    tp, of_class, decided = confusion[:, k, k], confusion[:, k].sum(axis=1), confusion[:, :, k].sum(axis=1)
    of_others = confusion.sum(axis=(1, 2)) - of_class
    return {
        "precision": _ratio(tp, decided),
        "recall": _ratio(tp, of_class),
        "f1": _ratio(2 * tp, of_class + decided),
        "specificity": _ratio(of_others - (decided - tp), of_others),
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    # sums of weights n / (n - 1) come near 0 only when they are 0
    return np.divide(part, whole, out=np.full(len(whole), math.nan), where=whole > 0.5)


def _mean(values: Sequence[np.ndarray]) -> np.ndarray:
    mean: np.ndarray = np.mean(values, axis=0)
    return mean


def _areas(
    is_positive: np.ndarray, ranked_by: np.ndarray, weights: np.ndarray, image: np.ndarray
) -> np.ndarray:
    """(B,): of all weighted pairs the share in the right order, a tie counted half (Mann-Whitney)."""
    negatives = np.flatnonzero(~is_positive)
    negatives = negatives[np.argsort(ranked_by[negatives], kind="stable")]
    scores = ranked_by[negatives]
    # of each positive image: how many negatives stand below it, and how many not above it
    below = np.searchsorted(scores, ranked_by[is_positive], side="left")
    upto = np.searchsorted(scores, ranked_by[is_positive], side="right")
    rows = max(1, BLOCK // len(image))
    areas = []
    for at in range(0, len(weights), rows):
        of_positives = weights[at : at + rows, image[is_positive]]
        of_negatives = weights[at : at + rows, image[negatives]]
        passed = np.zeros((len(of_negatives), len(negatives) + 1))
        np.cumsum(of_negatives, axis=1, out=passed[:, 1:])
        wins = np.einsum("bi,bi->b", of_positives, passed[:, below] + passed[:, upto]) / 2
        areas.append(_ratio(wins, of_positives.sum(axis=1) * passed[:, -1]))
    return np.concatenate(areas)
