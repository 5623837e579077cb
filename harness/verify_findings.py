"""What arithmetic says of each row of a table: which confusion matrices print as it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.claims import AVERAGES, Average, Claim, ClaimTable, averaged
from harness.feasibility import (
    MOST_WORK,
    Conflict,
    Fits,
    Parts,
    contradictions,
    fits,
    smallest_conflicts,
    work,
)
from harness.matrices import Figure, Rounding

__all__ = ["OnSplit", "RowFinding", "findings_of"]

MOST_WORK_OF_TABLE = 2 * MOST_WORK
"""Pairs of (test part, TP) that the searches of all rows of a table may look at."""

TOO_MUCH = "too much work; name fewer sizes or rows, or the class counts (--test)"


@dataclass(frozen=True)
class OnSplit:
    """What fits on one test part when its class `positive` is counted as such.

    `conflicts` are the smallest sets of cells that must be wrong when nothing fits; None when the search
    for them was too large.
    """

    whose: str
    positive: str
    positives: int
    negatives: int
    fits: Fits
    conflicts: tuple[Conflict, ...] | None


@dataclass(frozen=True)
class RowFinding:
    """`checked` are the figures held to a matrix; `contradictions` those that others of the row rule out.

    `in_range` is what fits in the table's range of test sizes, None with the reason in `not_searched`; where no
    test part is known and nothing fits, `conflicts` are as those of `OnSplit`, over the range.
    `possible` is None when nothing was searched that could tell; where it is False, `as_averages` are the averages
    over the classes with which the row would be possible after all.
    """

    claim: Claim
    checked: Mapping[str, Figure]
    contradictions: tuple[str, ...]
    in_range: Fits | None
    not_searched: str | None
    splits: tuple[OnSplit, ...]
    possible: bool | None
    conflicts: tuple[Conflict, ...] | None = ()
    as_averages: tuple[tuple[Average, Fits], ...] = ()

    @property
    def word(self) -> str:
        """Return what a reader is told first."""
        if self.possible is None:
            return "not decided"
        if self.possible:
            return "possible"
        elsewhere = self.splits and self.in_range is not None and self.in_range.count
        return "impossible on this test part" if elsewhere else "impossible"


@dataclass
class _Budget:
    """What is left of the work that one table may cost."""

    left: int = MOST_WORK_OF_TABLE

    def pays(self, cost: int) -> bool:
        affordable = cost <= min(self.left, MOST_WORK)
        self.left -= cost if affordable else 0
        return affordable


def findings_of(table: ClaimTable, rounding: Rounding = "nearest") -> tuple[RowFinding, ...]:
    """Return a finding a row: over the table's range of sizes, and on each test part, either class positive.

    Where a search would be too large, the finding says so. Raises `ValueError` for a range of sizes
    that is none.
    """
    budget = _Budget()
    sizes, too_large = _sizes(table)
    return tuple(_finding(table, claim, rounding, sizes, too_large, budget) for claim in table.rows)


def _sizes(table: ClaimTable) -> tuple[Parts | None, str | None]:
    try:
        return Parts.of_sizes(*table.sizes), None
    except ValueError as error:
        if not table.tests:
            raise
        return None, str(error)


def _finding(
    table: ClaimTable,
    claim: Claim,
    rounding: Rounding,
    sizes: Parts | None,
    too_large: str | None,
    budget: _Budget,
) -> RowFinding:
    checked = table.checkable(claim)
    if not checked:
        nothing = "no figure of this row is determined by a confusion matrix"
        return RowFinding(claim, checked, (), None, nothing, (), None)
    in_range = None
    if sizes is not None:
        in_range, too_large = _over_sizes(checked, sizes, rounding, budget)
    conflicts: tuple[Conflict, ...] | None = ()
    if sizes is not None and in_range is not None and not in_range.count and not table.tests:
        conflicts = smallest_conflicts(checked, sizes, rounding, budget.pays)
    splits = tuple(
        _on_split(whose, positive, counts, checked, rounding, budget)
        for whose, counts in table.tests
        for positive in _in_order(counts, table.reading.positive)
    )
    possible = _possible(table, splits, in_range)
    return RowFinding(
        claim=claim,
        checked=checked,
        contradictions=contradictions(checked, rounding),
        in_range=in_range,
        not_searched=None if in_range is not None else too_large,
        splits=splits,
        possible=possible,
        conflicts=conflicts,
        as_averages=_as_averages(table, checked, sizes, rounding, budget) if possible is False else (),
    )


def _over_sizes(
    checked: Mapping[str, Figure], sizes: Parts, rounding: Rounding, budget: _Budget
) -> tuple[Fits | None, str | None]:
    """What fits in the range, or why that was not searched."""
    parts = len(sizes.positives)
    if not budget.pays(parts):
        return None, f"with {parts:,} test parts a row the table is {TOO_MUCH}"
    pairs = work(checked, sizes, rounding)
    if not budget.pays(pairs):
        return None, f"{pairs:,} pairs of test part and TP are {TOO_MUCH}"
    return fits(checked, sizes, rounding), None


def _as_averages(
    table: ClaimTable, checked: Mapping[str, Figure], sizes: Parts | None, rounding: Rounding, budget: _Budget
) -> tuple[tuple[Average, Fits], ...]:
    """What fits where the row is judged, with precision, recall and F1 read as averages over the classes.

    A row that names a specificity speaks of one class.
    """
    if "specificity" in checked or not {"precision", "recall", "f1"} & checked.keys():
        return ()
    if table.tests:
        one, other = table.tests[0][1].values()
        sizes = Parts.of(one, other)  # averages are the same whichever class is positive
    found = []
    for average in AVERAGES:
        figures = {averaged(name, average): figure for name, figure in checked.items()}
        if sizes is None or len(figures) < len(checked):
            continue
        if budget.pays(len(sizes.positives) + work(figures, sizes, rounding)):
            fitting = fits(figures, sizes, rounding)
            found += [(average, fitting)] if fitting.count else []
    return tuple(found)


def _in_order(counts: Mapping[str, int], positive: str | None) -> list[str]:
    """The classes, the one that the source counts as positive first."""
    return sorted(counts, key=lambda name: (name != positive, name))


def _on_split(
    whose: str,
    positive: str,
    counts: Mapping[str, int],
    checked: Mapping[str, Figure],
    rounding: Rounding,
    budget: _Budget,
) -> OnSplit:
    positives = counts[positive]
    negatives = sum(counts.values()) - positives
    part = Parts.of(positives, negatives)
    budget.left -= work(checked, part, rounding)  # small, and always done
    found = fits(checked, part, rounding)
    conflicts: tuple[Conflict, ...] | None = ()
    if not found.count:
        conflicts = smallest_conflicts(checked, part, rounding, budget.pays)
    return OnSplit(whose, positive, positives, negatives, found, conflicts)


def _possible(table: ClaimTable, splits: tuple[OnSplit, ...], in_range: Fits | None) -> bool | None:
    """Judged on the first test part, with the stated class positive, or either where none is stated."""
    first = [split for split in splits if split.whose == table.tests[0][0]]
    stated = [split for split in first if split.positive == table.reading.positive] or first
    if stated:
        return any(split.fits.count for split in stated)
    return None if in_range is None else bool(in_range.count)
