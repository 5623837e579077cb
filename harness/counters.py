"""Counts of the expensive things: what a test can assert and a clock cannot.

>>> before = snapshot()
>>> count("decodes", 3)
>>> since(before)["decodes"]
3
"""

from __future__ import annotations

from collections import Counter

__all__ = ["count", "since", "snapshot"]

_counts: Counter[str] = Counter()


def count(what: str, n: int = 1) -> None:
    """Add `n` to the counter `what`: decodes, forwards (images through a backbone), grams, steps ..."""
    _counts[what] += n


def snapshot() -> Counter[str]:
    """Return a copy of all counters."""
    return Counter(_counts)


def since(before: Counter[str]) -> Counter[str]:
    """Return what was counted since `before`; a missing key counts 0."""
    return Counter({k: v - before[k] for k, v in _counts.items() if v != before[k]})
