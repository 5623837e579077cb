"""Shapes on a grid of millimetres: a field is positive inside a shape, about the distance to its edge.

Elementwise +, -, *, / and sqrt only, so that every machine computes the same bits (see `draws`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

import numpy as np

from harness.data.phantom.draws import Draws

__all__ = ["Ellipse", "Grid", "blurred", "coverage", "keyed", "noise", "paint", "rods", "union"]

Box = tuple[slice, slice]
Number = TypeVar("Number", float, np.ndarray)
PIECE_MM = 7.0
WHOLE: Box = (slice(None), slice(None))


@dataclass(frozen=True)
class Grid:
    """Pixel centres in the patient's coordinates.

    x grows to the image's right (the patient's left), y to the back, in mm, seen from the feet. `pixel_mm` is a
    pixel's width and height; `turn` the (cosine, sine) by which the patient lies turned; `centre` the patient's
    point in the image's middle.
    """

    height: int
    width: int
    pixel_mm: tuple[float, float]
    centre: tuple[float, float] = (0.0, 0.0)
    turn: tuple[float, float] = (1.0, 0.0)

    @cached_property
    def _coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        u = ((np.arange(self.width) - (self.width - 1) / 2) * self.pixel_mm[0])[None, :]
        v = ((np.arange(self.height) - (self.height - 1) / 2) * self.pixel_mm[1])[:, None]
        cosine, sine = self.turn
        x, y = u * cosine + v * sine + self.centre[0], v * cosine - u * sine + self.centre[1]
        return x.astype(np.float32), y.astype(np.float32)

    def coordinates(self, box: Box = WHOLE) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of the pixels of a box, float32 (h, w) each."""
        x, y = self._coordinates
        return x[box], y[box]

    def pixels(self, x: Number, y: Number) -> tuple[Number, Number]:
        """Return the row and column of points, fractions included."""
        cosine, sine = self.turn
        dx, dy = x - self.centre[0], y - self.centre[1]
        rows = (dy * cosine + dx * sine) / self.pixel_mm[1] + (self.height - 1) / 2
        return rows, (dx * cosine - dy * sine) / self.pixel_mm[0] + (self.width - 1) / 2

    def box(self, x: float, y: float, reach: float) -> Box:
        """Return rows and columns within `reach` mm of a point; may be empty."""
        row, column = self.pixels(x, y)
        across, down = (reach / side + 1.5 for side in self.pixel_mm)
        return _around(row, down, self.height), _around(column, across, self.width)


def _around(middle: float, reach: float, size: int) -> slice:
    first = min(max(math.floor(middle - reach), 0), size)
    return slice(first, max(first, min(math.ceil(middle + reach) + 1, size)))


@dataclass(frozen=True)
class Ellipse:
    """Centre and half axes in mm; (dx, dy) is the unit vector along the first half axis."""

    x: float
    y: float
    a: float
    b: float
    dx: float = 1.0
    dy: float = 0.0

    @property
    def reach(self) -> float:
        return max(self.a, self.b)

    def grown(self, mm: float) -> Ellipse:
        return Ellipse(self.x, self.y, self.a + mm, self.b + mm, self.dx, self.dy)

    def radius(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return 0 at the centre, 1 on the edge."""
        ux, uy, vx, vy = self.dx / self.a, self.dy / self.a, -self.dy / self.b, self.dx / self.b
        u = x * ux + y * uy
        u -= self.x * ux + self.y * uy
        v = x * vx + y * vy
        v -= self.x * vx + self.y * vy
        return np.sqrt(u * u + v * v)

    def field(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (1.0 - self.radius(x, y)) * min(self.a, self.b)


def coverage(field: np.ndarray, soft_mm: float) -> np.ndarray:
    """Return the opacity 0 to 1 of a field whose edge is `soft_mm` wide."""
    t = field / soft_mm
    t += 0.5
    return _eased(np.minimum(np.maximum(t, 0.0, out=t), 1.0, out=t))


def union(first: np.ndarray, second: np.ndarray, round_mm: float) -> np.ndarray:
    """Return the field of either shape, the notch between them filled over `round_mm`."""
    t = np.minimum(np.maximum(0.5 + 0.5 * (first - second) / round_mm, 0.0), 1.0)
    return second + t * (first - second) + round_mm * t * (1.0 - t)


def paint(hu: np.ndarray, grid: Grid, shape: Ellipse, value: float, soft_mm: float = 1.5) -> None:
    """Lay an ellipse of that value over the image, in place."""
    box = grid.box(shape.x, shape.y, shape.reach + soft_mm)
    patch = hu[box]
    patch += coverage(shape.field(*grid.coordinates(box)), soft_mm) * (value - patch)


def noise(draws: Draws, grid: Grid, spacing_mm: float, box: Box = WHOLE) -> np.ndarray:
    """Return smooth noise of -1 to 1 on a box of the grid, (h, w), its grains `spacing_mm` apart."""
    rows, columns = (
        len(range(size)[part]) for size, part in zip((grid.height, grid.width), box, strict=True)
    )
    across, down = (side / spacing_mm for side in grid.pixel_mm)
    values = draws.units(int(rows * down) + 2, int(columns * across) + 2) * 2.0 - 1.0
    by_row = _between_knots(values.astype(np.float32), np.arange(rows) * down, 0)
    return _between_knots(by_row, np.arange(columns) * across, 1)


def _between_knots(values: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Return values (2-D) read along an axis at fractional knots."""
    knots = np.floor(at).astype(np.intp)
    ease = _eased(at - knots).astype(np.float32)
    first = values.take(knots, axis)
    return first + np.expand_dims(ease, 1 - axis) * (values.take(knots + 1, axis) - first)


def _eased(t: np.ndarray) -> np.ndarray:
    return t * t * (3.0 - 2.0 * t)


def blurred(image: np.ndarray, weight: float, passes: int = 1) -> np.ndarray:
    """Return the image after `passes` of (weight, 1 - 2 weight, weight) along both axes; below 0 it sharpens."""
    for _ in range(passes):
        for axis in (0, 1):
            image = _smoothed(image, weight, axis)
    return image


def _smoothed(image: np.ndarray, weight: float, axis: int) -> np.ndarray:
    padded = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
    n = image.shape[axis]
    before, after = (padded[:n], padded[2:]) if axis == 0 else (padded[:, :n], padded[:, 2:])
    return image * (1.0 - 2.0 * weight) + (before + after) * weight


def keyed(level: float, keys: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """Return the values at a level, from (level, value, ...) keys in rising order.

    >>> keyed(0.25, [(0.0, 1.0, 5.0), (0.5, 2.0, 7.0)])
    (1.5, 6.0)
    """
    if level <= keys[0][0]:
        return tuple(keys[0][1:])
    for (low, *start), (high, *end) in pairwise(keys):
        if level <= high:
            t = (level - low) / (high - low)
            return tuple(s + t * (e - s) for s, e in zip(start, end, strict=True))
    return tuple(keys[-1][1:])


def rods(grid: Grid, ends: np.ndarray, radii: np.ndarray, soft_mm: float = 1.7) -> np.ndarray:
    """Return the opacity (H, W) of tapering rods: ends (N, 4) as x0, y0, x1, y1 and radii (N, 2), mm.

    Long rods are cut up so that each piece fits one window of a few pixels; all windows are computed at once.
    """
    opacity = np.zeros(grid.height * grid.width, np.float32)
    if len(ends):
        ends, radii = _cut_up(ends, radii)
        half = math.ceil((PIECE_MM / 2 + float(radii.max()) + soft_mm / 2) / min(grid.pixel_mm))
        flat = _windows(grid, ends, half)
        x, y = (axis.reshape(-1)[flat] for axis in grid.coordinates())
        field = _capsules(x, y, ends.astype(np.float32), radii.astype(np.float32))
        np.maximum.at(opacity, flat.reshape(-1), coverage(field, soft_mm).reshape(-1))
    return opacity.reshape(grid.height, grid.width)


def _windows(grid: Grid, ends: np.ndarray, half: int) -> np.ndarray:
    """Return the flat pixel indices (N, 2 half + 1, 2 half + 1) around each rod's middle, kept on the grid."""
    rows, columns = grid.pixels((ends[:, 0] + ends[:, 2]) / 2, (ends[:, 1] + ends[:, 3]) / 2)
    offsets = np.arange(-half, half + 1)
    rows = np.floor(rows).astype(np.intp)[:, None, None] + offsets[:, None]
    columns = np.floor(columns).astype(np.intp)[:, None, None] + offsets
    return np.clip(rows, 0, grid.height - 1) * grid.width + np.clip(columns, 0, grid.width - 1)


def _cut_up(ends: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends and radii of pieces of at most `PIECE_MM` that make up the rods."""
    start, along = ends[:, :2], ends[:, 2:] - ends[:, :2]
    length = np.sqrt(along[:, 0] * along[:, 0] + along[:, 1] * along[:, 1])
    pieces = np.floor(length / PIECE_MM).astype(np.intp) + 1
    rod = np.repeat(np.arange(len(ends)), pieces)
    piece = np.arange(len(rod)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    low, high = (piece / pieces[rod])[:, None], ((piece + 1) / pieces[rod])[:, None]
    cut = np.concatenate([start[rod] + low * along[rod], start[rod] + high * along[rod]], axis=1)
    first, last = radii[rod, :1], radii[rod, 1:]
    return cut, np.concatenate([first + low * (last - first), first + high * (last - first)], axis=1)


def _capsules(x: np.ndarray, y: np.ndarray, ends: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return the field of N rods at points (N, h, w)."""
    x0, y0, x1, y1 = (ends[:, i, None, None] for i in range(4))
    first, last = radii[:, 0, None, None], radii[:, 1, None, None]
    ex, ey, px, py = x1 - x0, y1 - y0, x - x0, y - y0
    along = (px * ex + py * ey) / np.maximum(ex * ex + ey * ey, 1e-9)
    along = np.minimum(np.maximum(along, 0.0), 1.0)
    px, py = px - along * ex, py - along * ey
    return first + along * (last - first) - np.sqrt(px * px + py * py)
