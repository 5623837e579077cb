"""What pictures of one size agree on: how all of them are parted, or that none is.

A boundary of tiles runs through a whole figure, so its pictures show it at the same place, even where none shows it
well. But slices of one series show the same anatomy at the same place, too: what they have in common counts once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.figures.cuts import Cut
from harness.figures.grids import (
    CLEAR,
    PRIOR,
    RARE,
    UNSEEN,
    Axis,
    Division,
    Strip,
    beside_sliver,
    between,
    evidence,
    expected,
    mirrored,
    nearest,
    shape,
    unseen,
    usual,
)

__all__ = ["agreed"]

SHARED = 0.6  # of the sum of what different pictures show
CAUTION = 0.8  # share of that for cuts at places that nothing but the pictures gives
UNLIKE_A_SLICE = -0.7  # log-density of a shape below which a picture is probably several


def agreed(
    proposals: Sequence[Division | None], strips: Sequence[dict[Axis, Strip]], bonus: float, depth: int
) -> list[Division | None]:
    """The division of each picture: all in the way that scores highest over all, or each for itself, or none.

    `depth` is how often the figure was parted to come to them.
    """
    shares = {axis: _independent([strip[axis] for strip in strips], depth) for axis in strips[0]}
    together = [_pooled([strip[axis] for strip in strips], shares[axis]) for axis in strips[0]]
    best, most = _each_for_itself(proposals, bonus, max(shares.values()))
    for proposal in {p.cuts: p for p in (*proposals, *together) if p}.values():
        along = [strip[proposal.axis] for strip in strips]
        score = PRIOR + bonus + proposal.beforehand + _borne_out(along, proposal, shares[proposal.axis])
        if score > most:
            most, best = score, [_adopted(strip, proposal) for strip in along]
    return best


def _each_for_itself(
    proposals: Sequence[Division | None], bonus: float, share: float
) -> tuple[list[Division | None], float]:
    """Every picture parted as it proposes: rows of one height may hold different numbers of pictures."""
    own = [p if p is not None and p.score + bonus > 0 else None for p in proposals]
    return own, share * sum(p.score + bonus for p in own if p is not None)


def _borne_out(strips: Sequence[Strip], proposal: Division, share: float) -> float:
    """What all pictures together show at the cuts of a proposal."""
    total = 0.0
    for seen in zip(*(_found(strip, proposal) for strip in strips), strict=True):
        if proposal.regular:
            joint = share * sum(max(expected(cut), UNSEEN) if cut else UNSEEN for cut in seen)
        else:
            joint = _joint(seen, share)
        total += min(max(joint, -2.0), 6.0)
    return total


def _joint(seen: Sequence[Cut | None], share: float) -> float:
    """Log-odds of a cut from what each picture shows there: seams are rare, gutters are not."""
    usual_ = RARE if sum(1 for cut in seen if cut and cut.stop == cut.start) * 2 > len(seen) else 0.0
    return usual_ + CAUTION * share * sum(_ratio(cut) for cut in seen)


def _ratio(cut: Cut | None) -> float:
    if cut is None:
        return UNSEEN
    return evidence(cut) - (RARE if cut.stop == cut.start else 0.0)


def _found(strip: Strip, proposal: Division) -> list[Cut | None]:
    """The cuts of a picture that are nearest to those of a proposal, made for a picture of about its size."""
    slack = max(4.0, 0.02 * strip.size)
    length = proposal.parts[-1][1]
    return [nearest(strip, cut.middle / length * strip.size, slack) for cut in proposal.cuts]


def _adopted(strip: Strip, proposal: Division) -> Division:
    length = proposal.parts[-1][1]
    cuts = [
        cut or unseen(wanted.middle / length * strip.size)
        for cut, wanted in zip(_found(strip, proposal), proposal.cuts, strict=True)
    ]
    return Division(strip.axis, between(cuts, strip.size), proposal.score, tuple(cuts))


def _independent(strips: Sequence[Strip], depth: int) -> float:
    """How much of the sum of what pictures show counts: SHARED when they differ, one in their number when equal.

    Between the two it is the design effect of observations that are correlated (Kish 1965). The rows or columns of
    a whole figure may be alike because each holds the same series: SHARED, too, when they are too long for a slice.
    """
    first = strips[0]
    across = first.grey.shape[0]
    if depth == 1 and first.size > across and usual(first.size / across, first.axis) < UNLIKE_A_SLICE:
        return SHARED
    looks = np.stack([strip.part(0, strip.size) for strip in strips])
    looks = looks - looks.mean(axis=(1, 2), keepdims=True)
    looks = looks / (np.sqrt((looks * looks).sum(axis=(1, 2), keepdims=True)) + 1e-6)
    likeness = np.einsum("ikl,jkl->ij", looks, looks)
    count = len(strips)
    mean = max(float(likeness.sum() - np.trace(likeness)) / (count * (count - 1)), 0.0)
    return min(SHARED, 1 / (1 + (count - 1) * mean))


def _pooled(strips: Sequence[Strip], share: float) -> Division | None:
    """Cuts that all show at the same place, none of them perhaps clear in any one."""
    first = strips[0]
    slack = max(3.0, 0.01 * first.size)
    kept: list[Cut] = []
    for cut in sorted((c for strip in strips for c in strip.cuts), key=evidence, reverse=True):
        if any(abs(cut.middle - other.middle) < first.smallest for other in kept):
            continue
        if _joint([nearest(strip, cut.middle, slack) for strip in strips], share) > CLEAR:
            kept.append(cut)
    inside = [c for c in kept if first.smallest <= c.start and c.stop <= first.size - first.smallest]
    kept = sorted(inside, key=_start)
    while kept and (weaker := beside_sliver(first, kept)):
        kept.remove(weaker)
    if not kept:
        return None
    parts = between(kept, first.size)
    against = float(np.mean([mirrored(strip, parts) for strip in strips]))
    beforehand = 2 * min(shape(first, len(parts)), 0.0) - against
    return Division(first.axis, parts, 0.0, tuple(kept), beforehand)


def _start(cut: Cut) -> int:
    return cut.start
