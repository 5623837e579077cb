"""What a row cost, from the manifests of its cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.board_cells import Cell
from harness.board_rows import RANKED_BY
from harness.board_tables import NONE
from harness.report.figures import Figure, heading
from harness.report.panels import Panel, cost_panel
from harness.report.provenance import number_of
from harness.report.rows import RowView

__all__ = ["Cost", "cost_panels", "costs_of"]


@dataclass(frozen=True)
class Cost:
    """Seconds of the last fit (mean over cells), images predicted a second, and the peak memory in MB."""

    view: RowView
    fit_seconds: float | None
    images_per_second: float | None
    memory_mb: float | None
    device_memory_mb: float | None

    @property
    def figures(self) -> tuple[Figure, ...]:
        values = (self.fit_seconds, self.images_per_second, self.memory_mb, self.device_memory_mb)
        return tuple(Figure(NONE if v is None else _digits(v), sort=v) for v in values)


def costs_of(views: Sequence[RowView]) -> tuple[Cost, ...]:
    """Return the cost of every row that has finished cells; what one cell lacks the row lacks."""
    return tuple(
        Cost(
            view,
            view.row.fit_seconds,
            _speed(view.row.cells),
            _most(view.row.cells, "peak_memory_mb"),
            _most(view.row.cells, "peak_device_memory_mb"),
        )
        for view in views
        if view.row.cells
    )


def _speed(cells: Sequence[Cell]) -> float | None:
    times = _known(cell.manifest["durations"].get("predict_seconds") for cell in cells)
    return sum(len(cell.ids) for cell in cells) / math.fsum(times) if times and math.fsum(times) else None


def _most(cells: Sequence[Cell], name: str) -> float | None:
    return max(_known(cell.manifest.get(name) for cell in cells), default=None)


def _known(values: Iterable[Any]) -> list[float]:
    """The numbers, none when one is missing."""
    numbers = [number_of(value) for value in values]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else []


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


AXES: tuple[tuple[str, str, Callable[[Cost], float | None]], ...] = (
    ("Training", "seconds of the last fit", lambda cost: cost.fit_seconds),
    ("Prediction", "images a second", lambda cost: cost.images_per_second),
    ("Memory", "peak memory of the process, MB", lambda cost: cost.memory_mb),
    ("Memory of the graphics card", "peak, MB", lambda cost: cost.device_memory_mb),
)


def cost_panels(costs: Sequence[Cost]) -> tuple[Panel, ...]:
    """Return quality (the ranking metric) against each cost that is known of two rows or more."""
    found = []
    for title, words, of in AXES:
        points = []
        for cost in costs:
            mean, value = (cost.view.row.means or {})[RANKED_BY], of(cost)
            if mean.value is not None and value is not None:
                low, high = (mean.interval.low, mean.interval.high) if mean.interval else (None, None)
                points.append((cost.view.number, cost.view.name, value, mean.value, low, high))
        panel = cost_panel(title, words, f"{heading(RANKED_BY)}, %", points) if len(points) > 1 else None
        found += [panel] if panel is not None else []
    return tuple(found)
