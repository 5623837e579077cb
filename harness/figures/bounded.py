"""Figures that have no graphics of their own: listings set as text, and places on pages that are scans.

What bounds them is all that is known: the caption on one side; running text, another caption or the edge on the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.figures.boxes import across, area, height, overlaps, union, width
from harness.figures.captions import Found
from harness.figures.layout import Layout
from harness.figures.pages import Line
from harness.figures.pairing import Pair
from harness.figures.regions import obstacles_of
from harness.figures.types import Box

__all__ = ["CONFIDENCE", "bounded_figure"]

CONFIDENCE = 0.4
CLEAR = 2.0
"""Strength of a caption from which on it is believed without graphics."""

GAP = 30.0
"""Points between caption and text, and between the lines of a figure of text."""

LEAST = 0.01
"""Share of a page that such a figure has at least."""

COVER = 0.8
"""An image on more of a page than this is a scan of it."""


def bounded_figure(
    layout: Layout, found: Found, captions: Sequence[Found], taken: Sequence[Box]
) -> Pair | None:
    """Return the place of a figure between its caption and what bounds it, None where there is nothing.

    `captions` are all of the page, `taken` the boxes of its other figures.
    """
    if found.strength < CLEAR or not found.label.end or found.label.bare:
        return None
    lines = [n for one in captions for n in one.lines]
    obstacles = [*obstacles_of(layout, lines), *taken]
    page = layout.page
    scanned = any(area(image.box) > COVER * area(page.box) for image in page.images)
    for above in (True, False):
        caption = found.place
        box = (
            _room(page.box, caption, obstacles, above)
            if scanned
            else _text(layout, caption, set(lines), obstacles, above)
        )
        if box and area(box) >= LEAST * area(page.box) and min(width(box), height(box)) > 20:
            return Pair(-1, "bounded", box, (), 0, 0.0)
    return None


def _text(
    layout: Layout, caption: Box, captions: set[int], obstacles: Sequence[Box], above: bool
) -> Box | None:
    """Small text that goes on from a caption without a wide gap."""
    lines = [
        line
        for n, line in enumerate(layout.page.lines)
        if layout.roles[n] == "other"
        and n not in captions
        and (line.box[3] <= caption[1] + 2 if above else line.box[1] >= caption[3] - 2)
    ]
    lines.sort(key=lambda line: -line.box[3] if above else line.box[1])
    box: Box | None = None
    for line in lines:
        if not _near(line, box or caption, above):
            continue
        wider = union([box, line.box]) if box else line.box
        if any(overlaps(wider, one) for one in obstacles):
            break
        box = wider
    return box


def _near(line: Line, box: Box, above: bool) -> bool:
    gap = box[1] - line.box[3] if above else line.box[1] - box[3]
    return gap < GAP and across(line.box, box, 0) > 0


def _room(page: Box, caption: Box, obstacles: Sequence[Box], above: bool) -> Box | None:
    """All of a caption's column up to what bounds it; the picture is cut to its ink later."""
    x0, x1 = caption[0], caption[2]
    facing = [one for one in obstacles if across(one, caption, 0) > 0.2 * min(width(one), width(caption))]
    if above:
        top = max((one[3] for one in facing if one[3] <= caption[1]), default=0.03 * page[3])
        return x0, top + 2, x1, caption[1] - 2
    bottom = min((one[1] for one in facing if one[1] >= caption[3]), default=0.97 * page[3])
    return x0, caption[3] + 2, x1, bottom - 2
