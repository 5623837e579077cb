"""Arithmetic of boxes (x0, y0, x1, y1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.figures.types import Box

__all__ = [
    "across",
    "area",
    "distance",
    "grown",
    "height",
    "intersection",
    "iou",
    "matched_pairs",
    "overlaps",
    "share_inside",
    "union",
    "width",
]


def width(box: Box) -> float:
    return max(0.0, box[2] - box[0])


def height(box: Box) -> float:
    return max(0.0, box[3] - box[1])


def area(box: Box) -> float:
    """Return the area, 0 for a box that is turned inside out.

    >>> area((0, 0, 2, 3)), area((5, 0, 2, 3))
    (6.0, 0.0)
    """
    return float(width(box) * height(box))


def union(boxes: Iterable[Box]) -> Box:
    """Return the smallest box around all. Raises `ValueError` for none."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def intersection(a: Box, b: Box) -> Box:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def overlaps(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def grown(box: Box, x: float, y: float | None = None) -> Box:
    y = x if y is None else y
    return box[0] - x, box[1] - y, box[2] + x, box[3] + y


def across(a: Box, b: Box, axis: int) -> float:
    """Return the length that two boxes share along x (0) or y (1), negative for the gap between them."""
    return min(a[axis + 2], b[axis + 2]) - max(a[axis], b[axis])


def distance(a: Box, b: Box) -> float:
    """Return the larger of the gaps along x and y, 0 for boxes that touch.

    >>> distance((0, 0, 1, 1), (3, 0, 4, 1))
    2.0
    """
    return float(max(0.0, -across(a, b, 0), -across(a, b, 1)))


def share_inside(inner: Box, outer: Box) -> float:
    """Return the share of `inner` that lies in `outer`; a line without area counts by its length."""
    thick = (inner[0], inner[1], max(inner[2], inner[0] + 0.1), max(inner[3], inner[1] + 0.1))
    return area(intersection(thick, outer)) / area(thick)


def iou(a: Box, b: Box) -> float:
    """Return intersection over union, 0 where neither has an area.

    >>> iou((0, 0, 2, 1), (1, 0, 3, 1)) == 1 / 3
    True
    """
    shared = area(intersection(a, b)) if overlaps(a, b) else 0.0
    whole = area(a) + area(b) - shared
    return shared / whole if whole > 0 else 0.0


def matched_pairs(found: Sequence[Box], true: Sequence[Box], least: float) -> list[tuple[int, int]]:
    """Return pairs of (found, true) with IoU of `least` or more, as many as can be had one to one.

    >>> matched_pairs([(0, 0, 2, 2), (9, 9, 10, 10)], [(0, 0, 2, 2)], 0.7)
    [(0, 0)]
    """
    fitting = [[t for t, box in enumerate(true) if iou(one, box) >= least] for one in found]
    owner: dict[int, int] = {}
    for one in range(len(found)):
        _augment(one, fitting, owner, set())
    return sorted((one, t) for t, one in owner.items())


def _augment(one: int, fitting: list[list[int]], owner: dict[int, int], seen: set[int]) -> bool:
    for t in fitting[one]:
        if t in seen:
            continue
        seen.add(t)
        if t not in owner or _augment(owner[t], fitting, owner, seen):
            owner[t] = one
            return True
    return False
