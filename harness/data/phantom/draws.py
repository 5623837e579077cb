"""Random draws that are the same on every machine.

numpy guarantees the raw stream of Philox for good, but not its distributions; and platforms differ
in the last bit of exp, log and sin. What follows the raw integers here is +, -, *, / and sqrt only,
which IEEE 754 rounds alike everywhere.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

__all__ = ["Draws"]

T = TypeVar("T")


class Draws:
    """A stream of random numbers known by the names it was made from.

    >>> Draws("a", 1).uniform(0, 1) == Draws("a", 1).uniform(0, 1)
    True
    >>> Draws("a", 1).uniform(0, 1) == Draws("a", 2).uniform(0, 1)
    False
    """

    def __init__(self, *names: object) -> None:
        digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
        self._stream = np.random.Philox(key=int.from_bytes(digest[:16], "little"))

    def _raw(self, count: int) -> np.ndarray:
        return np.asarray(self._stream.random_raw(count), dtype=np.uint64)

    def units(self, *shape: int) -> np.ndarray:
        """Return float64 in [0, 1) of that shape."""
        return ((self._raw(math.prod(shape)) >> np.uint64(11)) * 2.0**-53).reshape(shape)

    def normals(self, *shape: int) -> np.ndarray:
        """Return float64 of mean 0 and variance 1: sums of four uniform numbers, so within 3.47 of 0."""
        quarters = self._raw(math.prod(shape)).view(np.uint16).reshape(-1, 4)
        sums = quarters.sum(axis=1, dtype=np.int64) - 2 * 65535
        return (sums / math.sqrt((2.0**32 - 1) / 3)).reshape(shape)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * ((int(self._stream.random_raw()) >> 11) * 2.0**-53)

    def chance(self, probability: float) -> bool:
        return self.uniform(0, 1) < probability

    def integer(self, low: int, high: int) -> int:
        """Return an int from `low` to `high`, both included."""
        return low + int(self.uniform(0, high - low + 1))

    def direction(self) -> tuple[float, float]:
        """Return the cosine and sine of an angle, every quadrant alike (not quite every angle)."""
        half_tangent = self.uniform(-1, 1)
        square = half_tangent * half_tangent
        cosine, sine = (1 - square) / (1 + square), 2 * half_tangent / (1 + square)
        return (cosine, sine) if self.chance(0.5) else (-cosine, -sine)

    def pick(self, weights: dict[T, int]) -> T:
        """Return a key, drawn in proportion to its weight."""
        return [key for key, weight in weights.items() for _ in range(weight)][
            self.integer(0, sum(weights.values()) - 1)
        ]

    def shuffled(self, values: Sequence[T]) -> list[T]:
        order = np.argsort(self._raw(len(values)), kind="stable")
        return [values[i] for i in order]

    def place(self, weights: np.ndarray) -> tuple[int, int] | None:
        """Return row and column of a cell of the int64 weights (H, W), drawn in proportion; None when all are 0."""
        sums = np.cumsum(weights)
        if sums[-1] == 0:
            return None
        cell = int(np.searchsorted(sums, int(self.uniform(0, 1) * int(sums[-1])), side="right"))
        return divmod(cell, weights.shape[1])
