"""What the lines of a document are: furniture of the page, prose, headings, or small text that may belong to a figure.

A figure is bounded by prose, headings, captions and furniture; everything else near it may be part of it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from harness.figures.boxes import across, area, grown, height, overlaps, share_inside, union, width
from harness.figures.labels import label_at_start
from harness.figures.pages import Line, Page
from harness.figures.types import Box

__all__ = ["Layout", "Role", "Style", "at_the_edge", "layouts_of", "style_of"]

Role = str
"""'furniture', 'prose', 'heading', 'number' (of a line) or 'other'."""

MARGIN = 0.12
"""Running heads and feet stand in this share of the page's height at either end."""

SECTION = re.compile(r"\d{1,2}(?:\.\d{1,2})*\.?\s+[A-Z][A-Za-z]")
"""'3.2. Findings' in a type of its own is a heading."""

MOST_DRAWINGS = 3000
"""Flow charts have fewer lines than this."""

MOST_BOXED = 100
"""Words in a box of a flow chart."""

MOST_NUMBERS = 3
"""At the edges of a page: its own number and those of two lines; more are numbers of a chart."""

TOUCHING = 5.0
"""Points between a chart and its title or numbers."""


@dataclass(frozen=True, slots=True)
class Style:
    """The habits of a document: size and fonts of its running text, how wide a column is, how far lines stand.

    `main` is the commonest of the fonts, '' where there is no text.
    """

    size: float
    fonts: frozenset[str]
    column: float
    pitch: float
    main: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """A page and the role of each of its lines; `runs` are numbers of lines that follow each other as one text."""

    page: Page
    roles: tuple[Role, ...]
    runs: tuple[tuple[int, ...], ...]

    def lines(self, *roles: Role) -> list[Line]:
        return [line for line, role in zip(self.page.lines, self.roles, strict=True) if role in roles]


def style_of(pages: Sequence[Page]) -> Style:
    """Return the habits of a document, from the lines that hold at least five words."""
    long = [line for page in pages for line in page.lines if line.words >= 5 and line.upright]
    if not long:
        return Style(10.0, frozenset(), 240.0, 12.0)
    sizes: Counter[float] = Counter()
    for line in long:
        sizes[round(line.size * 2) / 2] += len(line.text)
    size = sizes.most_common(1)[0][0]
    body = [line for line in long if abs(line.size - size) <= 0.5]
    fonts: Counter[str] = Counter()
    for line in body:
        fonts[line.font] += len(line.text)
    common = frozenset(name for name, count in fonts.items() if count > 0.1 * sum(fonts.values()))
    widths = sorted(width(line.box) for line in body)
    main = fonts.most_common(1)[0][0]
    return Style(size, common, widths[len(widths) * 3 // 4], _pitch(pages, size), main)


def _pitch(pages: Sequence[Page], size: float) -> float:
    steps: Counter[float] = Counter()
    for page in pages:
        long = [line for line in page.lines if line.words >= 3]  # the numbers of lines stand between them
        for above, below in pairwise(long):
            step = below.box[3] - above.box[3]
            same = abs(above.size - size) <= 0.5 and abs(below.size - size) <= 0.5
            if same and 0.8 * size < step < 3 * size and abs(above.box[0] - below.box[0]) < 2 * size:
                steps[round(step * 2) / 2] += 1
    return steps.most_common(1)[0][0] if steps else 1.2 * size


def layouts_of(pages: Sequence[Page], style: Style) -> list[Layout]:
    """Return the roles of all lines of a document."""
    furniture = _furniture(pages)
    found = [_layout(page, style, furniture[page.number]) for page in pages]
    everywhere = sum((_edges(layout) for layout in found), Counter())
    return [_with_headings(layout, style, everywhere) for layout in found]


def _edges(layout: Layout) -> Counter[int]:
    return Counter(round(line.box[0]) for line in layout.lines("prose"))


def _furniture(pages: Sequence[Page]) -> dict[int, set[int]]:
    """Numbers of lines that stand at the top or bottom of several pages, the same but for digits; watermarks."""
    by_text: defaultdict[tuple[object, ...], set[int]] = defaultdict(set)
    by_place: defaultdict[tuple[object, ...], set[int]] = defaultdict(set)
    for page in pages:
        for line in _at_the_ends(page):
            for key in _marks(line, page):
                by_text[key].add(page.number)
            by_place[round(line.box[1]), line.size, line.font].add(page.number)
    often = max(3, len(pages) // 4)
    stamped = Counter(key for page in pages for key in {_stamp(line) for line in page.lines})
    touches = _drawn_on(pages)
    found: dict[int, set[int]] = {page.number: set() for page in pages}
    for page in pages:
        ends = {id(line) for line in _at_the_ends(page)}
        digits = sum(_is_number(line) and at_the_edge(line, page) for line in page.lines)
        for number, line in enumerate(page.lines):
            if stamped[_stamp(line)] >= often and sum(map(str.isalpha, line.text)) >= 4:
                found[page.number].add(number)
            if id(line) not in ends:
                continue
            repeated = any(len(by_text[key]) >= 2 for key in _marks(line, page))
            alone = _is_number(line) and line.size >= 6 and digits <= MOST_NUMBERS
            usual = len(by_place[round(line.box[1]), line.size, line.font]) >= often
            if (repeated or (at_the_edge(line, page) and (alone or usual))) and not touches(
                line, page.number
            ):
                found[page.number].add(number)
    return found


def _is_number(line: Line) -> bool:
    return line.text.strip("-–— ").isdigit()


def _drawn_on(pages: Sequence[Page]) -> Callable[[Line, int], bool]:
    """Return what tells whether a line touches a drawing that is of one page alone: a chart's title or number."""
    seen = Counter(_rough(box) for page in pages for box in set(page.drawings))
    own = {
        page.number: [box for box in page.drawings if seen[_rough(box)] == 1 and not _is_long_rule(box)]
        for page in pages
    }

    def touches(line: Line, number: int) -> bool:
        around = grown(line.box, TOUCHING)
        return any(overlaps(around, box) for box in own[number])

    return touches


def _rough(box: Box) -> tuple[int, ...]:
    return tuple(round(value / 2) for value in box)


def _is_long_rule(box: Box) -> bool:
    return height(box) < 3 and width(box) > 100


def _stamp(line: Line) -> tuple[object, ...]:
    """What a watermark has in common on all pages, wherever it stands: its words and its very place."""
    return line.text, *(round(value) for value in line.box)


def _marks(line: Line, page: Page) -> Iterator[tuple[object, ...]]:
    """What a running head has in common on several pages: words and height, and away from the edge the place."""
    words = re.sub(r"[\d\W]+", "", line.text).lower()
    if len(words) >= 4:
        across_page = None if at_the_edge(line, page) else round(line.box[0] / 3)
        yield from ((words, round(line.box[1] / 4) + near, across_page) for near in (0, 1))


def at_the_edge(line: Line, page: Page) -> bool:
    return line.box[3] < 0.08 * page.height or line.box[1] > 0.92 * page.height


def _at_the_ends(page: Page) -> Iterator[Line]:
    top, bottom = MARGIN * page.height, (1 - MARGIN) * page.height
    ends = (line for line in page.lines if line.box[3] < top or line.box[1] > bottom)
    return (line for line in ends if label_at_start(line.text) is None)


def _layout(page: Page, style: Style, furniture: set[int]) -> Layout:
    roles = ["other"] * len(page.lines)
    for number in furniture:
        roles[number] = "furniture"
    for number in _line_numbers(page):
        roles[number] = "number"
    pictures = [image.box for image in page.images if area(image.box) > 0.02 * area(page.box)]
    covers = [box for box in pictures if area(box) > 0.8 * area(page.box)]
    pictures = [box for box in pictures if box not in covers]
    runs = tuple(_runs(page, style, roles))
    for run in runs:
        lines = [page.lines[number] for number in run]
        inside = sum(any(share_inside(line.box, box) > 0.8 for box in pictures) for line in lines)
        if inside <= len(lines) / 2 and is_prose(lines, style) and not _in_chart(lines, page):
            for number in run:
                roles[number] = "prose"
    return Layout(page, tuple(roles), runs)


def _in_chart(lines: Sequence[Line], page: Page) -> bool:
    """Whether text stands in a box of a flow chart: one that a line or an arrow leaves."""
    if len(page.drawings) > MOST_DRAWINGS or sum(line.words for line in lines) > MOST_BOXED:
        return False
    text = union(line.box for line in lines)
    around = [box for box in page.drawings if share_inside(text, grown(box, 1.0)) >= 1.0]
    frames = [box for box in around if area(box) < 0.35 * area(page.box)]
    if not frames:
        return False
    frame = min(frames, key=area)
    near = (box for box in page.drawings if overlaps(box, grown(frame, 3.0)) and not _is_long_rule(box))
    return any(
        share_inside(frame, grown(box, 2.0)) < 0.9 and share_inside(box, grown(frame, 3.0)) < 0.7
        for box in near
    )


def _with_headings(layout: Layout, style: Style, everywhere: Counter[int]) -> Layout:
    """The layout with its headings; where a page has no running text they begin where it does on other pages."""
    page, roles = layout.page, list(layout.roles)
    edges = _edges(layout) or everywhere
    pictures = [image.box for image in page.images if area(image.box) > 0.02 * area(page.box)]
    for number, line in enumerate(page.lines):
        if roles[number] == "other" and _is_heading(line, style, edges):
            inside = any(
                share_inside(line.box, box) > 0.8 for box in pictures if area(box) < 0.8 * area(page.box)
            )
            if not inside:
                roles[number] = "heading"
    return Layout(page, tuple(roles), layout.runs)


def _line_numbers(page: Page) -> list[int]:
    """Numbers of lines that are nothing but the counting of lines in a manuscript's margin."""
    digits = [n for n, line in enumerate(page.lines) if line.upright and re.fullmatch(r"\d{1,4}", line.text)]
    text = [line.box[0] for line in page.lines if line.words >= 4]
    if len(digits) < 4 or not text:
        return []
    left = median(text)
    margin = [n for n in digits if page.lines[n].box[2] <= left + 1]
    margin.sort(key=lambda n: page.lines[n].box[1])
    values = [int(page.lines[n].text) for n in margin]
    steps = Counter(b - a for a, b in pairwise(values))
    if (
        not steps
        or steps.most_common(1)[0][0] not in (1, 5)
        or steps.most_common(1)[0][1] < 0.6 * (len(values) - 1)
    ):
        return []
    return margin if len(margin) >= 4 else []


def _runs(page: Page, style: Style, roles: Sequence[Role]) -> Iterator[tuple[int, ...]]:
    """Yield lines that follow each other: below, of one size, at the distance that lines have."""
    run: list[int] = []
    for number, line in enumerate(page.lines):
        if roles[number] != "other":
            continue
        if run and not follows(page.lines[run[-1]], line, style):
            yield tuple(run)
            run = []
        run.append(number)
    if run:
        yield tuple(run)


def follows(above: Line, below: Line, style: Style) -> bool:
    """Return whether a line goes on the text of the one above it."""
    step = below.box[3] - above.box[3]
    near = max(1.45 * max(above.size, below.size), 1.15 * style.pitch)
    shared = across(above.box, below.box, 0)
    return (
        above.upright == below.upright
        and abs(above.size - below.size) <= 0.6
        and 0.3 * below.size < step <= near
        and shared > 0.5 * min(width(above.box), width(below.box))
    )


def is_prose(lines: Sequence[Line], style: Style) -> bool:
    """Return whether lines are running text: sentences as wide as a column, not the labels of a drawing."""
    text = " ".join(line.text for line in lines)
    words = len(text.split())
    letters = sum(map(str.isalpha, text))
    wide = width(union(line.box for line in lines)) >= 0.6 * style.column
    if not lines[0].upright or letters < 0.6 * len(text.replace(" ", "")) or not wide:
        return False
    if len(lines) == 1:
        return (
            words >= 7 and abs(lines[0].size - style.size) <= 0.6 and width(lines[0].box) > 0.7 * style.column
        )
    return words >= 12 and words / len(lines) >= 4


def _is_heading(line: Line, style: Style, edges: Counter[int]) -> bool:
    stands_out = (
        line.bold
        or line.size >= style.size + 0.8
        or (line.text.isupper() and line.size >= style.size - 1)
        or (line.font != style.main and bool(SECTION.match(line.text)))
    )
    at_edge = any(edges[round(line.box[0]) + step] for step in (-2, -1, 0, 1, 2))
    worded = bool(re.search(r"[A-Za-z]{4}", line.text)) and line.words <= 14
    return line.upright and stands_out and at_edge and worded and line.size >= style.size - 0.6
