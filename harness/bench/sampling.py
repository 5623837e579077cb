"""Seconds of a function: how they are read, and when they say nothing.

The standard library alone, no import of the harness: another commit's process loads this file by its path.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["SAMPLE_SECONDS", "Sample", "calls_of", "sampled", "undisturbed"]

SAMPLE_SECONDS = 0.01
"""What one sample should take at least. Short ones, many of them, fit between the interruptions of a busy machine."""

LEAST_SECONDS = 2e-6
"""A call below this is a function that does nothing: an empty one takes 0.05 µs, reading a clock 0.5 µs."""

MOST_CALLS = 100_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds a call: those that the process computed (all its threads), and those on the wall."""

    cpu: float
    wall: float


def sampled(function: Callable[[], Any], calls: int) -> Sample:
    """Return the mean seconds of so many calls in a row."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        function()
    return Sample((time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls)


def calls_of(function: Callable[[], Any]) -> int:
    """Return how many calls make up a sample. Raises `ValueError` for a function that does nothing."""
    calls = 1
    while True:
        sample = sampled(function, calls)
        if sample.wall * calls >= SAMPLE_SECONDS or calls >= MOST_CALLS:
            break
        calls = min(MOST_CALLS, max(2 * calls, int(1.1 * SAMPLE_SECONDS / max(sample.wall, 1e-9))))
    if sample.wall < LEAST_SECONDS:
        raise ValueError(f"a call takes {sample.wall * 1e6:.2g} µs, as one that does nothing")
    return calls


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the garbage collector from running in the middle of a sample."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
