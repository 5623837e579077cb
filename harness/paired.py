"""Tests of two models on the same images: the noise that both share cancels.

McNemar's and DeLong's tests take images for independent; the bootstrap draws whole groups; the corrected
resampled t-test is for several test parts, whose training parts overlap. `docs/statistics.md` says which
is used where, and how often each rejects a true null hypothesis in simulations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from harness.delong import delong

__all__ = [
    "ALPHA",
    "POWER",
    "Test",
    "bootstrap_test",
    "corrected_resampled_t",
    "delong_test",
    "holm",
    "mcnemar",
    "smallest_difference",
]

ALPHA = 0.05
"""How often, at most, a difference may be claimed on a board where there is none."""

POWER = 0.8
"""How often the smallest difference that a board names would be found (Cohen 1988)."""

SAME = 1e-12
"""Differences and standard errors below this are none: the order of a sum can make such a difference."""


@dataclass(frozen=True, slots=True)
class Test:
    """First minus second, its two-sided p-value under 'no difference', and its standard error.

    `degrees` of freedom are None for the normal distribution. Where no test can be made `p` is None
    and `reason` says why.
    """

    __test__ = False  # pytest would take the name for a test's

    difference: float | None
    p: float | None
    method: str
    error: float | None = None
    degrees: int | None = None
    reason: str | None = None


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> Test:
    """Return McNemar's test (1947) of two accuracies, with the mid-p of Fagerland et al. (2013).

    The arguments say of each image (N,) whether the model decided rightly. Only images that one alone
    decided rightly count: without a difference each is a fair coin. The mid-p is the exact binomial p
    less half the probability of what was seen; the exact one rejects far less often than it says.

    >>> a, b = np.array([True] * 8 + [False] * 2), np.array([False] * 6 + [True] * 3 + [False])
    >>> test = mcnemar(a, b)
    >>> test.difference, test.p  # 6 against 1 of 7
    (0.5, 0.0703125)
    """
    from scipy.special import bdtr

    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    fewer, discordant, n = min(only_first, only_second), only_first + only_second, len(first_right)
    difference = (only_first - only_second) / n
    error = math.sqrt(max(discordant - (only_first - only_second) ** 2 / n, 0.0)) / n
    seen = math.comb(discordant, fewer) / 2**discordant
    p = 1.0 if only_first == only_second else 2 * float(bdtr(fewer, discordant, 0.5)) - seen
    return Test(difference, min(p, 1.0), "McNemar, mid-p", error)


def delong_test(is_positive: np.ndarray, first: np.ndarray, second: np.ndarray) -> Test:
    """Return DeLong's test (1988) of the areas of two scores (N,) of the same images.

    Raises `ValueError` with fewer than two images of a class.
    """
    areas, covariance = delong(is_positive, np.stack([first, second]))
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    return _by_error(float(areas[0] - areas[1]), math.sqrt(max(variance, 0.0)), None, "DeLong")


def bootstrap_test(difference: float, drawn: np.ndarray, degrees: int, units: str = "images") -> Test:
    """Return the test of a difference by its standard error over resamples.

    `drawn` (B,) are the differences in resamples that both models share, NaN where undefined; `degrees`
    of freedom: the units of the rarer class less one. Nothing is refined by drawing more often, unlike
    a p-value counted in resamples, which B of them cannot bring below 1/B.
    """
    method = f"paired bootstrap over {units}"
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < 0.95 * len(drawn) or degrees < 1:
        reason = "one class has a single unit" if degrees < 1 else "undefined in many resamples"
        return Test(difference, None, method, reason=reason)
    return _by_error(difference, float(defined.std(ddof=1)), degrees, method)


def corrected_resampled_t(differences: Sequence[float], test_to_train: float) -> Test:
    """Return the corrected resampled t-test of Nadeau and Bengio (2003).

    `differences` are those of J test parts, `test_to_train` the images of a test part over those of a
    training part. The training parts overlap, so the plain t-test finds differences that are none;
    1/J + test_to_train in place of 1/J makes up for it.
    """
    n, mean = len(differences), math.fsum(differences) / len(differences)
    method = f"corrected resampled t-test over {n} test parts"
    if n < 2:
        return Test(mean, None, method, reason="a single test part has no spread")
    variance = math.fsum((d - mean) ** 2 for d in differences) / (n - 1)
    return _by_error(mean, math.sqrt((1 / n + test_to_train) * variance), n - 1, method)


def _by_error(difference: float, error: float, degrees: int | None, method: str) -> Test:
    """Two-sided test of difference / error; no spread proves nothing unless the two are equal."""
    if error <= SAME:
        if abs(difference) <= SAME:
            return Test(difference, 1.0, method, 0.0, degrees)
        reason = "the difference is the same in every resample or test part"
        return Test(difference, None, method, 0.0, degrees, reason)
    ratio = -abs(difference) / error
    return Test(difference, min(1.0, 2 * _below(ratio, degrees)), method, error, degrees)


def _below(x: float, degrees: int | None) -> float:
    if degrees is None:
        return NormalDist().cdf(x)
    from scipy.special import stdtr

    return float(stdtr(degrees, x))


def _quantile(share: float, degrees: int | None) -> float:
    if degrees is None:
        return NormalDist().inv_cdf(share)
    from scipy.special import stdtrit

    return float(stdtrit(degrees, share))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number by Holm (1979): at most `ALPHA` means rejected.

    However many of the null hypotheses are true, at least one of them is rejected with a probability of at most
    `ALPHA`, whatever the dependence between the tests.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, number in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[number]))
        adjusted[number] = largest
    return adjusted


def smallest_difference(
    error: float, degrees: int | None = None, *, alpha: float = ALPHA, power: float = POWER
) -> float:
    """Return the true difference that a two-sided test with this standard error finds with `power` (Bloom 1995).

    >>> round(smallest_difference(0.01), 4)  # (1.960 + 0.842) standard errors
    0.028
    """
    return (_quantile(1 - alpha / 2, degrees) + _quantile(power, degrees)) * error
