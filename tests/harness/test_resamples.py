"""Resamples: whole units within their class, the same for all who share them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.metrics import METRICS, scores
from harness.resamples import RESAMPLES, Part, Resamples, resampled, resamples_of, units_of


def part_of(labels, p_positive, units=None):
    p = np.asarray(p_positive, dtype=float)
    names = units or [f"{number:04d}" for number in range(len(p))]
    return Part(np.array(labels), np.column_stack([1 - p, p]), names)


def some_part(n=60, patients=20, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], n // 2)
    p = np.round(1 / (1 + np.exp(-(2 * labels - 1 + rng.standard_normal(n)))), 1)
    return part_of(labels, p, [f"patient {row * patients // n:02d}" for row in range(n)])


def test_an_image_without_a_group_is_a_unit_of_its_own():
    assert units_of(["a", "b", "c"], ["p", None, "p"]) == ("group p", "image b", "group p")
    assert units_of(["a"], None) == ("image a",)


def test_a_group_named_like_an_image_is_not_that_image():
    assert len(set(units_of(["a", "b"], ["b", None]))) == 2


def test_of_n_units_of_a_class_n_less_one_are_drawn_and_weigh_as_n():
    resamples = resamples_of([part_of([0] * 5 + [1] * 3, [0.5] * 8)])
    assert resamples.weights.shape == (RESAMPLES, 8)
    np.testing.assert_allclose(resamples.weights[:, :5].sum(axis=1), 5)
    np.testing.assert_allclose(resamples.weights[:, 5:].sum(axis=1), 3)
    times = resamples.weights[:, :5] * 4 / 5
    np.testing.assert_allclose(times, np.round(times), atol=1e-12)
    assert resamples.fewest == 3


def test_the_only_unit_of_a_class_is_always_drawn():
    resamples = resamples_of([part_of([0, 0, 1], [0.5] * 3)])
    assert (resamples.weights[:, 2] == 1).all()
    assert resamples.fewest == 1


def test_no_part_has_no_units():
    assert resamples_of([]).names == ()


def test_a_unit_of_several_classes_counts_to_its_most_frequent_one():
    resamples = resamples_of([part_of([0, 0, 1, 1, 1], [0.5] * 5, ["a", "a", "a", "b", "c"])])
    assert resamples.names == ("a", "b", "c")
    assert (resamples.weights[:, 0] == 1).all()


def test_the_order_of_images_changes_nothing():
    part = some_part()
    order = np.random.default_rng(1).permutation(60)
    moved = Part(part.labels[order], part.probabilities[order], [part.units[row] for row in order])
    first = resampled(part, resamples_of([part]), positive=1)
    second = resampled(moved, resamples_of([moved]), positive=1)
    for metric in METRICS:
        np.testing.assert_allclose(first[metric], second[metric], rtol=0, atol=1e-12)


def test_two_calls_draw_the_same():
    first, second = (resampled(some_part(), resamples_of([some_part()]), positive=1) for _ in range(2))
    assert all((first[metric] == second[metric]).all() for metric in METRICS)


@pytest.mark.parametrize("auc", ["scores", "hard-labels"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_resample_is_scored_as_the_images_it_repeats(n_classes, auc):
    """Weights that are whole numbers: each image repeated so often, scored by harness.metrics."""
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(n_classes), 8)
    p = np.round(rng.dirichlet(np.ones(n_classes), len(labels)), 1)
    p[:, 0] = 1 - p[:, 1:].sum(axis=1)
    units = [f"{row // 2:02d}" for row in range(len(labels))]
    part = Part(labels, np.abs(p), units)
    weights = rng.integers(0, 4, (20, len(set(units)))).astype(float)
    found = resampled(part, Resamples(tuple(sorted(set(units))), weights, 1), positive=1, auc=auc)
    for number, of_units in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(len(labels)), np.repeat(of_units, 2))
        expected = scores(labels[rows], part.probabilities[rows], positive=1, auc=auc)
        for metric in METRICS:
            value = expected[metric].value
            assert found[metric][number] == pytest.approx(math.nan if value is None else value, nan_ok=True)


def test_the_spread_of_a_mean_is_that_of_independent_patients():
    """Accuracy of 20 + 20 units: variance sum of p(1 - p) / (n - 1) a class over 4, by hand."""
    labels = [0] * 20 + [1] * 20
    p = [0.2] * 16 + [0.8] * 4 + [0.8] * 14 + [0.2] * 6
    found = resampled(part_of(labels, p), resamples_of([part_of(labels, p)]), positive=1)
    expected = math.sqrt((0.8 * 0.2 / 19 + 0.7 * 0.3 / 19) / 4)
    assert found["accuracy"].std() == pytest.approx(expected, rel=0.05)
    assert found["accuracy"].mean() == pytest.approx(0.75, abs=4 * expected / math.sqrt(RESAMPLES))
