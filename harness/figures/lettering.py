"""What in a figure is print and not picture: strips of letters and captions at its edges, and drawings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.figures.cuts import HARD, gutters
from harness.figures.types import PixelBox

__all__ = ["is_picture", "is_print", "without_print"]

Grey = NDArray[np.float32]

PICTURE_TONES = 0.19
"""Share of pixels outside the two commonest of 32 grey levels: above in 99 % of CT slices, below in charts."""

THICKEST = 0.3  # of the side: a strip of print is thin
INK = 40.0  # grey levels between print and its ground


def tones(grey: Grey) -> float:
    """Share of the pixels that are not of the two commonest of 32 grey levels."""
    counts = np.bincount((grey.astype(np.uint8) >> 3).ravel(), minlength=32)
    return 1.0 - float(np.sort(counts)[-2:].sum()) / grey.size


def is_picture(grey: Grey) -> bool:
    """Whether it has the grey tones of a photograph, a scan or a slice, as charts and print have not."""
    return grey.size > 0 and tones(grey) >= PICTURE_TONES


def is_print(strip: Grey) -> bool:
    """Whether a strip holds letters or nothing: ink with gaps between, or little of it.

    The strip runs downwards: gaps are rows.
    """
    ground = float(np.median(strip[:: max(1, strip.shape[0] // 200)]))
    ink = (np.abs(strip - ground) > INK).any(axis=1)
    if not ink.any():
        return True
    first, last = int(ink.argmax()), len(ink) - int(ink[::-1].argmax())
    pieces = int((np.diff(ink.astype(np.int8)) == 1).sum()) + int(ink[0])
    dark = float((np.abs(strip - ground) > INK).mean())
    narrow = last - first < 0.3 * len(ink)
    return dark < 0.45 and (narrow or pieces >= 3)


def without_print(grey: Grey, box: PixelBox) -> PixelBox:
    """The box without strips of print along its edges that a gutter parts from the picture."""
    for _ in range(3):
        smaller = _peeled(grey, box)
        if smaller == box:
            break
        box = smaller
    return box


def _peeled(grey: Grey, box: PixelBox) -> PixelBox:
    x0, y0, x1, y1 = box
    top, bottom = _kept(np.ascontiguousarray(grey[y0:y1, x0:x1].T))
    y0, y1 = y0 + top, y0 + bottom
    left, right = _kept(grey[y0:y1, x0:x1])
    return x0 + left, y0, x0 + right, y1


def _kept(region: Grey) -> tuple[int, int]:
    """First and last column of a region after strips of print at its left and right were taken off."""
    size = region.shape[1]
    first, last = 0, size
    for cut in gutters(region):
        light = cut.colour > 200
        if cut.start <= THICKEST * size and (cut.after >= HARD or light):
            strip = region[:, : cut.start]
            if is_print(strip) and not is_picture(strip):
                first = cut.stop
        if size - cut.stop <= THICKEST * size and last == size and (cut.before >= HARD or light):
            strip = region[:, cut.stop :]
            if is_print(strip) and not is_picture(strip):
                last = cut.start
    return (first, last) if first < last else (0, size)
