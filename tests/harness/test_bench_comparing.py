from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from harness.bench import NothingMeasured, compare, slowed
from harness.bench.comparing import _judged
from harness.bench.deciding import LOOKS, MISS, median_bounds
from harness.bench.sampling import Sample, calls_of
from harness.counters import count

A = np.random.default_rng(0).random((160, 160))


def product() -> np.ndarray:
    return A @ A


def pairs(cpu: float, wall: float, n: int = 16, noise: float = 0.0) -> list[tuple[Sample, Sample]]:
    """Rounds in which the second takes so many times as long, give or take."""
    factors = np.exp(noise * np.random.default_rng(0).normal(size=n))
    return [(Sample(1.0, 1.0), Sample(cpu * factor, wall * factor)) for factor in factors]


class TestBounds:
    @pytest.mark.parametrize("n", LOOKS)
    def test_miss_the_median_as_seldom_as_they_say(self, n: int) -> None:
        low, _, _ = median_bounds([float(k) for k in range(1, n + 1)])
        # The k-th smallest lies above the median when fewer than k of n values lie below it.
        assert binom.cdf(low - 1, n, 0.5) <= MISS < binom.cdf(low, n, 0.5)

    def test_are_none_for_too_few_rounds(self) -> None:
        assert median_bounds([1.0, 2.0, 3.0]) == (-math.inf, 2.0, math.inf)

    def test_hardly_move_when_one_round_in_ten_takes_a_hundred_times_as_long(self) -> None:
        values = np.random.default_rng(0).normal(1, 0.01, 200)
        disturbed = np.where(np.arange(200) % 10 == 0, 100 * values, values)
        assert median_bounds(disturbed.tolist())[1] == pytest.approx(
            median_bounds(values.tolist())[1], abs=0.005
        )


class TestVerdict:
    @pytest.mark.parametrize(
        ("cpu", "wall", "verdict"),
        [(1.0, 1.0, "within"), (1.15, 1.15, "slower"), (1.0, 1.2, "waiting"), (0.3, 0.3, "implausible")],
    )
    def test_is_settled_where_all_rounds_agree(self, cpu: float, wall: float, verdict: str) -> None:
        found = _judged(pairs(cpu, wall, noise=0.01), limit=1.07, least=0.5)
        assert (found.verdict, found.decided) == (verdict, True)
        assert "\n" not in str(found)

    def test_is_not_settled_by_rounds_that_scatter_around_the_limit(self) -> None:
        found = _judged(pairs(1.06, 1.06, noise=0.2), limit=1.07, least=0.5)
        assert not found.decided
        assert "did not settle it" in str(found)

    def test_does_not_take_the_waiting_of_a_busy_machine_for_the_function_s(self) -> None:
        noisy = [(a, Sample(1.0, b.wall)) for a, b in pairs(1.0, 1.2, noise=0.3)]
        assert _judged(noisy, limit=1.07, least=0.5).verdict == "within"


@pytest.mark.slow
class TestComparison:
    def test_of_a_function_with_itself_passes(self) -> None:
        found = compare(product, product, limit=1.25)
        assert found.passed, found
        assert found.interval[0] <= found.ratio <= found.interval[1]

    def test_finds_a_function_that_does_half_as_much_again(self) -> None:
        found = compare(product, slowed(product, 0.5, lambda: A[:4] @ A), limit=1.25)
        assert found.verdict == "slower", found

    def test_finds_a_function_that_sleeps_although_it_computes_no_more(self) -> None:
        def sleepy() -> np.ndarray:
            time.sleep(0.001)
            return product()

        found = compare(product, sleepy, limit=1.3, looks=(16,))
        assert not found.passed, found
        assert found.wall_ratio > 2

    def test_takes_a_function_that_returns_what_it_kept_for_one_that_did_no_work(self) -> None:
        kept = product()
        found = compare(product, lambda: kept.sum(), limit=1.25)
        assert found.verdict == "implausible", found


def counted(times: Callable[[int], int]) -> Callable[[], Any]:
    """A function that moves a counter by `times` of the number of its call."""
    calls = 0

    def function() -> np.ndarray:
        nonlocal calls
        calls += 1
        count("made-work", times(calls))
        return product()

    return function


class TestNothingMeasured:
    @pytest.mark.parametrize("empty", [lambda: None, lambda: 1 + 1], ids=["none", "constant"])
    def test_is_said_of_a_function_that_does_nothing(self, empty: Callable[[], Any]) -> None:
        with pytest.raises(NothingMeasured, match="does nothing"):
            compare(empty, empty, limit=1.25)

    def test_is_said_when_a_counter_stands_still(self) -> None:
        with pytest.raises(NothingMeasured, match="no counter 'made-work'"):
            compare(product, product, limit=1.25, counts=["made-work"])

    def test_is_said_when_only_the_first_calls_work(self) -> None:
        with pytest.raises(NothingMeasured, match="what is timed is not the work"):
            compare(product, counted(lambda call: 1 if call < 3 else 0), limit=1.25, counts=["made-work"])

    @pytest.mark.slow
    def test_is_not_said_when_every_call_works(self) -> None:
        assert compare(product, counted(lambda call: 2), limit=1.4, counts=["made-work"]).passed

    def test_is_said_when_the_results_differ(self) -> None:
        with pytest.raises(NothingMeasured, match="do not give the same"):
            compare(product, lambda: product() + 1, limit=1.25, same=np.array_equal)

    def test_a_limit_below_what_is_plausible_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"limit 0\.4"):
            compare(product, product, limit=0.4)


def test_a_sample_holds_as_many_calls_as_the_clock_needs() -> None:
    assert calls_of(lambda: time.sleep(0.02)) == 1
    assert calls_of(lambda: sum(range(2000))) > 10


def test_a_slowed_function_spends_its_share_on_average(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    def spend(seconds: float) -> Callable[[], None]:
        def spent() -> None:
            nonlocal clock
            clock += seconds

        return spent

    monkeypatch.setattr("harness.bench.comparing.time.process_time", lambda: clock)
    slow = slowed(spend(1.0), 0.5, spend(0.125))
    for _ in range(101):
        slow()
    assert clock == 151.5  # a unit of an eighth divides what is owed: half a second a call


def test_what_a_slowed_function_does_too_much_is_less_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, units = 0.0, 0

    def work() -> None:
        nonlocal clock
        clock += 1.0

    def unit() -> None:
        nonlocal clock, units
        clock, units = clock + 2.0, units + 1

    monkeypatch.setattr("harness.bench.comparing.time.process_time", lambda: clock)
    slow = slowed(work, 0.5, unit)
    done = [(slow(), units)[1] for _ in range(8)]
    assert done == [1, 1, 1, 1, 2, 2, 2, 2]
