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

__all__ = [
    "CLEAR",
    "PRIOR",
    "RARE",
    "SURE",
    "UNSEEN",
    "Axis",
    "Division",
    "Strip",
    "beside_sliver",
    "between",
    "division",
    "evidence",
    "expected",
    "mirrored",
    "nearest",
    "shape",
    "unseen",
    "usual",
]

Grey = NDArray[np.float32]
Axis = Literal["columns", "rows"]

MOST_PARTS = 9
PRIOR = -1.2
UNSEEN = -1.1
CLEAR = 0.7
RARE = -3.4  # log-odds of a seam before its jump is looked at
DARK, LIGHT = 60, 200  # grey levels
SURE = 4.0
WEAK = 0.3
MISSING = 3.0
ALIKE = 1.4
FINE = 96  # blocks along each side of the thumbnail that neighbours are compared on,
LIKE = 24  # in so many places along each side


@dataclass(frozen=True, slots=True)
class Division:
    """Parts (start, stop) along an axis from one edge to the other, and what speaks for them.

    `beforehand` is the part of the score that does not rest on what is seen at the cuts; `regular` tells that the
    parts are equal.
    """

    axis: Axis
    parts: tuple[tuple[int, int], ...]
    score: float
    cuts: tuple[Cut, ...] = ()
    beforehand: float = 0.0
    regular: bool = False


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
        return self.thumbnail[FINE // LIKE // 2 :: FINE // LIKE, np.minimum(places.astype(int), FINE - 1)]


def division(strip: Strip, bonus: float = 0.0, wanted: int = 0, least: float = 0.0) -> Division | None:
    """The best way to part a picture along an axis, or None when nothing speaks for any.

    `bonus` is what is known beforehand of its being composite, `wanted` a number of parts that is likely.
    """
    options = [_separate(strip)]
    options += [_regular(strip, number, wanted, least - bonus) for number in range(2, MOST_PARTS + 1)]
    good = [option for option in options if option is not None and option.score + bonus > least]
    return max(good, key=lambda option: option.score, default=None)


def evidence(cut: Cut) -> float:
    """What speaks for one cut by itself, in log-odds: logistic regressions on cuts of synthetic composites."""
    if cut.stop == cut.start:
        return min(-3.5 + 11 * cut.jump, 3.5)
    return _gutter(cut)


def expected(cut: Cut) -> float:
    """What speaks for a cut found where equal parts would have one."""
    if cut.stop == cut.start:
        return min(-1.8 + 14 * cut.jump, 3.5)
    return max(_gutter(cut), -1.6) + 1.2


def _gutter(cut: Cut) -> float:
    """Black ground hardly ever crosses a body; white does, between the lungs of a bright window."""
    ground = 4.2 if cut.colour < DARK else (2.8 if cut.colour > LIGHT else 0.0)
    hard, both = max(cut.before, cut.after), min(cut.before, cut.after)
    return min(-4.9 + ground + 4.1 * hard + 5.4 * both, 5.0)


def _separate(strip: Strip) -> Division | None:
    size = strip.size
    kept = [c for c in strip.cuts if evidence(c) >= CLEAR]
    while kept and (weaker := beside_sliver(strip, kept)):
        kept.remove(weaker)
    if not kept:
        return None
    parts = between(kept, size)
    score = PRIOR + sum(evidence(cut) for cut in kept)
    beforehand = min(shape(strip, len(parts)), 0.0)
    if min(evidence(cut) for cut in kept) < SURE:
        beforehand -= mirrored(strip, parts)
    return Division(strip.axis, parts, score + beforehand, tuple(kept), beforehand)


def beside_sliver(strip: Strip, kept: Sequence[Cut]) -> Cut | None:
    """The weaker of the two cuts that bound a part too narrow to be a picture.

    Between sure gutters a part may be narrow: small pictures in a column beside a large one.
    """
    edges = [0, *(edge for cut in kept for edge in (cut.start, cut.stop)), strip.size]
    widths = [stop - start for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    narrow = max(strip.smallest, min(0.33 * max(widths), 0.4 * strip.grey.shape[0]))
    for number, width in enumerate(widths):
        if width < narrow:
            beside = [*kept[max(number - 1, 0) : number], *kept[number : number + 1]]
            weaker = min(beside, key=evidence)
            if width < strip.smallest or weaker.stop == weaker.start or evidence(weaker) < SURE:
                return weaker
    return None


def _regular(strip: Strip, number: int, wanted: int, least: float) -> Division | None:
    """Equal parts, `number` of them, if most boundaries are seen and no clear cut is left over."""
    size = strip.size
    if size / number < strip.smallest:
        return None
    slack = max(3.0, 0.035 * size / number)
    gap = _gap(strip.cuts, size)
    kept: list[Cut] = []
    seen: list[float] = []
    for boundary in range(1, number):
        place = boundary * (size + gap) / number - gap / 2
        best = nearest(strip, place, slack)
        seen.append(max(expected(best), UNSEEN) if best else UNSEEN)
        kept.append(best or unseen(place))
    score = PRIOR + sum(seen) - _uneven(seen) - _missing(kept)
    score -= sum(max(evidence(c), 1.5) for c in strip.cuts if c not in kept and evidence(c) >= CLEAR)
    parts = between(kept, size)
    if min(stop - start for start, stop in parts) < strip.smallest:
        return None
    beforehand = shape(strip, number) + (0.7 if number == wanted else 0.0)
    if score + beforehand + ALIKE <= least:
        return None
    beforehand += _likeness(strip, parts)
    return Division(strip.axis, parts, score + beforehand, tuple(kept), beforehand, regular=True)


def _uneven(seen: Sequence[float]) -> float:
    """What speaks against equal parts because one boundary is clear and most others are not: gutters are alike."""
    weak = sum(1 for value in seen if value < WEAK)
    return 2.0 * weak if max(seen) > 2.5 and weak > len(seen) / 3 else 0.0


def _missing(kept: Sequence[Cut]) -> float:
    """What speaks against equal parts because some gutter cannot be missed and other boundaries have none at all."""
    sure = any(cut.stop - cut.start > 1 and evidence(cut) >= SURE for cut in kept)
    return MISSING * sum(cut.stop == cut.start for cut in kept) if sure else 0.0


def shape(strip: Strip, number: int) -> float:
    """What speaks for parts because they would have the shape of a slice, as the whole has not."""
    whole = strip.grey.shape[1] / strip.grey.shape[0]
    gain = usual(whole / number, strip.axis) - usual(whole, strip.axis)
    return 0.7 * gain if gain > 0 else 0.3 * gain


def usual(ratio: float, axis: Axis) -> float:
    """Log-density of a slice's width to height, log-normal about 1.15."""
    ratio = ratio if axis == "columns" else 1 / ratio
    return max(-3.0, -((np.log(ratio / 1.15) / 0.4) ** 2) / 2)


def nearest(strip: Strip, place: float, slack: float) -> Cut | None:
    near = [cut for cut in strip.cuts if cut.start - slack <= place <= cut.stop + slack]
    return max(near, key=evidence, default=None)


def unseen(place: float) -> Cut:
    return Cut(round(place), round(place), 0.0, 0.0, 0.0, 0.0)


def _gap(found: Sequence[Cut], size: int) -> float:
    """Width of the gutters, from those with two hard sides."""
    widths = [
        c.stop - c.start for c in found if min(c.before, c.after) >= HARD and c.stop - c.start < 0.1 * size
    ]
    return float(np.median(widths)) if widths else 0.0


def between(kept: Sequence[Cut], size: int) -> tuple[tuple[int, int], ...]:
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
    shifted, reflected = _alike(strip, parts)
    return min(max(2.5 * (shifted - 0.35), -0.8), ALIKE) - _excess(shifted, reflected)


def mirrored(strip: Strip, parts: Sequence[tuple[int, int]]) -> float:
    """What speaks against a cut through the middle of a body: neighbours that are mirror images."""
    return _excess(*_alike(strip, parts))


def _excess(shifted: float, mirrored: float) -> float:
    return min(max(3 * (mirrored - shifted - 0.1), 0.0), 3.0)


def _alike(strip: Strip, parts: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Mean correlation of neighbouring parts, as they are and with one of them mirrored."""
    looks = np.stack([strip.part(start, stop) for start, stop in parts])
    looks = looks - looks.mean(axis=(1, 2), keepdims=True)
    norms = np.sqrt((looks * looks).sum(axis=(1, 2)))
    norms = norms[1:] * norms[:-1] + 1e-6
    shifted = (looks[1:] * looks[:-1]).sum(axis=(1, 2)) / norms
    mirrored = (looks[1:, :, ::-1] * looks[:-1]).sum(axis=(1, 2)) / norms
    return float(shifted.mean()), float(mirrored.mean())


def _blocks(grey: Grey, number: int) -> Grey:
    """Means over `number` x `number` blocks, rows and columns being repeated where there are fewer."""
    if min(grey.shape) < number:
        rows, columns = (np.arange(number) * n // number for n in grey.shape)
        return grey[rows][:, columns]
    rows, columns = (np.arange(number + 1) * n // number for n in grey.shape)
    sums = np.add.reduceat(np.add.reduceat(grey, columns[:-1], axis=1), rows[:-1], axis=0)
    return np.asarray(sums / np.outer(np.diff(rows), np.diff(columns)), np.float32)
