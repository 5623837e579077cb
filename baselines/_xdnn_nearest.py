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
FEATURE_COLUMNS = 128
"""What a single-precision product works on at once: few enough terms are summed for a useful bound of rounding."""

PAIR_ROWS = 256
"""Candidates that are measured at once."""

CACHED_ROWS = 16

SINGLE_EPS = float(np.finfo(np.float32).eps)
SINGLE_TINY = float(np.finfo(np.float32).tiny)

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
            index_M[start + row], distance_M[start + row] = _nearest_of(
                x_QD[row], prototypes_PD, columns, power
            )
    return index_M, distance_M


def _nearest_of(
    x_D: np.ndarray, prototypes_PD: np.ndarray, columns: np.ndarray, power: int
) -> tuple[int, float]:
    """Return the nearest of a few prototypes and its distance, by SciPy's arithmetic as the authors' code has it."""
    from scipy.spatial.distance import cdist

    distances = cdist(x_D[None], prototypes_PD[columns], "minkowski", p=power)[0]
    best = int(np.argmin(distances))
    return int(columns[best]), float(distances[best])


def _candidates(x_QD: np.ndarray, prototypes_PD: np.ndarray, power: int, product: Product) -> np.ndarray:
    """Return bool (Q, P): False where a prototype is surely not the nearest.

    Distances to the power are summed by the binomial theorem in single precision, and known up to a
    bound of all that rounding can do to them.
    """
    n_features = x_QD.shape[1]
    centre_D = prototypes_PD.mean(axis=0)
    x_sums, p_sums = _power_sums(x_QD, centre_D, power), _power_sums(prototypes_PD, centre_D, power)
    # Brings all features into [-1, 1], where powers do not overflow. A power of 2: exact.
    unit = 2.0 ** np.ceil(np.log2(max(x_sums.max(), p_sums.max(), SINGLE_TINY)) / power)
    x_sums, p_sums = x_sums / unit**power, p_sums / unit**power
    sums_QP = x_sums[:, None] + p_sums
    for columns in _slices(n_features, FEATURE_COLUMNS):
        left = _left_terms((x_QD[:, columns] - centre_D[columns]) / unit, power)
        for rows in _slices(len(prototypes_PD), PROTOTYPE_ROWS):
            right = _right_terms((prototypes_PD[rows, columns] - centre_D[columns]) / unit, power)
            sums_QP[:, rows] += product(left, right)
    # Of the sum of the terms' sizes, at most 2^(n-1) (|x|^n + |p|^n), rounding changes a few eps for each summand.
    relative = 2 ** (power - 1) * ((power - 1) * FEATURE_COLUMNS + 32) * SINGLE_EPS
    absolute = 8 * n_features * power * SINGLE_TINY
    # Subtracting the centre rounds by `slip` at most, which a distance to the power feels by its derivative.
    slip = 4 * EPS * float(np.abs(centre_D).max() + np.abs(x_QD).max()) / unit
    largest = 2 ** (power - 1) * (x_sums.max() + p_sums.max())
    absolute += power * slip * n_features ** (1 / power) * largest ** (1 - 1 / power)
    sums_QP -= relative * p_sums
    limit_Q = (sums_QP + 2 * relative * p_sums).min(axis=1) + 2 * (relative * x_sums + absolute)
    candidate_QP: np.ndarray = sums_QP <= limit_Q[:, None]
    return candidate_QP


def _left_terms(x_QK: np.ndarray, power: int) -> np.ndarray:
    """Return float32 (Q, (power - 1) K): the binomial terms' factors that depend on x, coefficients included."""
    powers = _powers(x_QK.astype(np.float32), power - 1)
    signed = [(-1) ** k * comb(power, k) * powers[power - k - 1] for k in range(1, power)]
    return np.concatenate(signed, axis=1, dtype=np.float32)


def _right_terms(p_PK: np.ndarray, power: int) -> np.ndarray:
    """Return float32 (P, (power - 1) K): the binomial terms' factors that depend on p."""
    return np.concatenate(_powers(p_PK.astype(np.float32), power - 1), axis=1)


def _powers(values: np.ndarray, highest: int) -> list[np.ndarray]:
    """Return the elementwise powers 1 to `highest`."""
    powers = [values]
    for _ in range(highest - 1):
        powers.append(powers[-1] * values)
    return powers


def _power_sums(x_ND: np.ndarray, centre_D: np.ndarray, power: int) -> np.ndarray:
    return np.concatenate(
        [_distance_sums(x_ND[rows], centre_D, power) for rows in _slices(len(x_ND), CACHED_ROWS)]
    )


def _columns_by_row(
    x_QD: np.ndarray, prototypes_PD: np.ndarray, candidate_QP: np.ndarray, power: int
) -> Iterator[np.ndarray]:
    """Yield for each query the candidates that are as near as the nearest, but for rounding in double precision."""
    rows, columns = np.nonzero(candidate_QP)
    sums = np.concatenate(
        [
            _distance_sums(x_QD[rows[pairs]], prototypes_PD[columns[pairs]], power)
            for pairs in _slices(len(rows), PAIR_ROWS)
        ]
    )
    starts = np.searchsorted(rows, np.arange(len(x_QD)))
    limit_Q = np.minimum.reduceat(sums, starts) * (1 + SAME)
    near = sums <= limit_Q[rows]
    for start, end in zip(starts, np.append(starts[1:], len(rows)), strict=True):
        yield columns[start:end][near[start:end]]


def _distance_sums(a_KD: np.ndarray, b_KD: np.ndarray, power: int) -> np.ndarray:
    """Return the sums over features of (a - b) to an even power (K,)."""
    squares = a_KD - b_KD
    squares *= squares
    sums: np.ndarray = np.sum(_powers(squares, power // 2)[-1], axis=1)
    return sums


def _slices(length: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, length, size))
