"""One PDF read: its figures, what it says of them, and what could not be read, in one process and always the same."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.figures.apart import Match, joined_apart, orphans_on
from harness.figures.bounded import CONFIDENCE, bounded_figure
from harness.figures.boxes import union
from harness.figures.captions import Found, captions_of, tables_of
from harness.figures.continuations import continued
from harness.figures.figure_files import file_stem, picture_name, write_picture
from harness.figures.layout import Layout, Style, layouts_of, style_of
from harness.figures.legends import with_legend
from harness.figures.limits import TooLarge, broken, check_page, loaded_page
from harness.figures.mentions import cited_in, citing, paragraphs_of
from harness.figures.pages import Page, read_page
from harness.figures.pairing import PRIOR, SIDES, Pair, Situation, pairs_on
from harness.figures.pictures import picture_of
from harness.figures.regions import atoms_of, decoration
from harness.figures.titles import doi_of, title_of
from harness.figures.types import Caption, Document, Figure

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Describe", "Unopened", "figures_extra", "open_pdf", "read_document"]

Describe = Callable[[Figure, "np.ndarray"], Figure]
"""Adds panels and the CT decision to a figure, given its pixels."""


FEW = 4
"""A page with no more lines of running text than this is one of figures."""


class Unopened(DataError):
    """A PDF of which nothing can be read; `str()` names it and the reason, `reason` is that alone."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{str(path)!r}: {reason}")
        self.reason = reason


UNUSED = ("pymupdf.layout", "pymupdf4llm")
"""PyMuPDF 2.0 imports these where they are installed: a network for layouts, about a second and 90 MB."""


def figures_extra() -> Any:
    """Return the module pymupdf, quiet. Raises `DataError` in one line where it is not installed."""
    kept_out = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(kept_out))  # type: ignore[arg-type]
    try:
        import pymupdf
    except ImportError as error:
        raise DataError(
            "reading PDFs needs PyMuPDF; install it with: pip install 'ct-harness[figures]'"
        ) from error
    finally:
        for name in kept_out:
            del sys.modules[name]
    pymupdf.TOOLS.unset_quad_corrections(True)  # as pymupdf4llm sets it: boxes are the same with and without
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    return pymupdf


def open_pdf(path: Path) -> Any:
    """Return a PDF that is open; one whose name is not Unicode is opened by its bytes, as MuPDF takes no such name."""
    pymupdf = figures_extra()
    if _is_unicode(str(path)):
        return pymupdf.open(path, filetype="pdf")
    return pymupdf.open(stream=path.read_bytes(), filetype="pdf")


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_document(
    path: Path, out: Path, *, stem: str | None = None, describe: Describe | None = None
) -> Document:
    """Return what a PDF holds, its figures written to the folder `out` under names that begin with `stem`.

    `describe` is called with each figure and its pixels. Raises `Unopened` for a file of which nothing can be read;
    what goes wrong on single pages is among the document's `problems`.
    """
    opened = _opened(path)
    try:
        reading = _Reading(opened, path, out, stem or file_stem(path), describe)
        return reading.document()
    finally:
        opened.close()


def _opened(path: Path) -> Any:
    try:
        if path.stat().st_size == 0:
            raise Unopened(path, "the file is empty")
        document = open_pdf(path)
    except OSError as error:
        raise Unopened(path, f"cannot be opened: {error.strerror or error}") from error
    except broken() as error:
        said = _said(error).replace(str(path), path.name)
        raise Unopened(path, f"not a PDF that can be read: {said}") from error
    try:
        if document.needs_pass:
            raise Unopened(path, "is encrypted and asks for a password; save it without one")
        if document.page_count == 0:
            raise Unopened(path, "has no pages")
    except broken() as error:
        document.close()
        raise Unopened(path, f"not a PDF that can be read: {_said(error)}") from error
    except Unopened:
        document.close()
        raise
    return document


def _said(error: BaseException) -> str:
    said = re.sub(r"^code=\d+:\s*", "", " ".join(str(error).split()))
    return said[:200] or type(error).__name__


@dataclass
class _Reading:
    """A PDF that is being read: its pages first, then what they say together, then the pictures."""

    opened: Any
    path: Path
    out: Path
    stem: str
    describe: Describe | None

    def document(self) -> Document:
        self.problems: list[str] = []
        self.taken: set[str] = set()
        self.pictures: set[bytes] = set()
        if self.opened.is_repaired:
            self.problems.append("the file is damaged; what could be mended of it was read")
        pages = [page for number in range(self.opened.page_count) if (page := self._page(number))]
        if not pages:
            raise Unopened(self.path, f"no page can be read: {self.problems[0]}")
        style = style_of(pages)
        layouts = layouts_of(pages, style)
        captions = continued(captions_of(layouts, style), layouts, style)
        matches, lonely, orphans = _matched(layouts, captions, style)
        figures = tuple(self._figures(layouts, style, captions, matches))
        self.problems += [f"{one.label.text} (page {one.page}): a caption without graphics" for one in lonely]
        metadata = self.opened.metadata or {}
        return Document(
            str(self.path),
            self.opened.page_count,
            title_of(metadata, pages, str(self.path)),
            doi_of(metadata, pages),
            figures,
            tuple(self.problems),
            tuple(
                f"page {page}: graphics at {_rounded(pair.box)} without a caption" for page, pair in orphans
            ),
        )

    def _page(self, number: int) -> Page | None:
        try:
            page = loaded_page(self.opened, number)
            check_page(self.opened, page)
            found = read_page(page)
        except TooLarge as error:
            self.problems.append(f"page {number + 1}: {error}; not looked at")
            return None
        except broken() as error:
            self.problems.append(f"page {number + 1}: cannot be read: {_said(error)}")
            return None
        self.problems += found.problems
        return found

    def _figures(
        self, layouts: Sequence[Layout], style: Style, captions: Sequence[Found], matches: Sequence[Match]
    ) -> Iterator[Figure]:
        by_number = {layout.page.number: layout for layout in layouts}
        lines: dict[int, set[int]] = {}
        for found in captions:
            for number, own in ((found.page, found.lines), *found.more):
                lines.setdefault(number, set()).update(own)
        paragraphs = paragraphs_of(layouts, lines, style)
        cited = cited_in(paragraphs)
        for match in sorted(matches, key=_place):
            figure = self._figure(match, by_number)
            if figure is not None:
                key = match.caption.key if match.caption else None
                yield replace(figure, mentions=citing(paragraphs, cited, key) if key else ())

    def _figure(self, match: Match, layouts: dict[int, Layout]) -> Figure | None:
        name = match.caption.label.text if match.caption else "graphics"
        page = layouts[match.page].page
        try:
            picture = picture_of(self.opened, loaded_page(self.opened, match.page - 1), page, match.pair)
        except broken() as error:
            self.problems.append(f"{name} (page {match.page}): no picture: {_said(error)}")
            return None
        if match.caption is None and self._repeated(picture.pixels):
            return None
        image = write_picture(self.out, picture_name(self.stem, match.page, picture, self.taken), picture)
        height, width = picture.pixels.shape[:2]
        caption = _caption(match.caption, layouts) if match.caption else None
        figure = Figure(
            match.page,
            picture.box,
            picture.kind,
            picture.objects,
            image,
            width,
            height,
            caption,
            match.confidence,
        )
        return self.describe(figure, picture.pixels) if self.describe else figure

    def _repeated(self, pixels: np.ndarray) -> bool:
        """Whether the same picture stood on an earlier page: without a caption that is a logo."""
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
        known = digest in self.pictures
        self.pictures.add(digest)
        return known


def _place(match: Match) -> tuple[int, float, float]:
    return match.page, round(match.pair.box[1]), match.pair.box[0]


def _rounded(box: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(round(value) for value in box)


def _caption(found: Found, layouts: dict[int, Layout]) -> Caption:
    page = layouts[found.page].page
    boxes = [page.shown(box) for box in found.boxes]
    for number, own in found.more:
        later = layouts[number].page
        boxes.append(later.shown(union(later.lines[n].box for n in own)))
    label = found.label
    return Caption(label.text, label.number, label.supplementary, found.page, tuple(boxes), found.text)


def _matched(
    layouts: Sequence[Layout], captions: Sequence[Found], style: Style
) -> tuple[list[Match], list[Found], list[tuple[int, Pair]]]:
    """Join captions and graphics: on each page, then by the document's habit, then across pages."""
    decorated = decoration([layout.page for layout in layouts])
    situations = []
    pointing = [found for found in captions if found.label.pointing]
    away = [found for found in captions if _pointed_at(found, pointing)]
    for layout in layouts:
        own = [found for found in captions if found.page == layout.page.number and found not in away]
        atoms = atoms_of(layout, decorated, [found.lines[0] for found in own])
        situations.append(Situation(layout, own, tables_of(layout) if atoms else [], atoms))
    first = [pairs_on(one) for one in situations]
    prior = _habit([pair.side for pairs, _ in first for pair in pairs])
    if prior != PRIOR:
        situations = [replace(one, prior=prior) for one in situations]
        first = [pairs_on(one) for one in situations]
    paired, lonely, orphans = [], away, []
    for one, (pairs, tables) in zip(situations, first, strict=True):
        number = one.layout.page.number
        for pair in pairs:
            found = one.captions[pair.caption]
            confidence = _confidence(pair, one)
            if pair.side == "down":
                pair, found = with_legend(pair, found, one.layout, style)
            paired.append(Match(number, pair, found, confidence))
        have = {pair.caption for pair in pairs}
        lonely += [found for k, found in enumerate(one.captions) if k not in have]
        orphans += [
            (number, pair) for pair in orphans_on(one.layout, one.atoms, [*pairs, *tables], one.captions)
        ]
    if not captions:
        return [Match(page, pair, None, 0.0) for page, pair in orphans], [], []
    bare = {one.layout.page.number for one in situations if len(one.layout.lines("prose")) <= FEW}
    matches, lonely, orphans = joined_apart(_one_a_name(paired), lonely, orphans, bare)
    return [*matches, *_bounded(situations, matches, lonely)], lonely, orphans


def _pointed_at(found: Found, pointing: Sequence[Found]) -> bool:
    """Whether another page says of a caption that it stands here: then its figure is there."""
    return not found.label.bare and any(one.key == found.key and one.page != found.page for one in pointing)


def _bounded(
    situations: Sequence[Situation], matches: Sequence[Match], lonely: list[Found]
) -> Iterator[Match]:
    """Yield figures without graphics of their own; their captions are taken out of the lonely ones."""
    by_number = {one.layout.page.number: one for one in situations}
    for found in list(lonely):
        situation = by_number[found.page]
        taken = [match.pair.box for match in matches if match.page == found.page]
        pair = bounded_figure(situation.layout, found, situation.captions, taken)
        if pair is not None:
            lonely.remove(found)
            yield Match(found.page, pair, found, CONFIDENCE)


def _habit(sides: Sequence[str]) -> dict[str, float]:
    """What is expected of each side once the document's own figures are known."""
    prior = dict(PRIOR)
    for side in SIDES:
        if len(sides) >= 3 and sides.count(side) >= 0.7 * len(sides):
            prior[side] += 0.3
    return prior


def _confidence(pair: Pair, situation: Situation) -> float:
    strength = situation.captions[pair.caption].strength
    return round(min(1.0, 0.6 * min(1.0, pair.score / 1.6) + 0.4 * min(1.0, strength / 3.0)), 3)


def _one_a_name(paired: Sequence[Match]) -> list[Match]:
    """Where a name has several figures, those that no sentence of the text could have named alone."""
    best: dict[tuple[str, bool], float] = {}
    for match in paired:
        if match.caption and not match.caption.label.bare:
            best[match.caption.key] = max(best.get(match.caption.key, 0.0), match.caption.strength)
    return [
        match
        for match in paired
        if match.caption
        and (_lasting(match.caption) or match.caption.strength >= best[match.caption.key] - 1.0)
    ]


def _lasting(found: Found) -> bool:
    return found.label.bare or found.label.continued
