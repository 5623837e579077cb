"""What is seen in a figure's pixels and in the print around them: its panels, and which of them are CT."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.figures.boxes import grown, overlaps
from harness.figures.ct import ct_and_panels
from harness.figures.documents import Describe, open_pdf
from harness.figures.letters import Word
from harness.figures.limits import loaded_page
from harness.figures.panels import panels_of
from harness.figures.types import Figure, Suggestion

if TYPE_CHECKING:
    import numpy as np

__all__ = ["describing"]

NEAR = 20.0
"""Points around a figure in which a letter or a heading may belong to it."""

DRAWN = Suggestion("other", 0.98, "drawn: no image is in it")

Seen = dict[str, tuple[Suggestion, ...]]
"""By the name of a figure's image: of each of its panels, whether it is CT."""


@contextmanager
def describing(path: Path, seen: Seen | None = None) -> Iterator[Describe]:
    """Lend the function that gives the figures of one PDF their panels and the CT decision.

    What is thought of each single panel goes to `seen`.
    """
    opened: list[Any] = []

    @cache
    def words(page: int) -> tuple[Word, ...]:
        if not opened:
            opened.append(open_pdf(path))
        return _words(loaded_page(opened[0], page - 1))

    def describe(figure: Figure, pixels: np.ndarray) -> Figure:
        caption = figure.caption.text if figure.caption else ""
        around = grown(figure.box, NEAR)
        near = [word for word in words(figure.page) if overlaps(word[:4], around)]
        panels = panels_of(pixels, figure.box, caption, near)
        if figure.kind == "vector":
            has_ct, each = DRAWN, (DRAWN,) * len(panels)
        else:
            has_ct, each = ct_and_panels(pixels, panels, caption)
        if seen is not None:
            seen[figure.image] = each
        return replace(figure, panels=panels, has_ct=has_ct)

    try:
        yield describe
    finally:
        for document in opened:
            document.close()


def _words(page: Any) -> tuple[Word, ...]:
    """The words of a page where a reader sees them."""
    import pymupdf

    found = []
    for x0, y0, x1, y1, text, *_ in page.get_text("words"):
        box = pymupdf.Rect(x0, y0, x1, y1) * page.rotation_matrix
        found.append((box.x0, box.y0, box.x1, box.y1, text))
    return tuple(found)
