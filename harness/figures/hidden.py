"""Words that a page holds but doesn't show: without ink, or white on white. Nobody who reads the paper sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.figures.boxes import area, overlaps

if TYPE_CHECKING:
    import numpy as np

    from harness.figures.pages import Placed

__all__ = ["Sight"]

SCANNED = 0.5
"""Share of a page under images from which on letters without ink are those that were recognised on a scan."""

WHITE = 0xFA
"""Red, green and blue of letters that are white."""

CONTRAST = 8
"""Grey levels by which letters differ at least from what they stand on."""

MOST_PIXELS = 4_000_000
FINENESS = 1.5
"""Pixels a point, on pages that are not larger than that."""


class Sight:
    """Which spans of text a pymupdf page shows; the page is drawn only where white letters ask for it."""

    def __init__(self, page: Any, images: Sequence[Placed]) -> None:
        self._page, self._images = page, images
        covered = sum(area(image.box) for image in images)
        self._scanned = covered >= SCANNED * area(tuple(page.rect))
        self._drawn: tuple[np.ndarray, float] | None = None

    def shows(self, span: dict[str, Any]) -> bool:
        """Return whether a span, as 'get_text("dict")' gives it, can be seen, or lies on a scan that shows it."""
        import pymupdf

        box = pymupdf.Rect(span["bbox"]) * self._page.rotation_matrix
        if span.get("alpha", 255) == 0:
            return self._scanned and any(overlaps(tuple(box), image.box) for image in self._images)
        colour = span["color"]
        if min(colour >> 16 & 255, colour >> 8 & 255, colour & 255) < WHITE:
            return True
        return self._differs(box)

    def _differs(self, box: Any) -> bool:
        import numpy as np

        if self._drawn is None:
            self._drawn = _drawn(self._page)
        pixels, scale = self._drawn
        x0, y0, x1, y1 = (max(0, round(value * scale)) for value in tuple(box))
        part = pixels[y0 : y1 + 1, x0 : x1 + 1]
        return bool(part.size) and int(np.ptp(part)) >= CONTRAST


def _drawn(page: Any) -> tuple[np.ndarray, float]:
    """A page in grey, and its pixels a point."""
    import numpy as np
    import pymupdf

    scale = min(FINENESS, (MOST_PIXELS / max(1.0, area(tuple(page.rect)))) ** 0.5)
    drawn = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), colorspace=pymupdf.csGRAY, alpha=False)
    rows = np.frombuffer(drawn.samples, np.uint8).reshape(drawn.height, drawn.stride)
    return rows[:, : drawn.width], scale
