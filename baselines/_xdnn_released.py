"""The algorithm of the authors' Python code, which is another one than the paper's."""

from __future__ import annotations

import numpy as np

from baselines._xdnn_clouds import Arrival, Clouds, in_parts
from baselines._xdnn_products import Block

__all__ = ["ReleasedClouds"]


class ReleasedClouds(Clouds):
    """The authors' Python code, decision for decision.

    Where every sample of a block is far enough from two prototypes, no products are needed at all.
    """

    def __init__(self, n_features: int, radius: float) -> None:
        super().__init__(n_features, radius)
        self._mean = np.zeros(n_features)
        self._first_square = 0.0
        self._has_dots = True

    @property
    def radii(self) -> np.ndarray:
        """r²/2, as the released code stores it."""
        return self._spans[: self.count] / 2

    def stopping_row(self, x_ND: np.ndarray, rows: np.ndarray) -> int | None:
        """Return the row at which the released code would stop, None when there is none."""
        # Their array of |x_1|² is a scalar until the second prototype comes; a merge indexes it.
        if self.n_seen >= 2 or self.n_seen + len(rows) < 2:
            return None
        second = int(rows[1 - self.n_seen])
        first_D, second_D = x_ND[[rows[0], second]].astype(np.float64)
        twin = ReleasedClouds(x_ND.shape[1], self.radius)
        twin._reserve(1)
        twin.n_seen = 1
        twin._add(Arrival(self.centres[0] if self.n_seen else first_D, 0.0, 0.0), 0, is_in_place=False)
        twin.n_seen = 2
        only = np.zeros(1, dtype=np.intp)
        return None if twin._host_directly(second_D, only, only) is None else second

    def _add_all(self, x_BD: np.ndarray, indices: np.ndarray, squares_B: np.ndarray) -> bool:
        # A sample that lies beyond every radius from any one prototype lies beyond that of the farthest. The
        # first two samples always are prototypes, and the rows of the block come after the ones there are.
        anchors = self._centres[:2]
        anchor_squares = np.concatenate([self._squares[: self.count], squares_B])[:2]
        self._widen(squares_B)
        distances = squares_B[:, None] + anchor_squares - 2 * (x_BD @ anchors[: len(anchor_squares)].T)
        is_far = distances.max(axis=1) > self._widest + self._slack
        is_far[: max(0, 2 - self.n_seen)] = True
        if not is_far.all():
            return False
        new = slice(self.count, self.count + len(x_BD))
        self._indices[new] = indices
        self._supports[new] = 1
        self._spans[new] = self._first_span
        self._squares[new] = squares_B
        self._bounds[new] = np.sqrt(squares_B)
        self.count += len(x_BD)
        self.n_seen += len(x_BD)
        self._has_dots = False
        return True

    def _absorb_block(self, x_BD: np.ndarray, indices: np.ndarray, block: Block) -> None:
        if not self._has_dots:
            self._dots[: self.count] = self.centres @ self._sum_so_far()
            self._has_dots = True
        super()._absorb_block(x_BD, indices, block)

    def _choose(self, distances: np.ndarray) -> int:
        return int(distances.argmax())  # as theirs: the farthest prototype

    @property
    def _first_span(self) -> float:
        return 2 * self.radius

    def _host(self, arrival: Arrival, products: np.ndarray) -> int | None:
        # `stopping_row` was asked before: the second sample of a class is a prototype.
        return None if self.n_seen <= 2 else super()._host(arrival, products)

    def _host_directly(self, x_D: np.ndarray, rivals: np.ndarray, extremes: np.ndarray) -> int | None:
        from scipy.spatial.distance import cdist

        self._take_into_mean(x_D)
        mean_D = self.mean
        spreads = self._squared_distances(mean_D, extremes)
        spread = np.sum((x_D - mean_D) ** 2)
        if spread > spreads.max() or spread < spreads.min():
            return None
        distances = np.concatenate([cdist(x_D[None], self._centres[part])[0] for part in in_parts(rivals)])
        farthest = int(np.argmax(distances))
        slot = int(rivals[farthest])
        return None if distances[farthest] ** 2 > self._spans[slot] else slot

    def _move_mean(self, x_D: np.ndarray, n: int) -> None:
        # In the order of the released code's operations: its rounding decides ties of densities.
        self._mean *= (n - 1) / n
        self._mean += x_D / n

    def _mean_of(self, n: int) -> np.ndarray:  # noqa: ARG002 - the mean is of as many samples as it was moved by
        return self._mean

    def _move(self, slot: int, x_D: np.ndarray) -> tuple[float, float]:
        support = int(self._supports[slot])
        centre = self._centres[slot]
        if slot == 0 and support == 1:
            self._first_square = float(np.sum(centre * centre))
        # Their C * (S / S + 1) + x / (S + 1), which was to be C * (S / (S + 1)) + x / (S + 1).
        centre *= 2.0
        centre += x_D / (support + 1)
        square = float(np.cumsum(centre * centre)[-1])  # one after the other, as Python's sum adds
        self._squares[slot] = square
        self._supports[slot] += 1
        whole = self._first_square if slot == 0 else 1.0
        self._spans[slot] = 2 * (0.5 * (self._spans[slot] / 2) + 0.5 * (whole - square) / 2)
        return 2.0, 1 / (support + 1)
