"""The fast xDNN against the slow one, on data made to have ties, repeats and merges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdnn_oracle import PaperOracle, ReleasedOracle

from baselines import _xdnn_clouds, _xdnn_nearest
from baselines.xdnn import XDNN, ReleasedCodeStops

property_test = settings(max_examples=60, deadline=None, print_blob=True)


@dataclass(frozen=True)
class Data:
    """Training samples, queries and a radius."""

    X: np.ndarray
    y: np.ndarray
    queries: np.ndarray
    radius: float | None


@pytest.fixture(autouse=True, scope="module")
def _small_blocks():
    """Blocks of a few rows, so that small data go through every seam between them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_xdnn_clouds, "BLOCK_ROWS", 7)
        patch.setattr(_xdnn_clouds, "CACHED_ROWS", 3)
        patch.setattr(_xdnn_nearest, "QUERY_ROWS", 4)
        patch.setattr(_xdnn_nearest, "PROTOTYPE_ROWS", 5)
        patch.setattr(_xdnn_nearest, "FEATURE_COLUMNS", 3)
        patch.setattr(_xdnn_nearest, "PAIR_ROWS", 2)
        yield


KINDS = ["permuted", "grid", "signed grid", "scattered", "repeated", "multiples", "bunches", "offset"]


def permuted(rng: np.random.Generator, n: int, n_features: int) -> np.ndarray:
    """Return rows that are permutations of one another and rows of equal features: ties that only rounding breaks."""
    X = np.stack([rng.permutation(np.arange(n_features) % 3 + 0.1) for _ in range(n)])
    X[rng.random(n) < 0.3] = rng.integers(1, 4) * 0.7
    return X


@st.composite
def features(draw: st.DrawFn) -> np.ndarray:
    """Return rows of one of the kinds above, on some scale."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, n_features = draw(st.integers(1, 40)), draw(st.sampled_from([1, 2, 3, 8, 17]))
    kind = draw(st.sampled_from(KINDS))
    pool = rng.normal(size=(max(1, n // 4), n_features))
    X = {
        "permuted": lambda: permuted(rng, n, n_features),
        "grid": lambda: rng.integers(0, 3, (n, n_features)).astype(float),
        "signed grid": lambda: rng.integers(-2, 3, (n, n_features)).astype(float),
        "scattered": lambda: np.maximum(rng.normal(size=(n, n_features)), 0),
        "repeated": lambda: pool[rng.integers(0, len(pool), n)],
        "multiples": lambda: pool[rng.integers(0, len(pool), n)] * rng.integers(1, 4, (n, 1)),
        "bunches": lambda: (
            pool[rng.integers(0, len(pool), n)]
            + rng.normal(size=(n, n_features)) * 10.0 ** -draw(st.integers(3, 10))
        ),
        "offset": lambda: rng.normal(size=(n, n_features)) + 1e4,
    }[kind]()
    return X * 10.0 ** draw(st.integers(-3, 3))


@st.composite
def data(draw: st.DrawFn, variant: str) -> Data:
    X = draw(features())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y = rng.integers(0, draw(st.integers(1, 4)), len(X))
    far = rng.normal(size=(4, X.shape[1])) * (np.abs(X).max() + 1e-6)
    queries = np.concatenate([X[rng.integers(0, len(X), 4)], far])
    if variant == "paper":
        for rows in (X, queries):
            rows[~rows.any(axis=1), 0] = 1.0
        return Data(X, y, queries, draw(st.sampled_from([None, 0.0, 0.1, 0.5, 1.0, 1.4, 2.0, 9.0])))
    factor = draw(st.sampled_from([None, 0.0, 0.1, 0.5, 1.0, 5.0, 100.0]))
    return Data(X, y, queries, None if factor is None else factor * float(np.mean(np.sum(X**2, axis=1))))


def models(variant: str, d: Data, chunks: list[int]) -> list[XDNN]:
    """Return the same model fitted at once, with a given product, and in chunks."""
    at_once = XDNN(variant, d.radius).fit(d.X, d.y)
    with_product = XDNN(variant, d.radius).fit(d.X, d.y, gram=d.X @ d.X.T)
    chunked = XDNN(variant, d.radius)
    start = 0
    while start < len(d.X):
        stop = start + chunks[start % len(chunks)]
        chunked.partial_fit(d.X[start:stop], d.y[start:stop])
        start = stop
    return [at_once, with_product, chunked]


def assert_same_prototypes(a: XDNN, b: XDNN) -> None:
    assert a.classes_.tolist() == b.classes_.tolist()
    for name in ("prototype_indices_", "supports_", "prototypes_", "radii_", "means_"):
        for one, other in zip(getattr(a, name), getattr(b, name), strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


CHUNKS = st.lists(st.sampled_from([1, 2, 5, 19]), min_size=1, max_size=5)


@property_test
@given(data("paper"), CHUNKS)
def test_the_paper_variant_follows_the_equations(d, chunks):
    oracle = PaperOracle(*([] if d.radius is None else [d.radius])).fit(d.X, d.y)
    all_models = models("paper", d, chunks)
    for k, c in enumerate(oracle.classes):
        indices, supports, centres, radii = oracle.parts(c)
        np.testing.assert_array_equal(all_models[0].prototype_indices_[k], indices)
        np.testing.assert_array_equal(all_models[0].supports_[k], supports)
        np.testing.assert_allclose(all_models[0].prototypes_[k], centres, atol=1e-12)
        # A radius that shrank to 0 is the root of a rounding error.
        np.testing.assert_allclose(all_models[0].radii_[k] ** 2, radii**2, atol=1e-12)
    for other in all_models[1:]:
        assert_same_prototypes(all_models[0], other)
    winners = [{w.label: w.distance for w in e.winners} for e in all_models[0].explain(d.queries)]
    distances = [[distance_by_label[c] for c in oracle.classes] for distance_by_label in winners]
    np.testing.assert_allclose(distances, oracle.distances(d.queries), rtol=1e-9, atol=1e-12)


@property_test
@given(data("released"), CHUNKS)
def test_the_released_variant_decides_as_the_authors_code_bit_for_bit(d, chunks):
    oracle = ReleasedOracle(*([] if d.radius is None else [d.radius]))
    try:
        oracle.fit(d.X, d.y)
    except IndexError:
        with pytest.raises(ReleasedCodeStops):
            XDNN("released", d.radius).fit(d.X, d.y)
        with pytest.raises(ReleasedCodeStops):
            models("released", d, chunks)
        return
    all_models = models("released", d, chunks)
    for k, c in enumerate(oracle.classes):
        indices, supports, centres, radii = oracle.parts(c)
        np.testing.assert_array_equal(all_models[0].prototype_indices_[k], indices)
        np.testing.assert_array_equal(all_models[0].supports_[k], supports)
        np.testing.assert_array_equal(all_models[0].prototypes_[k], centres)
        np.testing.assert_array_equal(all_models[0].radii_[k], radii)
    for other in all_models[1:]:
        assert_same_prototypes(all_models[0], other)
    np.testing.assert_allclose(
        all_models[0].released_scores(d.queries), oracle.scores(d.queries), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_array_equal(all_models[0].predict(d.queries), oracle.predict(d.queries))


@pytest.mark.parametrize("seed", [0, 1, 6, 12, 15, 17])
def test_radii_that_grow_by_merging_reach_farther_in_the_released_variant(seed):
    # Of rows much shorter than 1: their radius becomes radius/2 + (1 - |p|²)/4, about a quarter.
    rng = np.random.default_rng(seed)
    X = 1e-3 * (rng.normal(size=(3, 8))[rng.integers(0, 3, 40)] + 1e-3 * rng.normal(size=(40, 8)))
    radius = 2 * float(np.mean(np.sum(X**2, axis=1)))
    indices, supports, _, radii = ReleasedOracle(radius).fit(X, np.zeros(40)).parts(0)
    assert radii.max() > 100 * radius
    model = XDNN("released", radius).fit(X, np.zeros(40))
    np.testing.assert_array_equal(model.prototype_indices_[0], indices)
    np.testing.assert_array_equal(model.supports_[0], supports)


@property_test
@given(data("paper"), st.randoms(use_true_random=False))
def test_neither_the_order_nor_the_signs_of_the_features_matter_to_the_paper_variant(d, random):
    axes = random.sample(range(d.X.shape[1]), d.X.shape[1])
    signs = np.array([random.choice([-1.0, 1.0]) for _ in axes])
    a, b = XDNN(radius=d.radius).fit(d.X, d.y), XDNN(radius=d.radius).fit(d.X[:, axes] * signs, d.y)
    for k in range(len(a.classes_)):
        np.testing.assert_array_equal(a.prototype_indices_[k], b.prototype_indices_[k])
        np.testing.assert_array_equal(a.supports_[k], b.supports_[k])
        np.testing.assert_allclose(a.prototypes_[k][:, axes] * signs, b.prototypes_[k], atol=1e-12)


@property_test
@given(data("paper"), st.randoms(use_true_random=False))
def test_the_lengths_of_the_samples_do_not_matter_to_the_paper_variant(d, random):
    lengths = np.array([random.uniform(0.1, 10) for _ in d.X])
    a, b = XDNN(radius=d.radius).fit(d.X, d.y), XDNN(radius=d.radius).fit(d.X * lengths[:, None], d.y)
    for k in range(len(a.classes_)):
        np.testing.assert_array_equal(a.prototype_indices_[k], b.prototype_indices_[k])
        np.testing.assert_array_equal(a.supports_[k], b.supports_[k])


@pytest.mark.parametrize("variant", ["paper", "released"])
@property_test
@given(st.data())
def test_classes_do_not_see_each_other(variant, draw):
    d = draw.draw(data(variant))
    try:
        together = XDNN(variant, d.radius).fit(d.X, d.y)
    except ReleasedCodeStops:
        return
    for k, c in enumerate(together.classes_):
        rows = np.flatnonzero(d.y == c)
        alone = XDNN(variant, d.radius).fit(d.X[rows], d.y[rows])
        np.testing.assert_array_equal(together.prototypes_[k], alone.prototypes_[0])
        np.testing.assert_array_equal(together.prototype_indices_[k], rows[alone.prototype_indices_[0]])


@pytest.mark.parametrize("variant", ["paper", "released"])
@property_test
@given(st.data())
def test_the_most_probable_class_is_the_predicted_one(variant, draw):
    d = draw.draw(data(variant))
    try:
        model = XDNN(variant, d.radius).fit(d.X, d.y)
    except ReleasedCodeStops:
        return
    proba = model.predict_proba(d.queries)
    np.testing.assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(d.queries))
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-13)
    assert (proba >= 0).all()
