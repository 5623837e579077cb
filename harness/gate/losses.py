"""How much worse a score became: the loss with its interval, and tests of it against nothing and against a margin.

On the same images the tests are those of a board's pairs (`harness.board_pairs`), one-sided and moved by the
margin; for accuracy of independent images McNemar's gives way to Tango's score test, which knows margins.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from harness.board_cells import Cell
from harness.board_draws import Draws
from harness.board_pairs import pair_test
from harness.board_rows import Mean
from harness.intervals import LEVEL, Interval
from harness.metrics import Scores
from harness.paired import ALPHA, POWER, SAME

__all__ = ["Loss", "mean_score", "paired_loss", "tango", "tango_bounds", "unpaired_loss"]

Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


@dataclass(frozen=True, slots=True)
class Loss:
    """A score before less the score now: above 0 is worse. Shares, not points.

    `low` and `high` bound it two-sided with `LEVEL`. The p-values are one-sided: `p_any` under 'not worse',
    `p_margin` under 'worse by the margin at most', `p_gain` under 'not better'. `error` is the standard error,
    its `degrees` of freedom None for the normal distribution. Where no test can be made `p_any` is None and
    `reason` says why.
    """

    before: float | None
    now: float | None
    method: str
    paired: bool
    low: float | None = None
    high: float | None = None
    error: float | None = None
    degrees: int | None = None
    p_any: float | None = None
    p_margin: float | None = None
    p_gain: float | None = None
    reason: str | None = None

    @property
    def value(self) -> float | None:
        return None if self.before is None or self.now is None else self.before - self.now

    def smallest(self, margin: float, tests: int) -> float | None:
        """Return the true loss that would be found with `POWER` beside `tests` - 1 others, None without an error."""
        if not self.error:
            return None
        level = 1 - ALPHA / max(tests, 1)
        return margin + (_quantile(level, self.degrees) + _quantile(POWER, self.degrees)) * self.error


def paired_loss(
    metric: str, before: Sequence[Cell], now: Sequence[Cell], draws: Draws, margin: float
) -> Loss:
    """Return the loss over the seeds and folds that both have, `draws` being those of both sides together."""
    test = pair_test(metric, before, now, draws)
    was, is_now = (mean_score(metric, side, draws.scores) for side in (before, now))
    if test.p is None or test.difference is None or was is None or is_now is None:
        return Loss(was, is_now, test.method, True, reason=test.reason)
    error = test.error or 0.0
    p_any = test.p / 2 if test.difference > 0 else 1 - test.p / 2
    p_margin = _above(test.difference - margin, error, test.degrees)
    reach = _quantile((1 + LEVEL) / 2, test.degrees) * error
    found = Loss(
        before=was,
        now=is_now,
        method=test.method,
        paired=True,
        low=test.difference - reach,
        high=test.difference + reach,
        error=error,
        degrees=test.degrees,
        p_any=p_any,
        p_margin=max(p_any, p_margin),
        p_gain=1 - p_any,
    )
    return _by_tango(found, before[0], now[0], margin) if test.method.startswith("McNemar") else found


def unpaired_loss(before: Mean, now: Mean, margin: float) -> Loss:
    """Return the loss by the scores' own intervals, as if they came from two independent sets of images.

    The bounds are squared and added (Zou and Donner 2008). What the images have in common does not cancel, so that
    only larger losses are found than by `paired_loss`.
    """
    method = "two intervals, unpaired"
    bounds = [side.interval for side in (before, now)]
    reason = next((side.reason for side in (before, now) if side.value is None), None)
    if before.value is None or now.value is None or not all(map(_known, bounds)):
        reason = reason or next((b.reason for b in bounds if b is not None and b.reason), "no interval")
        return Loss(before.value, now.value, method, False, reason=reason)
    loss = before.value - now.value
    down = math.hypot(before.value - _low(bounds[0]), _high(bounds[1]) - now.value)
    up = math.hypot(_high(bounds[0]) - before.value, now.value - _low(bounds[1]))
    p_any = _above(loss, down / Z, None)
    return Loss(
        before=before.value,
        now=now.value,
        method=method,
        paired=False,
        low=loss - down,
        high=loss + up,
        error=down / Z,
        p_any=p_any,
        p_margin=max(p_any, _above(loss - margin, down / Z, None)),
        p_gain=_above(-loss, up / Z, None),
    )


def _known(interval: Interval | None) -> bool:
    return interval is not None and interval.low is not None and interval.high is not None


def _low(interval: Interval | None) -> float:
    assert interval is not None
    assert interval.low is not None
    return interval.low


def _high(interval: Interval | None) -> float:
    assert interval is not None
    assert interval.high is not None
    return interval.high


def mean_score(metric: str, cells: Sequence[Cell], scored: Mapping[str, Scores]) -> float | None:
    """Return the mean over a seed's folds, then over seeds, as on a board; None when it is undefined in one cell.

    `scored` maps the keys of cells to their scores.
    """
    by_seed: dict[int, list[float]] = defaultdict(list)
    for cell in cells:
        score = scored[cell.entry.key][metric]
        if score.value is None:
            return None
        by_seed[cell.entry.seed].append(score.value)
    means = [math.fsum(of_seed) / len(of_seed) for of_seed in by_seed.values()]
    return math.fsum(means) / len(means) if means else None


def _above(value: float, error: float, degrees: int | None) -> float:
    """The probability of this value or a larger one where the true one is 0."""
    if error <= SAME:
        return 1.0 if value <= SAME else 0.0
    if degrees is None:
        return NormalDist().cdf(-value / error)
    from scipy.special import stdtr

    return float(stdtr(degrees, -value / error))


def _quantile(share: float, degrees: int | None) -> float:
    if degrees is None:
        return NormalDist().inv_cdf(share)
    from scipy.special import stdtrit

    return float(stdtrit(degrees, share))


def _by_tango(found: Loss, before: Cell, now: Cell, margin: float) -> Loss:
    """McNemar's test knows no margin, and its interval would be Wald's, which is too narrow with few images."""
    counts = _discordant(before, now)
    low, high = tango_bounds(*counts)
    if margin == 0:
        return replace(found, low=low, high=high)
    p_margin = max(found.p_any or 0.0, NormalDist().cdf(-tango(*counts, margin)))
    return replace(found, method=f"{found.method}; Tango", low=low, high=high, p_margin=p_margin)


def _discordant(before: Cell, now: Cell) -> tuple[int, int, int]:
    """How many images one side alone decided rightly, and of how many."""
    right = []
    for cell in (before, now):
        assert cell.probabilities is not None
        right.append(cell.probabilities.argmax(axis=1) == cell.labels)
    first, second = right
    return int((first & ~second).sum()), int((second & ~first).sum()), len(first)


def tango(only_first: int, only_second: int, n: int, difference: float) -> float:
    """Return the score statistic of two paired shares under a true `difference` (Tango 1998, equation 6).

    Of `n` images the first alone is right on `only_first`, the second alone on `only_second`. Standard normal
    where first less second truly is `difference`; far above 0 where it is more.

    >>> round(tango(0, 1, 44, -0.1), 3)  # the crossover trial of that paper
    1.709
    """
    if difference < 0:
        return -tango(only_second, only_first, n, -difference)
    b = (2 * n - only_first + only_second) * difference - only_first - only_second
    c = -only_second * difference * (1 - difference)
    share = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    distance = only_first - only_second - n * difference
    if variance <= SAME:
        return 0.0 if abs(distance) <= SAME else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def tango_bounds(only_first: int, only_second: int, n: int) -> tuple[float, float]:
    """Return the differences that `tango` does not reject, two-sided with `LEVEL`."""
    return _crossing(only_first, only_second, n, Z), _crossing(only_first, only_second, n, -Z)


def _crossing(only_first: int, only_second: int, n: int, z: float) -> float:
    """Where the statistic, which falls with the difference, passes z: by halving, to 1e-12."""
    low, high = -1.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if tango(only_first, only_second, n, middle) > z:
            low = middle
        else:
            high = middle
    return (low + high) / 2
