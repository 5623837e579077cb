"""Confidence intervals of metrics: within which bounds the score on all images of the kind may lie.

One test part without groups: Wilson (1927) for accuracy, recall and specificity, DeLong et al. (1988) for
AUC, Newcombe's combination of Wilson bounds (1998) for balanced accuracy. All else, several parts and
groups: the bootstrap of `harness.resamples`, its standard error taken on the logit scale.
`docs/statistics.md` says what each means, and how often each held the truth in simulations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from frozen_scorer.delong import delong
from frozen_scorer.metrics import METRICS, Auc, Score, Scores, scores
from frozen_scorer.resamples import Part, Resamples, resampled, resamples_of, units_of

__all__ = ["LEVEL", "Interval", "closed_forms", "intervals", "mean_intervals", "metric_interval", "wilson"]

LEVEL = 0.95
"""How often, in the long run, an interval is to hold the true value."""

FEWEST_DEFINED = 0.95
"""The share of resamples in which a metric must be defined for a standard error over them to be shown."""

NEARLY_PERFECT = 0.995
"""Areas above it rest on so few misplaced images that their standard error is often far too small."""

SAME = 1e-12
"""A standard error below this is none: the order of a sum can make such a difference."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Two bounds in the metric's unit (a share), or None twice with the `reason` why there are none.

    `method` says how they were computed. `per_slice` is True when images were taken for independent because
    no groups are known: where several come from one patient, the interval is too narrow.
    """

    low: float | None
    high: float | None
    method: str
    per_slice: bool = False
    reason: str | None = None


def metric_interval(
    labels: np.ndarray,
    probabilities: np.ndarray,
    metric: str,
    *,
    positive: int | None,
    groups: Sequence[str | None] | None = None,
    level: float = LEVEL,
    auc: Auc = "scores",
) -> Interval:
    """Return the confidence interval of one of `harness.metrics.METRICS`.

    `labels` are class numbers (N,), `probabilities` (N, C), `positive` the number of the positive class,
    `groups` a name for each image (N,), None for one that has none, or None where none are known; `auc`
    says what AUC orders the images by. Images without groups are drawn by their row, so that their order can
    move a bootstrapped bound by its Monte-Carlo error. A metric that is undefined has no interval but the
    reason. Raises `KeyError` for an unknown metric, `ValueError` and `PredictionError` as
    `harness.metrics.scores` does.

    >>> labels = np.array([0] * 10 + [1] * 10)
    >>> p = np.where(np.arange(20)[:, None] < 9, [[0.9, 0.1]], [[0.1, 0.9]])
    >>> found = metric_interval(labels, p, "accuracy", positive=1)
    >>> round(found.low, 4), round(found.high, 4), found.method
    (0.7639, 0.9911, 'Wilson')
    """
    if metric not in METRICS:
        raise KeyError(metric)
    found = intervals(labels, probabilities, positive=positive, groups=groups, level=level, auc=auc)
    return found[metric]


def intervals(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    positive: int | None,
    groups: Sequence[str | None] | None = None,
    level: float = LEVEL,
    auc: Auc = "scores",
) -> dict[str, Interval]:
    """Return `metric_interval` of every metric, at little more than the price of one."""
    found = scores(labels, probabilities, positive=positive, auc=auc)
    units = units_of([f"{row:09d}" for row in range(len(labels))], groups)
    part = Part(np.asarray(labels, dtype=np.int64), np.asarray(probabilities, dtype=np.float64), units)
    resamples = resamples_of([part])
    drawn = resampled(part, resamples, positive=positive, auc=auc)
    known = groups is not None and any(group is not None for group in groups)
    return mean_intervals(
        [part], found, drawn, resamples, grouped=known, positive=positive, level=level, auc=auc
    )


def mean_intervals(
    parts: Sequence[Part],
    values: Scores | Mapping[str, Score],
    drawn: Mapping[str, np.ndarray],
    resamples: Resamples,
    *,
    grouped: bool,
    positive: int | None,
    level: float = LEVEL,
    auc: Auc = "scores",
) -> dict[str, Interval]:
    """Return the interval of every metric's mean over `parts`.

    `values` are the means, `drawn` the means in each resample (`harness.resamples.mean_of`); `grouped`
    says whether groups are known, so that the units are patients and not images.
    """
    closed: dict[str, Interval] = {}
    if len(parts) == 1 and not grouped:
        closed = closed_forms(parts[0], positive=positive, level=level, auc=auc)
    units = "groups" if grouped else "images"
    method = f"bootstrap over {len(resamples.names)} {units}"
    found = {}
    for metric in METRICS:
        score = values[metric]
        if score.value is None:
            found[metric] = Interval(None, None, "none", not grouped, score.reason)
        elif metric in closed:
            found[metric] = closed[metric]
        else:
            most = _largest(metric, parts, positive)
            made = _from_resamples(
                score.value / most,
                drawn[metric] / most,
                resamples.fewest,
                level,
                method,
                area=metric == "auc",
            )
            found[metric] = replace(_times(made, most), per_slice=not grouped)
    return found


def _largest(metric: str, parts: Sequence[Part], positive: int | None) -> int:
    """Brier's sum over classes reaches 2, all else 1."""
    summed = positive is None or parts[0].probabilities.shape[1] > 2
    return 2 if metric == "brier" and summed else 1


def _times(interval: Interval, factor: int) -> Interval:
    if interval.low is None or interval.high is None:
        return interval
    return replace(interval, low=factor * interval.low, high=factor * interval.high)


def _from_resamples(
    value: float, drawn: np.ndarray, fewest: int, level: float, method: str, *, area: bool
) -> Interval:
    """Bounds from the standard error over resamples, symmetric on the logit scale.

    Student's t with one degree of freedom less than there are units of the rarer class. A perfect score is
    perfect in all resamples: then Wilson's interval of as many trials as there are units of that class.
    """
    defined = drawn[~np.isnan(drawn)]
    if fewest < 2:
        return Interval(None, None, "none", reason="one class has a single unit: its spread is not known")
    if len(defined) < FEWEST_DEFINED * len(drawn):
        undefined = len(drawn) - len(defined)
        return Interval(
            None, None, "none", reason=f"undefined in {undefined} of {len(drawn)} resamples of the test part"
        )
    if area and value >= 1 - SAME:
        return Interval(*of_area(value, fewest, fewest, level), f"Newcombe of {fewest} units a class")
    if value <= 0 or value >= 1:
        low, high = wilson(value * fewest, fewest, level)
        return Interval(low, high, f"Wilson of {fewest} units")
    error = float(defined.std(ddof=1))
    if error <= SAME:
        return Interval(None, None, "none", reason="all resamples of the test part have the same value")
    low, high = on_logit_scale(value, error, student(level, fewest - 1))
    if area and value > NEARLY_PERFECT:
        low, high = _wider((low, high), of_area(value, fewest, fewest, level))
        method += " or Newcombe, the wider"
    return Interval(low, high, method)


def student(level: float, degrees: int) -> float:
    """Return how many standard errors an interval of this level reaches to each side."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))


def on_logit_scale(value: float, error: float, reach: float) -> tuple[float, float]:
    """Return the bounds `reach` standard errors around a share within (0, 1), never outside it."""
    centre, width = math.log(value / (1 - value)), reach * error / (value * (1 - value))
    return _logistic(centre - width), _logistic(centre + width)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def closed_forms(
    part: Part, *, positive: int | None, level: float = LEVEL, auc: Auc = "scores"
) -> dict[str, Interval]:
    """Return the intervals that need no resampling, taking the images for independent.

    With two classes and a positive one those of accuracy, recall, specificity, balanced accuracy and AUC;
    otherwise of accuracy and balanced accuracy. A metric that is undefined is left out.
    """
    n_classes = part.probabilities.shape[1]
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (part.labels, part.probabilities.argmax(axis=1)), 1)
    of_class = counts.sum(axis=1)
    bounds = {"accuracy": ("Wilson", wilson(int(np.trace(counts)), len(part.labels), level))}
    if of_class.all():
        bounds["balanced_accuracy"] = "Newcombe", _mean_of_shares(np.diag(counts), of_class, level)
    if positive is not None and n_classes == 2:
        bounds |= _of_two_classes(part, counts, positive, level, auc)
    return {metric: Interval(low, high, name, True) for metric, (name, (low, high)) in bounds.items()}


def _of_two_classes(
    part: Part, counts: np.ndarray, positive: int, level: float, auc: Auc
) -> dict[str, tuple[str, tuple[float, float]]]:
    tp, fn = int(counts[positive, positive]), int(counts[positive, 1 - positive])
    fp, tn = int(counts[1 - positive, positive]), int(counts[1 - positive, 1 - positive])
    shares = {"recall": (tp, tp + fn), "specificity": (tn, tn + fp)}
    bounds = {metric: ("Wilson", wilson(*share, level)) for metric, share in shares.items() if share[1]}
    if tp + fn and tn + fp:
        if auc == "hard-labels":
            right, of_class = np.array([tp, tn]), np.array([tp + fn, tn + fp])
            bounds["auc"] = "Newcombe", _mean_of_shares(right, of_class, level)
        elif min(tp + fn, tn + fp) > 1:
            bounds["auc"] = _delongs(part.labels == positive, part.probabilities[:, positive], level)
    return bounds


def _delongs(is_positive: np.ndarray, ranked_by: np.ndarray, level: float) -> tuple[str, tuple[float, float]]:
    areas, covariance = delong(is_positive, ranked_by)
    area, error = float(areas[0]), math.sqrt(float(covariance[0, 0]))
    n_positive, n_negative = int(is_positive.sum()), int((~is_positive).sum())
    if error <= SAME or not SAME < area < 1 - SAME:
        return "Newcombe", of_area(area, n_positive, n_negative, level)
    # the normal quantile holds the truth in 92.7 % of test parts with 30 images of the rarer class, Student's in 93.8
    bounds = on_logit_scale(area, error, student(level, min(n_positive, n_negative) - 1))
    if area <= NEARLY_PERFECT:
        return "DeLong", bounds
    return "DeLong or Newcombe, the wider", _wider(bounds, of_area(area, n_positive, n_negative, level))


def _wider(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    return min(first[0], second[0]), max(first[1], second[1])


def of_area(area: float, n_positive: int, n_negative: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the score interval of an area under a ROC curve (Newcombe 2006, part 2, method 5).

    Its standard error follows from the area alone, so that a perfect one is not certain. It suits scores
    of continuous values and is often too wide.

    >>> [round(bound, 4) for bound in of_area(1.0, 50, 50)]
    [0.9603, 1.0]
    """
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    n = (n_positive + n_negative) / 2 - 1

    def inside(true: float) -> bool:
        variance = true * (1 - true) * (1 + n * (1 - true) / (2 - true) + n * true / (1 + true))
        return (area - true) ** 2 < z2 * variance / (n_positive * n_negative)

    return _boundary(inside, area, 0.0), _boundary(inside, area, 1.0)


def _boundary(inside: Callable[[float], bool], start: float, end: float) -> float:
    """Where `inside` ends on the way from `start` to `end`, halving the way 50 times."""
    nearer, further = start, end
    for _ in range(50):
        middle = (nearer + further) / 2
        nearer, further = (middle, further) if inside(middle) else (nearer, middle)
    return (nearer + further) / 2


def _mean_of_shares(right: np.ndarray, of_class: np.ndarray, level: float) -> tuple[float, float]:
    """Bounds of a mean of independent shares from Wilson's of each (Newcombe 1998; Zou and Donner 2008)."""
    shares = right / of_class
    low, high = np.transpose([wilson(int(k), int(n), level) for k, n in zip(right, of_class, strict=True)])
    mean, n = float(shares.mean()), len(shares)
    below = math.sqrt(float(((shares - low) ** 2).sum())) / n
    above = math.sqrt(float(((high - shares) ** 2).sum())) / n
    return max(0.0, mean - below), min(1.0, mean + above)


def wilson(successes: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's score interval (1927) of a share.

    >>> [round(bound, 4) for bound in wilson(18, 20)]
    [0.699, 0.9721]
    """
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    share = successes / trials
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    low = 0.0 if successes <= 0 else centre - half
    return low, (1.0 if successes >= trials else centre + half)
