"""The nouns of this package: documents, figures, captions, panels, and what is suggested of them.

Boxes are (x0, y0, x1, y1) in PDF points with the origin at the top left of the page as it is shown
(rotation applied); pages count from 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Box", "Caption", "Document", "Figure", "Kind", "Panel", "PixelBox", "Suggestion"]

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in PDF points from the top left of the page."""

PixelBox = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the figure's image, the right and lower edge not included."""

Kind = Literal["raster", "tiled", "vector", "mixed"]
"""One image object; several that make one picture; drawn; or images with drawing or text around them."""


@dataclass(frozen=True, slots=True)
class Caption:
    """What a paper says below, above or beside a figure.

    `label` is as printed ('Fig. 1', 'Supplementary Figure S3'), `number` without words ('1', 'S3').
    `boxes` are where its text stands, one a column or page that it runs over, `page` that of the first.
    """

    label: str
    number: str
    supplementary: bool
    page: int
    boxes: tuple[Box, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a rule or the small model thinks; `reason` quotes the words or figures it rests on.

    `confidence` is in 0 to 1; `value` is None where nothing can be said.
    """

    value: str | None
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of a composite figure. `letter` is as printed, lower-case; `text` what the caption says of it."""

    box: Box
    pixels: PixelBox
    letter: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a paper, and the caption it is joined to with a confidence in 0 to 1 (0 without one).

    `image` is the name of the file it was written to, `width` and `height` its pixels, `objects` the numbers of
    the PDF's image objects it is made of (none where it was rendered). `mentions` are the paragraphs that cite it.
    """

    page: int
    box: Box
    kind: Kind
    objects: tuple[int, ...] = ()
    image: str = ""
    width: int = 0
    height: int = 0
    caption: Caption | None = None
    confidence: float = 0.0
    mentions: tuple[str, ...] = ()
    panels: tuple[Panel, ...] = ()
    has_ct: Suggestion | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A paper: its file, what it says of itself, its figures; `problems` say what could not be read and why.

    `left_out` names graphics that are not among the figures because no caption speaks of them.
    """

    file: str
    pages: int
    title: str = ""
    doi: str = ""
    figures: tuple[Figure, ...] = ()
    problems: tuple[str, ...] = field(default=())
    left_out: tuple[str, ...] = ()
