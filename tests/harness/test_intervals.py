"""Confidence intervals: when there is none, by hand, against others' code, and their properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.delong import delong
from harness.errors import PredictionError
from harness.intervals import closed_forms, intervals, metric_interval, of_area, wilson
from harness.metrics import METRICS, scores
from harness.resamples import Part


def predictions(tp: int, fn: int, fp: int, tn: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of two classes, 1 positive, all as certain as each other."""
    labels = np.repeat([1, 1, 0, 0], [tp, fn, fp, tn])
    p = np.repeat([0.9, 0.1, 0.9, 0.1], [tp, fn, fp, tn])
    return labels, np.column_stack([1 - p, p])


def scattered(n=120, seed=0, classes=2):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    evidence = 1.5 * np.eye(classes)[labels] + rng.standard_normal((n, classes))
    p = np.exp(evidence)
    return labels, p / p.sum(axis=1, keepdims=True)


def bounds(interval):
    return [round(interval.low, 4), round(interval.high, 4)]


def test_a_test_part_of_one_class_has_no_interval_of_auc_but_the_reason():
    found = intervals(*predictions(20, 5, 0, 0), positive=1)
    assert (found["auc"].low, found["auc"].high) == (None, None)
    assert "there is no pair to put in order" in found["auc"].reason
    assert found["specificity"].reason is not None
    assert bounds(found["recall"]) == bounds(found["accuracy"]) == [0.6087, 0.9114]


def test_precision_without_a_decision_for_the_class_has_no_interval():
    found = metric_interval(*predictions(0, 10, 0, 10), "precision", positive=1)
    assert (found.low, found.method) == (None, "none")
    assert found.reason == "no image was decided to be of class number 1"


def test_an_unknown_metric_is_refused():
    with pytest.raises(KeyError, match="accurracy"):
        metric_interval(*predictions(1, 1, 1, 1), "accurracy", positive=1)


def test_bad_probabilities_are_refused():
    with pytest.raises(PredictionError, match="does not sum to 1"):
        intervals(np.array([0, 1]), np.array([[0.5, 0.6], [0.5, 0.5]]), positive=1)


def test_the_single_patient_of_a_class_makes_no_interval():
    labels, p = predictions(8, 2, 3, 7)
    found = intervals(labels, p, positive=1, groups=["a"] * 10 + [f"b{row}" for row in range(10)])
    assert {found[metric].low for metric in METRICS} == {None}
    assert "single unit" in found["accuracy"].reason


def test_patients_that_all_score_alike_make_no_interval():
    """Every patient has one right and one wrong image: the resamples say nothing of new patients."""
    labels, p = np.repeat([1, 0], 8), np.tile([0.9, 0.1], 8)
    groups = [f"{row // 2}" for row in range(16)]
    found = metric_interval(labels, np.column_stack([1 - p, p]), "accuracy", positive=1, groups=groups)
    assert found.low is None
    assert "same value" in found.reason


def test_the_only_image_of_a_class_leaves_auc_without_an_interval():
    found = metric_interval(*predictions(1, 0, 2, 8), "auc", positive=1)
    assert found.low is None
    assert "single unit" in found.reason


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [(18, 20, [0.699, 0.9721]), (0, 10, [0.0, 0.2775]), (10, 10, [0.7225, 1.0]), (1, 2, [0.0945, 0.9055])],
)
def test_wilson_by_hand(successes, trials, expected):
    """Of 0 in 10: z²/(n + z²) = 3.8415/13.8415 = .2775; of 1 in 2: 1/2 ± 1/2 z/sqrt(n + z²) = 1/2 ± .4055."""
    assert [round(bound, 4) for bound in wilson(successes, trials)] == expected


@given(st.integers(1, 500), st.data())
@settings(max_examples=100, deadline=None)
def test_wilson_is_that_of_scipy(trials, data):
    from scipy.stats import binomtest

    successes = data.draw(st.integers(0, trials))
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_shares_of_images_have_wilsons_interval():
    found = intervals(*predictions(18, 2, 4, 16), positive=1)
    assert bounds(found["accuracy"]) == [round(x, 4) for x in wilson(34, 40)]
    assert bounds(found["recall"]) == [round(x, 4) for x in wilson(18, 20)]
    assert bounds(found["specificity"]) == [round(x, 4) for x in wilson(16, 20)]
    assert {found[m].method for m in ("accuracy", "recall", "specificity")} == {"Wilson"}
    assert {found[m].method for m in ("precision", "f1", "brier")} == {"bootstrap over 40 images"}
    assert all(found[metric].per_slice for metric in METRICS)


def test_auc_has_delongs_interval_on_the_logit_scale():
    """With Student's t of 59 degrees: 60 images a class."""
    labels, p = scattered()
    (area,), ((variance,),) = delong(labels == 1, p[:, 1])
    reach = 2.0009953780882688 * math.sqrt(variance) / (area * (1 - area))
    expected = [1 / (1 + math.exp(-(math.log(area / (1 - area)) + side * reach))) for side in (-1, 1)]
    found = metric_interval(labels, p, "auc", positive=1)
    assert [found.low, found.high] == pytest.approx(expected, abs=1e-12)
    assert found.method == "DeLong"


def test_balanced_accuracy_has_newcombes_interval_and_auc_of_hard_labels_the_same():
    """Recall 18/20 [.6990, .9721], specificity 16/20 [.5840, .9193]: mean .85, below by sqrt(.201² + .216²)/2."""
    labels, p = predictions(18, 2, 4, 16)
    found = metric_interval(labels, p, "balanced_accuracy", positive=1)
    below = math.sqrt((0.9 - wilson(18, 20)[0]) ** 2 + (0.8 - wilson(16, 20)[0]) ** 2) / 2
    above = math.sqrt((wilson(18, 20)[1] - 0.9) ** 2 + (wilson(16, 20)[1] - 0.8) ** 2) / 2
    assert [found.low, found.high] == pytest.approx([0.85 - below, 0.85 + above])
    hard = metric_interval(labels, p, "auc", positive=1, auc="hard-labels")
    assert (hard.low, hard.high, hard.method) == (found.low, found.high, "Newcombe")


def test_a_perfect_score_is_not_certain():
    labels, p = predictions(30, 0, 0, 20)
    found = intervals(labels, p, positive=1)
    assert bounds(found["accuracy"]) == [round(50 / (50 + 1.959964**2), 4), 1.0]
    assert (bounds(found["auc"]), found["auc"].method) == ([0.9159, 1.0], "Newcombe")
    grouped = intervals(labels, p, positive=1, groups=[f"{row // 5}" for row in range(50)])
    assert bounds(grouped["recall"]) == [round(4 / (4 + 1.959964**2), 4), 1.0]


def test_patients_make_the_interval_wider_than_slices_do():
    """Five copies of each image: with their patients known the interval is that of fewer images."""
    labels, p = scattered(60)
    copies = np.repeat(np.arange(60), 5)
    groups = [f"patient {row}" for row in copies]
    naive = intervals(labels[copies], p[copies], positive=1)
    grouped = intervals(labels[copies], p[copies], positive=1, groups=groups)
    once = intervals(labels, p, positive=1, groups=[f"patient {row}" for row in range(60)])
    for metric in METRICS:
        ratio = (grouped[metric].high - grouped[metric].low) / (naive[metric].high - naive[metric].low)
        assert 1.8 < ratio < 2.7, metric  # sqrt(5) = 2.2
        assert not grouped[metric].per_slice
        assert naive[metric].per_slice
        assert once[metric].high - once[metric].low == pytest.approx(
            grouped[metric].high - grouped[metric].low, rel=0.1
        )


def test_groups_that_nobody_has_are_no_groups():
    labels, p = scattered()
    assert intervals(labels, p, positive=1, groups=[None] * 120) == intervals(labels, p, positive=1)


def test_the_bootstrap_says_what_the_closed_forms_say_where_both_serve():
    labels, p = scattered(400)
    closed = intervals(labels, p, positive=1)
    drawn = intervals(labels, p, positive=1, groups=[f"{row:03d}" for row in range(400)])
    for metric in METRICS:
        assert drawn[metric].low == pytest.approx(closed[metric].low, abs=0.01), metric
        assert drawn[metric].high == pytest.approx(closed[metric].high, abs=0.01), metric


def test_the_same_predictions_give_the_same_bounds_whatever_their_order():
    labels, p = scattered()
    groups = [f"{row // 3}" for row in range(120)]
    order = np.random.default_rng(2).permutation(120)
    first = intervals(labels, p, positive=1, groups=groups)
    second = intervals(labels[order], p[order], positive=1, groups=[groups[row] for row in order])
    for metric in METRICS:
        assert (first[metric].low, first[metric].high) == pytest.approx(
            (second[metric].low, second[metric].high), abs=1e-12
        )


def test_three_classes_have_intervals_of_their_means():
    labels, p = scattered(150, classes=3)
    found = intervals(labels, p, positive=None)
    assert found["accuracy"].method == "Wilson"
    assert found["balanced_accuracy"].method == "Newcombe"
    assert {found[m].method for m in ("f1", "auc", "brier")} == {"bootstrap over 150 images"}


@given(st.integers(0, 10_000), st.booleans(), st.integers(2, 3), st.sampled_from(["scores", "hard-labels"]))
@settings(max_examples=30, deadline=None)
def test_an_interval_holds_its_value_and_stays_between_its_limits(seed, grouped, classes, auc):
    labels, p = scattered(30, seed, classes)
    groups = [f"{row // 2}" for row in range(30)] if grouped else None
    found = intervals(labels, p, positive=0, groups=groups, auc=auc)
    values = scores(labels, p, positive=0, auc=auc)
    for metric in METRICS:
        interval, value = found[metric], values[metric].value
        if interval.low is None:
            assert interval.reason
        else:
            assert 0 <= interval.low <= value <= interval.high <= 1, metric


def test_a_higher_level_gives_a_wider_interval():
    labels, p = scattered()
    for groups in (None, [f"{row // 3}" for row in range(120)]):
        narrow = intervals(labels, p, positive=1, groups=groups, level=0.8)
        wide = intervals(labels, p, positive=1, groups=groups, level=0.99)
        assert all(wide[m].low < narrow[m].low < narrow[m].high < wide[m].high for m in METRICS)


def test_closed_forms_leave_out_what_is_undefined():
    labels, p = predictions(0, 10, 0, 10)
    assert "auc" in closed_forms(Part(labels, p, ["x"] * 20), positive=1)
    assert "auc" not in closed_forms(Part(labels[:10], p[:10], ["x"] * 10), positive=1)


def test_newcombes_interval_of_an_area_solves_its_equation():
    """(A - t)² = z² V(t) at both ends (Newcombe 2006, part 2), with V at t by hand from the area alone."""
    for area, m, n in ((0.7, 20, 30), (0.995, 98, 105)):
        for t in of_area(area, m, n):
            n_star = (m + n) / 2 - 1
            variance = t * (1 - t) * (1 + n_star * ((1 - t) / (2 - t) + t / (1 + t))) / (m * n)
            assert (area - t) ** 2 == pytest.approx(1.959963984540054**2 * variance, rel=1e-6)


def test_a_nearly_perfect_area_is_not_narrower_than_newcombes():
    labels = np.repeat([0, 1], 50)
    p = np.linspace(0.01, 0.99, 100)
    p[[49, 50]] = p[[50, 49]]
    for groups, m in ((None, 50), ([f"{row // 2}" for row in range(100)], 25)):
        found = metric_interval(labels, np.column_stack([1 - p, p]), "auc", positive=1, groups=groups)
        assert found.method.endswith("or Newcombe, the wider")
        assert found.low <= of_area(2499 / 2500, m, m)[0]


def test_brier_summed_over_classes_may_exceed_one():
    labels = np.arange(60) % 3
    p = 0.9 * np.eye(3)[(labels + np.arange(60) // 30 % 2 + 1) % 3] + 0.1 / 3
    found = metric_interval(labels, p, "brier", positive=None)
    value = scores(labels, p, positive=None)["brier"].value
    assert value > 1
    assert found.low is None or 0 <= found.low <= value <= found.high <= 2
