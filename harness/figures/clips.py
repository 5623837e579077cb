"""What of each image a page shows: its clips, taken from MuPDF while it draws the page to nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.figures.boxes import intersection
from harness.figures.limits import broken
from harness.figures.types import Box

__all__ = ["Drawn", "images_drawn"]

Matrix = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Drawn:
    """An image as it is drawn: its matrix (unit square to the page as shown), its pixels, the box that clips it."""

    matrix: Matrix
    width: int
    height: int
    clip: Box | None


def images_drawn(page: Any) -> list[Drawn]:
    """Return the images of a pymupdf page in the order they are drawn."""
    from pymupdf import mupdf

    device = _device_class()()
    with suppress(*broken()):  # a page that is broken further down: what came before it counts
        mupdf.fz_run_page(mupdf.FzPage(page.this), device, mupdf.FzMatrix(), mupdf.FzCookie())
        mupdf.fz_close_device(device)
    return list(device.found)


@cache
def _device_class() -> Any:
    """The class of devices that keep count of clips; made once pymupdf is there."""
    from pymupdf import mupdf

    class Device(mupdf.FzDevice2):
        """Draws nothing; keeps each image with the clips that hold when it comes."""

        def __init__(self) -> None:
            super().__init__()
            self.clips: list[Box | None] = [
                None
            ]  # what each leaves of those around it; the page clips nothing
            self.found: list[Drawn] = []
            kinds = ("path", "stroke_path", "text", "stroke_text", "image_mask")
            for name in (*(f"clip_{kind}" for kind in kinds), "pop_clip", "fill_image", "fill_image_mask"):
                getattr(self, f"use_virtual_{name}")()

        def clip_path(self, _context: Any, _path: Any, _even_odd: Any, _matrix: Any, scissor: Any) -> None:
            box, around = (scissor.x0, scissor.y0, scissor.x1, scissor.y1), self.clips[-1]
            self.clips.append(box if around is None else intersection(around, box))

        def _other_clip(self, *_: Any) -> None:
            self.clips.append(self.clips[-1])  # not known well enough to cut by

        clip_stroke_path = clip_text = clip_stroke_text = clip_image_mask = _other_clip

        def pop_clip(self, *_: Any) -> None:
            if len(self.clips) > 1:
                self.clips.pop()

        def fill_image(self, _context: Any, image: Any, matrix: Any, *_: Any) -> None:
            own = (matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f)
            self.found.append(Drawn(own, image.w, image.h, self.clips[-1]))

        fill_image_mask = fill_image

    return Device
