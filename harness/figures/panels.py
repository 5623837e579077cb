"""The single pictures of a composite figure, as boxes.

A figure is parted again and again along rows or columns (recursive X-Y cut, Nagy and Seth 1984), each time where
most speaks for it (`harness.figures.grids`), pictures of one size together; what is left is freed of margins and
of strips of print, and what is no picture is dropped or, when it is large, kept as one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.figures.agreement import agreed
from harness.figures.cuts import HARD, Cut, margins
from harness.figures.grids import SURE, Axis, Division, Strip, division, evidence
from harness.figures.lettering import is_picture, is_print, without_print
from harness.figures.letters import Word, headings, lettered
from harness.figures.passages import passages
from harness.figures.types import Box, Panel, PixelBox

__all__ = ["boxes", "panels_of"]

Grey = NDArray[np.float32]

WORKING_PX = 800
"""Longer side at which figures are parted; thinner than a pixel there, a gutter still shows as a line."""

SMALLEST_PX = 30
DEEPEST = 4
DEEP = 1.3  # against each division below rows and columns
LEAST_PICTURE = 0.15  # share of the figure that its pictures fill, else it is a drawing with tones in it
SAME_SIZE = 0.11  # the slack of equal parts, and half of a soft gutter
SECONDED = -3.0  # score of a proposal that pictures of the same size may bear out


def panels_of(
    image: NDArray[np.uint8], box: Box, caption_text: str = "", words: Sequence[Word] = ()
) -> tuple[Panel, ...]:
    """The panels of a figure in reading order, with letters, the heading printed above and the caption's words of each.

    `image` is uint8, (height, width) or (height, width, 3); `box` its place on the page; `words` what the page
    prints near it. A figure that nothing parts is one panel.
    """
    said = passages(caption_text)
    found = boxes(image, 0 if said.places else len(said.names))
    placed = [_on_page(pixels, image.shape[:2], box) for pixels in found]
    letters = lettered(placed, words, said.names)
    above = headings(placed, words, box) if len(placed) > 1 else ("",)
    texts = [
        ". ".join(t for t in (head, said.of(name)) if t) for head, name in zip(above, letters, strict=True)
    ]
    return tuple(map(Panel, placed, found, letters, texts))


def _on_page(pixels: PixelBox, shape: tuple[int, ...], box: Box) -> Box:
    across, down = (box[2] - box[0]) / shape[1], (box[3] - box[1]) / shape[0]
    return (
        box[0] + pixels[0] * across,
        box[1] + pixels[1] * down,
        box[0] + pixels[2] * across,
        box[1] + pixels[3] * down,
    )


def boxes(image: NDArray[np.uint8], letters: int = 0) -> tuple[PixelBox, ...]:
    """Boxes of the single pictures of a figure (uint8, grey or RGB) in its pixels, in reading order.

    `letters` is how many the caption names. A figure that holds no picture (a chart) is one box, as is a
    picture that nothing parts.
    """
    grey, scale = _working(image)
    whole = (0, 0, grey.shape[1], grey.shape[0])
    leaves = _parted(grey, [whole], letters, 0)
    found = [leaf for leaf in leaves if is_picture(_region(grey, leaf))]
    height, width = image.shape[:2]
    if sum(_area(leaf) for leaf in found) < LEAST_PICTURE * _area(whole):
        return ((0, 0, width, height),)
    return tuple(_in_reading_order([_scaled(box, scale, width, height) for box in _large(grey, found)]))


def _working(image: NDArray[np.uint8]) -> tuple[Grey, float]:
    picture = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image).convert("L")
    scale = max(1.0, max(picture.size) / WORKING_PX)
    if scale > 1:
        size = (max(1, round(picture.width / scale)), max(1, round(picture.height / scale)))
        picture = picture.resize(size, Image.Resampling.BOX)
    return np.asarray(picture, np.float32), scale


def _scaled(box: PixelBox, scale: float, width: int, height: int) -> PixelBox:
    x0, y0, x1, y1 = (round(v * scale) for v in box)
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)


def _region(grey: Grey, box: PixelBox) -> Grey:
    return grey[box[1] : box[3], box[0] : box[2]]


def _area(box: PixelBox) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _large(grey: Grey, found: list[PixelBox]) -> list[PixelBox]:
    """Without slivers, and without print: what has less than a small share of the area of the largest."""
    areas = [_area(box) for box in found]
    shares = [area / max(areas) for area in areas]
    return [
        box
        for box, share in zip(found, shares, strict=True)
        if share >= 0.25 or (share >= 0.04 and not is_print(_region(grey, box).T))
    ]


def _parted(grey: Grey, siblings: list[PixelBox], letters: int, depth: int) -> list[PixelBox]:
    """The leaves below some boxes; those of one size are parted in one way."""
    bare = {_trimmed(grey, without_print(grey, _trimmed(grey, box))): box for box in siblings}
    bare = {box: whole for box, whole in bare.items() if min(box[2] - box[0], box[3] - box[1]) >= 8}
    if depth == DEEPEST:
        return list(bare)
    leaves: list[PixelBox] = []
    alike = _of_one_size(bare)
    for group in alike:
        strips = [_strips(_region(grey, box)) for box in group]
        wanted = round(letters / len(bare)) if len(alike) == 1 else 0
        bonus = _beforehand(letters, wanted, depth)
        least = SECONDED if len(group) > 1 else 0.0
        proposals = [_best(strip, bonus, wanted, least) for strip in strips]
        if len(group) > 1:
            proposals = agreed(proposals, strips, bonus, depth)
        pieces: list[PixelBox] = []
        for box, proposal in zip(group, proposals, strict=True):
            if proposal is None:
                leaves.append(box)
            else:
                pieces += _pieces(box, proposal)
        if pieces:
            leaves += _parted(grey, pieces, round(letters * len(group) / len(bare)), depth + 1)
    return leaves


def _beforehand(letters: int, wanted: int, depth: int) -> float:
    """What is known of a division before looking: the caption's letters, and that grids are two cuts deep."""
    named = 1.0 if wanted >= 2 else (-0.5 if letters >= 2 else 0.0)
    return named - DEEP * max(depth - 1, 0)


def _strips(region: Grey) -> dict[Axis, Strip]:
    smallest = max(SMALLEST_PX, int(0.07 * max(region.shape)))
    down = np.ascontiguousarray(region.T)
    return {"columns": Strip(region, "columns", smallest), "rows": Strip(down, "rows", smallest)}


def _best(strips: dict[Axis, Strip], bonus: float, wanted: int, least: float) -> Division | None:
    """The better of the two axes; gutters that nobody can miss go before seams, which are often those of one row."""
    options = [option for strip in strips.values() if (option := division(strip, bonus, wanted, least))]
    sure = [option for option in options if all(_is_sure(cut) for cut in option.cuts)]
    return max(sure or options, key=lambda option: option.score, default=None)


def _is_sure(cut: Cut) -> bool:
    return cut.stop > cut.start and evidence(cut) >= SURE


def _of_one_size(bare: dict[PixelBox, PixelBox]) -> list[list[PixelBox]]:
    """Groups of boxes that have one size, with or without their margins (`bare` has those with as values)."""
    groups: list[list[PixelBox]] = []
    for box, whole in bare.items():
        for group in groups:
            if _same_size(group[0], box) or _same_size(bare[group[0]], whole):
                group.append(box)
                break
        else:
            groups.append([box])
    return groups


def _same_size(a: PixelBox, b: PixelBox) -> bool:
    wide, high = a[2] - a[0], a[3] - a[1]
    return abs(b[2] - b[0] - wide) <= max(SAME_SIZE * wide, 3) and abs(b[3] - b[1] - high) <= max(
        SAME_SIZE * high, 3
    )


def _pieces(box: PixelBox, parts: Division) -> list[PixelBox]:
    x0, y0, x1, y1 = box
    if parts.axis == "columns":
        return [(x0 + start, y0, x0 + stop, y1) for start, stop in parts.parts]
    return [(x0, y0 + start, x1, y0 + stop) for start, stop in parts.parts]


def _trimmed(grey: Grey, box: PixelBox) -> PixelBox:
    """The box without margins of one colour at which the picture ends hard."""
    x0, y0, x1, y1 = box
    left, right, hard_left, hard_right = margins(grey[y0:y1, x0:x1])
    top, bottom, hard_top, hard_bottom = margins(np.ascontiguousarray(grey[y0:y1, x0:x1].T))
    if right == 0 or bottom == 0:
        return box
    return (
        x0 + (left if hard_left >= HARD else 0),
        y0 + (top if hard_top >= HARD else 0),
        x0 + right if hard_right >= HARD else x1,
        y0 + bottom if hard_bottom >= HARD else y1,
    )


def _in_reading_order(found: Sequence[PixelBox]) -> list[PixelBox]:
    """Row by row: a box is in a row when it begins above the middle of the row's first box."""
    left = sorted(found, key=lambda box: (box[1], box[0]))
    ordered: list[PixelBox] = []
    while left:
        first = left[0]
        row = [box for box in left if box[1] < (first[1] + first[3]) / 2]
        ordered += sorted(row, key=lambda box: box[0])
        left = [box for box in left if box not in row]
    return ordered
