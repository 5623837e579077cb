"""Calibration: when there is none, by hand, against others' code, its properties, and its bias."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.calibration import FEWEST_UNITS, Calibration, calibration, calibration_of
from harness.errors import PredictionError
from harness.resamples import Part, units_of


def of(stated, labels, **options) -> Calibration:
    p = np.asarray(stated, dtype=np.float64)
    return calibration(np.asarray(labels), np.column_stack([1 - p, p]), positive=1, **options)


def drawn(n: int, seed: int = 0, slope: float = 1.0, intercept: float = 0.0):
    """Stated probabilities whose logits, times `slope` and plus `intercept`, are the true ones."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.standard_normal(n)
    true = 1 / (1 + np.exp(-(slope * logits + intercept)))
    return 1 / (1 + np.exp(-logits)), (rng.random(n) < true).astype(np.int64)


def test_probabilities_that_are_none_are_refused():
    with pytest.raises(PredictionError, match="does not sum to 1"):
        calibration(np.array([0, 1]), np.array([[0.5, 0.6], [0.5, 0.5]]), positive=1)
    with pytest.raises(PredictionError, match="not finite"):
        calibration(np.array([0, 1]), np.array([[np.nan, 0.6], [0.5, 0.5]]), positive=1)


def test_hard_decisions_have_a_calibration_error_and_neither_slope_nor_intercept():
    stated, labels = np.repeat([0.0, 1.0], 20), np.r_[np.repeat([0, 1], [15, 5]), np.repeat([0, 1], [5, 15])]
    found = of(stated, labels)
    assert found.ece.value == pytest.approx(0.25)
    assert found.slope.value is None
    assert found.slope.reason == found.intercept.reason == "probabilities of 0 and 1 have no logit (40 of 40)"


def test_classes_that_are_parted_perfectly_have_no_slope_but_the_reason():
    found = of(np.linspace(0.1, 0.9, 40), np.repeat([0, 1], 20))
    assert found.slope.value is None
    assert "part the classes perfectly" in found.slope.reason
    assert found.intercept.value == pytest.approx(0.0, abs=1e-9)


def test_a_tie_at_the_border_of_two_parted_classes_still_has_no_slope():
    stated = np.r_[np.linspace(0.1, 0.5, 20), np.linspace(0.5, 0.9, 20)]
    assert of(stated, np.repeat([0, 1], 20)).slope.value is None
    assert of(stated, np.repeat([1, 0], 20)).slope.value is None


def test_equal_probabilities_have_no_slope_and_one_bin():
    found = of(np.full(40, 0.5), np.repeat([0, 1], [30, 10]))
    assert found.slope.reason == "all probabilities are equal"
    assert found.intercept.value == pytest.approx(math.log(10 / 30))
    assert found.ece.value == pytest.approx(0.25)


def test_a_test_part_of_one_class_has_no_slope_and_no_intercept():
    found = of(np.linspace(0.1, 0.9, 40), np.ones(40, dtype=int))
    assert found.slope.reason == found.intercept.reason == "the test part has one class"
    assert found.error.value is not None


def test_few_images_have_no_calibration_error():
    stated, labels = drawn(FEWEST_UNITS - 1)
    found = of(stated, labels)
    assert (found.error.value, found.ece.value, found.ece_if_calibrated, found.bins) == (None, None, None, 0)
    assert found.error.reason == "a test part has fewer than 16 images"
    assert of(*drawn(FEWEST_UNITS)).bins == 2


def test_many_images_of_few_patients_have_no_calibration_error():
    stated, labels = drawn(200)
    found = of(stated, labels, groups=[f"{row % 15}" for row in range(200)])
    assert found.error.reason == "a test part has fewer than 16 patients"


def test_the_only_patient_of_a_class_leaves_chance_unknown():
    labels = np.repeat([0, 1], [40, 4])
    groups = [*map(str, range(40)), *["the one"] * 4]
    found = of(np.linspace(0.1, 0.9, 44), labels, groups=groups)
    assert found.error.value is None
    assert found.error.reason.endswith("one class has a single unit: its spread is not known")
    assert found.ece.value is not None
    assert (found.intercept.interval.low, found.intercept.interval.reason) == (
        None,
        "one class has a single unit: its spread is not known",
    )


def test_probabilities_that_are_right_to_the_last_image_have_no_interval():
    """Every positive at 1, every negative at 0: no image differs from its bin."""
    found = of(np.repeat([0.0, 1.0], 20), np.repeat([0, 1], 20))
    assert found.error.value == 0
    assert found.error.interval.low is None
    assert "chance is not known" in found.error.interval.reason


def test_the_error_by_hand():
    """16 images in two bins: 4 of 8 at .25, 6 of 8 at .75; differences .25 and 0, mean square .03125.

    Chance, within the 10 positives and 6 negatives: of the first bin the residuals are .5 (4 times) and -.5
    (4 times), so 10/9 (1 - 4/10) + 6/5 (1 - 4/6) = 16/15; of the second .25 (6) and -.75 (2), so
    10/9 (.375 - .225) + 6/5 (1.125 - .375) = 16/15; both over 8 squared and twice: 1/60.
    """
    found = of(np.repeat([0.25, 0.75], 8), [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0])
    assert found.ece.value == pytest.approx(0.125)
    assert found.error.value == pytest.approx(math.sqrt(0.03125 - 1 / 60))


def test_the_top_label_of_three_classes_by_hand():
    """Largest probability .6 twenty times, right 16 times; .8 twenty times, right 16 times: .2 and 0."""
    labels = np.tile([0, 1, 2, 0], 10)
    p = np.full((40, 3), 0.0)
    for row, label in enumerate(labels):
        sure = 0.6 if row < 20 else 0.8
        decided = (label + (row % 5 == 0)) % 3
        p[row] = (1 - sure) / 2
        p[row, decided] = sure
    found = calibration(labels, p, positive=1)
    assert found.top_label
    assert found.ece.value == pytest.approx(0.1)
    assert found.slope.reason == "defined for two classes of which one is positive"


def test_two_classes_without_a_positive_one_are_judged_by_the_top_label():
    stated, labels = drawn(200)
    p = np.column_stack([1 - stated, stated])
    assert calibration(labels, p, positive=None).top_label
    assert not calibration(labels, p, positive=1).top_label


def test_the_ece_is_that_of_bins_of_equally_many_images():
    stated, labels = drawn(500)
    order = np.argsort(stated).reshape(10, 50)
    expected = np.mean([abs(labels[rows].mean() - stated[rows].mean()) for rows in order])
    assert of(stated, labels).ece.value == pytest.approx(expected, abs=1e-12)


def test_slope_and_intercept_are_those_of_statsmodels():
    api = pytest.importorskip("statsmodels.api")
    stated, labels = drawn(300, slope=0.6, intercept=0.4)
    logits = np.log(stated / (1 - stated))
    slope = api.Logit(labels, api.add_constant(logits)).fit(disp=0, tol=1e-12).params[1]
    family = api.families.Binomial()
    intercept = api.GLM(labels, np.ones(300), family=family, offset=logits).fit(tol=1e-12).params[0]
    found = of(stated, labels)
    assert found.slope.value == pytest.approx(slope, abs=1e-8)
    assert found.intercept.value == pytest.approx(intercept, abs=1e-8)


def test_the_standard_error_of_the_slope_is_that_of_refits_to_resampled_patients():
    api = pytest.importorskip("statsmodels.api")
    stated, labels = drawn(300, slope=0.8)
    logits = np.log(stated / (1 - stated))
    rng = np.random.default_rng(0)
    refitted = []
    for _ in range(400):
        rows = np.concatenate([rng.choice(np.flatnonzero(labels == k), (labels == k).sum()) for k in (0, 1)])
        refitted.append(api.Logit(labels[rows], api.add_constant(logits[rows])).fit(disp=0).params[1])
    interval = of(stated, labels).slope.interval
    fewest = min((labels == k).sum() for k in (0, 1))
    error = (interval.high - interval.low) / (2 * stats.t.ppf(0.975, fewest - 1))
    assert error == pytest.approx(np.std(refitted), rel=0.12)


def test_extreme_probabilities_still_have_a_slope():
    stated, labels = drawn(200)
    stated[0], labels[0] = 1e-300, 0
    stated[1], labels[1] = 1 - 1e-16, 0
    assert math.isfinite(of(stated, labels).slope.value)


def test_patients_make_chance_larger_than_slices_do():
    """Each of 60 patients four times over: a quarter of the independent images."""
    stated, labels = (np.repeat(values, 4) for values in drawn(60))
    alone = of(stated, labels)
    grouped = of(stated, labels, groups=[f"{row // 4}" for row in range(240)])
    assert grouped.slope.value == alone.slope.value
    width = grouped.slope.interval.high - grouped.slope.interval.low
    assert width == pytest.approx(2 * (alone.slope.interval.high - alone.slope.interval.low), rel=0.1)
    assert grouped.error.value < alone.error.value
    assert (alone.slope.interval.per_slice, grouped.slope.interval.per_slice) == (True, False)


def test_the_plain_ece_of_a_calibrated_model_is_what_chance_makes_of_it():
    """The known bias upward: about 8 points with 200 images and 10 bins, none of them real."""
    found = [of(*drawn(200, seed)) for seed in range(200)]
    ece = np.mean([one.ece.value for one in found])
    assert ece == pytest.approx(np.mean([one.ece_if_calibrated for one in found]), rel=0.1)
    assert ece > 0.06
    assert np.mean([one.error.value for one in found]) < 0.035


def test_the_calibration_error_does_not_grow_where_the_test_part_shrinks():
    """Logits twice too large: the same error on 200 as on 50000 images, where the plain ECE is larger on the few."""
    large = of(*drawn(50_000, slope=0.5))
    small = [of(*drawn(200, seed, slope=0.5)) for seed in range(200)]
    squares = np.mean([one.error.value**2 for one in small])
    assert math.sqrt(squares) == pytest.approx(large.error.value, rel=0.1)
    assert np.mean([one.ece.value for one in small]) > large.ece.value


def test_an_interval_of_a_calibrated_model_begins_at_zero():
    begins = [of(*drawn(200, seed)).error.interval.low == 0 for seed in range(100)]
    assert np.mean(begins) > 0.9


def test_the_interval_is_exact_where_all_bins_have_the_same_variance():
    """Then it is the non-central chi-squared distribution itself, as SciPy has it."""
    from harness.calibration import _non_centrality

    for x, degrees in ((3.0, 4.0), (40.0, 4.7), (5e4, 10.0)):
        low, high = _non_centrality(x, degrees, 0.975), _non_centrality(x, degrees, 0.025)
        if low > 0:
            assert stats.ncx2.cdf(x, degrees, low) == pytest.approx(0.975, abs=1e-8)
        assert stats.ncx2.cdf(x, degrees, high) == pytest.approx(0.025, abs=1e-8)
    assert _non_centrality(0.01, 4.0, 0.025) == 0


def test_seeds_on_the_same_images_have_the_mean_slope_and_the_root_of_the_mean_square():
    stated, labels = drawn(300, slope=0.3)
    units = units_of([str(row) for row in range(300)], None)
    parts = [Part(labels, np.column_stack([1 - p, p]), units, 0.5) for p in (stated, stated**2)]
    alone = [
        calibration_of([Part(part.labels, part.probabilities, units)], positive=1, grouped=False)
        for part in parts
    ]
    both = calibration_of(parts, positive=1, grouped=False)
    assert both.slope.value == pytest.approx(np.mean([one.slope.value for one in alone]))
    assert both.error.value**2 == pytest.approx(np.mean([one.error.value**2 for one in alone]))
    assert both.ece.value == pytest.approx(np.mean([one.ece.value for one in alone]))


def test_a_seed_repeated_changes_nothing():
    stated, labels = drawn(200)
    units = units_of([str(row) for row in range(200)], None)
    p = np.column_stack([1 - stated, stated])
    once = calibration_of([Part(labels, p, units)], positive=1, grouped=False)
    twice = calibration_of([Part(labels, p, units, 0.5)] * 2, positive=1, grouped=False)
    assert twice.error.value == pytest.approx(once.error.value)
    assert twice.error.interval.high == pytest.approx(once.error.interval.high)
    assert twice.slope.interval.low == pytest.approx(once.slope.interval.low)


def test_the_ece_by_chance_by_hand():
    """Two bins of 8 images, each right with .5: a mean absolute deviation of 8 C(7,3) / 2**8 images a bin."""
    found = of(np.repeat([0.5 - 1e-9, 0.5], 8), [0, 1] * 8)
    assert found.bins == 2
    assert found.ece_if_calibrated == pytest.approx(8 * math.comb(7, 3) / 2**8 / 8, rel=0.05)


@given(st.integers(0, 10_000), st.booleans(), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_the_order_of_images_changes_nothing_and_every_value_lies_in_its_interval(seed, grouped, decimals):
    rng = np.random.default_rng(seed)
    stated, labels = drawn(60, seed, slope=rng.uniform(-1, 3))
    stated = np.clip(np.round(stated, decimals), 0.01, 0.99)  # ties
    groups = [str(number) for number in rng.integers(0, 30, 60)] if grouped else None
    order = rng.permutation(60)
    found = of(stated, labels, groups=groups)
    moved = of(stated[order], labels[order], groups=[groups[i] for i in order] if groups else None)
    for name in ("error", "slope", "intercept", "ece"):
        one, other = getattr(found, name), getattr(moved, name)
        assert one.reason == other.reason
        assert (one.value is None) == (one.reason is not None)
        if one.value is not None:
            assert one.value == pytest.approx(other.value, abs=1e-9)
        if one.interval is not None and one.interval.low is not None:
            assert one.interval.low == pytest.approx(other.interval.low, abs=1e-9)
            assert one.interval.low - 1e-12 <= one.value <= one.interval.high + 1e-12
