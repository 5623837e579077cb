"""The nearest prototype of each query, exactly: matrix products leave a few candidates, which are measured directly."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

import numpy as np

from baselines._xdnn_products import EPS, Product

__all__ = ["LARGEST_NORM", "nearest"]

LARGEST_NORM = 1e48
"""Sixth powers of the features of longer vectors, summed, leave the range of float64."""

QUERY_ROWS = 512
PROTOTYPE_ROWS = 2048
PAIR_ROWS = 256
"""Rows that are worked on at once: together under 0.5 GB at 4096 features and 20,000 prototypes."""

SAME = 1e-10
"""Distances that differ relatively by more are told apart by any way of summing."""


def nearest(
    x_MD: np.ndarray, prototypes_PD: np.ndarray, power: int, product: Product
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first nearest prototype (intp (M,)) of each query and its distance (float64 (M,)).

    Parameters
    ----------
    x_MD, prototypes_PD : float64 rows no longer than `LARGEST_NORM`; P >= 1.
    power : p of the Minkowski distance, an even number: 2 (Euclidean) or 6.
    """
    index_M = np.empty(len(x_MD), dtype=np.intp)
    distance_M = np.empty(len(x_MD))
    for start in range(0, len(x_MD), QUERY_ROWS):
        x_QD = x_MD[start : start + QUERY_ROWS]
        candidate_QP = _candidates(x_QD, prototypes_PD, power, product)
        for row, columns in enumerate(_columns_by_row(x_QD, prototypes_PD, candidate_QP, power)):
            at, distance = _nearest_of(x_QD[row], prototypes_PD, columns, power)
            index_M[start + row], distance_M[start + row] = at, distance
    return index_M, distance_M


def _nearest_of(
    x_D: np.ndarray, prototypes_PD: np.ndarray, columns: np.ndarray, power: int
) -> tuple[int, float]:
    """Return the nearest of a few prototypes and its distance, with SciPy's arithmetic, as the authors' code has it."""
    from scipy.spatial.distance import cdist

    distances = cdist(x_D[None], prototypes_PD[columns], "minkowski", p=power)[0]
    best = int(np.argmin(distances))
    return int(columns[best]), float(distances[best])


def _candidates(x_QD: np.ndarray, prototypes_PD: np.ndarray, power: int, product: Product) -> np.ndarray:
    """Return bool (Q, P): True where rounding does not exclude that a prototype is the nearest."""
    x_powers, x_sums = _powers(x_QD, power)
    sums_QP = np.empty((len(x_QD), len(prototypes_PD)))
    p_sums = np.empty(len(prototypes_PD))
    for start in range(0, len(prototypes_PD), PROTOTYPE_ROWS):
        part = slice(start, start + PROTOTYPE_ROWS)
        p_powers, p_sums[part] = _powers(prototypes_PD[part], power)
        sums_QP[:, part] = x_sums[:, None] + p_sums[part]
        for k in range(1, power):
            # The binomial terms of sum (x - p)^power.
            sums_QP[:, part] += (-1) ** k * comb(power, k) * product(x_powers[power - k - 1], p_powers[k - 1])
    # |rounding| <= a few eps times the sum of the terms' sizes, and (|x| + |p|)^n <= 2^(n-1) (|x|^n + |p|^n).
    relative = 2 ** (power - 1) * (5 * x_QD.shape[1] + 64) * EPS
    sums_QP -= relative * p_sums
    limit_Q = (sums_QP + 2 * relative * p_sums).min(axis=1) + 2 * relative * x_sums
    candidate_QP: np.ndarray = sums_QP <= limit_Q[:, None]
    return candidate_QP


def _powers(x_ND: np.ndarray, power: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the elementwise powers 1 to power - 1, and the row sums of the last one."""
    powers = [x_ND]
    for _ in range(power - 2):
        powers.append(powers[-1] * x_ND)
    return powers, np.einsum("ij,ij->i", powers[-1], x_ND)


def _columns_by_row(
    x_QD: np.ndarray, prototypes_PD: np.ndarray, candidate_QP: np.ndarray, power: int
) -> Iterator[np.ndarray]:
    """Yield for each query the candidates that are as near as the nearest, but for rounding."""
    rows, columns = np.nonzero(candidate_QP)
    sums = np.concatenate(
        [
            _distance_sums(x_QD[rows[k : k + PAIR_ROWS]], prototypes_PD[columns[k : k + PAIR_ROWS]], power)
            for k in range(0, len(rows), PAIR_ROWS)
        ]
    )
    starts = np.searchsorted(rows, np.arange(len(x_QD)))
    limit_Q = np.minimum.reduceat(sums, starts) * (1 + SAME)
    near = sums <= limit_Q[rows]
    ends = np.append(starts[1:], len(rows))
    for start, end in zip(starts, ends, strict=True):
        yield columns[start:end][near[start:end]]


def _distance_sums(a_KD: np.ndarray, b_KD: np.ndarray, power: int) -> np.ndarray:
    squares = a_KD - b_KD
    squares *= squares
    sums: np.ndarray = np.sum(squares if power == 2 else squares * squares * squares, axis=1)
    return sums
