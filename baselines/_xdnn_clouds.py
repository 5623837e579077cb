"""The data clouds of one class: how xDNN takes in samples one after the other, exactly, from inner products.

Every centre is a linear combination of training rows, so the distances that xDNN compares follow from inner
products of rows. Those are computed in blocks by one matrix product each; what is left of a sample is a few
vector operations over the prototypes so far. A comparison closer than rounding could decide is made again
directly, in the space of the features, with arithmetic that does not depend on the blocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from baselines._xdnn_products import EPS, Block, Product, grown
from harness.counters import count

__all__ = ["TIE", "TINY", "Arrival", "Clouds", "in_parts", "squared_norms"]

BLOCK_ROWS = 1024
"""Samples whose products are computed at once: 8 MB a thousand prototypes, and large enough for BLAS."""

CACHED_ROWS = 16
"""Rows that are squared at once: they and their squares stay in a processor's cache."""

TIE = 1e-10
"""Two squared distances that differ relatively by less are the same (paper variant)."""

TINY = TIE**2
"""Unit vectors that differ by less than `TIE` are the same: the floor under `TIE` for squared distances."""


class Arrival(NamedTuple):
    """A sample on its way in: its features, squared norm and product with the sum of all samples up to it."""

    features: np.ndarray
    square: float
    total: float


class Clouds(ABC):
    """The prototypes of one class and what is needed to take in further samples; no other training rows.

    Attributes
    ----------
    count : number of prototypes, P.
    n_seen : number of samples taken in.
    """

    normalises = False
    """Whether rows are brought to length 1."""

    def __init__(self, n_features: int, radius: float) -> None:
        self.radius = radius
        self.count = 0
        self.n_seen = 0
        self._centres = np.empty((0, n_features))
        self._indices = np.empty(0, dtype=np.int64)
        self._supports = np.empty(0, dtype=np.int64)
        self._spans = np.empty(0)  # squared distance up to which a prototype absorbs
        self._squares = np.empty(0)  # |p|²
        self._dots = np.empty(0)  # <p, sum of all samples so far>
        self._bounds = np.empty(0)  # |p| had nothing cancelled: what rounding errors grow with
        self._reach = 0.0  # largest of the bounds and of the norms of samples
        self._slack = 0.0  # bound of the rounding error of two compared squared distances, and of what ties
        self._widest = self._first_span  # no span is larger
        # The mean is moved when it is asked for: samples after the first `_in_mean` are the newest prototypes,
        # in order and where they were founded.
        self._in_mean = 0

    @property
    def centres(self) -> np.ndarray:
        """float64 (P, d)."""
        return self._centres[: self.count]

    @property
    def indices(self) -> np.ndarray:
        """int64 (P,): the number of the sample that founded each prototype."""
        return self._indices[: self.count]

    @property
    def supports(self) -> np.ndarray:
        """int64 (P,)."""
        return self._supports[: self.count]

    @property
    @abstractmethod
    def radii(self) -> np.ndarray:
        """float64 (P,), in the unit of the variant."""

    @property
    def mean(self) -> np.ndarray:
        """float64 (d,): the mean of the samples so far."""
        self._catch_up(self.n_seen)
        return self._mean_of(self.n_seen)

    def prepared(self, x_ND: np.ndarray, squares_N: np.ndarray) -> np.ndarray:
        """Return rows of these squared norms as float64 in the space of the prototypes."""
        prepared_ND = np.empty(x_ND.shape)
        self._prepare(x_ND, self._lengths(squares_N), np.arange(len(x_ND)), prepared_ND)
        return prepared_ND

    def absorb(
        self,
        x_ND: np.ndarray,
        squares_N: np.ndarray,
        rows: np.ndarray,
        first_index: int,
        product: Product,
        gram_NN: np.ndarray | None = None,
    ) -> None:
        """Take in the given rows of `x_ND`, in their order.

        Parameters
        ----------
        x_ND : finite features (and no zero row where rows are normalised).
        squares_N : the squared norms of all its rows.
        rows : which of them belong to this class.
        first_index : the number of row 0 of `x_ND` among all samples ever seen.
        product : how inner products are computed.
        gram_NN : x_ND @ x_ND.T when it is known, which is allowed as long as nothing was seen.
        """
        self._reserve(self.count + len(rows))
        lengths_N = self._lengths(squares_N)
        for start in range(0, len(rows), BLOCK_ROWS):
            block_rows = rows[start : start + BLOCK_ROWS]
            # The rows wait where the next centres will be: most that become prototypes need not be moved.
            x_BD = self._centres[self.count : self.count + len(block_rows)]
            self._prepare(x_ND, lengths_N, block_rows, x_BD)
            indices = block_rows + first_index
            if self._add_all(x_BD, indices, squares_N[block_rows]):
                continue
            if gram_NN is None:
                block = self._computed_block(x_BD, product)
            else:
                block = self._looked_up_block(x_BD, block_rows, product, gram_NN)
            self._absorb_block(x_BD, indices, block)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v[: self.count] if k in _GROWING else v for k, v in self.__dict__.items()}

    def _prepare(
        self, x_ND: np.ndarray, lengths_N: np.ndarray | None, rows: np.ndarray, out: np.ndarray
    ) -> None:
        """Write some rows of `x_ND` to `out` as they are in the space of the prototypes."""
        if lengths_N is not None:
            for out_D, row in zip(out, rows.tolist(), strict=True):
                np.divide(x_ND[row], lengths_N[row], out=out_D)
        elif x_ND.dtype == np.float64:
            np.take(x_ND, rows, axis=0, out=out, mode="clip")
        else:
            out[:] = x_ND[rows]

    def _lengths(self, squares_N: np.ndarray) -> np.ndarray | None:
        """Return what rows of these squared norms are divided by (N,), None when they are left as they are."""
        return np.sqrt(squares_N) if self.normalises else None

    def _computed_block(self, x_BD: np.ndarray, product: Product) -> Block:
        count("grams")
        old_BP = product(x_BD, self.centres) if self.count else None
        return Block(product(x_BD, x_BD), np.arange(len(x_BD)), None, old_BP, self._totals(x_BD))

    def _looked_up_block(
        self, x_BD: np.ndarray, rows: np.ndarray, product: Product, gram_NN: np.ndarray
    ) -> Block:
        lengths_N = self._lengths(np.diagonal(gram_NN))
        scale_N = None if lengths_N is None else 1 / lengths_N
        old_BP = None
        if self.count:
            old_BP = gram_NN[np.ix_(rows, self.indices)]
            if scale_N is not None:
                old_BP *= scale_N[rows, None] * scale_N[self.indices]
            merged = np.flatnonzero(self.supports > 1)
            old_BP[:, merged] = product(x_BD, self.centres[merged])
        return Block(gram_NN, rows, scale_N, old_BP, self._totals(x_BD))

    def _totals(self, x_BD: np.ndarray) -> np.ndarray:
        """Return the products of rows with the sum of all samples so far (B,)."""
        return x_BD @ self._sum_so_far() if self.n_seen else np.zeros(len(x_BD))

    def _sum_so_far(self) -> np.ndarray:
        """Return the sum of the samples before this block (d,)."""
        return self.mean * self.n_seen

    def _catch_up(self, n: int) -> None:
        """Bring the mean up to the first `n` samples."""
        for slot in range(self.count - (n - self._in_mean), self.count):
            self._in_mean += 1
            self._move_mean(self._centres[slot], self._in_mean)

    def _take_into_mean(self, x_D: np.ndarray) -> None:
        """Bring the mean up to the sample that is on its way in."""
        if self._in_mean < self.n_seen:
            self._catch_up(self.n_seen - 1)
            self._in_mean += 1
            self._move_mean(x_D, self._in_mean)

    def _add_all(self, x_BD: np.ndarray, indices: np.ndarray, squares_B: np.ndarray) -> bool:  # noqa: ARG002
        """Make prototypes of all rows of a block where that can be seen without their products; return whether."""
        return False

    def _absorb_block(self, x_BD: np.ndarray, indices: np.ndarray, block: Block) -> None:
        first = self.count
        self._widen(block.squares)
        numbers = indices.tolist()
        for row, (x_D, square) in enumerate(zip(x_BD, block.squares.tolist(), strict=True)):
            products, total = block.products(row)
            self.n_seen += 1
            dots = self._dots[: self.count]
            dots += products
            arrival = Arrival(x_D, square, total)
            slot = self._host(arrival, products)
            if slot is None:
                self._add(arrival, numbers[row], is_in_place=self.count == first + row)
                block.add(row)
            else:
                keep, take = self._merge(slot, arrival)
                block.merge(slot, row, keep, take)

    def _host(self, arrival: Arrival, products: np.ndarray) -> int | None:
        """Return the prototype that absorbs the sample, None when it becomes a prototype itself.

        `products` are those of the sample with the prototypes (P,), and are overwritten.
        """
        if not self.count:
            return None
        squares = self._squares[: self.count]
        slack = self._slack
        products *= -2.0
        products += squares
        distances = products  # |p - x|² - |x|²
        chosen = self._choose(distances)
        distance = float(distances[chosen]) + arrival.square
        if distance > self._widest + slack:
            return None
        rivals = self._near(distances, chosen)
        span = float(self._spans[chosen] if len(rivals) == 1 else self._spans[rivals].max())
        if distance > span + 2 * slack:
            return None
        # |p - mean|² and |x - mean|², both without |mean|²: only their order matters.
        spreads = squares - (2.0 / self.n_seen) * self._dots[: self.count]
        spread = arrival.square - 2.0 / self.n_seen * arrival.total
        high, low = float(spreads[spreads.argmax()]), float(spreads[spreads.argmin()])
        if spread > high + slack or spread < low - slack:
            return None
        is_inside = low + slack < spread < high - slack
        if is_inside and len(rivals) == 1 and distance < span - slack:
            return chosen
        (extremes,) = ((spreads >= high - slack) | (spreads <= low + slack)).nonzero()
        return self._host_directly(arrival.features, rivals, extremes)

    def _near(self, distances: np.ndarray, chosen: int) -> np.ndarray:
        """Return the prototypes that may be the chosen one but for rounding, in their order."""
        gaps = distances - distances[chosen]
        (near,) = (np.abs(gaps, out=gaps) <= self._slack).nonzero()
        return near

    def _widen(self, squares_B: np.ndarray) -> None:
        """Take samples of these squared norms, on their way in, into account for rounding errors."""
        self._reach = max(self._reach, float(squares_B.max()) ** 0.5)
        self._set_slack(self.n_seen + len(squares_B))

    def _set_slack(self, n_seen: int) -> None:
        rounding = 16 * (self._centres.shape[1] + n_seen) * EPS
        self._slack = (TIE + rounding) * 4 * self._reach**2 + TINY

    def _add(self, arrival: Arrival, index: int, is_in_place: bool) -> None:
        """Make the sample a prototype, Eq. (5)."""
        slot = self.count
        if not is_in_place:
            self._centres[slot] = arrival.features
        self._indices[slot] = index
        self._supports[slot] = 1
        self._spans[slot] = self._first_span
        self._squares[slot] = arrival.square
        self._dots[slot] = arrival.total
        self._bounds[slot] = arrival.square**0.5
        self.count = slot + 1

    def _merge(self, slot: int, arrival: Arrival) -> tuple[float, float]:
        """Let a prototype absorb the sample; return the weights of the old centre and of the sample."""
        self._take_into_mean(arrival.features)
        keep, take = self._move(slot, arrival.features)
        self._dots[slot] = keep * self._dots[slot] + take * arrival.total
        bound = keep * float(self._bounds[slot]) + take * arrival.square**0.5
        self._bounds[slot] = bound
        if bound > self._reach:
            self._reach = bound
            self._set_slack(self.n_seen + BLOCK_ROWS)
        self._widest = max(self._widest, float(self._spans[slot]))
        return keep, take

    def _squared_distances(self, x_D: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Return the squared distances of `x_D` to some centres, from the features."""
        return np.concatenate([squared_norms(self._centres[part] - x_D) for part in in_parts(slots)])

    def _reserve(self, capacity: int) -> None:
        if capacity > len(self._centres):
            capacity = max(capacity, 2 * self.count)
            for name in _GROWING:
                setattr(self, name, grown(getattr(self, name), capacity))

    @property
    @abstractmethod
    def _first_span(self) -> float:
        """The squared distance up to which a new prototype absorbs."""

    @abstractmethod
    def _choose(self, distances: np.ndarray) -> int:
        """Return the prototype that is asked to absorb a sample, by its distances."""

    @abstractmethod
    def _move_mean(self, x_D: np.ndarray, n: int) -> None:
        """Move the mean of n - 1 samples by the n-th."""

    @abstractmethod
    def _mean_of(self, n: int) -> np.ndarray:
        """Return the mean (d,), which was moved by `n` samples."""

    @abstractmethod
    def _host_directly(self, x_D: np.ndarray, rivals: np.ndarray, extremes: np.ndarray) -> int | None:
        """Decide as `_host` does, from the features alone.

        `rivals` are the prototypes that may be the chosen one, `extremes` those that may
        have the highest or the lowest density.
        """

    @abstractmethod
    def _move(self, slot: int, x_D: np.ndarray) -> tuple[float, float]:
        """Update centre, support and radius of a prototype; return the weights of the old centre and of `x_D`."""


_GROWING = ("_centres", "_indices", "_supports", "_spans", "_squares", "_dots", "_bounds")


def squared_norms(x_ND: np.ndarray) -> np.ndarray:
    """Return float64 (N,), infinite where squares overflow. A row's bits do not depend on the rows beside it."""
    squares_N = np.empty(len(x_ND))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(x_ND), CACHED_ROWS):
            x_KD = np.asarray(x_ND[start : start + CACHED_ROWS], dtype=np.float64)
            squares_N[start : start + CACHED_ROWS] = np.sum(x_KD * x_KD, axis=1)
    return squares_N


def in_parts(slots: np.ndarray) -> Iterator[np.ndarray]:
    """Yield prototypes a bounded number at a time."""
    for start in range(0, len(slots), BLOCK_ROWS):
        yield slots[start : start + BLOCK_ROWS]
