"""Title and DOI of a paper: from its metadata where they are plausible, else from its first page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.figures.boxes import across
from harness.figures.pages import Line, Page

__all__ = ["doi_of", "title_of"]

DOI = re.compile(r"10\.\d{4,9}/[^\s\"<>{}|\\^`]+", re.IGNORECASE)
NO_TITLE = re.compile(
    r"microsoft|untitled|\.(docx?|pdf|tex|indd|dvi|qxd|tmp)\b|^doi\b|^pii\b|^\W*$", re.IGNORECASE
)


def doi_of(metadata: Mapping[str, str | None], pages: Sequence[Page]) -> str:
    """Return a paper's DOI, '' where it states none on its first two pages or in its metadata."""
    texts = [value for value in metadata.values() if value]
    for page in pages[:2]:
        said = " ".join(line.text for line in page.lines)
        texts += re.findall(r"doi(?:\.org/|:|\s)\s*\S+", said, re.IGNORECASE)
        texts += [
            line.text
            for line in page.lines
            if line.box[3] < 0.2 * page.height or line.box[1] > 0.85 * page.height
        ]
    for text in texts:
        match = DOI.search(text)
        if match:
            return _trimmed(match[0])
    return ""


def _trimmed(doi: str) -> str:
    """A DOI without the sentence's signs after it; a bracket stays when it was opened in the DOI.

    >>> _trimmed("10.1016/S0140-6736(20)30183-5)."), _trimmed("10.1101/2020.01.29.20019547.this")
    ('10.1016/S0140-6736(20)30183-5', '10.1101/2020.01.29.20019547')
    """
    doi = re.sub(r"\.(?:this|the|copyright).*$", "", doi, flags=re.IGNORECASE)
    while doi and (doi[-1] in ".,;:'’”" or (doi[-1] in ")]" and doi.count("(") < doi.count(")"))):
        doi = doi[:-1]
    return doi


def title_of(metadata: Mapping[str, str | None], pages: Sequence[Page], file: str) -> str:
    """Return a paper's title, '' where its first page has none."""
    said = " ".join((metadata.get("title") or "").split())
    if len(said) >= 15 and " " in said and not NO_TITLE.search(said) and said != Path(file).stem:
        return said
    return _largest(pages[0]) if pages else ""


def _largest(page: Page) -> str:
    """The largest text in the upper two thirds of a page."""
    lines = [
        line
        for line in page.lines
        if line.upright
        and line.box[3] < 0.67 * page.height
        and sum(map(str.isalpha, line.text)) >= 8
        and line.words >= 2
    ]
    if not lines:
        return ""
    size = max(line.size for line in lines)
    top = next(line for line in lines if line.size == size)
    chosen: list[Line] = [top]
    for line in page.lines:
        below = 0 < line.box[1] - chosen[-1].box[1] < 2 * size
        if (
            line not in chosen
            and abs(line.size - size) < 0.6
            and below
            and across(line.box, top.box, 0) > -size
        ):
            chosen.append(line)
    return " ".join(" ".join(line.text for line in chosen).split())[:400]
