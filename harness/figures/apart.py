"""Figures and captions that stand on different pages, as at the end of a manuscript: joined by name, else by order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from harness.figures.boxes import area, height, overlaps, union, width
from harness.figures.captions import Found
from harness.figures.labels import label_at_start
from harness.figures.layout import Layout
from harness.figures.pairing import Pair
from harness.figures.regions import FARTHEST, Atom, grown_from, obstacles_of, with_labels, without_edges

__all__ = ["Match", "joined_apart", "orphans_on"]

LEAST = 0.03
"""Graphics on less of a page than this are no figure that stands alone."""

NARROWEST = 45.0
"""Points: what is lower or narrower is a heading or a bar."""

BY_NAME, BY_COUNT, BY_ORDER = 0.85, 0.7, 0.35
"""Confidence of a match: the figure's page names it; as many figures as captions are left; only the order."""


@dataclass(frozen=True, slots=True)
class Match:
    """A figure on a page, the caption it belongs to (None where there is none), and how sure that is."""

    page: int
    pair: Pair
    caption: Found | None
    confidence: float


def orphans_on(
    layout: Layout, atoms: Sequence[Atom], pairs: Sequence[Pair], captions: Sequence[Found]
) -> list[Pair]:
    """Return the large graphics of a page that no caption there has taken, grown as figures are."""
    used = {atom for pair in pairs for atom in pair.atoms}
    taken = [pair.box for pair in pairs]
    free = [atom for atom in atoms if atom not in used and not any(overlaps(atom.box, box) for box in taken)]
    obstacles = [*obstacles_of(layout, [n for found in captions for n in found.lines]), *taken]
    labels = [line for line in layout.lines("other") if label_at_start(line.text) is None]
    found = []
    while seeds := [atom for atom in free if not atom.rule]:
        seed = max(seeds, key=lambda atom: area(atom.box))
        grown = grown_from([seed], free, obstacles, FARTHEST * layout.page.height)
        free = [atom for atom in free if atom not in grown]
        box = union(atom.box for atom in grown)
        if area(box) >= LEAST * area(layout.page.box) and min(width(box), height(box)) >= NARROWEST:
            atoms = without_edges(grown)
            box, count = with_labels(union(atom.box for atom in atoms), labels, obstacles)
            found.append(Pair(-1, "apart", box, atoms, count, 0.0))
    return sorted(found, key=lambda pair: (pair.box[1], pair.box[0]))


def joined_apart(
    paired: Sequence[Match],
    lonely: Sequence[Found],
    orphans: Sequence[tuple[int, Pair]],
    bare_pages: Collection[int],
) -> tuple[list[Match], list[Found], list[tuple[int, Pair]]]:
    """Return all matches, the captions without a figure, and the graphics without a caption.

    `paired` are those decided on one page, `lonely` the captions that found nothing there, `orphans` graphics with
    their pages, `bare_pages` those without running text. A figure whose page holds no more than its name takes the
    full caption from elsewhere.
    """
    matches, lonely = _full_texts(paired, lonely)
    known = {match.caption.key for match in matches if match.caption}
    left = _one_each([found for found in lonely if found.key not in known])
    chosen = [one for one in orphans if one[0] in bare_pages]
    even = len(left) == len(chosen)
    if not left or not chosen or (not even and min(len(left), len(chosen)) < 2):
        return matches, left, list(orphans)
    confidence = BY_COUNT if even else BY_ORDER
    joined = [Match(page, pair, found, confidence) for found, (page, pair) in zip(left, chosen, strict=False)]
    rest = [one for one in orphans if one not in chosen[: len(joined)]]
    return [*matches, *joined], left[len(joined) :], rest


def _full_texts(paired: Sequence[Match], lonely: Sequence[Found]) -> tuple[list[Match], list[Found]]:
    """Give figures whose page holds no more than their name the caption that stands elsewhere."""
    rest = list(lonely)
    matches = []
    for match in paired:
        caption = match.caption
        if caption is not None and caption.label.bare:
            others = [*rest, *(one.caption for one in paired if one.caption and not one.caption.label.bare)]
            fuller = [
                one for one in others if one.key == caption.key and len(one.text) > len(caption.text) + 10
            ]
            if fuller:
                full = max(fuller, key=lambda one: len(one.text))
                rest = [one for one in rest if one is not full]
                match = Match(match.page, match.pair, full, BY_NAME)
        matches.append(match)
    return matches, rest


def _one_each(captions: Sequence[Found]) -> list[Found]:
    """One caption a figure, the one with the longest text, in the order of first appearance."""
    best: dict[tuple[str, bool], Found] = {}
    for found in captions:
        if found.key not in best or len(found.text) > len(best[found.key].text):
            best[found.key] = found
    return list(best.values())
