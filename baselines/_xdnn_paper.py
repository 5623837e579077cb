"""The paper's algorithm: Soares et al. (2020), Eq. (1) to (6)."""

from __future__ import annotations

import numpy as np

from baselines._xdnn_clouds import TIE, TINY, Clouds

__all__ = ["PaperClouds"]


class PaperClouds(Clouds):
    """Soares et al. (2020), Eq. (1) to (6), on features of length 1."""

    # Unlike the paper, which does not say so: only for unit vectors do its r_0 = sqrt(2 - 2 cos 30°) and the
    # 1 - |p|² of Eq. (6) have the meaning it gives them.
    normalises = True

    def __init__(self, n_features: int, radius: float) -> None:
        super().__init__(n_features, radius)
        self._sum = np.zeros(n_features)

    @property
    def radii(self) -> np.ndarray:
        return np.sqrt(self._spans[: self.count])

    def _move_mean(self, x_D: np.ndarray, n: int) -> None:  # noqa: ARG002 - a sum does not ask which it is
        self._sum += x_D

    def _mean_of(self, n: int) -> np.ndarray:
        return self._sum / max(n, 1)

    def _choose(self, distances: np.ndarray) -> int:
        return int(distances.argmin())  # Eq. (3)

    @property
    def _first_span(self) -> float:
        return self.radius**2

    def _host_directly(self, x_D: np.ndarray, rivals: np.ndarray, extremes: np.ndarray) -> int | None:
        self._take_into_mean(x_D)
        mean_D = self.mean
        # Eq. (4). Densities fall with the squared distance to the mean, so these are compared; sigma cancels.
        spreads = self._squared_distances(mean_D, extremes)
        spread = float(np.sum((x_D - mean_D) ** 2))
        # Unlike the paper, whose >= and <= add a cloud: at a near tie of densities none is added. The second
        # sample of a class always ties with the first, and only rounding would decide.
        if _exceeds(spread, float(spreads.max())) or _exceeds(float(spreads.min()), spread):
            return None
        # Eq. (3). Unlike the paper, which is silent: the oldest of the prototypes that tie.
        distances = self._squared_distances(x_D, rivals)
        limit = float(distances.min())
        first = next(k for k, distance in enumerate(distances) if not _exceeds(float(distance), limit))
        slot = int(rivals[first])
        return None if _exceeds(float(distances[first]), float(self._spans[slot])) else slot

    def _move(self, slot: int, x_D: np.ndarray) -> tuple[float, float]:
        support = int(self._supports[slot])
        # Unlike the paper, which prints the weight of x as S/(S+1): it must be 1/(S+1) for p to stay a mean.
        keep, take = support / (support + 1), 1 / (support + 1)
        centre = self._centres[slot]
        centre *= keep
        centre += take * x_D
        square = float(np.add.reduce(centre * centre))
        self._squares[slot] = square
        self._supports[slot] += 1
        # Eq. (6), squared. |p| <= 1 but for rounding.
        self._spans[slot] = max(0.0, (float(self._spans[slot]) + (1 - square)) / 2)
        return keep, take


def _exceeds(a: float, b: float) -> bool:
    """Return whether a squared distance is larger than another and not tied with it."""
    return a > b + TIE * max(a, b) + TINY
