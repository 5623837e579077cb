"""Contact sheets: a dataset at a glance, as one PNG."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from PIL import Image, ImageDraw

from harness.data.cards import Card
from harness.data.pictures import (
    FAINT_INK,
    INK,
    PAPER,
    Pixels,
    font,
    line_height,
    shortened,
    thumbnail,
    wrapped,
)
from harness.errors import HarnessError
from harness.types import Sample

__all__ = ["Pictured", "contact_sheet"]

COLUMNS = 6
THUMBNAIL_PX = 176
GAP_PX = 8
LINE_PX = 17
TITLE_PX, TEXT_PX, ID_PX = 20, 13, 11
"""Heights of the letters of the title, of the lines below it and of the ids."""


class Pictured(Protocol):
    """What a sheet is made of: a `harness.data.dataset.Dataset`."""

    @property
    def card(self) -> Card: ...
    @property
    def samples(self) -> tuple[Sample, ...]: ...
    def pixels(self) -> Pixels: ...


def contact_sheet(dataset: Pictured, path: Path, *, per_class: int = 12, seed: int = 0) -> Path:
    """Write a PNG of `per_class` images of each class, drawn by seed, with their ids; return its path.

    The same dataset, seed and versions give the same picture. Raises `HarnessError` when it cannot
    be written.
    """
    if per_class < 1:
        raise ValueError(f"per_class is {per_class}, expected at least 1")
    sheet = _drawn(dataset, per_class, seed)
    _write(sheet, path)
    return path


@dataclass(frozen=True)
class _Block:
    """A class: its heading and the rows of the dataset that stand for it."""

    heading: str
    rows: list[int]

    @property
    def height(self) -> int:
        lines = -(-len(self.rows) // COLUMNS)
        return LINE_PX + 6 + lines * (THUMBNAIL_PX + LINE_PX + GAP_PX)


def _drawn(dataset: Pictured, per_class: int, seed: int) -> Image.Image:
    width = COLUMNS * (THUMBNAIL_PX + GAP_PX) + GAP_PX
    header = _header(dataset, width - 2 * GAP_PX)
    blocks = _blocks(dataset, per_class, seed)
    top = GAP_PX + sum(line_height(size) for _, size in header) + GAP_PX
    sheet = Image.new("L", (width, top + sum(block.height for block in blocks)), PAPER)
    draw, y = ImageDraw.Draw(sheet), GAP_PX
    for line, size in header:
        draw.text((GAP_PX, y), line, fill=INK, font=font(size))
        y += line_height(size)
    y, pixels = top, dataset.pixels()
    for block in blocks:
        _draw_block(sheet, y, block, dataset.samples, pixels)
        y += block.height
    return sheet


def _header(dataset: Pictured, width_px: int) -> list[tuple[str, int]]:
    """Return the lines of the title with the height of their letters."""
    card = dataset.card
    counts = ", ".join(f"{len(rows)} {name}" for name, rows in _rows_by_class(dataset).items())
    title = card.title if card.title == card.name else f"{card.title} ({card.name})"
    lines = [f"{len(dataset.samples)} images: {counts}", f"Licence: {card.licence}"]
    text = [(line, TEXT_PX) for long in lines for line in wrapped(long, font(TEXT_PX), width_px)]
    return [(line, TITLE_PX) for line in wrapped(title, font(TITLE_PX), width_px)] + text


def _rows_by_class(dataset: Pictured) -> dict[str, list[int]]:
    return {
        name: [row for row, sample in enumerate(dataset.samples) if sample.label == label]
        for label, name in enumerate(dataset.card.classes)
    }


def _blocks(dataset: Pictured, per_class: int, seed: int) -> list[_Block]:
    blocks = []
    for name, rows in _rows_by_class(dataset).items():
        chosen = sorted(random.Random(f"{seed}/{name}").sample(rows, min(per_class, len(rows))))
        blocks.append(_Block(f"{name}: {len(chosen)} of {len(rows)}", chosen))
    return blocks


def _draw_block(
    sheet: Image.Image, top: int, block: _Block, samples: Sequence[Sample], pixels: Pixels
) -> None:
    draw, letters = ImageDraw.Draw(sheet), font(ID_PX)
    heading = shortened(block.heading, font(TEXT_PX), sheet.width - 2 * GAP_PX)
    draw.text((GAP_PX, top), heading, fill=INK, font=font(TEXT_PX))
    for place, row in enumerate(block.rows):
        x = GAP_PX + place % COLUMNS * (THUMBNAIL_PX + GAP_PX)
        y = top + LINE_PX + 6 + place // COLUMNS * (THUMBNAIL_PX + LINE_PX + GAP_PX)
        sheet.paste(thumbnail(pixels.image(row), THUMBNAIL_PX), (x, y))
        name = shortened(samples[row].id, letters, THUMBNAIL_PX)
        draw.text((x, y + THUMBNAIL_PX + 1), name, fill=FAINT_INK, font=letters)


def _write(sheet: Image.Image, path: Path) -> None:
    temporary = path.with_name(f".tmp-{path.name}-{uuid4().hex}")
    try:
        sheet.save(temporary, format="PNG", optimize=True)
        temporary.replace(path)
    except OSError as error:
        raise HarnessError(
            f"the contact sheet {str(path)!r} cannot be written: {error.strerror or error}; name another file"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
