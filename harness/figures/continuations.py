"""Captions that break off at the end of a column or page and go on at the top of the next."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.figures.boxes import across, union
from harness.figures.captions import Found, eligible, going_on, joined_text, parts_of
from harness.figures.labels import label_at_start, table_at_start
from harness.figures.layout import Layout, Style
from harness.figures.pages import Line

__all__ = ["continued"]


def continued(captions: Sequence[Found], layouts: Sequence[Layout], style: Style) -> list[Found]:
    """Return captions with what of them stands in the next column or on the next page.

    Only one that ends without a full stop at the foot of its column is looked for. A type of its own tells it from the
    text there; one in the type of the text goes on where a sentence does that the text above it did not begin.
    """
    by_number = {layout.page.number: layout for layout in layouts}
    return [_whole(found, by_number, style) for found in captions]


def _whole(found: Found, layouts: Mapping[int, Layout], style: Style) -> Found:
    layout = layouts[found.page]
    lines = layout.page.lines
    type_line = lines[found.lines[1] if len(found.lines) > 1 else found.lines[0]]
    own_type = abs(type_line.size - style.size) >= 0.4 or type_line.font != style.main
    if found.label.bare or _ended(found.text) or not _at_the_foot(found, layout):
        return found
    if not own_type and not _text_ended(found, layout):
        return found
    x1 = union(lines[n].box for n in found.lines)[2]
    beside = [n for n in _eligible(layout) if lines[n].box[0] >= x1 - 2 and n not in found.lines]
    if more := _beginning(layout, beside, type_line, style, own_type):
        return _extended(found, layout, more, lines)
    following = layouts.get(found.page + 1)
    if following and (more := _beginning(following, _eligible(following), type_line, style, own_type)):
        return _extended(found, following, more, lines)
    return found


def _ended(text: str) -> bool:
    return bool(re.search(r"[.!?][)\]”’]?\s*$", text))


def _text_ended(found: Found, layout: Layout) -> bool:
    """Whether the running text above a caption ends with a sentence, so that it does not go on after it."""
    box = union(layout.page.lines[n].box for n in found.lines)
    above = [line for line in layout.lines("prose") if line.box[3] <= box[1] and across(line.box, box, 0) > 0]
    return not above or _ended(max(above, key=lambda line: line.box[3]).text)


def _eligible(layout: Layout) -> list[int]:
    numbers = (n for n in range(len(layout.page.lines)) if eligible(layout, n))
    return sorted(numbers, key=lambda n: (layout.page.lines[n].box[1], layout.page.lines[n].box[0]))


def _at_the_foot(found: Found, layout: Layout) -> bool:
    """Whether nothing of the text stands below a caption in its column."""
    lines = layout.page.lines
    box = union(lines[n].box for n in found.lines)
    below = (lines[n].box for n in _eligible(layout) if n not in found.lines)
    low = box[3] > 0.6 * layout.page.height
    return low and not any(one[1] > box[3] - 1 and across(one, box, 0) > 0 for one in below)


def _beginning(layout: Layout, numbers: Sequence[int], like: Line, style: Style, own_type: bool) -> list[int]:
    """The lines at the top of a column or page when they are in a caption's type, else none."""
    if not numbers:
        return []
    first = layout.page.lines[numbers[0]]
    same = abs(first.size - like.size) <= 0.25 and first.font == like.font
    if not same or label_at_start(first.text) or table_at_start(first.text):
        return []
    if not own_type and not re.match(r"[a-zﬁﬂ(]", first.text):
        return []
    taken = [numbers[0], *going_on(layout, numbers[0], numbers[1:], style)]
    return [n for n in taken if abs(layout.page.lines[n].size - like.size) <= 0.6]


def _extended(found: Found, layout: Layout, more: Sequence[int], lines: Sequence[Line]) -> Found:
    added = [layout.page.lines[n] for n in more]
    text = joined_text([*(lines[n] for n in found.lines), *added])
    if layout.page.number == found.page:
        return replace(found, text=text, lines=(*found.lines, *more), boxes=(*found.boxes, *parts_of(added)))
    return replace(found, text=text, more=((layout.page.number, tuple(more)),))
