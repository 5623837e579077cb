"""Where figures may be on a page: pieces of graphics, what bounds them, and how pieces grow into one figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.figures.boxes import area, distance, grown, height, overlaps, share_inside, union, width
from harness.figures.layout import Layout, at_the_edge
from harness.figures.pages import Line, Page, Placed
from harness.figures.types import Box

__all__ = ["Atom", "atoms_of", "decoration", "grown_from", "obstacles_of", "with_labels", "without_edges"]

CELL = 2.0
"""Drawings nearer than about two of these points are one piece."""

FARTHEST = 0.13
"""Pieces of one figure lie nearer than this share of the page's height."""

SMALLEST = 12.0
"""A piece of fewer points across is no figure by itself."""


THIN = 5.0
"""Bars of fewer points beside an image are what is left of a frame."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A piece of graphics: one image, or drawings that touch. `rule` is true for lines that only part text."""

    box: Box
    image: int | None = None
    rule: bool = False
    drawn: int = 0


def decoration(pages: Sequence[Page]) -> set[tuple[int, ...]]:
    """Return the marks (`mark_of`) of graphics that come back on several pages: logos, heads, frames."""
    seen: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
    for page in pages:
        marks = {mark_of(image) for image in page.images} | {mark_of(box) for box in page.drawings}
        for mark in marks:
            seen[mark].add(page.number)
    least = 2 if len(pages) <= 8 else 3
    return {mark for mark, numbers in seen.items() if len(numbers) >= least}


def mark_of(graphic: Placed | Box) -> tuple[int, ...]:
    """Return what tells a piece of graphics from others: its place, and for an image its size and bytes too."""
    if isinstance(graphic, Placed):
        place = tuple(round(value / 2) for value in graphic.box)
        return (*place, graphic.width, graphic.height, graphic.stored)
    return tuple(round(value / 2) for value in graphic)


def atoms_of(layout: Layout, decorated: set[tuple[int, ...]], captions: Sequence[int] = ()) -> list[Atom]:
    """Return the pieces of graphics on a page that are not furniture, backgrounds, or frames around text.

    `captions` are numbers of their first lines: what goes around one is a frame of figure and caption.
    """
    page = layout.page
    prose = [line.box for line in layout.lines("prose")]
    names = [page.lines[number].box for number in captions]
    whole = 0.85 * area(page.box)
    pieces = []
    for number, image in enumerate(page.images):
        big = area(image.box) > 0.1 * area(page.box)
        known = mark_of(image) in decorated and not big
        if (
            not known
            and area(image.box) > 9
            and not (area(image.box) > whole and _holding(image.box, prose) >= 3)
        ):
            pieces.append(Atom(image.box, number))
    drawn = [
        box
        for box in page.drawings
        if not (mark_of(box) in decorated and (_in_margin(box, page) or _is_rule(box)))
        and not (area(box) > 0.01 * area(page.box) and _holding(box, prose) >= 3)
        and not any(share_inside(name, box) > 0.9 or _passing(box, name) for name in names)
    ]
    return [*pieces, *_clusters(drawn, page)]


def _in_margin(box: Box, page: Page) -> bool:
    return box[3] < 0.15 * page.height or box[1] > 0.88 * page.height or width(box) < 40 or height(box) < 40


def _is_rule(box: Box) -> bool:
    return min(width(box), height(box)) < 3


def _passing(box: Box, name: Box) -> bool:
    """Whether an upright rule runs past a caption: one side of a frame."""
    return width(box) < 3 and box[1] < name[1] and box[3] > name[3]


def _holding(box: Box, lines: Iterable[Box]) -> int:
    return sum(share_inside(line, box) > 0.9 for line in lines)


def _clusters(drawn: Sequence[Box], page: Page) -> list[Atom]:
    """Drawings that touch or nearly do, found on a grid so that ten thousand cost no more than ten."""
    if not drawn:
        return []
    import numpy as np
    from scipy import ndimage

    columns, rows = int(page.width / CELL) + 3, int(page.height / CELL) + 3
    grid = np.zeros((rows, columns), dtype=bool)
    corners = [tuple(int(max(0.0, value) / CELL) for value in box) for box in drawn]
    for x0, y0, x1, y1 in corners:
        grid[y0 : y1 + 2, x0 : x1 + 2] = True
    marks, _ = ndimage.label(grid, structure=np.ones((3, 3)))
    members: defaultdict[int, list[Box]] = defaultdict(list)
    for box, (x0, y0, _, _) in zip(drawn, corners, strict=True):
        members[int(marks[min(y0, rows - 1), min(x0, columns - 1)])].append(box)
    found = []
    for boxes in members.values():
        box = union(boxes)
        flat = all(height(one) < 3 for one in boxes) or all(width(one) < 3 for one in boxes)
        long = max(max(width(one), height(one)) for one in boxes) >= SMALLEST
        flat = flat and (long or min(width(box), height(box)) < 3)  # not the short strokes of a drawing
        found.append(Atom(box, rule=flat, drawn=len(boxes)))
    return found


def obstacles_of(layout: Layout, captions: Iterable[int]) -> list[Box]:
    """Return the boxes that no figure reaches over: prose, headings, captions, running heads at the very edge."""
    chosen = set(captions)
    lines = zip(layout.page.lines, layout.roles, strict=True)
    return [
        grown(line.box, -1.0, -min(2.0, 0.2 * height(line.box)))
        for number, (line, role) in enumerate(lines)
        if number in chosen
        or role in ("prose", "heading")
        or (role == "furniture" and at_the_edge(line, layout.page))
    ]


def grown_from(
    seed: Sequence[Atom], atoms: Sequence[Atom], obstacles: Sequence[Box], farthest: float
) -> list[Atom]:
    """Return the seed and all pieces that can be reached without a box around all running into an obstacle."""
    taken = list(seed)
    box = union(atom.box for atom in taken)
    rest = [atom for atom in atoms if atom not in taken]
    while rest:
        rest.sort(key=lambda atom: distance(atom.box, box))
        for atom in rest:
            if distance(atom.box, box) > farthest:
                continue
            wider = union((box, atom.box))
            if not any(overlaps(wider, one) and not overlaps(box, one) for one in obstacles):
                taken.append(atom)
                rest.remove(atom)
                box = wider
                break
        else:
            break
    return taken


def without_edges(atoms: Sequence[Atom]) -> tuple[Atom, ...]:
    """Return a figure's pieces without the bars beside its images, where there is no other drawing."""
    images = tuple(atom for atom in atoms if atom.image is not None)
    bars = all(min(width(atom.box), height(atom.box)) < THIN for atom in atoms if atom.image is None)
    return images if images and bars else tuple(atoms)


def with_labels(box: Box, labels: Sequence[Line], obstacles: Sequence[Box]) -> tuple[Box, int]:
    """Return a figure's box with the small text in and around it, and how many lines of that there are.

    Text belongs to it when it is nearer than a line is high, or a little more, and no obstacle is between.
    """
    rest, taken = list(labels), 0
    growing = True
    room = grown(box, 30 + 0.4 * width(box), 30 + 0.3 * height(box))
    while growing:
        growing = False
        for line in list(rest):
            reach = max(7.0, 1.1 * line.size)
            wider = union((box, line.box))
            if distance(line.box, box) > reach or share_inside(wider, room) < 1.0:
                continue
            if any(overlaps(wider, one) and not overlaps(box, one) for one in obstacles):
                continue
            rest.remove(line)
            taken, growing, box = taken + 1, True, wider
    return box, taken
