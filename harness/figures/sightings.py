"""Whether the page shows a picture as its image object has it: clips, masks, blends and colours may say otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.figures.types import Box

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Unseen", "as_shown"]

LONGER_SIDE = 32
"""Pixels of the views that are compared: letters and arrows laid over a picture weigh little there."""

FINER = 9
"""The page is drawn as many times finer, as a renderer takes single pixels of an image that it draws small."""

MOST_APART = 12.0
"""Grey levels of 255 between the views, on average. Of 19 objects of nine papers none is over 7.2 from its page."""

WHITE = 250


class Unseen(ValueError):
    """A picture of which the page shows nothing."""


def as_shown(page: Any, box: Box, pixels: np.ndarray) -> bool:
    """Return whether pixels look like what a pymupdf page shows in a box. Raises `Unseen` where that is white paper.

    A picture that is nearly white itself is as shown on white paper.
    """
    import numpy as np

    shown = _view(page, box)
    own = _resized(pixels, shown.shape[1], shown.shape[0])
    if float(np.abs(shown - own).mean()) <= MOST_APART:
        return True
    if shown.min() >= WHITE:
        raise Unseen("nothing of it can be seen on its page")
    return False


def _view(page: Any, box: Box) -> np.ndarray:
    """A part of a page, small, as (H, W, 3)."""
    import numpy as np
    import pymupdf

    scale = FINER * LONGER_SIDE / max(box[2] - box[0], box[3] - box[1], 1e-3)
    drawn = page.get_pixmap(
        matrix=pymupdf.Matrix(scale, scale), clip=pymupdf.Rect(box), colorspace=pymupdf.csRGB, alpha=False
    )
    rows = np.frombuffer(drawn.samples, np.uint8).reshape(drawn.height, drawn.stride)
    whole = rows[:, : drawn.width * 3].reshape(drawn.height, drawn.width, 3)
    return _resized(whole, max(1, drawn.width // FINER), max(1, drawn.height // FINER))


def _resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    import numpy as np
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    return np.asarray(image.resize((width, height), Image.Resampling.BOX), dtype=np.float32)
