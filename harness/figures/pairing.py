"""Which graphics a caption speaks of: proposals on every side of each caption, decided together for a page.

After Clark and Divvala (2016, PDFFigures 2.0): every caption proposes regions above, below and beside itself
that hold no running text, and the choice that explains the page best wins. Unlike theirs, regions are grown from
pieces of graphics, and tables compete for them too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.figures.boxes import across, area, distance, height, iou, overlaps, share_inside, union, width
from harness.figures.captions import Found
from harness.figures.layout import Layout
from harness.figures.pages import Line
from harness.figures.regions import (
    FARTHEST,
    SMALLEST,
    Atom,
    grown_from,
    obstacles_of,
    with_labels,
    without_edges,
)
from harness.figures.types import Box

__all__ = ["Pair", "Situation", "pairs_on"]

SIDES = ("up", "down", "left", "right")
PRIOR = {"up": 0.35, "down": 0.0, "left": -0.1, "right": -0.1}
"""Captions of figures mostly stand below them; those of tables above."""

GAP = 150.0
"""Points at which the distance from caption to figure has used up a proposal's worth."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A caption's number on its page, the box of its figure, the pieces it is made of, and how well they fit."""

    caption: int
    side: str
    box: Box
    atoms: tuple[Atom, ...]
    labels: int
    score: float


@dataclass(frozen=True)
class Situation:
    """A page with its captions (of figures first, then of tables) and its graphics."""

    layout: Layout
    captions: Sequence[Found]
    tables: Sequence[tuple[int, ...]]
    atoms: Sequence[Atom]
    prior: dict[str, float] = field(default_factory=lambda: dict(PRIOR))

    def boxes(self) -> list[Box]:
        lines = self.layout.page.lines
        own = [one.place for one in self.captions]
        return own + [union(lines[n].box for n in table) for table in self.tables]


def pairs_on(situation: Situation) -> tuple[list[Pair], list[Pair]]:
    """Return the figures of a page with their captions, and its tables (numbered after the figures)."""
    boxes = situation.boxes()
    numbers = [n for found in situation.captions for n in found.lines]
    numbers += [n for table in situation.tables for n in table]
    obstacles = obstacles_of(situation.layout, numbers)
    tabled = _tabled(situation, boxes, obstacles)
    options = []
    for caption in range(len(boxes)):
        figure = caption < len(situation.captions)
        without = [frozenset[Atom](), tabled] if figure and tabled else [frozenset[Atom]()]
        made = [
            _proposal(situation, boxes, obstacles, caption, side, out) for side in SIDES for out in without
        ]
        made += [
            _proposal(situation, boxes, obstacles, caption, side, out)
            for side in ("left", "right")
            for out in (_outside(situation, boxes, caption, bottom) for bottom in (True, False))
            if figure and out
        ]
        options.append(sorted({one for one in made if one}, key=lambda one: (-one.score, one.side, one.box)))
    chosen = _best(options)
    labels = _label_lines(situation, numbers)
    tables = [pair for pair in chosen if pair.caption >= len(situation.captions)]
    return [_finished(pair, labels, obstacles) for pair in chosen if pair not in tables], tables


def _tabled(situation: Situation, boxes: Sequence[Box], obstacles: Sequence[Box]) -> frozenset[Atom]:
    """The rules and shades below the captions of tables: a figure is proposed with and without them."""
    tables = range(len(situation.captions), len(boxes))
    made = [_proposal(situation, boxes, obstacles, caption, "down") for caption in tables]
    return frozenset(atom for one in made if one for atom in one.atoms if atom.image is None)


def _outside(situation: Situation, boxes: Sequence[Box], caption: int, bottom: bool) -> frozenset[Atom]:
    """The pieces beyond the next caption in a caption's column, which stand at the bottoms or the tops of figures."""
    box = boxes[caption]
    column = [other for n, other in enumerate(boxes) if n != caption and across(other, box, 0) > 0]
    if bottom:
        low, high = max((other[3] for other in column if other[3] < box[3]), default=0.0), box[3]
    else:
        low, high = box[1], min((other[1] for other in column if other[1] > box[1]), default=1e9)
    if not column:
        return frozenset()
    return frozenset(
        atom
        for atom in situation.atoms
        if not low - SMALLEST < (atom.box[1] + atom.box[3]) / 2 < high + SMALLEST
    )


def _label_lines(situation: Situation, captions: Sequence[int]) -> list[Line]:
    layout = situation.layout
    taken = set(captions)
    return [layout.page.lines[n] for n, role in enumerate(layout.roles) if role == "other" and n not in taken]


def _finished(pair: Pair, labels: Sequence[Line], obstacles: Sequence[Box]) -> Pair:
    atoms = without_edges(pair.atoms)
    box, count = with_labels(union(atom.box for atom in atoms), labels, obstacles)
    return Pair(pair.caption, pair.side, box, atoms, count, pair.score)


def _proposal(
    situation: Situation,
    boxes: Sequence[Box],
    obstacles: Sequence[Box],
    caption: int,
    side: str,
    out: frozenset[Atom] = frozenset(),
) -> Pair | None:
    """The region on one side of a caption, None where there are no graphics; `out` are pieces to leave out."""
    table = caption >= len(situation.captions)
    box = boxes[caption]
    own = [
        atom
        for atom in situation.atoms
        if atom not in out
        and (table or not atom.rule)
        and _on_side(atom.box, box, side)
        and not _nearer(atom, boxes, caption, side)
    ]
    seeds = [
        atom
        for atom in own
        if _facing(atom.box, box, side) > 0 and max(width(atom.box), height(atom.box)) >= SMALLEST
    ]
    seeds = [atom for atom in seeds if not _between(atom.box, box, side, obstacles)]
    if table and any(atom.image is None for atom in seeds):
        seeds, own = ([atom for atom in some if atom.image is None] for some in (seeds, own))
    if not seeds:
        return None
    page = situation.layout.page
    seed = min(seeds, key=lambda atom: distance(atom.box, box))
    atoms = grown_from([seed], own, obstacles, (FARTHEST / 2 if table else FARTHEST) * page.height)
    hull = union(atom.box for atom in atoms)
    score = _score(hull, box, side, page.width * page.height, table) + (
        0.0 if table else situation.prior[side]
    )
    return Pair(caption, side, hull, tuple(atoms), 0, score) if score > 0 else None


def _on_side(atom: Box, caption: Box, side: str) -> bool:
    """Whether a piece lies on a side of a caption; a picture may reach a little into the caption's lines."""
    slack = max(4.0, 0.12 * (height(atom) if side in ("up", "down") else width(atom)))
    return {
        "up": atom[3] <= caption[1] + slack,
        "down": atom[1] >= caption[3] - slack,
        "left": atom[2] <= caption[0] + slack,
        "right": atom[0] >= caption[2] - slack,
    }[side]


def _facing(atom: Box, caption: Box, side: str) -> float:
    """The length over which a piece and a caption face each other."""
    return across(atom, caption, 0 if side in ("up", "down") else 1)


def _between(atom: Box, caption: Box, side: str, obstacles: Sequence[Box]) -> bool:
    """Whether running text stands between a piece and a caption."""
    if side in ("up", "down"):
        x0, x1 = max(atom[0], caption[0]), min(atom[2], caption[2])
        strip = (x0, min(atom[3], caption[3]), x1, max(atom[1], caption[1]))
    else:
        y0, y1 = max(atom[1], caption[1]), min(atom[3], caption[3])
        strip = (min(atom[2], caption[2]), y0, max(atom[0], caption[0]), y1)
    return any(overlaps(strip, one) and not overlaps(one, caption) for one in obstacles)


def _nearer(atom: Atom, boxes: Sequence[Box], caption: int, side: str) -> bool:
    """Whether another caption faces a piece on the same side, and much better, and does not lie behind this one."""
    mine = _claim(atom.box, boxes[caption], side)
    others = (
        _claim(atom.box, box, side)
        for number, box in enumerate(boxes)
        if number != caption
        and _on_side(atom.box, box, side)
        and not (mine and _on_side(boxes[caption], box, side))
    )
    return any(claim > mine + 0.3 for claim in others)


def _claim(atom: Box, caption: Box, side: str) -> float:
    axis = 0 if side in ("up", "down") else 1
    length = max(1.0, min(atom[axis + 2] - atom[axis], caption[axis + 2] - caption[axis]))
    return max(0.0, min(1.0, across(atom, caption, axis) / length))


def _score(hull: Box, caption: Box, side: str, page: float, table: bool) -> float:
    """How good a proposal is: large, near, facing the caption; 1 for a figure at its caption."""
    axis = 0 if side in ("up", "down") else 1
    length = max(1.0, min(hull[axis + 2] - hull[axis], caption[axis + 2] - caption[axis]))
    facing = max(0.0, min(1.0, across(hull, caption, axis) / length))
    size = min(1.0, area(hull) / (0.06 * page))
    if min(width(hull), height(hull)) < 2 * SMALLEST and not table:
        return -1.0
    score = 0.5 + 0.5 * size + 0.5 * facing - distance(hull, caption) / GAP
    return score + (0.2 if table and side == "down" else 0.0)


def _best(options: Sequence[Sequence[Pair]]) -> list[Pair]:
    """The choice of at most one proposal a caption, none sharing graphics, with the highest sum of scores."""
    order = sorted(range(len(options)), key=lambda n: -max((one.score for one in options[n]), default=0.0))
    ahead = [0.0]
    for number in reversed(order):
        ahead.append(ahead[-1] + max((one.score for one in options[number]), default=0.0))
    ahead.reverse()
    best: tuple[float, list[Pair]] = (-1.0, [])
    budget = 20_000

    def look(depth: int, total: float, taken: list[Pair]) -> None:
        nonlocal best, budget
        budget -= 1
        if total > best[0]:
            best = (total, list(taken))
        if depth == len(order) or budget < 0 or total + ahead[depth] <= best[0]:
            return
        for one in options[order[depth]]:
            if not any(_clash(one, other) for other in taken):
                look(depth + 1, total + one.score, [*taken, one])
        look(depth + 1, total, taken)

    look(0, 0.0, [])
    return sorted(best[1], key=lambda pair: pair.caption)


def _clash(a: Pair, b: Pair) -> bool:
    return (
        bool(set(a.atoms) & set(b.atoms))
        or iou(a.box, b.box) > 0.05
        or share_inside(a.box, b.box) > 0.3
        or share_inside(b.box, a.box) > 0.3
    )
