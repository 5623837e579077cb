"""Captions whose title stands above the figure and whose words go on below it, as some journals print them."""

from __future__ import annotations

from dataclasses import replace

from harness.figures.boxes import union
from harness.figures.captions import Found, eligible, going_on, joined_text, parts_of
from harness.figures.labels import label_at_start, table_at_start
from harness.figures.layout import Layout, Style
from harness.figures.pairing import Pair
from harness.figures.types import Box

__all__ = ["with_legend"]

FARTHEST = 1.8
"""Heights of a line between a figure and the words below it."""

LONGEST_TITLE = 3
"""Lines: what is longer above a figure is the whole caption."""

LEAST_WORDS = 5
"""Of the first line below: what has fewer is part of the figure."""


def with_legend(pair: Pair, found: Found, layout: Layout, style: Style) -> tuple[Pair, Found]:
    """Return a figure and the caption above it, with the words below it that are neither figure nor running text."""
    if len(found.lines) > LONGEST_TITLE or found.label.bare:
        return pair, found
    for box in (pair.box, union(atom.box for atom in pair.atoms)):
        if more := _legend(found, box, layout, style):
            added = [layout.page.lines[n] for n in more]
            text = joined_text([*(layout.page.lines[n] for n in found.lines), *added])
            boxes = (*found.boxes, *parts_of(added))
            lower = min(pair.box[3], added[0].box[1])
            return (
                replace(pair, box=(*pair.box[:3], lower)),
                replace(found, text=text, lines=(*found.lines, *more), boxes=boxes),
            )
    return pair, found


def _legend(found: Found, box: Box, layout: Layout, style: Style) -> list[int]:
    """Numbers of the lines right below a box that are sentences in a type of their own; none where there are none."""
    lines = layout.page.lines
    x0, _, x1, _ = union([box, *found.boxes])
    below = [
        n
        for n, line in enumerate(lines)
        if eligible(layout, n) and line.box[1] > box[3] - 2 and x0 - 5 < line.box[0] and line.box[2] < x1 + 5
    ]
    if not below:
        return []
    below.sort(key=lambda n: (lines[n].box[1], lines[n].box[0]))
    first = lines[below[0]]
    own_type = first.size <= style.size - 0.4 or first.font not in style.fonts
    near = first.box[1] - box[3] < FARTHEST * first.size
    other = label_at_start(first.text) or table_at_start(first.text) or layout.roles[below[0]] == "heading"
    if not (own_type and near) or other or first.words < LEAST_WORDS:
        return []
    return [below[0], *going_on(layout, below[0], below[1:], style)]
