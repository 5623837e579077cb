"""Whether a ratio is above a limit, asked again and again as rounds come in.

The median over rounds, its bounds by the sign test (order statistics): no assumption on how the noise of a
machine is spread, and a round in which the machine hiccups counts as one round however large the hiccup.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["LOOKS", "Bounds", "median_bounds"]

LOOKS = (16, 32, 64, 128, 256)
"""Numbers of rounds after which the bounds are looked at. More rounds are run only where they don't decide."""

MISS = 0.0005
"""How often a look's bound may be wrong, to each side: over all five looks 0.25 %, where a ratio lies exactly at
the limit. Further away from it, it is much less."""

Bounds = tuple[float, float, float]
"""Lower bound, median, upper bound."""


def median_bounds(values: Sequence[float], miss: float = MISS) -> Bounds:
    """Return the median with the bounds that it is outside of with probability `miss` each.

    >>> median_bounds([1, 2, 3, 4, 5, 6, 7, 8, 9], miss=0.05)
    (2, 5, 8)
    """
    ordered = sorted(values)
    n = len(ordered)
    outside = _outside(n, miss)
    middle = ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2
    if outside == 0:
        return -math.inf, middle, math.inf
    return ordered[outside - 1], middle, ordered[n - outside]


@lru_cache
def _outside(n: int, miss: float) -> int:
    """Return the largest k for which fewer than k of n fair coins fall on one side with probability `miss` or less."""
    below, k = 0, 0
    while k < n:
        below += math.comb(n, k)
        if below > miss * 2**n:
            break
        k += 1
    return k
