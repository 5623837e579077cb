"""Whether our runs bear out each published figure, by tolerances written down before the run.

A cell is judged only in the reading of its source (positive class, origin of AUC) and on the test
images that the source speaks of. Times are judged as faster or slower only: the machines differ.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from harness.board_cells import Cell, entry_of
from harness.board_rows import Mean, Row, means
from harness.boards import Board, build_boards
from harness.intervals import Interval, mean_intervals
from harness.metrics import Score
from harness.published import (
    PUBLISHED_TIMES,
    STATED_METRICS,
    Published,
    PublishedRow,
    PublishedTable,
    Reading,
)
from harness.records import Record
from harness.resamples import Part, mean_of, resampled, resamples_of, units_of

__all__ = [
    "CellVerdict",
    "IntervalsOf",
    "RowVerdicts",
    "Verdict",
    "intervals_of",
    "name_of",
    "verdicts_of",
    "verdicts_on",
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
    boards = build_boards(of_dataset, {published.dataset: alone})
    return verdicts_on(table, boards, nothing, intervals_of_row)


def verdicts_on(
    table: PublishedTable,
    boards: Iterable[Board],
    nothing: str = "there is no record",
    intervals_of_row: IntervalsOf | None = None,
) -> tuple[RowVerdicts, ...]:
    """Return the verdicts on a published table by boards of its dataset that were built with it among others."""
    board = next((board for board in boards if board.protocol == table.protocol), None)
    if board is None:
        return tuple(_not_run(row, nothing) for row in table.rows)
    for context in board.context:
        if context.table.id == table.id:
            return tuple(_not_run(row, context.reason) for row in table.rows)
    return tuple(_judged(board, table, intervals_of_row or intervals_of))


def _not_run(row: PublishedRow, reason: str, ours: str | None = None) -> RowVerdicts:
    cells = [CellVerdict(name, "NOT RUN", value, reason=reason) for name, value in _printed(row)]
    return RowVerdicts(row.method, ours, tuple(cells))


def _printed(row: PublishedRow) -> list[tuple[str, float]]:
    cells = [(name, row[name]) for name in (*STATED_METRICS, *PUBLISHED_TIMES)]
    return [(name, value) for name, value in cells if value is not None]


def _judged(board: Board, table: PublishedTable, intervals_of_row: IntervalsOf) -> Iterable[RowVerdicts]:
    lines = next(of.lines for of in board.comparisons if of.table.id == table.id)
    for line in lines:
        if line.published is None:
            continue
        if line.row is None:
            models = " or ".join(map(repr, line.published.models))
            reason = f"no record of {models}" if models else "no model here is said to be this method"
            yield _not_run(line.published, reason)
        elif not line.row.cells:
            yield _not_run(line.published, "; ".join(line.row.notes), name_of(line.row))
        else:
            yield _row_verdicts(line.published, line.row, table, intervals_of_row)


def name_of(row: Row) -> str:
    """Return what verdicts call a row of ours."""
    status = "" if row.status == "ranked" else f", {row.status}"
    return f"{row.name}, {row.recipe}{status}"


def _row_verdicts(
    published: PublishedRow, row: Row, table: PublishedTable, intervals_of_row: IntervalsOf
) -> RowVerdicts:
    found = intervals_of_row(row, table.reading)
    read = means(row.cells, table.reading.positive, table.reading.auc or "scores")
    cells = []
    for name, value in _printed(published):
        if name in PUBLISHED_TIMES:
            cells.append(_time_verdict(name, value, row))
        else:
            cells.append(_metric_verdict(name, published, read[name], table, found.get(name)))
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
    name: str, published: PublishedRow, mean: Mean, table: PublishedTable, interval: Interval | None
) -> CellVerdict:
    value = published[name]
    assert value is not None
    if not table.reading.covers(name):
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


def intervals_of(row: Row, reading: Reading) -> dict[str, Interval]:
    """Return the 95 % interval of each mean of a row in a reading, over patients where all parts know them."""
    first = row.cells[0]
    positive = None if reading.positive is None else first.classes.index(reading.positive)
    auc = reading.auc or "scores"
    seeds = Counter(cell.entry.seed for cell in row.cells)
    groups = [_groups(cell) for cell in row.cells]
    parts = [
        Part(
            np.asarray(cell.labels),
            np.asarray(cell.probabilities),
            units_of(cell.ids, of_cell),
            1 / (len(seeds) * seeds[cell.entry.seed]),
        )
        for cell, of_cell in zip(row.cells, groups, strict=True)
    ]
    values = {name: Score(m.value, m.reason) for name, m in means(row.cells, reading.positive, auc).items()}
    resamples = resamples_of(parts)
    drawn = mean_of(parts, [resampled(part, resamples, positive=positive, auc=auc) for part in parts])
    grouped = all(of_cell is not None for of_cell in groups)
    return mean_intervals(parts, values, drawn, resamples, grouped=grouped, positive=positive, auc=auc)


def _groups(cell: Cell) -> list[str | None] | None:
    """The group of each image of a cell, in its order; None where no image has one."""
    if not cell.grouped:
        return None
    frame = cell.entry.record.predictions().set_index("id")["group"]
    return [str(group) if isinstance(group := frame[name], str) else None for name in cell.ids]
