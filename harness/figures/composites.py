"""Figures put together at random out of single pictures, with the exact box of each: what panels are measured on.

The layouts are those that papers use: grids with white, black or grey gutters of 0 to 20 pixels, rows of unequal
numbers, one large picture beside small ones, letters in corners or below, JPEG at several qualities, and single
pictures that must stay whole. Nothing here is taken from a particular paper.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from harness.figures.types import PixelBox

__all__ = ["Composite", "composite"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Composite:
    """A made figure: its pixels, the boxes of its pictures in reading order, and how it was laid out."""

    image: Pixels
    panels: tuple[PixelBox, ...]
    layout: str
    gutter: int
    caption: str


def composite(pictures: Sequence[Pixels], random: np.random.Generator) -> Composite:
    """One figure made of some of the `pictures` (grey, uint8), as `random` has it."""
    layout = str(random.choice(["single", "grid", "rows", "side"], p=[0.14, 0.56, 0.2, 0.1]))
    gutter = 0 if layout == "single" else _gutter(random)
    boxes, size = _LAYOUTS[layout](random, gutter)
    border = gutter if random.random() < 0.4 else 0
    letters = str(random.choice(["none", "corner", "boxed", "below"])) if len(boxes) > 1 else "none"
    boxes, size = _shifted(boxes, size, border, 34 if letters == "below" else 0)
    ground = (
        int(random.choice(np.array([255, 255, 0, random.integers(60, 250)]))) if gutter or border else 255
    )
    if letters == "below":
        ground = 255
    canvas = Image.new("L", size, ground)
    style = _style(random)
    for box, picture in zip(boxes, _chosen(pictures, len(boxes), random), strict=True):
        canvas.paste(_fitted(picture, box, style), box[:2])
    _print_letters(canvas, boxes, letters)
    image, boxes = _printed(canvas, boxes, random)
    caption = "CT images. " + " ".join(
        f"({chr(97 + i)}) Slice." for i in range(len(boxes)) if letters != "none"
    )
    return Composite(image, tuple(boxes), layout, gutter, caption)


def _chosen(pictures: Sequence[Pixels], count: int, random: np.random.Generator) -> list[Pixels]:
    """Different pictures or, in a third of the figures, one slice over and over: the follow-up of one patient."""
    if random.random() < 0.65:
        numbers = random.choice(len(pictures), size=count, replace=count > len(pictures))
        return [pictures[int(number)] for number in numbers]
    one = pictures[int(random.integers(len(pictures)))]
    return [_moved(one, random) for _ in range(count)]


def _moved(picture: Pixels, random: np.random.Generator) -> Pixels:
    """The picture a little shifted, enlarged and brightened, with grain of its own."""
    height, width = picture.shape
    left, right = (int(width * share) for share in random.uniform(0, 0.05, size=2))
    top, bottom = (int(height * share) for share in random.uniform(0, 0.05, size=2))
    part = picture[top : height - bottom, left : width - right].astype(np.float32)
    grain = random.normal(scale=4, size=part.shape)
    return np.asarray(np.clip(part * random.uniform(0.85, 1.1) + grain, 0, 255), np.uint8)


def _gutter(random: np.random.Generator) -> int:
    return int(
        random.choice(np.array([0, random.integers(1, 4), random.integers(4, 21)]), p=[0.3, 0.25, 0.45])
    )


def _single(random: np.random.Generator, gutter: int) -> tuple[list[PixelBox], tuple[int, int]]:
    width = int(random.integers(250, 900))
    height = int(width * random.uniform(0.62, 1.1)) + gutter
    return [(0, 0, width, height)], (width, height)


def _grid(random: np.random.Generator, gutter: int) -> tuple[list[PixelBox], tuple[int, int]]:
    rows, columns = int(random.integers(1, 5)), int(random.integers(1, 6))
    columns = max(columns, 2) if rows == 1 else columns
    width = int(random.integers(110, 420))
    heights = [int(width * random.uniform(0.62, 1.15))] * rows
    if random.random() < 0.25:  # axial rows and a coronal one
        heights[-1] = int(width * random.uniform(0.9, 1.5))
    boxes, top = [], 0
    for height in heights:
        boxes += [
            (c * (width + gutter), top, c * (width + gutter) + width, top + height) for c in range(columns)
        ]
        top += height + gutter
    return boxes, (columns * (width + gutter) - gutter, top - gutter)


def _rows(random: np.random.Generator, gutter: int) -> tuple[list[PixelBox], tuple[int, int]]:
    total = int(random.integers(500, 1400))
    boxes, top = [], 0
    for _ in range(int(random.integers(1, 4))):
        shares = random.uniform(0.75, 1.35, size=int(random.integers(2, 5)))
        shares = np.ones_like(shares) if random.random() < 0.4 else shares
        edges = np.round(np.cumsum([0, *shares]) / shares.sum() * (total + gutter)).astype(int)
        height = int(total / len(shares) * random.uniform(0.65, 1.05))
        boxes += [(int(a), top, int(b) - gutter, top + height) for a, b in pairwise(edges)]
        top += height + gutter
    return boxes, (total, top - gutter)


def _side(random: np.random.Generator, gutter: int) -> tuple[list[PixelBox], tuple[int, int]]:
    small, count = int(random.integers(130, 260)), int(random.integers(2, 4))
    height = count * (small + gutter) - gutter
    large = int(height * random.uniform(0.85, 1.3))
    boxes = [(0, 0, large, height)]
    for row in range(count):
        top = row * (small + gutter)
        boxes.append((large + gutter, top, large + gutter + int(small * 1.2), top + small))
    return boxes, (large + gutter + int(small * 1.2), height)


_LAYOUTS: dict[str, Any] = {"single": _single, "grid": _grid, "rows": _rows, "side": _side}


def _shifted(
    boxes: list[PixelBox], size: tuple[int, int], border: int, strip: int
) -> tuple[list[PixelBox], tuple[int, int]]:
    """The boxes moved inside a border, each row of boxes followed by a strip for letters."""
    tops = sorted({box[3] for box in boxes})
    shift = {bottom: number * strip for number, bottom in enumerate(tops)}
    if len({box[1] for box in boxes}) != len(tops):  # pictures that span rows: letters below all
        shift = dict.fromkeys(tops, 0)
    moved = [
        (x0 + border, y0 + border + shift[y1], x1 + border, y1 + border + shift[y1])
        for x0, y0, x1, y1 in boxes
    ]
    return moved, (size[0] + 2 * border, max(box[3] for box in moved) + border + strip)


@dataclass(frozen=True, slots=True)
class _Style:
    low: int
    high: int
    round_field: bool
    stretch: bool


def _style(random: np.random.Generator) -> _Style:
    """Window and field of view that the pictures of a figure share."""
    high = 255 if random.random() < 0.75 else int(random.integers(130, 220))
    return _Style(0, high, bool(random.random() < 0.15), bool(random.random() < 0.3))


def _fitted(picture: Pixels, box: PixelBox, style: _Style) -> Image.Image:
    """The picture in the size of the box, cut (or stretched) to its shape."""
    width, height = box[2] - box[0], box[3] - box[1]
    grey = np.clip((picture.astype(np.float32) - style.low) * 255.0 / (style.high - style.low), 0, 255)
    image = Image.fromarray(grey.astype(np.uint8))
    if not style.stretch:
        image = image.crop(_centre(image.size, width / height))
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    if style.round_field:
        field = Image.new("L", (width, height), 0)
        ImageDraw.Draw(field).ellipse((0, 0, width - 1, height - 1), fill=255)
        image = Image.composite(image, Image.new("L", (width, height), 0), field)
    return image


def _centre(size: tuple[int, int], shape: float) -> tuple[int, int, int, int]:
    width, height = size
    wide = min(width, max(1, int(height * shape)))
    high = min(height, max(1, int(width / shape)))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def _print_letters(canvas: Image.Image, boxes: list[PixelBox], where: str) -> None:
    draw = ImageDraw.Draw(canvas)
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        letter = chr(65 + number % 26)
        size = max(12, (y1 - y0) // 12)
        font = ImageFont.load_default(size)
        if where == "corner":
            draw.text((x0 + 6, y0 + 4), letter, fill=255, font=font)
        elif where == "boxed":
            draw.rectangle((x0, y0, x0 + size + 4, y0 + size + 6), fill=255)
            draw.text((x0 + 3, y0 + 2), letter, fill=0, font=font)
        elif where == "below":
            draw.text(
                ((x0 + x1) // 2 - 8, y1 + 8), f"({letter.lower()})", fill=0, font=ImageFont.load_default(16)
            )


def _printed(
    canvas: Image.Image, boxes: list[PixelBox], random: np.random.Generator
) -> tuple[Pixels, list[PixelBox]]:
    """The figure as a paper has it: resized, compressed."""
    if random.random() < 0.5:
        scale = float(random.uniform(0.55, 1.6))
        size = (round(canvas.width * scale), round(canvas.height * scale))
        across, down = size[0] / canvas.width, size[1] / canvas.height
        canvas = canvas.resize(size, Image.Resampling.BICUBIC)
        boxes = [
            (round(a * across), round(b * down), round(c * across), round(d * down)) for a, b, c, d in boxes
        ]
    if random.random() < 0.7:
        file = io.BytesIO()
        canvas.save(file, "JPEG", quality=int(random.integers(40, 96)))
        canvas = Image.open(file)
    return np.asarray(canvas.convert("L")), boxes
