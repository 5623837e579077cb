"""The workloads of a suite timed: in one tree, or in two, round by round in turn.

Where a process's memory happens to lie makes a few percent that no number of rounds in it averages away. So the
rounds are shared out to several pairs of processes, one pair after the other, and each pair counts once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from harness.bench.deciding import Bounds, median_bounds
from harness.bench.sides import Refused, Side, Tree, opened
from harness.errors import NothingMeasured, UsageError
from harness.types import Progress

__all__ = ["LEAST_ROUNDS", "Race", "Timing", "raced", "workloads_of"]

LEAST_ROUNDS = 6
"""Rounds, and so pairs of processes, below which the sign test has no interval of 95 %."""

LEAST_PAIRS = 10
"""With as many pairs, the interval leaves out the outermost on each side: one disturbed process decides nothing."""

ROUNDS_A_PAIR = 5
"""More rounds than this go to a further pair of processes, since more in the same one say little more."""

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
    """What was found of one workload; `failure` and `other_failure` say why a side has no timing.

    `sessions` holds ours over the other's time of each round, for each pair of processes.
    """

    name: str
    about: str
    ours: Timing | None = None
    other: Timing | None = None
    failure: str | None = None
    other_failure: str | None = None
    sessions: list[list[float]] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """One of each pair of processes, the median of its rounds: these are independent, rounds are not."""
        return [median(session) for session in self.sessions]

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
            return (
                f"not settled: {len(self.ratios)} rounds are too few for an interval, it takes {LEAST_ROUNDS}"
            )
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
) -> list[Race]:
    """Return what was found of each workload. One that fails is a race that says so; the others go on."""
    trees = [ours] if other is None else [ours, other]
    heats = [_Heat(name, about, suite, len(trees)) for name, about in names.items()]
    shares = _shares(rounds)
    for session, share in enumerate(shares):
        with ExitStack() as stack:
            pair = _Pair(trees, suite, stack)
            for number, heat in enumerate(heats, start=session * len(heats)):
                progress(
                    f"measuring {heat.name}, processes {session + 1} of {len(shares)}",
                    number / (len(shares) * len(heats)),
                )
                heat.run(pair.running(), share)
    return [heat.found() for heat in heats]


def _shares(rounds: int) -> list[int]:
    """Return how many rounds each pair of processes takes.

    >>> _shares(20), _shares(4), _shares(41)
    ([2, 2, 2, 2, 2, 2, 2, 2, 2, 2], [1, 1, 1, 1], [5, 4, 4, 4, 4, 4, 4, 4, 4, 4])
    """
    pairs = min(rounds, max(LEAST_PAIRS, rounds // ROUNDS_A_PAIR))
    return [rounds // pairs + (k < rounds % pairs) for k in range(pairs)]


class _Pair:
    """A process for each tree; one that ended is started anew when it is next asked for."""

    def __init__(self, trees: Sequence[Tree], suite: Path, stack: ExitStack) -> None:
        self._suite, self._stack = suite, stack
        self._sides = [self._started(tree) for tree in trees]

    def running(self) -> list[Side]:
        self._sides = [self._started(side.tree) if side.ended else side for side in self._sides]
        return self._sides

    def _started(self, tree: Tree) -> Side:
        side = self._stack.enter_context(opened(tree, self._suite))
        try:
            side.load()
        except Refused as error:
            raise UsageError(
                f"suite {str(self._suite)!r} cannot be loaded with {tree.name}: {error}"
            ) from error
        return side


class _Heat:
    """A workload on its way: what each place (0 ours, 1 the other) took, or why it has no timing."""

    def __init__(self, name: str, about: str, suite: Path, places: int) -> None:
        self.name, self._about, self._suite = name, about, suite
        self._order = random.Random(name)
        self._failures: list[str | None] = [None] * places
        self._said: list[dict[str, Any]] = [{}] * places
        self._seconds: list[list[list[float]]] = [[] for _ in range(places)]

    def run(self, sides: Sequence[Side], share: int) -> None:
        """Take a share of the rounds with these processes."""
        for place in self._alive():
            self._prepare(place, sides)
        for place in self._alive():
            self._seconds[place].append([])
        for _ in range(share):
            places = self._alive()
            self._order.shuffle(places)
            for place in places:
                self._sample(place, sides[place])

    def found(self) -> Race:
        if self._failures[0] is not None:
            return Race(self.name, self._about, failure=self._failures[0])
        ours, *others = [self._timing(place) for place in range(len(self._failures))]
        if not others or others[0] is None:
            return Race(self.name, self._about, ours, other_failure=self._failures[-1])
        sessions = [
            [mine / theirs for mine, theirs in zip(*of_pair, strict=True)]
            for of_pair in zip(*self._seconds, strict=True)
        ]
        return Race(self.name, self._about, ours, others[0], sessions=sessions)

    def _alive(self) -> list[int]:
        """Return the places that are still timed: none when ours fails."""
        if self._failures[0] is not None:
            return []
        return [place for place, failure in enumerate(self._failures) if failure is None]

    def _prepare(self, place: int, sides: Sequence[Side]) -> None:
        if self._failures[0] is not None:
            return
        side = sides[place]
        try:
            said = side.prepare(self.name, None if place == 0 else self._said[0]["calls"])
            _check_source(said["files"], self._suite, side.tree, [each.tree for each in sides])
            self._said[place] = said
        except (Refused, NothingMeasured) as error:
            self._failures[place] = str(error)

    def _sample(self, place: int, side: Side) -> None:
        try:
            self._seconds[place][-1].append(side.sample(self.name, self._said[0]["calls"])["cpu"])
        except Refused as error:
            self._failures[place] = str(error)

    def _timing(self, place: int) -> Timing | None:
        if self._failures[place] is not None:
            return None
        seconds = [each for of_pair in self._seconds[place] for each in of_pair]
        return Timing(seconds, self._said[place]["images"], self._said[place]["work"])


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
