"""Losses and their tests against a margin: by hand, by an independent maximum, and by what must hold of any."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_factory import record_of

from harness.board_cells import entry_of, read_cells
from harness.board_draws import draws_of
from harness.board_rows import Mean
from harness.gate.deciding import Finding, decided
from harness.gate.losses import Loss, paired_loss, tango, tango_bounds, unpaired_loss
from harness.intervals import Interval

PATIENTS = [f"patient {row // 4}" for row in range(80)]
GOOD, FAIR = [[36, 4], [4, 36]], [[28, 12], [12, 28]]


def lost(metric, margin=0.0, groups=None, before=GOOD, now=FAIR, **changes):
    cells = read_cells(
        [
            entry_of(record_of(before, groups, model__label="a", **changes)),
            entry_of(record_of(now, groups, model__label="b", **changes)),
        ]
    )
    return paired_loss(metric, [cells[0]], [cells[1]], draws_of(cells, "COVID"), margin)


def likelihood(only_first, only_second, n, share, difference):
    """Of the multinomial (share + difference, share, the rest); -inf outside."""
    parts = (
        (only_first, share + difference),
        (only_second, share),
        (n - only_first - only_second, 1 - 2 * share - difference),
    )
    if any(p < -1e-12 or (p <= 0 and count) for count, p in parts):
        return -math.inf
    return sum(count * math.log(p) for count, p in parts if count)


def tango_by_search(only_first, only_second, n, difference):
    """The statistic with the constrained maximum found on a grid instead of by the quadratic equation."""
    low, high = max(0.0, -difference), (1 - difference) / 2
    for _ in range(8):
        grid = np.linspace(low, high, 101)
        best = int(np.argmax([likelihood(only_first, only_second, n, s, difference) for s in grid]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 100)]
    share = (low + high) / 2
    return (only_first - only_second - n * difference) / math.sqrt(
        n * (2 * share + difference * (1 - difference))
    )


def test_tangos_own_example():
    assert tango(0, 1, 44, -0.1) == pytest.approx(1.709, abs=5e-4)


def test_without_a_margin_tango_is_mcnemars_statistic():
    assert tango(9, 4, 50, 0.0) == pytest.approx((9 - 4) / math.sqrt(13))


@pytest.mark.parametrize("counts", [(25, 5, 496), (3, 0, 40), (7, 7, 60), (1, 9, 203)])
@pytest.mark.parametrize("difference", [0.01, 0.05, -0.03, 0.2])
def test_tango_agrees_with_a_search_for_the_constrained_maximum(counts, difference):
    assert tango(*counts, difference) == pytest.approx(
        tango_by_search(*counts, difference), rel=1e-5, abs=1e-6
    )


@given(
    st.integers(0, 30), st.integers(0, 30), st.integers(0, 400), st.floats(-0.9, 0.9), st.floats(0.001, 0.09)
)
def test_tango_falls_with_the_difference_and_changes_sign_with_the_sides(first, second, others, at, step):
    n = first + second + others
    if n == 0:
        return
    assert tango(first, second, n, at + step) <= tango(first, second, n, at) + 1e-9
    assert tango(second, first, n, -at) == pytest.approx(-tango(first, second, n, at))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 400))
def test_tangos_bounds_hold_the_estimate_and_lie_within_minus_one_and_one(first, second, others):
    n = first + second + others
    low, high = tango_bounds(first, second, n)
    assert -1 <= low <= (first - second) / n <= high <= 1


def test_a_loss_is_what_was_before_less_what_is_now():
    found = lost("accuracy")
    assert (found.before, found.now, found.value) == (0.9, 0.7, pytest.approx(0.2))
    assert found.paired


def test_accuracy_of_independent_images_has_the_mid_p_against_nothing_and_tango_against_a_margin():
    found = lost("accuracy", margin=0.05)
    only_before, only_now = 16, 0  # the same four of each class are wrong on both sides, eight more now
    assert found.p_any == pytest.approx(0.5**16 / 2)  # half of the one outcome as extreme
    z = tango(only_before, only_now, 80, 0.05)
    assert found.p_margin == pytest.approx(math.erfc(z / math.sqrt(2)) / 2)
    assert (found.low, found.high) == tango_bounds(only_before, only_now, 80)


def test_the_other_metrics_and_patients_are_tested_by_their_standard_error():
    from scipy.stats import t

    for found in (lost("f1", margin=0.05), lost("accuracy", margin=0.05, groups=PATIENTS)):
        assert found.p_margin == pytest.approx(t.sf((found.value - 0.05) / found.error, found.degrees))
        reach = t.ppf(0.975, found.degrees) * found.error
        assert (found.low, found.high) == pytest.approx((found.value - reach, found.value + reach))
    assert lost("f1", groups=PATIENTS).method == "paired bootstrap over groups"


@pytest.mark.parametrize("metric", ["f1", "accuracy", "auc"])
def test_a_larger_margin_never_makes_a_loss_surer(metric):
    found = [lost(metric, margin=margin).p_margin for margin in (0.0, 0.02, 0.1, 0.3)]
    assert found == sorted(found)
    assert found[0] == pytest.approx(lost(metric).p_any)


def test_a_gain_is_no_loss():
    found = lost("accuracy", before=FAIR, now=GOOD)
    assert found.p_any > 0.999
    assert found.p_gain < 0.001


def test_an_undefined_metric_has_no_test_but_a_reason():
    found = lost("auc", before=[[0, 0], [4, 36]], now=[[0, 0], [2, 38]])
    assert (found.value, found.p_any) == (None, None)
    assert "no pair to put in order" in found.reason


def stored(value, low, high):
    return Mean(value, interval=Interval(low, high, "made"))


def test_without_pairs_the_intervals_are_squared_and_added():
    found = unpaired_loss(stored(0.90, 0.86, 0.93), stored(0.80, 0.75, 0.84), margin=0.0)
    assert found.value == pytest.approx(0.10)
    assert found.low == pytest.approx(0.10 - math.hypot(0.04, 0.04))
    assert found.high == pytest.approx(0.10 + math.hypot(0.03, 0.05))
    assert not found.paired


def test_without_an_interval_there_is_no_unpaired_test():
    found = unpaired_loss(Mean(0.9), stored(0.8, 0.7, 0.9), margin=0.0)
    assert (found.p_any, found.reason) == (None, "no interval")


def finding(p, *, low=-0.01, high=0.02, p_any=None, p_gain=1.0, verdict="cannot tell"):
    loss = Loss(0.9, 0.89, "made", True, low, high, 0.01, None, p if p_any is None else p_any, p, p_gain)
    return Finding("svm", "quick", "f1", verdict, loss)


@pytest.mark.parametrize(
    ("given_", "verdict"),
    [
        (finding(0.04), "worse"),
        (finding(0.06), "cannot tell"),
        (finding(0.5, p_any=0.01), "perhaps worse"),
        (finding(0.9, high=0.01), "no worse"),
        (finding(0.9, high=0.01, p_any=0.001), "no worse"),
        (finding(0.99, p_any=0.99, p_gain=0.01, high=-0.001), "better"),
    ],
)
def test_a_verdict_follows_from_the_p_values_and_the_upper_bound(given_, verdict):
    ((found,), tests) = decided([given_], 0.01)
    assert (found.verdict, tests) == (verdict, 1)


def test_holm_counts_the_models_that_changed_and_no_others():
    same = finding(1.0, verdict="unchanged")
    missing = Finding("vgg16", "quick", "f1", "missing")
    findings, tests = decided([finding(0.03), same, finding(0.5), missing, same], 0.01)
    assert tests == 2
    assert findings[0].p == pytest.approx(0.06)
    assert [f.verdict for f in findings[1:]] == ["unchanged", "cannot tell", "missing", "unchanged"]


def test_the_smallest_loss_is_the_margin_and_what_a_one_sided_test_finds_beyond_it():
    ((found,), _) = decided([finding(0.5)], 0.01)
    assert found.smallest == pytest.approx(0.01 + (1.6449 + 0.8416) * 0.01, abs=1e-5)
