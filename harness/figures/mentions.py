"""The paragraphs of a text, and which of them cite a figure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from harness.figures.boxes import union
from harness.figures.captions import joined_text
from harness.figures.labels import bare_number, citations, label_at_start
from harness.figures.layout import Layout, Style
from harness.figures.pages import Line

__all__ = ["cited_in", "citing", "paragraphs_of"]

LONGEST = 4000
"""Letters of a paragraph that are kept: beyond that it is several whose borders were not seen."""

_SHORT = re.compile(r"\b(?:figs?|refs?|tabs?|eqs?|nos?|vs|al|approx|dr|prof)\.$", re.IGNORECASE)
"""A full stop that ends no sentence."""


def paragraphs_of(layouts: Sequence[Layout], captions: dict[int, set[int]], style: Style) -> list[str]:
    """Return the paragraphs of a document's running text; `captions` are the lines of each page's captions.

    A paragraph that breaks off at the end of a column or page goes on where the text does.
    """
    found: list[str] = []
    for layout in layouts:
        taken = captions.get(layout.page.number, set())
        for run in layout.runs:
            lines = [
                layout.page.lines[n]
                for n in run
                if n not in taken
                and (layout.roles[n] == "prose" or _short_paragraph(layout.page.lines[n], style))
            ]
            for paragraph in _split(lines, style):
                text = joined_text(paragraph)
                if found and _goes_on(found[-1], text):
                    found[-1] = _joined(found[-1], text)
                else:
                    found.append(text)
    return found


def _short_paragraph(line: Line, style: Style) -> bool:
    """Whether a line that is too short to be known as running text is a sentence that begins with a figure's name."""
    same = abs(line.size - style.size) <= 0.4 and line.font in style.fonts
    return same and line.words >= 4 and line.upright and label_at_start(line.text) is not None


def _split(lines: Sequence[Line], style: Style) -> Iterator[list[Line]]:
    """Part lines at indents and at lines that end early with a full stop."""
    if not lines:
        return
    left, _, right, _ = union(line.box for line in lines)
    paragraph: list[Line] = []
    for line in lines:
        if paragraph:
            last = paragraph[-1]
            ended = bool(re.search(r"[.!?:][\])”\d,–]*$", last.text)) and not _SHORT.search(last.text)
            indented = line.box[0] > left + 0.6 * style.size and last.box[0] < left + 0.3 * style.size
            if ended and (indented or last.box[2] < right - 2 * style.size):
                yield paragraph
                paragraph = []
        paragraph.append(line)
    yield paragraph


def _goes_on(text: str, more: str) -> bool:
    unfinished = not re.search(r"[.!?:][\])”’\d,–]*$", text) or bool(_SHORT.search(text))
    return unfinished and bool(re.match(r"[a-z(\dﬁﬂ]", more)) and len(text) + len(more) < LONGEST


def _joined(text: str, more: str) -> str:
    parted = text.endswith("-") and more[:1].islower()
    return text[:-1] + more if parted else f"{text} {more}"


def citing(
    paragraphs: Sequence[str], cited: Sequence[set[tuple[str, bool]]], key: tuple[str, bool]
) -> tuple[str, ...]:
    """Return the paragraphs that name a figure; `cited` are the names in each (`citations`)."""
    wanted = (bare_number(key[0]), key[1])
    found = (text for text, names in zip(paragraphs, cited, strict=True) if wanted in names)
    return tuple(text if len(text) <= LONGEST else text[:LONGEST] + "…" for text in dict.fromkeys(found))


def cited_in(paragraphs: Collection[str]) -> list[set[tuple[str, bool]]]:
    return [citations(text) for text in paragraphs]
