"""Numbers as the page shows them: text as on the board, a value to sort by, an interval drawn on its column's scale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.board_rows import Mean
from harness.board_tables import HEADINGS, NONE, with_interval

__all__ = ["LOWER_IS_BETTER", "Figure", "Scale", "figure", "heading", "scale_of", "scale_over", "seconds"]

LOWER_IS_BETTER = frozenset({"brier", "ece", "calibration_error", "log_loss"})
"""Metrics whose column begins with the smallest when a reader sorts by it."""

LONG = {"specificity": "Specificity", "balanced_accuracy": "Balanced accuracy"}
"""What tables of text shorten."""

PADDING = 0.03
"""Of a scale's width, on either side."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What the drawn intervals of one column share: its ends in the metric's unit."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where a value lies, in percent of the width."""
        width = self.high - self.low
        return 100 * (value - self.low) / width if width else 50.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a table. `low`, `high` and `at` are percent of the width of its drawn interval."""

    text: str
    bounds: str = ""
    sort: float | None = None
    at: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


def heading(metric: str) -> str:
    """Return what a column of this metric is called: a page has room for words that a table of text shortens.

    >>> heading("f1"), heading("specificity")
    ('F1', 'Specificity')
    """
    return LONG.get(metric) or HEADINGS.get(metric, metric.replace("_", " "))


def scale_of(means: Iterable[Mean | None]) -> Scale:
    """Return the scale on which these values and their intervals all have room."""
    return scale_over(end for mean in means if mean is not None for end in _ends(mean))


def scale_over(values: Iterable[float]) -> Scale:
    """Return the scale on which these values have room, from 0 to 1 where there are none."""
    ends = list(values)
    if not ends:
        return Scale(0.0, 1.0)
    padding = PADDING * (max(ends) - min(ends))
    return Scale(min(ends) - padding, max(ends) + padding)


def _ends(mean: Mean) -> list[float]:
    interval = mean.interval
    known = [mean.value, *((interval.low, interval.high) if interval else ())]
    return [value for value in known if value is not None]


def figure(metric: str, mean: Mean | None, scale: Scale) -> Figure:
    """Return a mean in the words of the Markdown board, with its interval placed on the scale."""
    if mean is None or mean.value is None:
        reason = mean.reason if mean is not None else None
        return Figure(NONE, note=f"undefined: {reason}" if reason else "")
    value, _, bounds = with_interval(metric, mean).partition(" ")
    interval = mean.interval
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return Figure(
        text=value,
        bounds=bounds,
        sort=mean.value,
        at=scale.place(mean.value),
        low=None if low is None else scale.place(low),
        high=None if high is None else scale.place(high),
        note="" if interval is None else interval.reason or interval.method,
    )


def seconds(value: float | None) -> str:
    """Return a duration with three digits that count.

    >>> seconds(0.01234), seconds(187.52), seconds(None)
    ('0.0123', '188', '-')
    """
    if value is None:
        return NONE
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
