"""Captions whose title stands above the figure and whose words go on below it, as some journals print them."""

from __future__ import annotations

from dataclasses import replace

from harness.figures.boxes import union
from harness.figures.captions import Found, eligible, going_on, joined_text, parts_of
from harness.figures.labels import label_at_start, table_at_start
from harness.figures.layout import Layout, Style
from harness.figures.types import Box

__all__ = ["with_legend"]

FARTHEST = 1.8
"""Heights of a line between a figure and the words below it."""

LONGEST_TITLE = 3
"""Lines: what is longer above a figure is the whole caption."""

LEAST_WORDS = 5
"""Of the first line below: what has fewer is part of the figure."""


def with_legend(found: Found, layout: Layout, box: Box, style: Style) -> Found:
    """Return a caption that stands above its figure (`box`) with the words below it that are not the running text."""
    if len(found.lines) > LONGEST_TITLE or found.label.bare:
        return found
    lines = layout.page.lines
    span = union([box, *found.boxes])
    below = [
        n
        for n, line in enumerate(lines)
        if eligible(layout, n) and line.box[1] > box[3] - 2 and span[0] - 5 < line.box[0] < line.box[2] < span[2] + 5
    ]
    below.sort(key=lambda n: (lines[n].box[1], lines[n].box[0]))
    if not below:
        return found
    first = lines[below[0]]
    own_type = first.size <= style.size - 0.4 or first.font not in style.fonts
    near = first.box[1] - box[3] < FARTHEST * first.size
    named = label_at_start(first.text) or table_at_start(first.text)
    if not (own_type and near) or named or first.words < LEAST_WORDS or layout.roles[below[0]] == "heading":
        return found
    more = [below[0], *going_on(layout, below[0], below[1:], style)]
    added = [lines[n] for n in more]
    text = joined_text([*(lines[n] for n in found.lines), *added])
    return replace(found, text=text, lines=(*found.lines, *more), boxes=(*found.boxes, *parts_of(added)))
