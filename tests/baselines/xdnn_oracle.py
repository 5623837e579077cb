"""Slow, readable xDNN, one learner a variant: what the fast one is held against.

Nothing here is shared with `baselines`. `PaperOracle` follows the equations of Soares et al. (2020)
with the readings of docs/xdnn.md; `ReleasedOracle` does what the authors' Python code does, in the
shape of its loop, so that its time can stand for the original's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax


@dataclass
class Cloud:
    centre: np.ndarray
    index: int
    radius: float
    support: int = 1
    members: list[int] = field(default_factory=list)


def larger(a: float, b: float) -> bool:
    """a > b, and not only by a relative 1e-10 (nor by 1e-10 squared, the same for unit vectors)."""
    return a > b + 1e-10 * max(a, b) + 1e-20


class PaperOracle:
    """Eq. (1) to (6), sample by sample, on unit vectors."""

    def __init__(self, radius: float = math.sqrt(2 - 2 * math.cos(math.radians(30)))) -> None:
        self.radius = radius

    def fit(self, X: np.ndarray, y: np.ndarray) -> PaperOracle:
        X = np.asarray(X, dtype=np.float64)
        self.classes = sorted(set(y.tolist()))
        self.clouds = {
            c: self._clouds_of([(i, X[i]) for i in range(len(X)) if y[i] == c]) for c in self.classes
        }
        return self

    def _clouds_of(self, samples: list[tuple[int, np.ndarray]]) -> list[Cloud]:
        clouds: list[Cloud] = []
        seen: list[np.ndarray] = []
        for index, raw in samples:
            x = raw / math.sqrt(np.sum(raw**2))
            seen.append(x)
            mean = sum(seen) / len(seen)
            host = self._host(x, mean, clouds)
            if host is None:
                clouds.append(Cloud(x, index, self.radius))  # Eq. (1), (5)
            else:
                self._absorb(host, x)
        return clouds

    def _host(self, x: np.ndarray, mean: np.ndarray, clouds: list[Cloud]) -> Cloud | None:
        if not clouds:
            return None
        # Eq. (2) and (4): a higher density is a smaller distance to the mean.
        spread = np.sum((x - mean) ** 2)
        spreads = [np.sum((cloud.centre - mean) ** 2) for cloud in clouds]
        if larger(spread, max(spreads)) or larger(min(spreads), spread):
            return None
        # Eq. (3).
        distances = [np.sum((x - cloud.centre) ** 2) for cloud in clouds]
        nearest = next(k for k, d in enumerate(distances) if not larger(d, min(distances)))
        cloud = clouds[nearest]
        return None if larger(distances[nearest], cloud.radius**2) else cloud

    def _absorb(self, cloud: Cloud, x: np.ndarray) -> None:
        # Eq. (6).
        s = cloud.support
        cloud.centre = s / (s + 1) * cloud.centre + 1 / (s + 1) * x
        cloud.support = s + 1
        cloud.radius = math.sqrt(max(0.0, (cloud.radius**2 + (1 - np.sum(cloud.centre**2))) / 2))

    def distances(self, X: np.ndarray) -> np.ndarray:
        """Distance of each row to the nearest prototype of each class."""
        rows = [x / math.sqrt(np.sum(x**2)) for x in np.asarray(X, dtype=np.float64)]
        return np.array(
            [
                [
                    min(math.sqrt(np.sum((x - cloud.centre) ** 2)) for cloud in self.clouds[c])
                    for c in self.classes
                ]
                for x in rows
            ]
        )

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.array(self.classes)[self.distances(X).argmin(axis=1)]

    def parts(self, c: object) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Indices, supports, centres and radii of a class."""
        clouds = self.clouds[c]
        return (
            np.array([cloud.index for cloud in clouds]),
            np.array([cloud.support for cloud in clouds]),
            np.array([cloud.centre for cloud in clouds]),
            np.array([cloud.radius for cloud in clouds]),
        )


class ReleasedOracle:
    """The authors' Python code: same decisions, same order of work (an IndexError where it has one)."""

    def __init__(self, radius: float = 1 - math.cos(math.pi / 6)) -> None:
        self.radius = radius

    def fit(self, X: np.ndarray, y: np.ndarray) -> ReleasedOracle:
        X = np.asarray(X, dtype=np.float64)
        self.classes = sorted(set(y.tolist()))
        self._learned = {}
        for c in self.classes:
            rows = np.flatnonzero(y == c)
            self._learned[c] = self._learn(X[rows], rows)
        return self

    def _learn(
        self, data: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        centre = data[:1].copy()
        whole = np.sum(centre**2)  # a scalar until the second prototype: a merge before that fails
        support, radius, index = np.array([1]), np.array([self.radius]), [rows[0]]
        mean = centre.copy()
        for i in range(2, len(data) + 1):
            x = data[i - 1 : i]
            mean = (i - 1) / i * mean + x / i
            spreads = np.sum((centre - np.kron(np.ones((len(centre), 1)), mean)) ** 2, axis=1)
            highest, lowest = max(spreads), min(spreads)
            spread = np.sum((x - mean) ** 2)
            distance = cdist(x, centre, "euclidean")[0]
            far = distance.argmax()
            if spread > highest or spread < lowest or distance[far] ** 2 > 2 * radius[far]:
                centre = np.vstack((centre, x))
                whole = np.append(whole, 1.0)
                support, radius = np.append(support, 1), np.append(radius, self.radius)
                index.append(rows[i - 1])
            else:
                if whole.ndim == 0:
                    raise IndexError("invalid index to scalar variable.")
                centre[far] = 2 * centre[far] + x[0] / (support[far] + 1)
                support[far] += 1
                radius[far] = 0.5 * radius[far] + 0.5 * (whole[far] - sum(centre[far] ** 2)) / 2
        return np.array(index), support, centre, radius

    def scores(self, X: np.ndarray) -> np.ndarray:
        scores = np.zeros((len(X), len(self.classes)))
        for i in range(len(X)):
            nearest = np.zeros(len(self.classes))
            for k, c in enumerate(self.classes):
                nearest[k] = np.sort(cdist(X[i : i + 1], self._learned[c][2], "minkowski", p=6))[0][0]
            scores[i] = softmax(-(nearest**2))
        return scores

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of the highest score, the last of those that tie."""
        return np.array([self.classes[max((s, k) for k, s in enumerate(row))[1]] for row in self.scores(X)])

    def parts(self, c: object) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Indices, supports, centres and radii (r²/2) of a class."""
        return self._learned[c]
