"""Whether our runs bear out each published figure, by tolerances written down before the run.

A cell is judged only in the reading of its source (positive class, origin of AUC) and on the test
images that the source speaks of. Times are judged as faster or slower only: the machines differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from harness.board_cells import Cell, entry_of
from harness.board_rows import Mean, Row
from harness.boards import Board, build_boards
from harness.comparisons import Comparison, Line
from harness.intervals import Interval
from harness.published import (
    PUBLISHED_TIMES,
    STATED_METRICS,
    Published,
    PublishedRow,
    PublishedTable,
    Reading,
)
from harness.records import Record

__all__ = [
    "CellVerdict",
    "IntervalsOf",
    "RowVerdicts",
    "Verdict",
    "compared_verdicts",
    "name_of",
    "table_verdicts",
    "verdicts_of",
]

Verdict = Literal["REPRODUCED", "WITHIN INTERVAL", "BETTER", "WORSE", "NOT RUN"]

IntervalsOf = Callable[[Row, Reading], Mapping[str, Interval]]
"""Gives the 95 % interval of each metric of a row of ours, in the reading of a published table."""

SAME = 1e-9
"""Percentage points: differences of the arithmetic itself."""


@dataclass(frozen=True)
class CellVerdict:
    """One published figure beside ours; metrics in percent, times in seconds.

    `reason` says why there is no verdict, or what a reader must know to judge it.
    """

    name: str
    verdict: Verdict
    published: float
    ours: float | None = None
    interval: tuple[float, float] | None = None
    reason: str | None = None


@dataclass(frozen=True)
class RowVerdicts:
    """A published row and one of ours; `ours` is None when there is none to set beside it.

    `caution` says that the tolerance was written after our run, or that it is not known when.
    """

    method: str
    ours: str | None
    cells: tuple[CellVerdict, ...]
    caution: str | None = None


def verdicts_of(
    table: PublishedTable,
    published: Published,
    records: Iterable[Record],
    nothing: str = "there is no record",
    intervals_of_row: IntervalsOf | None = None,
) -> tuple[RowVerdicts, ...]:
    """Return the verdicts on a published table by the records of its dataset, a row of ours at a time.

    `nothing` is the reason where no record is of the table's dataset and protocol. Raises `RecordError`
    and `CardError` as `harness.boards.build_boards` does.
    """
    of_dataset = [record for record in records if entry_of(record).dataset == published.dataset]
    alone = published.model_copy(update={"tables": (table,)})
    return table_verdicts(
        table, build_boards(of_dataset, {published.dataset: alone}), nothing, intervals_of_row
    )


def table_verdicts(
    table: PublishedTable,
    boards: Iterable[Board],
    nothing: str,
    intervals_of_row: IntervalsOf | None = None,
) -> tuple[RowVerdicts, ...]:
    """Return the verdicts on a published table by the boards of its dataset; `nothing` as of `verdicts_of`."""
    board = next((board for board in boards if board.protocol == table.protocol), None)
    if board is None:
        return tuple(_not_run(row, nothing) for row in table.rows)
    for context in board.context:
        if context.table == table:
            return tuple(_not_run(row, context.reason) for row in table.rows)
    comparison = next(each for each in board.comparisons if each.table == table)
    return tuple(verdicts for verdicts in compared_verdicts(comparison, intervals_of_row) if verdicts)


def _not_run(row: PublishedRow, reason: str, ours: str | None = None) -> RowVerdicts:
    cells = [CellVerdict(name, "NOT RUN", value, reason=reason) for name, value in _printed(row)]
    return RowVerdicts(row.method, ours, tuple(cells))


def _printed(row: PublishedRow) -> list[tuple[str, float]]:
    cells = [(name, row[name]) for name in (*STATED_METRICS, *PUBLISHED_TIMES)]
    return [(name, value) for name, value in cells if value is not None]


def compared_verdicts(
    comparison: Comparison, intervals_of_row: IntervalsOf | None = None
) -> tuple[RowVerdicts | None, ...]:
    """Return the verdicts of each line of a comparison, None for one of ours that no published row matches."""
    return tuple(_line_verdicts(line, comparison.table, intervals_of_row) for line in comparison.lines)


def _line_verdicts(
    line: Line, table: PublishedTable, intervals_of_row: IntervalsOf | None
) -> RowVerdicts | None:
    if line.published is None:
        return None
    if line.row is None:
        models = " or ".join(map(repr, line.published.models))
        reason = f"no record of {models}" if models else "no model here is said to be this method"
        return _not_run(line.published, reason)
    if not line.row.cells:
        return _not_run(line.published, "; ".join(line.row.notes), name_of(line.row))
    if intervals_of_row is None:
        found = {name: mean.interval for name, mean in line.read.items() if mean.interval is not None}
    else:
        found = dict(intervals_of_row(line.row, table.reading))
    return _row_verdicts(line.published, line.row, line.read, table, found)


def name_of(row: Row) -> str:
    """Return what verdicts call a row of ours."""
    status = "" if row.status == "ranked" else f", {row.status}"
    return f"{row.name}, {row.recipe}{status}"


def _row_verdicts(
    published: PublishedRow,
    row: Row,
    read: Mapping[str, Mean],
    table: PublishedTable,
    found: Mapping[str, Interval],
) -> RowVerdicts:
    cells = []
    for name, value in _printed(published):
        if name in PUBLISHED_TIMES:
            cells.append(_time_verdict(name, value, row))
        else:
            cells.append(_metric_verdict(name, published, read.get(name), table, found.get(name)))
    return RowVerdicts(published.method, name_of(row), tuple(cells), _caution(row, table))


def _caution(row: Row, table: PublishedTable) -> str | None:
    """Whether the tolerance could have been made to suit the run."""
    if table.tolerance is None:
        return None
    written = table.tolerance.written
    if written is None:
        return "when the tolerance was written is not stated"
    older = [cell for cell in row.cells if datetime.fromisoformat(cell.manifest["started"]) < written]
    return f"{len(older)} of {len(row.cells)} runs began before the tolerance was written" if older else None


def _metric_verdict(
    name: str, published: PublishedRow, mean: Mean | None, table: PublishedTable, interval: Interval | None
) -> CellVerdict:
    value = published[name]
    assert value is not None
    if mean is None:  # not read, because the reading does not cover it
        return CellVerdict(name, "NOT RUN", value, reason="how it was computed is not known")
    if mean.value is None:
        return CellVerdict(name, "NOT RUN", value, reason=f"ours is undefined: {mean.reason}")
    ours = 100 * mean.value
    bounds = None
    if interval is not None and interval.low is not None and interval.high is not None:
        bounds = 100 * interval.low, 100 * interval.high
    return CellVerdict(name, judged(value, ours, tolerance_of(table, published), bounds), value, ours, bounds)


def tolerance_of(table: PublishedTable, row: PublishedRow) -> float:
    """Return the stated tolerance in percentage points; without one, half a unit of the last printed digit."""
    return 0.5 * 10.0 ** -table.digits(row) if table.tolerance is None else table.tolerance.reproduced


def judged(published: float, ours: float, tolerance: float, interval: tuple[float, float] | None) -> Verdict:
    """Return the verdict on a metric, all in percent.

    >>> judged(97.38, 96.88, 0.5, None), judged(97.38, 96.87, 0.5, (95.0, 98.0))
    ('REPRODUCED', 'WITHIN INTERVAL')
    """
    if abs(ours - published) <= tolerance + SAME:
        return "REPRODUCED"
    if interval is not None and interval[0] <= published <= interval[1]:
        return "WITHIN INTERVAL"
    return "BETTER" if ours > published else "WORSE"


def _time_verdict(name: str, value: float, row: Row) -> CellVerdict:
    times = [_seconds(name, cell) for cell in row.cells]
    known = [seconds for seconds in times if seconds is not None]
    if len(known) < len(times):
        return CellVerdict(name, "NOT RUN", value, reason="not recorded for every cell")
    ours = math.fsum(known) / len(known)
    machines = sorted({_machine(cell) for cell in row.cells})
    reason = (
        f"here on {'; '.join(machines)}, without the time for features kept for all models; "
        "the machines differ, so this says no more than faster or slower"
    )
    return CellVerdict(name, "BETTER" if ours < value else "WORSE", value, ours, reason=reason)


def _seconds(name: str, cell: Cell) -> float | None:
    durations = cell.manifest["durations"]
    if name == "fit_seconds":
        return durations.get("fit_seconds")
    seconds = durations.get("predict_seconds")
    return None if seconds is None else seconds / len(cell.ids)


def _machine(cell: Cell) -> str:
    device = cell.manifest["device"]
    count = device.get("threads")
    threads = f", {count} thread{'s' * (count > 1)}" if count else ""
    return f"{device['kind']} ({device['name']}{threads})"
