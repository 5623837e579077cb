"""XDNN as an estimator: both variants against their oracles and by hand, its errors and its explanations."""

from __future__ import annotations

import itertools
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks
from xdnn_oracle import ReleasedOracle

from baselines._xdnn_products import make_product
from baselines.xdnn import XDNN, BadFeatures, BadParameter, ReleasedCodeStops
from harness.counters import since, snapshot
from harness.errors import HarnessError

DEGREES_30 = np.deg2rad(30)


def directions(*degrees: float) -> np.ndarray:
    """Return unit vectors of the plane."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def cloud_data(
    seed: int, n: int = 120, n_features: int = 24, n_classes: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Return clustered, rectified features, as a backbone gives them, and labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    centres = rng.normal(size=(n_classes * 3, n_features))
    X = centres[y * 3 + rng.integers(0, 3, n)] + 0.3 * rng.normal(size=(n, n_features))
    return np.maximum(X, 0.01), y


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
def test_features_that_are_not_finite_are_refused_by_sample_and_feature(variant, value, name):
    X, y = cloud_data(0)
    X[17, 5] = value
    with pytest.raises(BadFeatures, match=f"^sample 17: feature 5 is {name}"):
        XDNN(variant).fit(X, y)
    model = XDNN(variant).fit(*cloud_data(0))
    with pytest.raises(BadFeatures, match="^sample 17: feature 5"):
        model.predict(X)


def test_a_zero_vector_is_refused_by_the_paper_variant_only():
    X, y = cloud_data(1)
    X[3] = 0
    with pytest.raises(BadFeatures, match="^sample 3: all features are 0"):
        XDNN().fit(X, y)
    with pytest.raises(BadFeatures, match="^sample 3: all features are 0"):
        XDNN().fit(*cloud_data(1)).predict_proba(X)
    assert len(XDNN("released").fit(X, y).predict(X)) == len(X)


@pytest.mark.parametrize(("variant", "size"), [("paper", 1e200), ("paper", 1e-200), ("released", 1e60)])
def test_features_whose_powers_leave_the_range_of_numbers_are_refused(variant, size):
    X, y = cloud_data(2)
    X[9] *= size
    with pytest.raises(BadFeatures, match=r"^sample 9: its largest feature is .*scale"):
        XDNN(variant).fit(X, y)


def test_every_error_of_ours_is_a_one_line_harness_error_and_a_value_error():
    for kind in (BadFeatures, BadParameter, ReleasedCodeStops):
        assert issubclass(kind, HarnessError)
        assert issubclass(kind, ValueError)


@pytest.mark.parametrize("radius", [-0.1, np.nan, np.inf, "wide", [1]])
def test_a_radius_that_is_none_is_refused(radius):
    with pytest.raises(BadParameter, match="radius must be None or a finite number"):
        XDNN(radius=radius).fit(*cloud_data(0))


def test_an_unknown_variant_is_refused_with_the_known_ones():
    with pytest.raises(BadParameter, match=r"\['paper', 'released'\], got 'papr'"):
        XDNN("papr").fit(*cloud_data(0))


@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "released_scores", "explain", "rules", "prototypes_", "means_"]
)
def test_nothing_can_be_asked_before_fitting(method):
    model = XDNN()
    arguments = () if method.endswith("_") or method == "rules" else (np.ones((1, 3)),)
    with pytest.raises(NotFittedError):
        getattr(model, method)(*arguments)


def test_empty_input_is_refused():
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        XDNN().fit(np.empty((0, 4)), [])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        XDNN().fit(*cloud_data(0)).predict(np.empty((0, 24)))


def test_a_feature_count_that_changes_is_refused_and_changes_nothing():
    X, y = cloud_data(3)
    model = XDNN().partial_fit(X, y)
    before = [centres.copy() for centres in model.prototypes_]
    with pytest.raises(ValueError, match="X has 23 features, but XDNN is expecting 24"):
        model.partial_fit(X[:, :23], y)
    assert all(map(np.array_equal, before, model.prototypes_))


def test_a_partial_fit_that_raises_leaves_the_model_as_it_was():
    X, y = cloud_data(4)
    model = XDNN("released").partial_fit(X, y)
    before = pickle.dumps(model)
    bad = X.copy()
    bad[50, 0] = np.nan
    with pytest.raises(BadFeatures, match="^sample 50:"):
        model.partial_fit(bad, y)
    with pytest.raises(ReleasedCodeStops):  # class 7 stops, though class 0 alone would have gone on
        model.partial_fit(np.ones((3, 24)), [0, 7, 7])
    assert pickle.dumps(model) == before


def test_variant_and_radius_may_not_change_between_calls_of_partial_fit():
    model = XDNN().partial_fit(*cloud_data(0))
    with pytest.raises(BadParameter, match=r"had variant and radius \('paper'.*fit to start anew"):
        model.set_params(radius=0.3).partial_fit(*cloud_data(1))


def test_labels_may_not_be_numbers_and_then_text():
    model = XDNN().partial_fit(*cloud_data(0))
    with pytest.raises(BadParameter, match="all numbers or all text"):
        model.partial_fit(np.ones((1, 24)), ["COVID"])


def test_where_the_released_code_raises_an_index_error_ours_says_which_sample_and_what_to_do():
    X = np.array([[1.0, 2.0], [5.0, 0.0], [1.0, 2.0]])
    with pytest.raises(ReleasedCodeStops, match=r"^sample 2, the second of class 'a', .* variant='paper'"):
        XDNN("released").fit(X, ["a", "b", "a"])
    model = XDNN("released").partial_fit(X[:2], ["a", "b"])
    with pytest.raises(ReleasedCodeStops, match="^sample 2, the second of class 'a'"):
        model.partial_fit(X[2:], ["a"])


@pytest.mark.parametrize(
    ("gram", "complaint"),
    [
        (np.eye(7), r"of shape \(120, 120\); got shape \(7, 7\)"),
        (np.eye(120), r"entry \(0, 0\) is 1.0, expected"),
        (np.full((120, 120), np.nan), r"entry \(0, 0\) is nan, expected"),
    ],
)
def test_a_product_of_other_features_is_refused(gram, complaint):
    with pytest.raises(BadFeatures, match=complaint):
        XDNN().fit(*cloud_data(0), gram=gram)


def test_a_product_in_single_precision_is_refused():
    X, y = cloud_data(0)
    single = X.astype(np.float32)
    with pytest.raises(BadFeatures, match=r"double precision \(float64\); got float32"):
        XDNN().fit(single, y, gram=single @ single.T)
    with pytest.raises(BadFeatures, match=r"^gram is not X @ X\.T: entry \(0, 0\)"):
        XDNN().fit(X, y, gram=(single @ single.T).astype(np.float64))


def test_the_paper_variant_merges_within_30_degrees_and_moves_the_prototype_to_the_mean():
    X = directions(0, 20) * [[3.0], [0.5]]  # lengths do not matter
    model = XDNN().fit(X, [0, 0])
    a, b = directions(0, 20)
    square = np.sum(((a + b) / 2) ** 2)
    np.testing.assert_allclose(model.prototypes_[0], [(a + b) / 2], rtol=1e-14)
    np.testing.assert_allclose(model.means_[0], (a + b) / 2, rtol=1e-14)
    assert model.supports_[0].tolist() == [2]
    assert model.prototype_indices_[0].tolist() == [0]
    # Eq. (6): r² <- (r² + 1 - |p|²) / 2.
    np.testing.assert_allclose(
        model.radii_[0] ** 2, (2 - 2 * np.cos(DEGREES_30) + 1 - square) / 2, rtol=1e-14
    )


def test_the_paper_variant_adds_a_prototype_beyond_30_degrees():
    model = XDNN().fit(directions(0, 31), [0, 0])
    assert model.prototype_indices_[0].tolist() == [0, 1]
    np.testing.assert_allclose(model.radii_[0], np.sqrt(2 - 2 * np.cos(DEGREES_30)), rtol=1e-14)


def test_the_paper_variant_adds_a_prototype_at_a_density_no_prototype_has():
    # The last sample is within 30 degrees of the prototype before it, but farther from the mean than all.
    assert XDNN().fit(directions(0, 0, 31, 55), [0] * 4).prototype_indices_[0].tolist() == [0, 2, 3]
    # Here it is nearest to the mean.
    assert XDNN().fit(directions(0, 40, 21), [0] * 3).prototype_indices_[0].tolist() == [0, 1, 2]


def test_a_tie_of_densities_adds_no_prototype_in_the_paper_variant():
    # A repeat of a prototype has its density, which always is the highest or the lowest of two.
    model = XDNN().fit(directions(0, 40, 0, 40, 40), [0] * 5)
    assert model.supports_[0].tolist() == [2, 3]


def test_a_sample_on_the_rim_of_a_prototype_is_absorbed_in_the_paper_variant():
    model = XDNN(radius=1.0).fit(directions(0, 60), [0, 0])  # a chord of 60 degrees is the radius
    assert model.supports_[0].tolist() == [2]


@pytest.mark.parametrize("axes", list(itertools.permutations(range(4))))
def test_of_prototypes_that_tie_the_oldest_absorbs_in_the_paper_variant(axes):
    # The last sample has the same angle to all others, which are permutations of the same numbers. Which distance
    # comes out smallest depends on the order in which their terms are added.
    X = np.array([[0.1, 1.1, 0.1, 2.1], [0.1, 0.1, 2.1, 1.1], [0.1, 0.1, 1.1, 2.1], [0.7, 0.7, 0.7, 0.7]])
    assert XDNN(radius=0.8).fit(X[:, axes], [0] * 4).supports_[0].tolist() == [2, 1, 1]


def test_the_released_variant_doubles_the_centre_when_it_merges():
    # Sample 3 has a density between the others' and the farthest prototype, sample 0, within sqrt(2 * 49.5).
    X = np.array([[0.0, 2.0], [10.0, 2.0], [8.0, 2.0], [9.5, 2.0]])
    model = XDNN("released", radius=49.5).fit(X, [0] * 4)
    assert model.supports_[0].tolist() == [2, 1, 1]
    np.testing.assert_array_equal(model.prototypes_[0], [[2 * 0 + 9.5 / 2, 2 * 2 + 2 / 2], X[1], X[2]])
    np.testing.assert_array_equal(model.radii_[0], [49.5 / 2 + (4 - (4.75**2 + 5**2)) / 4, 49.5, 49.5])


def test_the_released_variant_predicts_by_minkowski_distance_of_power_6():
    X = np.array([[0.0] * 8, [10.0] * 8])
    model = XDNN("released").fit(X, [0, 1])
    query = np.array([[4.0] * 7 + [9.0]])  # Euclidean: nearer to class 0; p = 6: nearer to class 1
    np.testing.assert_allclose(
        [[w.distance for w in sorted(e.winners, key=lambda w: w.label)] for e in model.explain(query)],
        [[(7 * 4.0**6 + 9.0**6) ** (1 / 6), (7 * 6.0**6 + 1) ** (1 / 6)]],
        rtol=1e-12,
    )
    assert model.predict(query).tolist() == [1]


def test_the_released_scores_are_a_softmax_and_of_equal_ones_the_last_class_wins():
    X = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 1.0]])
    model = XDNN("released").fit(X, ["a", "b", "c"])
    np.testing.assert_allclose(
        model.released_scores([[0.0, 1.5]]), softmax([[-0.25] * 3], axis=1), rtol=1e-14
    )
    assert model.predict([[0.0, 1.5], [0.0, 1.0]]).tolist() == ["c", "c"]
    proba = model.predict_proba([[0.0, 1.5], [0.0, 1.0]])
    assert proba.argmax(axis=1).tolist() == [2, 2]
    np.testing.assert_allclose(proba, [[1 / 3] * 3, [0.5, 0, 0.5]], atol=1e-15)


def test_where_rounding_makes_released_scores_equal_the_farther_class_may_win_and_shares_the_probability():
    model = XDNN("released").fit([[1e-3], [2e-3]], ["near", "z"])
    assert model.released_scores([[1e-3 + 1e-12]]).tolist() != [[0.5, 0.5]]
    model = XDNN("released").fit([[1e-10], [2e-10]], ["near", "z"])
    assert model.predict([[1e-10]]).tolist() == ["z"]
    np.testing.assert_allclose(model.predict_proba([[1e-10]]), [[0.5, 0.5]], rtol=1e-15)


def test_in_the_paper_variant_the_first_of_equally_near_classes_wins():
    model = XDNN().fit(directions(0, 0, 90), ["a", "b", "c"])
    assert model.predict(directions(0)).tolist() == ["a"]
    np.testing.assert_allclose(model.predict_proba(directions(0)), [[0.5, 0.5, 0]], atol=1e-15)


STOPS = "in its data the released code stops at the second sample of a class, as ours must"
INAPPLICABLE = {
    "paper": {
        "check_estimators_dtypes": "its features, rounded to integers, have rows of zeros, which have no direction"
    },
    "released": {
        "check_classifiers_train": STOPS,
        "check_estimators_pickle": STOPS,
        "check_fit2d_1feature": STOPS,
        "check_pipeline_consistency": STOPS,
    },
}


@parametrize_with_checks(
    [XDNN(), XDNN("released")], expected_failed_checks=lambda model: INAPPLICABLE[model.variant]
)
def test_scikit_learn_conventions_hold(estimator, check):
    check(estimator)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_single_precision_features_give_what_the_same_numbers_give_in_double(variant):
    X, y = cloud_data(5)
    single = X.astype(np.float32)
    a, b = XDNN(variant).fit(single, y), XDNN(variant).fit(single.astype(np.float64), y)
    assert all(map(np.array_equal, a.prototypes_, b.prototypes_))
    np.testing.assert_array_equal(a.predict_proba(single), b.predict_proba(single))
    assert a.prototypes_[0].dtype == np.float64


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_the_layout_of_the_features_in_memory_does_not_matter(variant):
    X, y = cloud_data(5, n_features=33)
    a, b = XDNN(variant).fit(X, y), XDNN(variant).fit(np.asfortranarray(X), y)
    assert all(map(np.array_equal, a.prototypes_, b.prototypes_))
    np.testing.assert_array_equal(a.predict_proba(X + 1), b.predict_proba(np.asfortranarray(X + 1)))


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_one_class_and_one_sample_a_class_are_valid(variant):
    one = XDNN(variant).fit([[1.0, 2.0]], ["only"])
    np.testing.assert_array_equal(one.predict_proba([[5.0, 1.0], [1.0, 2.0]]), [[1.0], [1.0]])
    many = XDNN(variant).fit(np.eye(5), list("abcde"))
    assert many.predict(np.eye(5)).tolist() == list("abcde")
    np.testing.assert_allclose(many.predict_proba(np.eye(5)), np.eye(5), atol=1e-15)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_learned_arrays_have_one_row_a_prototype_and_supports_count_the_class(variant):
    X, y = cloud_data(6, n_classes=3)
    model = XDNN(variant).fit(X, y)
    for k, centres in enumerate(model.prototypes_):
        P = len(centres)
        assert centres.shape == (P, 24)
        assert model.supports_[k].sum() == np.sum(y == k)
        assert (y[model.prototype_indices_[k]] == k).all()
        assert model.radii_[k].shape == model.supports_[k].shape == model.prototype_indices_[k].shape == (P,)


def test_a_given_product_saves_the_multiplication_and_changes_nothing():
    X, y = cloud_data(7)
    before = snapshot()
    plain = XDNN().fit(X, y)
    assert since(before)["grams"] == 2  # one a class
    before = snapshot()
    quick = XDNN().fit(X, y, gram=X @ X.T)
    assert since(before)["grams"] == 0
    assert all(map(np.array_equal, plain.prototypes_, quick.prototypes_))


def test_the_released_variant_needs_no_product_where_every_sample_is_far_from_the_first_two():
    X, y = cloud_data(7)
    before = snapshot()
    model = XDNN("released").fit(X, y)
    assert since(before)["grams"] == 0
    assert sum(map(len, model.prototypes_)) == len(X)
    a, b = np.flatnonzero(y == y[50])[:2]
    X[50] = (X[a] + X[b]) / 2
    before = snapshot()
    model = XDNN("released", radius=4.0).fit(X, y)
    assert since(before)["grams"] >= 1
    for k, label in enumerate(model.classes_):
        np.testing.assert_array_equal(model.supports_[k], ReleasedOracle(4.0).fit(X, y).parts(label)[1])


def test_products_may_be_computed_by_torch():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 5)), rng.normal(size=(4, 5))
    import torch

    product = make_product(torch.device("cpu"))
    np.testing.assert_allclose(product(a, b), a @ b.T, rtol=1e-12)
    np.testing.assert_allclose(product(a, a), a @ a.T, rtol=1e-12)


@pytest.mark.gpu
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_a_gpu_finds_the_same_prototypes(variant):
    X, y = cloud_data(8, n=600)
    a, b = XDNN(variant).fit(X, y), XDNN(variant, device="cuda").fit(X, y)
    assert all(map(np.array_equal, a.prototypes_, b.prototypes_))
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_probabilities_sum_to_one_follow_the_labels_and_do_not_saturate(variant):
    X, y = cloud_data(9)
    queries = np.random.default_rng(9).uniform(0, 20, size=(200, 24))
    model = XDNN(variant).fit(X * 20, y)
    proba = model.predict_proba(queries)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(queries))
    assert len(np.unique(proba[:, 1])) == 200
    if variant == "released":
        assert len(np.unique(model.released_scores(queries)[:, 1])) < 100


def test_probabilities_are_proportional_to_the_twelfth_power_of_nearness():
    model = XDNN("released").fit([[0.0], [3.0]], [0, 1])
    odds = np.divide(*model.predict_proba([[1.0]])[0])
    assert odds == pytest.approx(2.0**12)


def test_the_probability_of_an_image_does_not_depend_on_the_others():
    X, y = cloud_data(10)
    model = XDNN().fit(X, y)
    np.testing.assert_array_equal(
        np.vstack([model.predict_proba(x[None]) for x in X]), model.predict_proba(X)
    )


def test_labels_may_appear_later_and_may_be_declared_before():
    X, y = cloud_data(11, n_classes=3)
    names = np.array(["b", "c", "a"])[y]
    model = XDNN().partial_fit(X[y == 0], names[y == 0], classes=["a", "b"])
    assert model.classes_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(model.predict_proba(X), [[0.0, 1.0]] * len(X))
    assert model.prototypes_[0].shape == (0, 24)
    model.partial_fit(X[y == 1], names[y == 1]).partial_fit(X[y == 2], names[y == 2])
    assert model.classes_.tolist() == ["a", "b", "c"]
    order = np.concatenate([np.flatnonzero(y == k) for k in range(3)])
    whole = XDNN().fit(X[order], names[order])
    assert all(map(np.array_equal, model.prototypes_, whole.prototypes_))
    assert all(map(np.array_equal, model.prototype_indices_, whole.prototype_indices_))


def test_a_model_goes_on_learning_after_it_was_stored():
    X, y = cloud_data(12)
    for variant in ("paper", "released"):
        model = XDNN(variant).partial_fit(X[:70], y[:70])
        revived = pickle.loads(pickle.dumps(model)).partial_fit(X[70:], y[70:])
        whole = XDNN(variant).fit(X, y)
        assert all(map(np.array_equal, revived.prototypes_, whole.prototypes_))
        assert all(map(np.array_equal, revived.means_, whole.means_))


def test_fit_forgets_what_was_learned_before():
    X, y = cloud_data(13)
    model = XDNN().partial_fit(X[:50] + 1, y[:50]).fit(X, y)
    assert model.n_samples_seen_ == len(X)
    assert all(map(np.array_equal, model.prototypes_, XDNN().fit(X, y).prototypes_))


def test_a_rule_names_every_prototype_as_data_and_the_most_supported_as_text():
    X, y = cloud_data(14, n=400)
    model = XDNN(radius=0.2).fit(X, y)
    rule = model.rules()[1]
    assert rule.label == 1
    assert rule.prototypes == tuple(model.prototype_indices_[1].tolist())
    assert rule.supports == tuple(model.supports_[1].tolist())
    best = max(range(len(rule.supports)), key=lambda k: rule.supports[k])
    assert str(rule).startswith(
        f"IF (image ~ sample {rule.prototypes[best]}, support {rule.supports[best]}) OR (image ~ "
    )
    assert str(rule).endswith(f" OR ({len(rule.prototypes) - 5} more) THEN class 1")


def test_an_explanation_names_the_nearest_prototype_of_each_class_nearest_first():
    model = XDNN().fit(directions(0, 10, 60, 95), ["a", "a", "b", "b"])
    (explanation,) = model.explain(directions(58) * 7)
    assert explanation.label == "b"
    first, second = explanation.winners
    assert (first.label, first.sample, second.label, second.sample, second.support) == ("b", 2, "a", 0, 2)
    distance = np.linalg.norm(directions(58)[0] - model.prototypes_[0][0])
    assert second.distance == pytest.approx(distance, rel=1e-12)
    assert second.similarity == pytest.approx(1 / (1 + distance**2), rel=1e-12)
    assert first.similarity > second.similarity
    np.testing.assert_array_equal(model.prototypes_[1][first.prototype], directions(60)[0])


def test_the_winner_of_a_tie_is_explained_first():
    model = XDNN("released").fit(np.ones((2, 2)), ["a", "b"])
    (explanation,) = model.explain([[1.0, 2.0]])
    assert explanation.label == explanation.winners[0].label == "b"


@pytest.mark.data
def test_all_golden_cases_of_the_released_code_are_reproduced():
    folder = os.environ.get("HARNESS_GOLDEN")
    if not folder:
        pytest.skip("HARNESS_GOLDEN names no folder of the released code's inputs and outputs")
    cases = json.loads(Path(folder, "cases.json").read_text())
    assert cases
    for case in cases:
        with np.load(Path(folder, f"{case['case']}.npz")) as golden:
            check_golden_case(dict(golden), case["initial_radius"])


def check_golden_case(golden: dict[str, Any], radius: float) -> None:
    X, y = golden["X"], golden["y"]
    by_sample = XDNN("released", radius)
    for x, label in zip(X, y, strict=True):
        by_sample.partial_fit(x[None], [label])
    for model in (
        XDNN("released", radius).fit(X, y),
        XDNN("released", radius).fit(X, y, gram=X @ X.T),
        by_sample,
    ):
        for k, label in enumerate(model.classes_):
            np.testing.assert_array_equal(
                model.prototype_indices_[k], golden[f"class{label}_prototype_index"]
            )
            np.testing.assert_array_equal(model.supports_[k], golden[f"class{label}_support"])
            np.testing.assert_allclose(
                model.prototypes_[k], golden[f"class{label}_centre"], rtol=1e-9, atol=1e-9
            )
            np.testing.assert_allclose(model.radii_[k], golden[f"class{label}_radius"], rtol=1e-9)
            np.testing.assert_allclose(model.means_[k], golden[f"class{label}_mean"], rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(model.predict(golden["X_test"]), golden["predicted"])
        np.testing.assert_allclose(model.released_scores(golden["X_test"]), golden["scores"], atol=1e-9)
