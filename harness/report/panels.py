"""Panels: curves and points placed on square plots, as the coordinates that the page's SVG holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.report.curves import Curves

__all__ = ["SIDE", "Panel", "Place", "Series", "Tick", "cost_panel", "curve_panels", "log_ticks", "thinned"]

SIDE = 300
"""The side of the square in which values are drawn, in units of the picture."""

FEWEST_IMAGES = 5
"""For a bar and a line in a reliability plot: fewer say next to nothing."""

MOST_TICKS = 6
"""Of a logarithmic axis, where there is a choice: their labels need room."""

LEAST_COST, MOST_COST = 1e-12, 1e15
"""Seconds, images a second and MB that a logarithmic axis shows; anybody's record may say more."""

FINEST = 0.0004
"""How far a dropped vertex may lie from the line: an eighth of a unit, half of one enlarged fourfold."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, 0 to `SIDE` from the lower left, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """A point at x, y, whiskers from `low` to `high`, what a pointer over it reads, the `width` of its dot."""

    x: float
    y: float
    low: float | None
    high: float | None
    title: str
    width: float = 8.0


@dataclass(frozen=True, slots=True)
class Series:
    """What a panel shows of the row `number`: the outline of a band, a line (SVG path data), points."""

    number: int
    band: str = ""
    line: str = ""
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """A square plot. `near` are the ticks of the enlarged corner, x then y; empty where there is none."""

    title: str
    x: str
    y: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    series: tuple[Series, ...]
    near: tuple[tuple[Tick, ...], tuple[Tick, ...]] = ((), ())
    corner: str = ""
    diagonal: bool = False


Numbered = Sequence[tuple[int, str, Curves]]
"""Rows: the number, the name, the curves."""


def curve_panels(numbered: Numbered, positive: str | None) -> tuple[Panel, ...]:
    """Return ROC, precision-recall and reliability of rows."""
    of = f" of {positive}" if positive is not None else ", mean over classes"
    stated = f"Stated probability of {positive}, %" if positive is not None else "Stated probability, %"
    return (
        _roc_panel(f"ROC{of}", numbered),
        _precision_panel(f"Precision and recall{of}", numbered),
        Panel(
            "Calibration",
            stated,
            "Share that was so, %",
            _ticks(0, 100),
            _ticks(0, 100),
            tuple(_calibrated(number, name, curves) for number, name, curves in numbered),
            diagonal=True,
        ),
    )


def _ticks(low: int, high: int) -> tuple[Tick, ...]:
    """Six of them, in percent."""
    return tuple(Tick(SIDE * k / 5, f"{low + (high - low) * k // 5}") for k in range(6))


def _roc_panel(title: str, numbered: Numbered) -> Panel:
    return Panel(
        title,
        "False positive rate, %",
        "True positive rate, %",
        _ticks(0, 100),
        _ticks(0, 100),
        tuple(_roc(number, name, curves) for number, name, curves in numbered),
        (_ticks(0, 25), _ticks(75, 100)),
        "upper-left",
        diagonal=True,
    )


def _precision_panel(title: str, numbered: Numbered) -> Panel:
    return Panel(
        title,
        "Recall, %",
        "Precision, %",
        _ticks(0, 100),
        _ticks(0, 100),
        tuple(_precise(number, curves) for number, _, curves in numbered),
        (_ticks(75, 100), _ticks(75, 100)),
        "upper-right",
    )


def _roc(number: int, name: str, curves: Curves) -> Series:
    if curves.roc is None:
        return Series(number)
    band = ""
    if curves.band is not None:
        x, low, high = curves.band.T
        band = _path(np.vstack([np.column_stack([x, low]), np.column_stack([x, high])[::-1]])) + "Z"
    places: tuple[Place, ...] = ()
    if curves.point is not None:
        alarm, hit = curves.point
        said = f"{name}, as decided: true positives {100 * hit:.1f} %, false positives {100 * alarm:.1f} %"
        places = (Place(SIDE * alarm, SIDE * hit, None, None, said),)
    return Series(number, band, _path(thinned(curves.roc)), places)


def _precise(number: int, curves: Curves) -> Series:
    if curves.precision_recall is None:
        return Series(number)
    recall, precision = curves.precision_recall.T
    back = np.r_[0.0, recall[:-1]]
    corners = np.column_stack([np.column_stack([back, recall]).ravel(), np.repeat(precision, 2)])
    return Series(number, line=_path(thinned(corners)))


def _calibrated(number: int, name: str, curves: Curves) -> Series:
    """Areas of dots grow with the images they stand for; of few images there is no more than the dot."""
    images = sum(b.images for b in curves.bins)
    places = tuple(
        Place(
            SIDE * b.stated,
            SIDE * b.observed,
            SIDE * b.low if b.images >= FEWEST_IMAGES else None,
            SIDE * b.high if b.images >= FEWEST_IMAGES else None,
            f"{name}: {b.images:.0f} images stated {100 * b.stated:.1f} %, {100 * b.observed:.1f} % were so",
            width=3 + 9 * math.sqrt(b.images / images),
        )
        for b in curves.bins
    )
    many = [[b.stated, b.observed] for b in curves.bins if b.images >= FEWEST_IMAGES]
    return Series(number, line=_path(np.array(many).reshape(-1, 2)), places=places)


def cost_panel(
    title: str, x: str, y: str, points: Iterable[tuple[int, str, float, float, float | None, float | None]]
) -> Panel | None:
    """Return y (a share, with its interval) against x > 0 on a logarithmic axis; None without a point.

    What a record says far beyond any machine's time or memory is left out.

    `points` are (number, name, x, y, low, high).
    """
    points = [point for point in points if LEAST_COST < point[2] < MOST_COST]
    if not points:
        return None
    x_ticks, of_x = log_ticks([point[2] for point in points])
    ends = [v for point in points for v in point[3:] if v is not None]
    y_ticks, of_y = _share_ticks(min(ends), max(ends))
    series = []
    for number, name, value, share, *bounds in points:
        low, high = (None if bound is None else of_y(bound) for bound in bounds)
        title_of = f"{number} {name}: {x} {value:.4g}, {y} {100 * share:.2f}"
        series.append(Series(number, places=(Place(of_x(value), of_y(share), low, high, title_of),)))
    return Panel(title, x, y, x_ticks, y_ticks, tuple(series))


class _Scale:
    """Places values between two ends on 0 to `SIDE`."""

    def __init__(self, low: float, high: float, *, logarithmic: bool = False) -> None:
        self._of = math.log10 if logarithmic else float
        self._low, self._width = self._of(low), self._of(high) - self._of(low)

    def __call__(self, value: float) -> float:
        return SIDE * (self._of(value) - self._low) / self._width


def log_ticks(values: Sequence[float]) -> tuple[tuple[Tick, ...], _Scale]:
    """Return ticks around positive values, at powers of ten and between them where there is room; and the scale."""
    low, high = min(values) / 1.25, max(values) * 1.25
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        marks = [step * 10.0**power for power in powers for step in steps]
        first = max(mark for mark in marks if mark <= low)
        last = min(mark for mark in marks if mark >= high)
        inside = [mark for mark in marks if first <= mark <= last]
        if len(inside) <= MOST_TICKS:
            break
    scale = _Scale(first, last, logarithmic=True)
    return tuple(Tick(scale(mark), f"{mark:,.10g}") for mark in inside), scale


def _share_ticks(low: float, high: float) -> tuple[tuple[Tick, ...], _Scale]:
    step = next(s for s in (2, 5, 10, 20) if 100 * (high - low) / s <= 8 or s == 20)
    first = max(0, step * math.floor(100 * low / step))
    last = min(100, step * math.ceil(100 * high / step + 1e-9))
    last = last if last > first else first + step
    scale = _Scale(first / 100, last / 100)
    return tuple(Tick(scale(mark / 100), str(mark)) for mark in range(first, last + 1, step)), scale


def thinned(points: np.ndarray, finest: float = FINEST) -> np.ndarray:
    """Return the vertices (K, 2) that matter: no dropped one lies further than `finest` from the line.

    Douglas and Peucker (1973). The ends stay.

    >>> thinned(np.array([[0, 0], [0.5, 0.5], [1, 1]])).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    points = np.asarray(points, dtype=float)
    keep = np.zeros(len(points), dtype=bool)
    keep[[0, -1]] = True
    stretches = [(0, len(points) - 1)]
    while stretches:
        first, last = stretches.pop()
        if last - first < 2:
            continue
        distances = _distances(points[first + 1 : last], points[first], points[last])
        furthest = int(distances.argmax())
        if distances[furthest] > finest:
            middle = first + 1 + furthest
            keep[middle] = True
            stretches += [(first, middle), (middle, last)]
    return points[keep]


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """From each point to the stretch from `start` to `end`, to nine digits: processors differ in the last ones,
    and of vertices that are equally far the first must stay on each of them."""
    along = end - start
    length = float(along @ along)
    share = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
    return np.asarray(np.hypot(*(points - start - share[:, np.newaxis] * along).T)).round(9)


def _path(points: np.ndarray) -> str:
    """SVG path data of points (K, 2) in shares; the picture's y grows downwards."""
    if not len(points):
        return ""
    steps = [f"{_short(SIDE * x)} {_short(SIDE * (1 - y))}" for x, y in points.tolist()]
    return "M" + "L".join(steps)


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
