"""Shapes on a grid of millimetres: a field is positive inside a shape, about the distance to its edge.

Elementwise +, -, *, / and sqrt only, so that every machine computes the same bits (see `draws`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.phantom.draws import Draws

__all__ = ["Ellipse", "Grid", "blurred", "capsule", "coverage", "keyed", "noise", "paint", "union"]

Box = tuple[slice, slice]


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

    def coordinates(self, box: Box = (slice(None), slice(None))) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of the pixels of a box, float64 (h, w) each."""
        u = ((np.arange(self.width) - (self.width - 1) / 2) * self.pixel_mm[0])[None, box[1]]
        v = ((np.arange(self.height) - (self.height - 1) / 2) * self.pixel_mm[1])[box[0], None]
        cosine, sine = self.turn
        return u * cosine + v * sine + self.centre[0], v * cosine - u * sine + self.centre[1]

    def box(self, x: float, y: float, reach: float) -> Box:
        """Return rows and columns within `reach` mm of a point; may be empty."""
        cosine, sine = self.turn
        dx, dy = x - self.centre[0], y - self.centre[1]
        column = (dx * cosine - dy * sine) / self.pixel_mm[0] + (self.width - 1) / 2
        row = (dy * cosine + dx * sine) / self.pixel_mm[1] + (self.height - 1) / 2
        across, down = (reach / side + 1.5 for side in self.pixel_mm)
        return _between(row - down, row + down, self.height), _between(column - across, column + across, self.width)


def _between(low: float, high: float, size: int) -> slice:
    first = min(max(math.floor(low), 0), size)
    return slice(first, max(first, min(math.ceil(high) + 1, size)))


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
        u = (x - self.x) * self.dx + (y - self.y) * self.dy
        v = (y - self.y) * self.dx - (x - self.x) * self.dy
        u, v = u / self.a, v / self.b
        return np.sqrt(u * u + v * v)

    def field(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (1.0 - self.radius(x, y)) * min(self.a, self.b)


def capsule(
    x: np.ndarray, y: np.ndarray, start: tuple[float, float], end: tuple[float, float], radii: tuple[float, float]
) -> np.ndarray:
    """Return the field of a rod from `start` to `end`, tapering from the first radius to the second."""
    ex, ey = end[0] - start[0], end[1] - start[1]
    along = ((x - start[0]) * ex + (y - start[1]) * ey) / max(ex * ex + ey * ey, 1e-9)
    along = np.minimum(np.maximum(along, 0.0), 1.0)
    px, py = x - start[0] - along * ex, y - start[1] - along * ey
    return radii[0] + along * (radii[1] - radii[0]) - np.sqrt(px * px + py * py)


def coverage(field: np.ndarray, soft_mm: float) -> np.ndarray:
    """Return the opacity 0 to 1 of a field whose edge is `soft_mm` wide."""
    t = np.minimum(np.maximum(field / soft_mm + 0.5, 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def union(first: np.ndarray, second: np.ndarray, round_mm: float) -> np.ndarray:
    """Return the field of either shape, the notch between them filled over `round_mm`."""
    t = np.minimum(np.maximum(0.5 + 0.5 * (first - second) / round_mm, 0.0), 1.0)
    return second + t * (first - second) + round_mm * t * (1.0 - t)


def paint(hu: np.ndarray, grid: Grid, shape: Ellipse, value: float, soft_mm: float = 1.5) -> None:
    """Lay an ellipse of that value over the image, in place."""
    box = grid.box(shape.x, shape.y, shape.reach + soft_mm)
    patch = hu[box]
    patch += coverage(shape.field(*grid.coordinates(box)), soft_mm) * (value - patch)


def noise(draws: Draws, x: np.ndarray, y: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return smooth noise of about -1 to 1 whose grains are `spacing_mm` apart, at any points (h, w)."""
    if x.size == 0:
        return np.zeros(x.shape)
    u, v = (x - x.min()) / spacing_mm, (y - y.min()) / spacing_mm
    iu, iv = np.floor(u).astype(np.intp), np.floor(v).astype(np.intp)
    values = draws.units(int(iv.max()) + 2, int(iu.max()) + 2) * 2.0 - 1.0
    su, sv = _eased(u - iu), _eased(v - iv)
    upper = values[iv, iu] + su * (values[iv, iu + 1] - values[iv, iu])
    lower = values[iv + 1, iu] + su * (values[iv + 1, iu + 1] - values[iv + 1, iu])
    return upper + sv * (lower - upper)


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
    for (low, *start), (high, *end) in zip(keys, keys[1:], strict=False):
        if level <= high:
            t = (level - low) / (high - low)
            return tuple(s + t * (e - s) for s, e in zip(start, end, strict=True))
    return tuple(keys[-1][1:])
