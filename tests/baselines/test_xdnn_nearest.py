"""The search for the nearest prototype against measuring every pair, where single precision says little."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from baselines._xdnn_nearest import nearest
from baselines._xdnn_products import make_product

N_PROTOTYPES, N_QUERIES = 60, 16

Generator = np.random.Generator

PROTOTYPES: dict[str, Callable[[Generator, int], np.ndarray]] = {
    "nearly the same": lambda rng, d: (
        rng.normal(size=d) + 10.0 ** -rng.integers(1, 9) * rng.normal(size=(N_PROTOTYPES, d))
    ),
    "of all sizes": lambda rng, d: (
        rng.normal(size=(N_PROTOTYPES, d)) * 10.0 ** rng.integers(-8, 9, size=(N_PROTOTYPES, 1))
    ),
    "one far out": lambda rng, d: (
        rng.normal(size=(N_PROTOTYPES, d)) * np.append(1e12, np.ones(N_PROTOTYPES - 1))[:, None]
    ),
    "far from 0": lambda rng, d: rng.normal(size=(N_PROTOTYPES, d)) + 10.0 ** rng.integers(0, 9),
    "on the grid of large numbers": lambda rng, d: rng.normal(size=(N_PROTOTYPES, d)) + 1e15,
    "heavy-tailed": lambda rng, d: rng.standard_t(1, size=(N_PROTOTYPES, d)),
    "mostly 0": lambda rng, d: np.maximum(rng.normal(size=(N_PROTOTYPES, d)) - 1, 0),
    "tiny": lambda rng, d: 1e-30 * rng.normal(size=(N_PROTOTYPES, d)),
    "huge": lambda rng, d: 1e45 * rng.normal(size=(N_PROTOTYPES, d)),
}


@pytest.mark.parametrize("power", [2, 6])
@pytest.mark.parametrize("n_features", [1, 7, 300])
@pytest.mark.parametrize("kind", PROTOTYPES)
def test_the_nearest_prototype_is_that_of_measuring_every_pair_to_the_last_bit(kind, n_features, power):
    rng = np.random.default_rng(n_features)
    prototypes = PROTOTYPES[kind](rng, n_features)
    near = prototypes[rng.integers(0, N_PROTOTYPES, N_QUERIES)]
    noise = rng.normal(size=near.shape) * 10.0 ** -rng.integers(1, 12, size=(N_QUERIES, 1))
    queries = np.concatenate([near * (1 + noise), near])
    index, distance = nearest(queries, prototypes, power, make_product("cpu"))
    every = cdist(queries, prototypes, "minkowski", p=power)
    np.testing.assert_array_equal(index, every.argmin(axis=1))
    np.testing.assert_array_equal(distance, every.min(axis=1))
