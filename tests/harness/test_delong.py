"""DeLong's areas and covariance: by hand, by the definition over all pairs, and as scikit-learn has the area."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from harness.delong import delong


def by_definition(is_positive: np.ndarray, ranked_by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As DeLong et al. (1988) define them: every positive image against every negative one."""
    areas, of_positives, of_negatives = [], [], []
    for scores in ranked_by:
        positives, negatives = scores[is_positive], scores[~is_positive]
        kernel = [[1.0 if x > y else 0.5 if x == y else 0.0 for y in negatives] for x in positives]
        areas.append(np.mean(kernel))
        of_positives.append([np.mean(row) for row in kernel])
        of_negatives.append([np.mean(column) for column in zip(*kernel, strict=True)])
    m, n = len(of_positives[0]), len(of_negatives[0])
    covariance = np.empty((len(areas), len(areas)))
    for r in range(len(areas)):
        for s in range(len(areas)):
            s10 = sum((of_positives[r][i] - areas[r]) * (of_positives[s][i] - areas[s]) for i in range(m))
            s01 = sum((of_negatives[r][j] - areas[r]) * (of_negatives[s][j] - areas[s]) for j in range(n))
            covariance[r, s] = s10 / (m - 1) / m + s01 / (n - 1) / n
    return np.array(areas), covariance


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 1, 1], [1, 0, 0, 0]])
def test_fewer_than_two_images_of_a_class_have_no_variance(labels):
    with pytest.raises(ValueError, match="two images of each class"):
        delong(np.array(labels) == 1, np.arange(len(labels), dtype=float))


def test_two_against_two_by_hand():
    """Of the positives one passes both negatives and one a single one: 1 and 1/2, variance 1/8; so of the negatives."""
    areas, covariance = delong(np.array([False, True, False, True]), np.array([[0.1, 0.35, 0.4, 0.8]]))
    assert areas.tolist() == [0.75]
    assert covariance.tolist() == [[0.125 / 2 + 0.125 / 2]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 25), st.integers(2, 25), st.booleans())
def test_it_equals_the_definition_to_ten_digits_ties_or_not(seed, models, n_positive, n_negative, ties):
    rng = np.random.default_rng(seed)
    is_positive = rng.permutation(np.repeat([True, False], [n_positive, n_negative]))
    ranked_by = rng.standard_normal((models, len(is_positive)))
    if ties:
        ranked_by = np.round(ranked_by)
    areas, covariance = delong(is_positive, ranked_by)
    expected_areas, expected_covariance = by_definition(is_positive, ranked_by)
    np.testing.assert_allclose(areas, expected_areas, rtol=0, atol=1e-10)
    np.testing.assert_allclose(covariance, expected_covariance, rtol=0, atol=1e-10)


def test_the_areas_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    labels, ranked_by = rng.integers(0, 2, 300), np.round(rng.standard_normal((3, 300)), 1)
    areas, _ = delong(labels == 1, ranked_by)
    np.testing.assert_allclose(areas, [roc_auc_score(labels, scores) for scores in ranked_by], atol=1e-12)
