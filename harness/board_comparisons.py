"""A board's rows beside published ones, each published figure judged, as plain text for every file format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from harness.board_rows import Mean
from harness.board_tables import HEADINGS, NONE, Table, bounds_text, own_reading, percent
from harness.comparisons import Comparison, Context, Line
from harness.intervals import LEVEL
from harness.published import PUBLISHED_METRICS, PUBLISHED_TIMES, PublishedRow, PublishedTable
from harness.types import unique
from harness.verdicts import RowVerdicts, compared_verdicts

if TYPE_CHECKING:
    from harness.boards import Board

__all__ = ["comparison_table", "comparison_texts", "context_text", "reading_text"]

TIMES = {"fit_seconds": "training", "predict_seconds_per_image": "an image"}

WORDS = {"WITHIN INTERVAL": "WITHIN"}
"""Verdicts that are longer than a column of figures."""


def comparison_table(comparison: Comparison) -> Table:
    """Return each published row, then ours: value, interval, difference and verdict, to the digits printed.

    Rows of ours that no published one matches stand at the end.
    """
    headings = ["Row", *(HEADINGS[metric] for metric in PUBLISHED_METRICS), "Notes"]
    table = Table(headings, frozenset({"Row", "Notes"}))
    told: set[str | None] = set()
    several = len(_recipes(comparison)) > 1
    for line, verdicts in zip(comparison.lines, compared_verdicts(comparison), strict=True):
        name = None if line.published is None else line.published.method
        if name not in told:
            told.add(name)
            table.rows += _published(line.published, comparison, table)
        table.rows += _ours(line, verdicts, comparison.table, table, several)
    return table


def _published(row: PublishedRow | None, comparison: Comparison, table: Table) -> Iterator[list[str]]:
    nothing = [NONE] * len(PUBLISHED_METRICS)
    if row is None:
        yield ["no published row", *nothing, ""]
        return
    values = [_printed(row[metric], comparison.table.digits(row)) for metric in PUBLISHED_METRICS]
    yield [f"{row.method}, published", *values, table.number(row.notes)]
    if row.method in comparison.possible:
        word, *more = comparison.possible[row.method].split(maxsplit=1)
        note = table.number([comparison.possible[row.method]]) if more else ""
        yield [f"- as printed: {word}", *nothing, note]


def _recipes(comparison: Comparison) -> list[str]:
    return unique(line.row.recipe for line in comparison.lines if line.row is not None)


def _ours(
    line: Line, verdicts: RowVerdicts | None, source: PublishedTable, table: Table, several: bool
) -> Iterator[list[str]]:
    """The lines of one of our rows; its recipe is told where there are `several`."""
    said = [] if line.row is None else _line_notes(line, source, several)
    digits = source.decimals if line.published is None else source.digits(line.published)
    means = [line.ours.get(metric) for metric in PUBLISHED_METRICS]
    name = "not run" if line.row is None else line.row.shown
    yield [name, *(_value(mean, digits) for mean in means), table.number(said)]
    if line.ours:
        yield [f"- {percent(LEVEL)} interval", *(_bounds_of(mean) for mean in means), ""]
    if verdicts is None:
        return
    if line.ours:
        differences = [line.differences.get(metric) for metric in PUBLISHED_METRICS]
        yield ["- ours minus published", *(_difference(each, digits) for each in differences), ""]
    judged = {cell.name: WORDS.get(cell.verdict, cell.verdict) for cell in verdicts.cells}
    reasons = unique(cell.reason for cell in verdicts.cells if cell.verdict == "NOT RUN" and cell.reason)
    yield ["- verdict", *(judged.get(metric, NONE) for metric in PUBLISHED_METRICS), table.number(reasons)]


def _printed(value: float | None, decimals: int) -> str:
    return NONE if value is None else f"{value:.{decimals}f}"


def _value(mean: Mean | None, decimals: int) -> str:
    return NONE if mean is None or mean.value is None else f"{100 * mean.value:.{decimals}f}"


def _bounds_of(mean: Mean | None) -> str:
    return NONE if mean is None or mean.value is None else bounds_text(mean.interval)


def _difference(difference: float | None, decimals: int) -> str:
    # adding 0.0 turns the -0.0 of a rounded difference into 0.0
    return NONE if difference is None else f"{round(100 * difference, decimals) + 0.0:+.{decimals}f}"


def _line_notes(line: Line, source: PublishedTable, several: bool) -> Iterable[str]:
    assert line.row is not None
    if several:
        yield f"recipe {line.row.recipe}"
    if line.row.status != "ranked":
        yield line.row.status
    if line.published is None and line.row.label in source.named_without_row:
        yield f"{line.row.label}: the source names this method and reports no row of it"
    for metric in PUBLISHED_METRICS:
        mean = line.ours.get(metric)
        if mean is not None and mean.reason is not None:
            yield f"{HEADINGS[metric]} undefined in this reading: {mean.reason}"


def reading_text(board: Board, comparison: Comparison) -> str:
    """Return how a published table counts, beside how the rest of the board does, and how its cells are judged."""
    source, recipes = comparison.table, _recipes(comparison)
    only = f", which is {recipes[0]}" if len(recipes) == 1 else ""
    text = (
        f"Both sides in the reading of the source: {source.reading.words}. (The ranking above: {own_reading(board)}.) "
        f"Of each method the most thorough recipe{only}. "
    )
    if source.tolerance is None:
        text += "REPRODUCED: ours prints the same"
    else:
        text += f"REPRODUCED: ours is within {source.tolerance.reproduced:g} percentage points"
    return text + (
        f"; WITHIN: the printed figure lies in the {percent(LEVEL)} interval of ours; else ours is BETTER or WORSE."
    )


def comparison_texts(comparison: Comparison) -> list[str]:
    """Return how many cells got each verdict, and the verdicts on published times."""
    judged = [row for row in compared_verdicts(comparison) if row is not None]
    counts = Counter(cell.verdict for row in judged for cell in row.cells)
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    found = [f"Cells judged, times among them: {said}."] if said else []
    times = [text for row in judged if (text := _times_text(row))]
    if times:
        found.append(f"Times, here against the source's, on another machine: {'; '.join(times)}.")
    return found


def _times_text(row: RowVerdicts) -> str:
    timed = [
        f"{TIMES[cell.name]} {cell.ours:.3g} s against {cell.published:g} s, {cell.verdict}"
        for cell in row.cells
        if cell.name in PUBLISHED_TIMES and cell.ours is not None
    ]
    return f"{row.ours}: {', '.join(timed)}" if timed else ""


def context_text(context: Context) -> str:
    """Return the rows of a table that nothing here can be compared with, and why not."""
    rows = []
    for row in context.table.rows:
        digits = context.table.digits(row)
        printed: Mapping[str, float | None] = {HEADINGS[m]: row[m] for m in PUBLISHED_METRICS}
        figures = ", ".join(
            f"{name} {_printed(value, digits)}" for name, value in printed.items() if value is not None
        )
        rows.append(f"{row.method}: {figures}")
    return f"{context.table.title}. {'; '.join(rows)}. Not comparable: {context.reason}."
