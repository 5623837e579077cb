"""Tests of two models on the same images: when there is none, by hand, against others' code."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.paired import (
    bootstrap_test,
    corrected_resampled_t,
    delong_test,
    holm,
    mcnemar,
    smallest_difference,
)


def decisions(both: int, only_first: int, only_second: int, neither: int):
    first = np.repeat([True, True, False, False], [both, only_first, only_second, neither])
    second = np.repeat([True, False, True, False], [both, only_first, only_second, neither])
    return first, second


def test_models_that_decide_alike_are_not_told_apart():
    test = mcnemar(*decisions(10, 0, 0, 3))
    assert (test.difference, test.p, test.error) == (0.0, 1.0, 0.0)


def test_mcnemar_by_hand():
    """6 against 1 of 7 discordant: 2 (1 + 7)/128 less 7/128 = 9/128."""
    test = mcnemar(*decisions(20, 6, 1, 3))
    assert test.p == 9 / 128
    assert test.difference == 5 / 30
    assert test.error == pytest.approx(math.sqrt(7 - 25 / 30) / 30)


@given(st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_mcnemar_is_the_exact_binomial_test_less_half_of_what_was_seen(only_first, only_second):
    discordant = only_first + only_second
    seen = stats.binom.pmf(only_first, discordant, 0.5)
    exact = stats.binomtest(only_first, discordant, 0.5).pvalue if discordant else 1.0
    expected = 1.0 if only_first == only_second else exact - seen
    assert mcnemar(*decisions(5, only_first, only_second, 5)).p == pytest.approx(expected, abs=1e-12)


def test_the_exact_part_of_mcnemar_is_that_of_statsmodels():
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    for b, c in ((6, 1), (12, 3), (30, 45)):
        exact = tables.mcnemar([[20, b], [c, 3]], exact=True).pvalue
        assert mcnemar(*decisions(20, b, c, 3)).p == pytest.approx(exact - stats.binom.pmf(c, b + c, 0.5))


def test_the_order_of_two_models_turns_the_sign_and_nothing_else():
    first, second = decisions(20, 9, 2, 3)
    one, other = mcnemar(first, second), mcnemar(second, first)
    assert (one.difference, one.p) == (-other.difference, other.p)


def test_delongs_test_of_a_score_and_its_double_finds_no_difference():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 50) == 1, rng.standard_normal(50)
    test = delong_test(labels, scores, 2 * scores)
    assert (test.difference, test.p) == (0.0, 1.0)


def test_delongs_test_of_independent_scores_adds_their_variances():
    """A score that puts all in order and one that orders nothing: difference 1/2, variance of the second alone."""
    is_positive = np.repeat([True, False], 4)
    perfect = np.arange(8)[::-1].astype(float)
    useless = np.tile([1.0, 2.0], 4)
    test = delong_test(is_positive, perfect, useless)
    assert test.difference == 0.5
    # of each class the placements are 1/4, 3/4, 1/4, 3/4: variance 1/12 over 4 images, twice
    assert test.error == pytest.approx(math.sqrt(2 * (1 / 12) / 4))
    assert test.p == pytest.approx(2 * stats.norm.sf(0.5 / math.sqrt(1 / 24)))


def test_the_bootstrap_test_is_students_t_of_the_spread_over_resamples():
    drawn = np.tile([0.01, 0.03], 1000)
    test = bootstrap_test(0.02, drawn, 30)
    assert test.error == pytest.approx(0.01, rel=1e-3)
    assert test.p == pytest.approx(2 * stats.t.sf(0.02 / drawn.std(ddof=1), 30))


def test_a_difference_undefined_in_many_resamples_is_not_tested():
    drawn = np.r_[np.full(200, np.nan), np.linspace(0, 0.1, 1800)]
    test = bootstrap_test(0.05, drawn, 30)
    assert test.p is None
    assert test.reason == "undefined in many resamples"


def test_the_single_unit_of_a_class_is_no_test():
    assert bootstrap_test(0.05, np.linspace(0, 0.1, 2000), 0).p is None


def test_a_difference_without_any_spread_is_not_called_certain():
    test = bootstrap_test(0.05, np.full(2000, 0.05), 30)
    assert test.p is None
    assert "same in every resample" in test.reason
    assert bootstrap_test(0.0, np.zeros(2000), 30).p == 1.0


def test_the_corrected_t_test_by_hand():
    """Differences .01, .02, .03: mean .02, variance .0001; (1/3 + 1/4) of it has the root .0076376."""
    test = corrected_resampled_t([0.01, 0.02, 0.03], 0.25)
    assert test.error == pytest.approx(0.0076376, abs=1e-7)
    assert test.degrees == 2
    assert test.p == pytest.approx(2 * stats.t.sf(0.02 / 0.00763763, 2), rel=1e-5)


def test_without_the_correction_it_is_the_paired_t_test():
    differences = [0.02, 0.05, -0.01, 0.03, 0.04]
    expected = stats.ttest_1samp(differences, 0).pvalue
    assert corrected_resampled_t(differences, 0.0).p == pytest.approx(expected)
    assert corrected_resampled_t(differences, 0.25).p > expected


def test_one_test_part_has_no_corrected_t_test():
    test = corrected_resampled_t([0.1], 0.25)
    assert (test.p, test.reason) == (None, "a single test part has no spread")


def test_holm_by_hand():
    """3 x .01; 2 x .03; then .04, which must not fall below what came before. The largest stays at 1."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_holm_is_that_of_statsmodels(p_values):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1], abs=1e-12)


def test_the_smallest_difference_is_that_of_the_sample_size_formula_for_paired_shares():
    """Connor (1987): n = (1.96 sqrt(psi) + .8416 sqrt(psi - D²))² / D²; for a discordance of 10 % and D = .05
    n is 312, and 312 such images give a standard error whose smallest difference is .05."""
    psi, difference = 0.1, 0.05
    n = (1.959964 * math.sqrt(psi) + 0.8416212 * math.sqrt(psi - difference**2)) ** 2 / difference**2
    error = math.sqrt((psi - difference**2) / n)
    assert round(n) == 312
    assert smallest_difference(error) == pytest.approx(difference, rel=0.01)


def test_more_tests_make_the_smallest_difference_larger():
    assert smallest_difference(0.01, 40, alpha=0.05 / 66) > smallest_difference(0.01, 40)
    assert smallest_difference(0.01, 4) > smallest_difference(0.01, 40) > smallest_difference(0.01)
