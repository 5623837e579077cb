"""How pictures are parted along one axis: the cuts that together make sense, with a score.

Two readings are weighed: that the parts are equal (then boundaries that cannot be seen follow from the others), and
that each clear cut stands for itself. The score is a sum of evidence, roughly in log-odds; the constants were set on
synthetic composites (`harness.figures.composites`), not on papers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.figures.cuts import HARD, Cut, cuts

__all__ = ["Axis", "Division", "Strip", "agreed", "division", "support"]

Grey = NDArray[np.float32]
Axis = Literal["columns", "rows"]

MOST_PARTS = 9
PRIOR = -1.6
UNSEEN = -1.1
CLEAR = 1.5
SURE = 3.0
SHARED = 0.6
FINE = 96  # blocks along each side of the thumbnail that neighbours are compared on,
LIKE = 24  # in so many places along each side


@dataclass(frozen=True, slots=True)
class Division:
    """Parts (start, stop) along an axis from one edge to the other, and what speaks for them.

    `beforehand` is the part of the score that does not rest on what is seen at the cuts.
    """

    axis: Axis
    parts: tuple[tuple[int, int], ...]
    score: float
    cuts: tuple[Cut, ...] = ()
    beforehand: float = 0.0


@dataclass(frozen=True)
class Strip:
    """A picture looked at along one axis: its columns are the lines that may part it."""

    grey: Grey
    axis: Axis
    smallest: int

    @property
    def size(self) -> int:
        return int(self.grey.shape[1])

    @cached_property
    def cuts(self) -> tuple[Cut, ...]:
        return cuts(self.grey)

    @cached_property
    def thumbnail(self) -> Grey:
        return _blocks(self.grey, FINE)

    def part(self, start: int, stop: int) -> Grey:
        """The columns start to stop, looked at in 24 x 24 places."""
        places = (start + (np.arange(LIKE) + 0.5) * (stop - start) / LIKE) * FINE / self.size
        return self.thumbnail[FINE // LIKE // 2 :: FINE // LIKE, places.astype(int)]


def division(strip: Strip, bonus: float = 0.0, wanted: int = 0, least: float = 0.0) -> Division | None:
    """The best way to part a picture along an axis, or None when nothing speaks for any.

    `bonus` is what is known beforehand of its being composite, `wanted` a number of parts that is likely.
    """
    options = [_separate(strip)]
    options += [_regular(strip, number, wanted) for number in range(2, MOST_PARTS + 1)]
    good = [option for option in options if option is not None and option.score + bonus > least]
    return max(good, key=lambda option: option.score, default=None)


def evidence(cut: Cut, size: int) -> float:
    """What speaks for one cut by itself."""
    if cut.stop == cut.start:
        return min(-2.2 + 16 * cut.jump, 4.0)
    hard = max(cut.before, cut.after)
    both = min(cut.before, cut.after)
    wide = min((cut.stop - cut.start) / size * 12, 0.8)
    return -0.6 + wide + (2.5 * hard + 3 * both if hard >= HARD else 0.0)


def support(strip: Strip, wanted: Division) -> Division:
    """The division that a strip of the same size would share with its neighbour, scored on what it shows itself."""
    middles = [cut.middle / wanted.parts[-1][1] * strip.size for cut in wanted.cuts]
    slack = max(4.0, 0.02 * strip.size)
    kept, score = [], PRIOR
    for expected in middles:
        best = _nearest(strip, expected, slack)
        score += max(evidence(best, strip.size), UNSEEN) if best else UNSEEN
        kept.append(best or _unseen(expected))
    return Division(strip.axis, _between(kept, strip.size), score, tuple(kept))


def agreed(
    proposals: Sequence[Division | None], strips: Sequence[dict[Axis, Strip]], bonus: float
) -> list[Division | None]:
    """What pictures of one size agree on: each proposal is scored on all of them, as is none.

    What several show counts less than the sum: they are not independent.
    """
    best: list[Division | None] = [None] * len(strips)
    most = 0.0
    for proposal in {p.cuts: p for p in proposals if p}.values():
        shared = [support(strip[proposal.axis], proposal) for strip in strips]
        gains = [min(max(s.score - PRIOR, -2.0), 5.0) for s in shared]
        total = PRIOR + bonus + SHARED * sum(gains) + proposal.beforehand
        if total > most:
            most, best = total, list(shared)
    return best


def _separate(strip: Strip) -> Division | None:
    size = strip.size
    kept = [c for c in strip.cuts if evidence(c, size) >= CLEAR]
    while kept and (weaker := _beside_sliver(strip, kept)):
        kept.remove(weaker)
    if not kept:
        return None
    parts = _between(kept, size)
    score = PRIOR + sum(evidence(cut, size) for cut in kept)
    if min(evidence(cut, size) for cut in kept) < SURE:
        score -= _mirrored(strip, parts)
    return Division(strip.axis, parts, score, tuple(kept))


def _beside_sliver(strip: Strip, kept: Sequence[Cut]) -> Cut | None:
    """The weaker of the two cuts that bound a part too narrow to be a picture."""
    edges = [0, *(edge for cut in kept for edge in (cut.start, cut.stop)), strip.size]
    widths = [stop - start for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    narrow = max(strip.smallest, min(0.3 * max(widths), 0.4 * strip.grey.shape[0]))
    for number, width in enumerate(widths):
        if width < narrow:
            beside = [*kept[max(number - 1, 0) : number], *kept[number : number + 1]]
            return min(beside, key=lambda cut: evidence(cut, strip.size))
    return None


def _regular(strip: Strip, number: int, wanted: int) -> Division | None:
    """Equal parts, `number` of them, if most boundaries are seen and no clear cut is left over."""
    size = strip.size
    if size / number < strip.smallest:
        return None
    slack = max(3.0, 0.035 * size / number)
    gap = _gap(strip.cuts, size)
    kept: list[Cut] = []
    score = PRIOR
    for boundary in range(1, number):
        expected = boundary * (size + gap) / number - gap / 2
        best = _nearest(strip, expected, slack)
        score += max(evidence(best, size), UNSEEN) + 0.6 if best else UNSEEN
        kept.append(best or _unseen(expected))
    score -= 1.5 * sum(1 for c in strip.cuts if c not in kept and evidence(c, size) >= CLEAR)
    parts = _between(kept, size)
    if min(stop - start for start, stop in parts) < strip.smallest:
        return None
    beforehand = _likeness(strip, parts) + _shape(strip, number) + (0.7 if number == wanted else 0.0)
    return Division(strip.axis, parts, score + beforehand, tuple(kept), beforehand)


def _shape(strip: Strip, number: int) -> float:
    """What speaks for parts because they would have the shape of a slice, as the whole has not."""
    whole = strip.grey.shape[1] / strip.grey.shape[0]
    return 0.7 * max(0.0, _usual(whole / number, strip.axis) - _usual(whole, strip.axis))


def _usual(shape: float, axis: Axis) -> float:
    """Log-density of a slice's width to height, log-normal about 1.15."""
    shape = shape if axis == "columns" else 1 / shape
    return max(-3.0, -((np.log(shape / 1.15) / 0.4) ** 2) / 2)


def _nearest(strip: Strip, expected: float, slack: float) -> Cut | None:
    near = [cut for cut in strip.cuts if cut.start - slack <= expected <= cut.stop + slack]
    return max(near, key=lambda cut: evidence(cut, strip.size), default=None)


def _unseen(place: float) -> Cut:
    return Cut(round(place), round(place), 0.0, 0.0, 0.0, 0.0)


def _gap(found: Sequence[Cut], size: int) -> float:
    """Width of the gutters, from those with two hard sides."""
    widths = [c.stop - c.start for c in found if min(c.before, c.after) >= HARD and c.stop - c.start < 0.1 * size]
    return float(np.median(widths)) if widths else 0.0


def _between(kept: Sequence[Cut], size: int) -> tuple[tuple[int, int], ...]:
    """Parts between cuts: up to a hard edge, half of a soft gutter."""
    starts, stops = [0], []
    for cut in kept:
        hard_before, hard_after = cut.before >= HARD, cut.after >= HARD
        middle = (cut.start + cut.stop) // 2
        stops.append(cut.start if hard_before else (cut.stop if hard_after else middle))
        starts.append(cut.stop if hard_after else (cut.start if hard_before else middle))
    stops.append(size)
    return tuple(zip(starts, stops, strict=True))


def _likeness(strip: Strip, parts: Sequence[tuple[int, int]]) -> float:
    """Evidence from neighbours: slices of a series look alike when shifted, halves of one picture when mirrored."""
    small = [strip.part(start, stop) for start, stop in parts]
    shifted = float(np.mean([_correlation(a, b) for a, b in zip(small, small[1:], strict=False)]))
    return min(max(2.5 * (shifted - 0.35), -0.8), 1.4) - _mirrored(strip, parts)


def _mirrored(strip: Strip, parts: Sequence[tuple[int, int]]) -> float:
    """What speaks against a cut through the middle of a body: neighbours that are mirror images."""
    small = [strip.part(start, stop) for start, stop in parts]
    pairs = list(zip(small, small[1:], strict=False))
    excess = [_correlation(a, b[:, ::-1]) - _correlation(a, b) for a, b in pairs]
    return min(max(3 * (float(np.mean(excess)) - 0.1), 0.0), 3.0)


def _blocks(grey: Grey, number: int) -> Grey:
    """Means over `number` x `number` blocks, rows and columns being repeated where there are fewer."""
    if min(grey.shape) < number:
        rows, columns = (np.arange(number) * n // number for n in grey.shape)
        return grey[rows][:, columns]
    rows, columns = (np.arange(number + 1) * n // number for n in grey.shape)
    sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], axis=0), columns[:-1], axis=1)
    return np.asarray(sums / np.outer(np.diff(rows), np.diff(columns)), np.float32)


def _correlation(a: Grey, b: Grey) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0
