"""The workloads of a suite timed: in one tree, or in two, round by round in turn."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from harness.bench.deciding import Bounds, median_bounds
from harness.bench.sides import Refused, Side, Tree, opened
from harness.errors import NothingMeasured, UsageError
from harness.types import Progress

__all__ = ["Race", "Timing", "raced", "workloads_of"]

SESSIONS = 2
"""Pairs of processes that share the rounds: where a process's memory happens to lie can make a few percent."""

INTERVAL_MISS = 0.025
"""To each side: an interval of 95 %."""

NOTHING = 0.02
"""A change of less than this is none: processes of the same code differ by as much."""

SAME = 0.05
"""Within it, an interval is called unchanged; a wider one settles nothing."""


@dataclass(frozen=True)
class Timing:
    """Seconds a call in each round, images a call and what a call counts."""

    seconds: list[float]
    images: int | None
    work: dict[str, int]

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        if len(self.seconds) < 2:
            return 0.0
        low, _, high = quantiles(self.seconds, n=4)
        return (high - low) / 2 / self.median


@dataclass(frozen=True)
class Race:
    """What was found of one workload; `failure` and `other_failure` say why a side has no timing."""

    name: str
    about: str
    ours: Timing | None = None
    other: Timing | None = None
    failure: str | None = None
    other_failure: str | None = None
    ratios: list[float] = field(default_factory=list)

    @property
    def bounds(self) -> Bounds | None:
        """Lower bound, median, upper bound of ours over the other's time, in 95 of 100 cases; None without both."""
        return median_bounds(self.ratios, INTERVAL_MISS) if self.ratios else None

    @property
    def verdict(self) -> str:
        if self.failure is not None:
            return f"fails here: {self.failure}"
        if self.other_failure is not None:
            return f"fails on the other commit: {self.other_failure}"
        if self.bounds is None:
            return "measured"
        low, ratio, high = self.bounds
        if math.isinf(low):
            return f"not settled: {len(self.ratios)} rounds are too few for an interval"
        if low > 1 + NOTHING:
            return f"slower by {ratio - 1:.0%}"
        if high < 1 - NOTHING:
            return f"faster by {1 - ratio:.0%}"
        if low >= 1 - SAME and high <= 1 + SAME:
            return "unchanged"
        return "not settled; more --rounds would say more"


def workloads_of(tree: Tree, suite: Path) -> dict[str, str]:
    """Return the workloads of a suite, by name. Raises `UsageError` for one that cannot be run or has none."""
    with opened(tree, suite) as side:
        try:
            found = side.load()
        except Refused as error:
            raise UsageError(f"suite {str(suite)!r} cannot be loaded with {tree.name}: {error}") from error
    if not found:
        raise UsageError(
            f"suite {str(suite)!r} has no workload: write functions whose names begin with 'bench_'"
        )
    return found


def raced(
    names: dict[str, str], ours: Tree, other: Tree | None, suite: Path, rounds: int, progress: Progress
) -> Iterator[Race]:
    """Yield what was found of each workload, as it is found."""
    sessions = min(SESSIONS, rounds)
    with ExitStack() as stack:
        pairs = [_pair(stack, ours, other, suite) for _ in range(sessions)]
        for number, (name, about) in enumerate(names.items()):
            progress(f"measuring {name}", number / len(names))
            shares = [rounds // sessions + (k < rounds % sessions) for k in range(sessions)]
            yield _raced(name, about, suite, pairs, shares)


def _pair(stack: ExitStack, ours: Tree, other: Tree | None, suite: Path) -> list[Side]:
    trees = [ours] if other is None else [ours, other]
    sides = [stack.enter_context(opened(tree, suite)) for tree in trees]
    for side in sides:
        try:
            side.load()
        except Refused as error:
            raise UsageError(
                f"suite {str(suite)!r} cannot be loaded with {side.tree.name}: {error}"
            ) from error
    return sides


def _raced(name: str, about: str, suite: Path, pairs: Sequence[list[Side]], shares: Sequence[int]) -> Race:
    order = random.Random(name)
    seconds: list[list[float]] = [[] for _ in pairs[0]]
    failures: list[str | None] = [None for _ in pairs[0]]
    for sides, share in zip(pairs, shares, strict=True):
        prepared = _prepared(name, suite, sides, failures)
        if failures[0] is not None:
            return Race(name, about, failure=failures[0])
        running = [place for place, found in enumerate(prepared) if found is not None]
        for _ in range(share):
            order.shuffle(running)
            for place in running:
                seconds[place].append(sides[place].sample(name, _calls(prepared))["cpu"])
    ours, *others = [
        None if found is None or failure is not None else Timing(of_side, found["images"], found["work"])
        for of_side, found, failure in zip(seconds, prepared, failures, strict=True)
    ]
    if not others or others[0] is None:
        return Race(name, about, ours, other_failure=failures[-1])
    ratios = [mine / theirs for mine, theirs in zip(*seconds, strict=True)]
    return Race(name, about, ours, others[0], ratios=ratios)


def _prepared(
    name: str, suite: Path, sides: Sequence[Side], failures: list[str | None]
) -> list[dict[str, Any] | None]:
    """Return what each side said of a workload it prepared; note in `failures` why one did not, then or earlier."""
    prepared: list[dict[str, Any] | None] = []
    for place, side in enumerate(sides):
        found = None
        if failures[place] is None and failures[0] is None:
            try:
                found = side.prepare(name, _calls(prepared) if prepared else None)
                _check_source(found["files"], suite, side.tree, [each.tree for each in sides])
            except (Refused, NothingMeasured) as error:
                found, failures[place] = None, str(error)
        prepared.append(found)
    return prepared


def _calls(prepared: Sequence[dict[str, Any] | None]) -> int:
    assert prepared[0] is not None
    calls: int = prepared[0]["calls"]
    return calls


def _check_source(files: Sequence[str], suite: Path, own: Tree, trees: Sequence[Tree]) -> None:
    """Raise `NothingMeasured` unless what was imported of the repository is this tree's."""
    if len(trees) < 2:
        return
    own_files = {str(Path(__file__).resolve().with_name(name)) for name in ("worker.py", "sampling.py")}
    imported = set(files) - own_files - {str(suite.resolve())}
    for tree in trees:
        strays = sorted(file for file in imported if tree is not own and tree.holds(file))
        if strays:
            raise NothingMeasured(f"it measures nothing of {own.name}: {strays[0]!r} is {tree.name}'s")
    if not any(own.holds(file) for file in imported):
        raise NothingMeasured(f"it measures nothing of {own.name}: it imports no module of that tree")
