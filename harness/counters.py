"""Counts of the expensive things: what a test can assert and a clock cannot.

`decodes` (image files decoded), `resizes` (images brought to a size), `forwards` (images through a frozen
backbone), `grams` (products of features with features), `steps` (of an optimiser) and `device_bytes` (of images
and labels handed to the device that computes, which may be the processor). A record's `work` holds what its
cell counted.

>>> before = snapshot()
>>> count("decodes", 3)
>>> since(before)["decodes"]
3
"""

from __future__ import annotations

import threading
from collections import Counter

__all__ = ["COUNTED", "count", "since", "snapshot"]

COUNTED = ("decodes", "resizes", "forwards", "grams", "steps", "device_bytes")
"""The counters of the harness; a plugin may count more."""

_counts: Counter[str] = Counter()
_counting = threading.Lock()


def count(what: str, n: int = 1) -> None:
    """Add `n` to the counter `what`, of this process."""
    with _counting:
        _counts[what] += n


def snapshot() -> Counter[str]:
    """Return a copy of all counters."""
    with _counting:
        return Counter(_counts)


def since(before: Counter[str]) -> Counter[str]:
    """Return what was counted since `before`; a missing key counts 0."""
    return Counter({k: v - before[k] for k, v in snapshot().items() if v != before[k]})
