"""Our rows beside published ones, in the reading of the published table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.board_rows import Mean, Row, means
from harness.errors import CardError
from harness.published import PUBLISHED_METRICS, STATED_METRICS, Published, PublishedRow, PublishedTable

__all__ = ["Comparison", "Context", "Line", "comparisons_of"]


@dataclass(frozen=True)
class Line:
    """A published row, one of ours, or both; `ours` and `differences` are shares, not percent.

    A difference is ours minus published, None where either is missing or the reading is not known. `read`
    holds ours of all that a table may state, not only of the columns shown.
    """

    published: PublishedRow | None
    row: Row | None
    ours: Mapping[str, Mean] = field(default_factory=dict)
    differences: Mapping[str, float | None] = field(default_factory=dict)
    read: Mapping[str, Mean] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """A published table that speaks of the same test images as ours.

    `possible` says in a word, by published method, whether a confusion matrix prints as its row; empty where
    nobody asked.
    """

    table: PublishedTable
    lines: tuple[Line, ...]
    possible: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """A published table that speaks of something else, with the reason."""

    table: PublishedTable
    reason: str


def comparisons_of(
    rows: Sequence[Row], published: Published | None, protocol: str, test: Mapping[str, int]
) -> tuple[tuple[Comparison, ...], tuple[Context, ...]]:
    """Return what is comparable with `rows`, and what is only context.

    `rows` begin with the most thorough recipe, and of each method that row is compared; those that no
    published row matches stand at the end of the first table. `test` counts the images of our test
    part by class. Raises `CardError` when a comparable table's positive class is none of the dataset's.
    """
    compared: list[PublishedTable] = []
    context: list[Context] = []
    for table in published.tables if published is not None else ():
        reason = table.not_compared(protocol, dict(test))
        if reason is not None:
            context.append(Context(table, reason))
            continue
        positive = table.reading.positive
        if positive is not None and test and positive not in test:
            raise CardError(
                f"published table {table.id!r}: its positive class {positive!r} is none of {sorted(test)!r}"
            )
        compared.append(table)
    rows = _most_thorough(rows)
    known = {model for table in compared for row in table.rows for model in row.models}
    unmatched = [row for row in rows if row.label not in known]
    return tuple(
        Comparison(
            table, (*_lines(rows, table), *(_line(None, row, table) for row in unmatched if not place))
        )
        for place, table in enumerate(compared)
    ), tuple(context)


def _most_thorough(rows: Sequence[Row]) -> list[Row]:
    """Of each method the first finished row, or the first: boards begin with the most thorough recipe."""
    finished_first = sorted(rows, key=lambda row: not row.cells)
    chosen = {row.method: row for row in reversed(finished_first)}
    return [row for row in rows if chosen[row.method] is row]


def _lines(rows: Sequence[Row], table: PublishedTable) -> list[Line]:
    """Published rows in their order, each followed by ours."""
    lines = []
    for published in table.rows:
        ours = [row for row in rows if row.label in published.models]
        lines += [_line(published, row, table) for row in ours] or [Line(published, None)]
    return lines


def _line(published: PublishedRow | None, row: Row, table: PublishedTable) -> Line:
    if not row.cells:
        return Line(published, row)
    reading = table.reading
    found = means(row.cells, reading.positive, reading.auc or "scores")
    read = {metric: found[metric] for metric in STATED_METRICS if reading.covers(metric)}
    ours = {metric: read[metric] for metric in PUBLISHED_METRICS if metric in read}
    differences = {metric: _difference(published, metric, ours.get(metric)) for metric in PUBLISHED_METRICS}
    return Line(published, row, ours, differences, read)


def _difference(published: PublishedRow | None, metric: str, ours: Mean | None) -> float | None:
    said = None if published is None else published[metric]
    if said is None or ours is None or ours.value is None:
        return None
    return ours.value - said / 100
