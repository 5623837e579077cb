"""What drawn pages share: letters, lines that fit, thumbnails."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import cache
from typing import Protocol

import numpy as np
from PIL import Image, ImageFont

__all__ = [
    "FAINT_INK",
    "INK",
    "MOUNT",
    "PAPER",
    "Font",
    "Pixels",
    "broken",
    "font",
    "line_height",
    "printable",
    "shortened",
    "thumbnail",
    "wrapped",
]

PAPER, INK, FAINT_INK, MOUNT = 255, 0, 96, 176
"""Grey levels of the page, its letters, its small letters, and of what surrounds an image."""

LINE_GAP_PX = 6

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


class Pixels(Protocol):
    """The images of a dataset by row: uint8 (H, W)."""

    def image(self, row: int) -> np.ndarray: ...


@cache
def font(size_px: int) -> Font:
    """Return the letters that come with Pillow, the same on every machine."""
    return ImageFont.load_default(size_px)


def line_height(size_px: int) -> int:
    """Return the distance (px) of two lines whose letters are `size_px` high."""
    return size_px + LINE_GAP_PX


def printable(text: str) -> str:
    """Return the text, what cannot be drawn or encoded (line breaks, halves of characters) replaced by '�'.

    >>> printable("a" + chr(10) + "b.png")
    'a�b.png'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def shortened(text: str, letters: Font, width_px: float) -> str:
    """Return the text, its middle replaced by an ellipsis where it is wider than `width_px`."""
    text = printable(text)
    if letters.getlength(text) <= width_px:
        return text

    def without_middle(kept: int) -> str:
        return f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"

    return without_middle(_most(len(text), lambda n: letters.getlength(without_middle(n)) <= width_px))


def wrapped(text: str, letters: Font, width_px: float) -> list[str]:
    """Return the text in lines that fit, broken at spaces; a word too long for a line is shortened."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {printable(word)}".strip()
        if letters.getlength(longer) <= width_px:
            lines[-1] = longer
        else:
            lines.append(shortened(word, letters, width_px))
    return [line for line in lines if line]


def broken(text: str, letters: Font, width_px: float, most_lines: int) -> list[str]:
    """Return a name in lines that fit, broken after a slash where one is near, else anywhere.

    What would need more than `most_lines` loses the middle of its last line.
    """
    rest = printable(text)
    lines: list[str] = []
    while letters.getlength(rest) > width_px and len(lines) < most_lines - 1:
        lines.append(_first_line(rest, letters, width_px))
        rest = rest[len(lines[-1]) :]
    return [*lines, shortened(rest, letters, width_px)] if rest else lines


def thumbnail(pixels: np.ndarray, side_px: int) -> Image.Image:
    """Return uint8 (H, W) as a grey square of `side_px`, its shape kept."""
    height, width = pixels.shape
    scale = side_px / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    square = Image.new("L", (side_px, side_px), MOUNT)
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    square.paste(small, ((side_px - size[0]) // 2, (side_px - size[1]) // 2))
    return square


def _first_line(text: str, letters: Font, width_px: float) -> str:
    """Return the longest beginning that fits, at least one character, and up to a slash where it has one."""
    fitting = _most(len(text), lambda n: letters.getlength(text[:n]) <= width_px)
    return text[: text.rfind("/", 0, fitting) + 1 or max(fitting, 1)]


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number below `limit` that fits, where all smaller ones do; 0 where none does."""
    return bisect_left(range(1, limit), True, key=lambda n: not fits(n))
