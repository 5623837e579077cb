"""One page as it is shown: its lines of text, its pictures, and where it is drawn on.

Everything is in the frame that text is read in: page rotation applied, and a page whose text stands sideways
turned upright (`Page.shown` leads back). Nothing is decoded or rendered here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from harness.figures.boxes import area, intersection, overlaps, union
from harness.figures.clips import Drawn, images_drawn
from harness.figures.hidden import Sight
from harness.figures.labels import label_at_start
from harness.figures.types import Box

__all__ = ["Line", "Page", "Placed", "read_page"]

MOST_PATHS = 20_000
"""Beyond as many drawn paths a page's drawings are taken by their boxes alone, without colours and clips."""

MOST_OPERATIONS = 1_000_000
"""A page with more operations than this is not looked at further."""

MOST_DRAWN = 30_000_000
"""Points that a page's paths are long and high, together: drawing 300 000 lines across a page took four minutes."""

MOST_IMAGES = 4_000
"""Places of images on a page: strips of one line of pixels are 1000; comparing 10 000 with each other took minutes."""

LIGATURES = {
    chr(code + k): text for code in (0x0B, 0x1B) for k, text in enumerate(("ff", "fi", "fl", "ffi", "ffl"))
}
"""Old TeX fonts say no more of these letters than their places in the font."""

SENTENCES = 20
"""A line of a sentence weighs as many lines of a chart's numbers and names."""

NAMED = 100_000
"""A caption outweighs all text of a page."""

UNCUT = 0.97
"""Share of an image from which on it is taken to be shown whole: clips are drawn close to the edge."""

BOLD = re.compile(r"bold|black|heavy|semib|demi|[-,.]b$|\bbd\b|cmbx", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text. `font`, `size` and `bold` are those of most of its letters, `lead_*` those of its first.

    `turn` is its direction in quarter turns clockwise.
    """

    box: Box
    text: str
    size: float
    font: str
    bold: bool
    lead_font: str
    lead_bold: bool
    block: int
    turn: int = 0

    @property
    def upright(self) -> bool:
        return self.turn == 0

    @property
    def words(self) -> int:
        return len(self.text.split())


@dataclass(frozen=True, slots=True)
class Placed:
    """An image where the page shows it. `matrix` takes the unit square to the page as shown, y downwards.

    `stored` are the bytes it is packed in, by which images of one size differ; `cropped` is true where the page
    shows a part of it, which is then `box`.
    """

    box: Box
    matrix: tuple[float, float, float, float, float, float]
    number: int
    width: int
    height: int
    bits: int
    colours: str
    mask: bool = False
    stored: int = 0
    cropped: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on a page, in the frame of reading; `quarter_turns` (clockwise) made it of the page as shown."""

    number: int
    width: float
    height: float
    lines: tuple[Line, ...] = ()
    images: tuple[Placed, ...] = ()
    drawings: tuple[Box, ...] = ()
    quarter_turns: int = 0
    problems: tuple[str, ...] = field(default=())

    @property
    def box(self) -> Box:
        return 0.0, 0.0, self.width, self.height

    def shown(self, box: Box) -> Box:
        """Return a box of the frame of reading as one of the page as it is shown."""
        size = (self.width, self.height)
        for _ in range((4 - self.quarter_turns) % 4):
            box, size = _turned(box, size[1]), (size[1], size[0])
        return box


def _turned(box: Box, old_height: float) -> Box:
    """A box after a quarter turn clockwise of a page that was `old_height` high."""
    x0, y0, x1, y1 = box
    return old_height - y1, x0, old_height - y0, x1


def read_page(page: Any) -> Page:
    """Return what stands on a pymupdf page."""
    operations = page.get_bboxlog()
    number = page.number + 1
    if said := _too_much(operations):
        return Page(
            number, page.rect.width, page.rect.height, problems=(f"page {number}: {said}; not looked at",)
        )
    kinds = Counter(kind for kind, *_ in operations)
    rotation = page.rotation_matrix
    turns = 0
    pictured = kinds["fill-image"] + kinds["fill-imgmask"]
    images = tuple(_images(page, rotation)) if pictured else ()
    lines, directions = _lines(page, rotation, Sight(page, images))
    if directions and (common := directions.most_common(1)[0])[0] and common[1] > 40:
        turns = (4 - common[0]) % 4
    drawings = tuple(_drawings(page, operations, kinds))
    shown = page.rect
    drawings = tuple(_transformed(box, rotation) for box in drawings)
    result = Page(number, shown.width, shown.height, tuple(lines), images, drawings)
    return _upright(_on_page(result), turns)


def _too_much(operations: list[Any]) -> str | None:
    """Why drawing a page would take minutes, None where it would not."""
    if len(operations) > MOST_OPERATIONS:
        return f"{len(operations)} drawing operations, more than {MOST_OPERATIONS}"
    pictured = sum(kind in ("fill-image", "fill-imgmask") for kind, *_ in operations)
    if pictured > MOST_IMAGES:
        return f"{pictured} images, more than {MOST_IMAGES}"
    paths = (box for kind, box, *_ in operations if kind in ("fill-path", "stroke-path"))
    length = sum(box[2] - box[0] + box[3] - box[1] for box in paths)
    return f"{length:.0f} points of lines, more than {MOST_DRAWN}" if length > MOST_DRAWN else None


def _on_page(page: Page) -> Page:
    lines = tuple(line for line in page.lines if overlaps(line.box, page.box))
    images = tuple(image for image in page.images if overlaps(image.box, page.box))
    drawn = (intersection(box, page.box) for box in page.drawings)
    drawings = tuple(box for box in drawn if box[0] <= box[2] and box[1] <= box[3])
    return replace(page, lines=lines, images=images, drawings=drawings)


def _upright(page: Page, turns: int) -> Page:
    """Turn lines, pictures and drawings clockwise until most of the text is upright."""
    upright = 4 - turns
    for _ in range(turns):
        high = page.height
        page = replace(
            page,
            width=high,
            height=page.width,
            lines=tuple(replace(line, box=_turned(line.box, high)) for line in page.lines),
            images=tuple(replace(image, box=_turned(image.box, high)) for image in page.images),
            drawings=tuple(_turned(box, high) for box in page.drawings),
            quarter_turns=page.quarter_turns + 1,
        )
    lines = tuple(replace(line, turn=(line.turn - upright) % 4) for line in page.lines)
    return replace(page, lines=lines)


def _transformed(box: Any, matrix: Any) -> Box:
    if matrix.a == 1 and matrix.b == matrix.e == matrix.f == 0:
        x0, y0, x1, y1 = box
        return x0, y0, x1, y1
    import pymupdf

    rect = pymupdf.Rect(box) * matrix
    return rect.x0, rect.y0, rect.x1, rect.y1


def _lines(page: Any, rotation: Any, sight: Sight) -> tuple[list[Line], Counter[int]]:
    """The lines of a page, and how many letters run in each of the four directions (quarter turns clockwise).

    Letters of sentences count several times, and a caption more than all.
    """
    import pymupdf

    flags = pymupdf.TEXTFLAGS_DICT & ~pymupdf.TEXT_PRESERVE_IMAGES
    found: list[Line] = []
    directions: Counter[int] = Counter()
    for block in page.get_text("dict", flags=flags)["blocks"]:
        pending: list[tuple[Box, list[Any], int]] = []
        for line in block.get("lines", ()):
            seen = [span for span in line["spans"] if not span["text"].strip() or sight.shows(span)]
            spans = [span for span in seen if span["text"].strip()]
            if not spans:
                continue
            x, y = line["dir"]
            x, y = x * rotation.a + y * rotation.c, x * rotation.b + y * rotation.d
            turn = _turn(x, y)
            directions[turn] += _weight("".join(span["text"] for span in spans))
            boxes = [_transformed(span["bbox"], rotation) for span in spans]
            pending.append((union(boxes), seen, turn))
        for box, spans, turn in _rejoined(pending):
            found.append(_line(box, spans, turn, block["number"]))
    return found, directions


def _weight(text: str) -> int:
    """How much a line says of the way a page is read: a caption most, then sentences, least the words of a chart."""
    if label_at_start(text) is not None:
        return NAMED
    return len(text) * (SENTENCES if len(text.split()) >= 5 else 1)


def _turn(x: float, y: float) -> int:
    """The direction of a line in quarter turns clockwise; one that stands askew is not upright."""
    if abs(x) >= abs(y):
        return (0 if x >= 0 else 2) if abs(y) < 0.2 * abs(x) else 1
    return 1 if y > 0 else 3


def _rejoined(pieces: list[tuple[Box, list[Any], int]]) -> Iterator[tuple[Box, list[Any], int]]:
    """Join what the parser takes apart at wide spaces: neighbours on one baseline."""
    last: tuple[Box, list[Any], int] | None = None
    for piece in pieces:
        if last is not None and _one_line(last, piece):
            space = [] if str(last[1][-1]["text"]).endswith(" ") else [{**last[1][-1], "text": " "}]
            last = (union([last[0], piece[0]]), [*last[1], *space, *piece[1]], last[2])
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last


def _one_line(a: tuple[Box, list[Any], int], b: tuple[Box, list[Any], int]) -> bool:
    if a[2] or b[2]:
        return False
    high = min(a[0][3] - a[0][1], b[0][3] - b[0][1])
    shared = min(a[0][3], b[0][3]) - max(a[0][1], b[0][1])
    gap = b[0][0] - a[0][2]
    return shared > 0.6 * high and -0.5 * high < gap < 1.6 * max(a[1][0]["size"], b[1][0]["size"])


def _line(box: Box, spans: list[Any], turn: int, block: int) -> Line:
    letters: Counter[tuple[str, float, bool]] = Counter()
    lead = None
    for span in spans:
        bold = bool(span["flags"] & 16) or bool(BOLD.search(span["font"]))
        weight = len(span["text"].strip())
        if weight:
            letters[span["font"], round(span["size"], 1), bold] += weight
            lead = lead or (span["font"], bold)
    (font, size, bold), _ = letters.most_common(1)[0]
    text = "".join(span["text"] for span in spans).strip(" \t\n\r\xa0")
    text = re.sub(r"[\x0b-\x0f\x1b-\x1f](?=[A-Za-z\s-]|$)", lambda found: LIGATURES[found[0]], text).strip()
    assert lead is not None
    return Line(box, text, size, font, bold, lead[0], lead[1], block, turn)


def _images(page: Any, rotation: Any) -> Iterator[Placed]:
    """The images of a page that can be seen, each with the part of it that its clips leave."""
    import pymupdf

    drawn = images_drawn(page)
    for info in page.get_image_info():
        matrix = pymupdf.Matrix(info["transform"]) * rotation
        box = whole = _transformed(info["bbox"], rotation)
        own = next((one for one in drawn if _is_that(one, matrix, info)), None)
        if own is not None:
            drawn.remove(own)
            seen = intersection(whole, own.clip) if own.clip else whole
            if seen[0] >= seen[2] or seen[1] >= seen[3]:
                continue
            box = seen if area(seen) < UNCUT * area(whole) else whole
        yield Placed(
            box,
            tuple(matrix),
            info["number"],
            info["width"],
            info["height"],
            info["bpc"],
            info["cs-name"],
            bool(info.get("has-mask", False)),
            info["size"],
            box != whole,
        )


def _is_that(drawn: Drawn, matrix: Any, info: dict[str, Any]) -> bool:
    same = (drawn.width, drawn.height) == (info["width"], info["height"])
    return same and all(abs(a - b) < 0.05 for a, b in zip(drawn.matrix, matrix, strict=True))


def _drawings(page: Any, operations: list[Any], kinds: Counter[str]) -> Iterator[Box]:
    """Boxes of what is drawn and can be seen; shadings too."""
    paths = kinds["fill-path"] + kinds["stroke-path"]
    if kinds["fill-shade"] or paths > MOST_PATHS:
        wanted = ("fill-path", "stroke-path", "fill-shade") if paths > MOST_PATHS else ("fill-shade",)
        whole = 0.9 * area(tuple(page.cropbox))
        yield from (box for kind, box, *_ in operations if kind in wanted and area(box) < whole)
    if 0 < paths <= MOST_PATHS:
        yield from _seen_paths(page)


def _seen_paths(page: Any) -> Iterator[Box]:
    """Boxes of drawn paths inside their clips, but not white ones and not backgrounds of the whole page."""
    clips: list[tuple[int, Box]] = []
    whole = 0.9 * area(tuple(page.cropbox))
    for path in page.get_cdrawings(extended=True):
        level = path.get("level", 0)
        while clips and clips[-1][0] >= level:
            clips.pop()
        if path["type"] == "clip":
            box = tuple(path["scissor"])
            clips.append((level, intersection(box, clips[-1][1]) if clips else box))
            continue
        if path["type"] == "group" or not _visible(path):
            continue
        box = tuple(path["rect"])
        half = (path.get("width") or 0.0) / 2 if "s" in path["type"] else 0.0
        if clips:
            box = intersection(box, clips[-1][1])
        if box[0] - half <= box[2] + half and box[1] - half <= box[3] + half and area(box) < whole:
            yield box[0] - half, box[1] - half, box[2] + half, box[3] + half


def _visible(path: dict[str, Any]) -> bool:
    fill, stroke = path.get("fill"), path.get("color")
    filled = (
        "f" in path["type"] and fill is not None and min(fill) < 0.98 and path.get("fill_opacity", 1) > 0.02
    )
    stroked = (
        "s" in path["type"]
        and stroke is not None
        and min(stroke) < 0.98
        and path.get("stroke_opacity", 1) > 0.02
    )
    return filled or stroked
