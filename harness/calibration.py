"""Calibration: whether of the images to which a model gives 70 % about 70 % are what it says.

With two classes and a positive one the stated probability is that of the positive class, and what may
happen is its presence. Otherwise it is the largest probability of an image, and what may happen is that the
decision is right (top label).

- Calibration error: the root mean square of the differences between stated probabilities and observed shares
  over bins of equally many images. Chance alone makes such differences, so their expected squares are
  subtracted (Broecker 2012; Kumar et al. 2019); negative remains are 0. Its interval is that of the
  non-centrality of a scaled chi-squared distribution (Box 1954), which is right at 0 too.
- ECE (Naeini et al. 2015; bins of equal mass: Nixon et al. 2019): the mean of the absolute differences, as the
  literature reports it, and beside it what chance alone would make of a perfectly calibrated model.
- Slope and intercept of the logistic recalibration (Cox 1958; Van Calster et al. 2019): 1 and 0 are perfect, a
  slope below 1 says that the probabilities are too extreme, an intercept above 0 that they are too low.

Variances are those of whole units (patients) within their class, as in `harness.resamples`, in the limit of
endlessly many resamples: of linear terms (influence functions), no drawing is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.intervals import LEVEL, Interval, student
from harness.metrics import check_probabilities
from harness.resamples import SEED, Part, unit_classes, units_of

__all__ = ["FEWEST_UNITS", "MOST_BINS", "Calibration", "Estimate", "calibration", "calibration_of"]

MOST_BINS = 10
"""Bins of a test part that is large enough."""

UNITS_A_BIN = 8
"""Patients (or images, where none are known) for each bin; smaller test parts get fewer bins."""

FEWEST_UNITS = 2 * UNITS_A_BIN
"""With fewer there are no two bins, and no calibration error is given."""

SAME = 1e-12
"""A variance below this is none: the order of a sum can make such a difference."""

DRAWS = 500
"""Test parts drawn to say what the ECE of a calibrated model would be: right to about 0.05 points."""

BLOCK = 2_000_000
"""Drawn images that are held at once: 16 MB."""

STEPS = 100
"""Newton steps of a logistic regression; it takes about six."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval, or None with the reason why there is none."""

    value: float | None
    interval: Interval | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far the probabilities of one model can be believed.

    `error` is a share (0 to 1), `ece` the plain expected calibration error over the same bins and
    `ece_if_calibrated` what it would come to on average if what is stated were true, images being independent
    (several images a patient make it larger). `bins` is their least number in a test part, 0 without.
    `top_label` says what is believed: the decision, or the positive class.
    """

    error: Estimate
    ece: Estimate
    ece_if_calibrated: float | None
    slope: Estimate
    intercept: Estimate
    bins: int
    top_label: bool


def calibration(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    positive: int | None,
    groups: Sequence[str | None] | None = None,
    level: float = LEVEL,
) -> Calibration:
    """Return the calibration of one model on one test part.

    `labels` are class numbers (N,), `probabilities` (N, C), `positive` the number of the positive class, `groups`
    the patient of each image (N,), None for an image without one. Raises `PredictionError` for probabilities
    that are none.

    >>> p = np.repeat([0.25, 0.75], 8)
    >>> labels = np.array([1, 1, 1, 1, 0, 0, 0, 0] + [1, 1, 1, 1, 1, 1, 0, 0])
    >>> found = calibration(labels, np.column_stack([1 - p, p]), positive=1)
    >>> round(found.ece.value, 4), round(found.error.value, 4)  # differences of .25 and 0; 1/60 is chance
    (0.125, 0.1208)
    """
    labels = np.asarray(labels, dtype=np.int64)
    p_NC = check_probabilities(probabilities, len(labels))
    units = units_of([f"{row:09d}" for row in range(len(labels))], groups)
    grouped = groups is not None and any(group is not None for group in groups)
    return calibration_of([Part(labels, p_NC, units)], positive=positive, grouped=grouped, level=level)


def calibration_of(
    parts: Sequence[Part], *, positive: int | None, grouped: bool, level: float = LEVEL
) -> Calibration:
    """Return the calibration over `parts` (seeds, folds) by their shares.

    The calibration error is the root of the mean square over all bins of all parts, slope and intercept are means
    over parts. `grouped` says whether the units are patients.
    """
    top_label = positive is None or parts[0].probabilities.shape[1] > 2
    spread = _Spread(parts, grouped, level)
    bins = min(_bins(part) for part in parts)
    if top_label:
        reason = "defined for two classes of which one is positive"
        slope = intercept = Estimate(None, reason=reason)
    else:
        slope = _mean_estimate(parts, positive, spread, _slope)
        intercept = _mean_estimate(parts, positive, spread, _intercept)
    if not bins:
        units = "patients" if grouped else "images"
        too_few = Estimate(None, reason=f"a test part has fewer than {FEWEST_UNITS} {units}")
        return Calibration(too_few, too_few, None, slope, intercept, 0, top_label)
    number = None if top_label else positive
    error, ece = _binned(parts, number, spread)
    expected = math.fsum(part.share * _ece_if_true(part, number) for part in parts)
    return Calibration(error, ece, expected, slope, intercept, bins, top_label)


def _bins(part: Part) -> int:
    """How many bins a test part gets, 0 where it has too few units."""
    units = len(set(part.units))
    return min(MOST_BINS, units // UNITS_A_BIN) if units >= FEWEST_UNITS else 0


def _events(part: Part, positive: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Stated probabilities (N,), and whether it was so (N,): of the positive class, else of the top label."""
    if positive is not None:
        return part.probabilities[:, positive], (part.labels == positive).astype(np.float64)
    decided = part.probabilities.argmax(axis=1)
    return part.probabilities.max(axis=1), (decided == part.labels).astype(np.float64)


class _Spread:
    """Variances of sums over images whose units are drawn anew within their class."""

    def __init__(self, parts: Sequence[Part], grouped: bool, level: float) -> None:
        classes = unit_classes(parts)
        self.level = level
        self.grouped = grouped
        self._number = {name: number for number, name in enumerate(classes)}
        self._class = np.array(list(classes.values()))
        self.fewest = int(np.unique(self._class, return_counts=True)[1].min())
        self._images = [np.array([self._number[name] for name in part.units]) for part in parts]

    def covariance(self, influences: Sequence[np.ndarray]) -> np.ndarray:
        """Return the covariance (K, K) of K sums; `influences` are (N, K), one a part, added up by unit."""
        of_units = np.zeros((len(self._class), influences[0].shape[1]))
        for image, influence in zip(self._images, influences, strict=True):
            np.add.at(of_units, image, influence)
        total = np.zeros((of_units.shape[1],) * 2)
        for label in np.unique(self._class):
            members = of_units[self._class == label]
            centred = members - members.mean(axis=0)
            total += centred.T @ centred * (len(members) / max(1, len(members) - 1))
        return total

    def missing(self) -> Interval | None:
        """Return the interval that says why there is none, None where there is one."""
        if self.fewest < 2:
            return self.no_interval("one class has a single unit: its spread is not known")
        return None

    def no_interval(self, reason: str) -> Interval:
        return Interval(None, None, "none", not self.grouped, reason)

    def interval(self, low: float, high: float, method: str) -> Interval:
        units = "groups" if self.grouped else "images"
        return Interval(low, high, f"{method} over {len(self._class)} {units}", not self.grouped)


def _binned(parts: Sequence[Part], positive: int | None, spread: _Spread) -> tuple[Estimate, Estimate]:
    """The calibration error and the ECE."""
    roots, gaps, influences = [], [], []
    for part in parts:
        stated, happened = _events(part, positive)
        bin_of = _bin_of(stated, _bins(part))
        n = np.bincount(bin_of)
        gap = np.bincount(bin_of, happened - stated) / n
        root = np.sqrt(part.share * n / n.sum())
        influence = np.zeros((len(stated), len(n)))
        influence[np.arange(len(stated)), bin_of] = (root / n)[bin_of] * (happened - stated - gap[bin_of])
        roots.append(root)
        gaps.append(gap)
        influences.append(influence)
    root, gap = np.concatenate(roots), np.concatenate(gaps)
    square, ece = float(((root * gap) ** 2).sum()), Estimate(float((root**2 * np.abs(gap)).sum()))
    if (none := spread.missing()) is not None:
        reason = f"what chance adds to it is not known: {none.reason}"
        return Estimate(None, reason=reason), ece
    covariance = spread.covariance(_side_by_side(influences))
    return _root_mean_square(square, covariance, spread), ece


def _ece_if_true(part: Part, positive: int | None) -> float:
    """The mean ECE over `DRAWS` test parts in which each image is what is stated with that probability."""
    stated, _ = _events(part, positive)
    bin_of = _bin_of(stated, _bins(part))
    rng = np.random.default_rng(SEED)
    in_bin = np.eye(bin_of.max() + 1)[bin_of]
    rows = max(1, BLOCK // len(stated))
    total = 0.0
    for at in range(0, DRAWS, rows):
        happened = rng.random((min(rows, DRAWS - at), len(stated))) < stated
        total += float(np.abs((happened - stated) @ in_bin).sum())
    return total / (DRAWS * len(stated))


def _bin_of(stated: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each image (N,), numbered without gaps; equal probabilities are never parted."""
    _, place, repeats = np.unique(stated, return_inverse=True, return_counts=True)
    twice_midrank = 2 * np.cumsum(repeats) - repeats + 1
    wanted = (twice_midrank[place] - 1) * bins // (2 * len(stated))
    return np.unique(wanted, return_inverse=True)[1]


def _side_by_side(influences: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each part's columns beside those of the others, which are 0 for its images."""
    widths = [influence.shape[1] for influence in influences]
    return [
        np.pad(influence, ((0, 0), (sum(widths[:number]), sum(widths[number + 1 :]))))
        for number, influence in enumerate(influences)
    ]


def _root_mean_square(square: float, covariance: np.ndarray, spread: _Spread) -> Estimate:
    """The root of `square` less chance; its interval by a scaled non-central chi-squared distribution."""
    chance = float(np.trace(covariance))
    value = math.sqrt(max(0.0, square - chance))
    if chance <= SAME:
        none = spread.no_interval("no image differs from the others of its bin: chance is not known")
        return Estimate(value, none)
    # Box (1954): the sum of squares has about the mean and the variance of scale x chi-squared(degrees)
    scale = float((covariance**2).sum()) / chance
    degrees = chance / scale
    tail = (1 - spread.level) / 2
    low, high = (
        min(1.0, math.sqrt(scale * _non_centrality(square / scale, degrees, share)))
        for share in (1 - tail, tail)
    )
    return Estimate(value, spread.interval(low, high, "non-central chi-squared"))


def _non_centrality(x: float, degrees: float, share: float) -> float:
    """The non-centrality at which x has `share` of the distribution below it, 0 where even that is too large."""
    from scipy.special import chndtr

    if chndtr(x, degrees, 0.0) <= share:
        return 0.0
    low, high = 0.0, 2 * x + 50.0
    while chndtr(x, degrees, high) > share:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if chndtr(x, degrees, middle) > share else (low, middle)
    return (low + high) / 2


_Fit = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray] | str]
"""From logits (N,) and presence (N,): a value and each image's influence on it (N,), or why there is none."""


def _mean_estimate(parts: Sequence[Part], positive: int | None, spread: _Spread, fit: _Fit) -> Estimate:
    """The mean over parts of what `fit` finds; undefined as soon as it is in one part."""
    value, influences = 0.0, []
    for part in parts:
        stated, happened = _events(part, positive)
        found = _unfit(stated, happened) or fit(_logits(stated), happened)
        if isinstance(found, str):
            return Estimate(None, reason=found)
        value += part.share * found[0]
        influences.append(part.share * found[1][:, np.newaxis])
    if (none := spread.missing()) is not None:
        return Estimate(value, none)
    error = math.sqrt(float(spread.covariance(influences)[0, 0]))
    if error <= SAME:
        return Estimate(value, spread.no_interval("no image changes it"))
    reach = student(spread.level, spread.fewest - 1) * error
    return Estimate(value, spread.interval(value - reach, value + reach, "Student's t"))


def _unfit(stated: np.ndarray, happened: np.ndarray) -> str | None:
    """Why no recalibration can be fitted to these probabilities, None where one can."""
    certain = int(((stated <= 0) | (stated >= 1)).sum())
    if certain:
        return f"probabilities of 0 and 1 have no logit ({certain} of {len(stated)})"
    if happened.all() or not happened.any():
        return "the test part has one class"
    return None


def _logits(stated: np.ndarray) -> np.ndarray:
    logits: np.ndarray = np.log(stated) - np.log1p(-stated)
    return logits


def _slope(logits: np.ndarray, happened: np.ndarray) -> tuple[float, np.ndarray] | str:
    """The slope of the logistic regression of presence on the logit, by Newton's method with halved steps."""
    of_positives, of_negatives = logits[happened == 1], logits[happened == 0]
    if logits.min() == logits.max():
        return "all probabilities are equal"
    if of_positives.min() >= of_negatives.max() or of_positives.max() <= of_negatives.min():
        return "the probabilities part the classes perfectly, so that no slope is steep enough"
    unit = float(np.abs(logits).max())
    X = np.column_stack([np.ones(len(logits)), logits / unit])
    beta, loss = np.zeros(2), len(logits) * math.log(2)
    for _ in range(STEPS):
        p = _expit(X @ beta)
        curvature = (X * (p * (1 - p))[:, np.newaxis]).T @ X
        if not np.linalg.cond(curvature) < 1 / SAME:
            break
        step = np.linalg.solve(curvature, X.T @ (happened - p))
        if np.abs(step).max() <= SAME * (1 + np.abs(beta).max()):
            influence: np.ndarray = (np.linalg.inv(curvature) @ (X * (happened - p)[:, np.newaxis]).T)[1]
            return float(beta[1] / unit), influence / unit
        while (trial := _loss(X @ (beta + step), happened)) > loss + SAME * loss:
            step = step / 2
        beta, loss = beta + step, trial
    return "the logistic regression did not converge"


def _loss(logits: np.ndarray, happened: np.ndarray) -> float:
    return float((np.logaddexp(0.0, logits) - happened * logits).sum())


def _intercept(logits: np.ndarray, happened: np.ndarray) -> tuple[float, np.ndarray] | str:
    """What must be added to all logits so that the mean probability is the observed share."""
    reach = float(np.abs(logits).max()) + math.log(len(logits)) + 1
    low, high = -reach, reach
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _expit(logits + middle).sum() < happened.sum() else (low, middle)
    p = _expit(logits + (low + high) / 2)
    if (curvature := float((p * (1 - p)).sum())) <= SAME:
        return "the probabilities are too near 0 and 1 for one"
    return (low + high) / 2, (happened - p) / curvature


def _expit(x: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    shares: np.ndarray = expit(x)
    return shares
