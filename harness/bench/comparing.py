"""A function held against a reference, in one process: the gate that blocks.

    from harness.bench import compare

    def test_prediction_is_as_fast_as_the_kernel():
        found = compare(kernel, lambda: model.predict(X), limit=1.08)
        assert found.passed, found

The reference is a frozen kernel that does the same work on the same data, so that the ratio says the same on
every machine. Each round takes a sample of both, in random order. What is compared is the time that the
process computed, which other work on the machine disturbs little; a function that waits instead (for a
lock, a disk, a sleep) is found by the time on the wall.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.bench.deciding import LOOKS, median_bounds
from harness.bench.sampling import Sample, calls_of, sampled, undisturbed
from harness.counters import since, snapshot
from harness.errors import NothingMeasured

__all__ = ["Comparison", "Work", "compare", "slowed"]

Work = Callable[[], Any]
Pair = tuple[Sample, Sample]

LEAST_RATIO = 0.5
"""A function that takes less of the reference's time than this didn't do the same work."""


@dataclass(frozen=True)
class Comparison:
    """How many times as long as its reference a function takes.

    `ratio` is the median over `rounds`, `interval` holds the true median with 99.9 % at each look. `verdict`
    is 'within' the limit, 'slower', 'waiting' (slower on the wall alone) or 'implausible' (too fast to have
    done the work); `decided` says whether the interval settled it, or, after the most rounds, the ratio alone.
    `seconds` and `reference_seconds` are the shortest sample of each, a call.
    """

    ratio: float
    interval: tuple[float, float]
    wall_ratio: float
    rounds: int
    limit: float
    verdict: str
    decided: bool
    seconds: float
    reference_seconds: float

    @property
    def passed(self) -> bool:
        return self.verdict == "within"

    def __str__(self) -> str:
        low, high = self.interval
        said = {
            "within": f"within the limit of {self.limit:.3g}",
            "slower": f"slower than the limit of {self.limit:.3g}",
            "waiting": f"waits: {self.wall_ratio:.3f} times as long on the wall, the limit is {self.limit:.3g}",
            "implausible": "too fast to have done the same work",
        }[self.verdict]
        doubt = "" if self.decided else ", by the median alone: the rounds did not settle it"
        return (
            f"{self.ratio:.3f} times the reference's time ({low:.3f} to {high:.3f}, {self.rounds} rounds, "
            f"{self.seconds * 1e3:.4g} ms to {self.reference_seconds * 1e3:.4g} ms): {said}{doubt}"
        )


def compare(
    reference: Work,
    candidate: Work,
    *,
    limit: float,
    same: Callable[[Any, Any], object] | None = None,
    counts: Iterable[str] = (),
    least: float = LEAST_RATIO,
    looks: tuple[int, ...] = LOOKS,
    seed: int = 0,
) -> Comparison:
    """Return whether the candidate takes at most `limit` times as long as the reference, on one thread.

    `same(reference_result, candidate_result)` is asked once and may assert or return False; `counts` are the
    counters of `harness.counters` that each call of the candidate must move, always by as much. Rounds are
    run until the bounds of the median ratio lie on one side of the limit, at most `looks[-1]`.

    Raises `NothingMeasured` when a function does nothing, or not the same each time.
    """
    if not least < limit:
        raise ValueError(f"limit {limit!r}: expected more than {least!r}, the least plausible ratio")
    order = random.Random(seed)
    pairs: list[Pair] = []
    with _one_thread():
        _check_work(reference, candidate, same)
        race = _Race.of(reference, candidate, tuple(counts))
        for look in looks:
            with undisturbed():
                pairs += [race.round(order.random() < 0.5) for _ in range(look - len(pairs))]
            found = _judged(pairs, limit, least)
            if found.decided:
                break
    return found


def slowed(function: Work, share: float, unit: Work) -> Work:
    """Return the function made slower: after each call `unit` is done again and again for `share` of its time.

    For controls: with a small piece of the same work as `unit`, it does so much more of it.
    """

    owed = 0.0

    def more() -> Any:
        nonlocal owed
        start = time.process_time()
        result = function()
        end = time.process_time()
        owed += share * (end - start)
        while owed > 0:  # what is done too much is less the next time
            start = end
            unit()
            end = time.process_time()
            owed -= end - start
        return result

    return more


@contextmanager
def _one_thread() -> Iterator[None]:
    """How well two threads share a product says more about the machine than about the code."""
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else 1
    try:
        with threadpool_limits(1):
            if torch is not None:
                torch.set_num_threads(1)
            yield
    finally:
        if torch is not None:
            torch.set_num_threads(before)


@dataclass(frozen=True)
class _Race:
    """The two functions, how many calls of each make a sample, and what the candidate's calls must count."""

    reference: Work
    candidate: Work
    calls: int
    per_call: Counter[str]
    counts: tuple[str, ...]

    @classmethod
    def of(cls, reference: Work, candidate: Work, counts: tuple[str, ...]) -> _Race:
        per_call = _moved(candidate)
        for name in counts:
            if not per_call[name]:
                raise NothingMeasured(f"the function moved no counter {name!r}: it did not do its work")
        try:
            calls_of(candidate)
            calls = calls_of(reference)
        except ValueError as error:
            raise NothingMeasured(f"{error}: nothing is measured") from error
        return cls(reference, candidate, calls, per_call, counts)

    def round(self, candidate_first: bool) -> Pair:
        if candidate_first:
            mine = self._sample()
            return sampled(self.reference, self.calls), mine
        return sampled(self.reference, self.calls), self._sample()

    def _sample(self) -> Sample:
        before = snapshot()
        sample = sampled(self.candidate, self.calls)
        moved = since(before)
        for name in self.counts:
            if moved[name] != self.calls * self.per_call[name]:
                raise NothingMeasured(
                    f"{self.calls} calls moved counter {name!r} by {moved[name]}, the first one by "
                    f"{self.per_call[name]}: what is timed is not the work"
                )
        return sample


def _check_work(reference: Work, candidate: Work, same: Callable[[Any, Any], object] | None) -> None:
    """Call both once, which also fills what they fill only once."""
    expected, got = reference(), candidate()
    if same is not None and same(expected, got) is False:
        raise NothingMeasured("the two functions do not give the same, so their times say nothing")


def _moved(function: Work) -> Counter[str]:
    before = snapshot()
    function()
    return since(before)


def _judged(pairs: Sequence[Pair], limit: float, least: float) -> Comparison:
    low, ratio, high = median_bounds([mine.cpu / theirs.cpu for theirs, mine in pairs])
    # Waiting is believed only where the rounds settle it: that of others on a busy machine looks the same.
    wall_low, wall_ratio, _ = median_bounds([mine.wall / theirs.wall for theirs, mine in pairs])
    if ratio < least:
        verdict, decided = "implausible", high < least
    elif wall_low > limit >= ratio:
        verdict, decided = "waiting", True
    else:
        verdict, decided = ("slower", low > limit) if ratio > limit else ("within", high <= limit)
    return Comparison(
        ratio=ratio,
        interval=(low, high),
        wall_ratio=wall_ratio,
        rounds=len(pairs),
        limit=limit,
        verdict=verdict,
        decided=decided,
        seconds=min(mine.cpu for _, mine in pairs),
        reference_seconds=min(theirs.cpu for theirs, _ in pairs),
    )
