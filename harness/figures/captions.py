"""Captions: where one begins, how far it goes, and what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.figures.boxes import across, union, width
from harness.figures.labels import Label, bare_number, label_at_start, table_at_start
from harness.figures.layout import Layout, Style
from harness.figures.pages import Line
from harness.figures.types import Box

__all__ = ["Found", "captions_of", "eligible", "going_on", "joined_text", "parts_of", "tables_of"]

BESIDE = 15.0
"""Points by which the columns of one caption may begin at different heights."""

LEAST = 1.5
"""A beginning with fewer marks of a caption than this is a sentence of the text."""


@dataclass(frozen=True, slots=True)
class Found:
    """A caption on a page; `lines` are their numbers there, `strength` how much looks like a caption.

    `more` holds (page, numbers of lines) of its parts on later pages.
    """

    page: int
    label: Label
    lines: tuple[int, ...]
    boxes: tuple[Box, ...]
    text: str
    strength: float
    more: tuple[tuple[int, tuple[int, ...]], ...] = ()

    @property
    def key(self) -> tuple[str, bool]:
        return bare_number(self.label.number), self.label.supplementary

    @property
    def place(self) -> Box:
        """Where it stands at its figure: its first column and those that begin beside it."""
        return union(box for box in self.boxes if abs(box[1] - self.boxes[0][1]) < BESIDE)


def captions_of(layouts: Sequence[Layout], style: Style) -> list[Found]:
    """Return the captions of a document, one a figure and place, in the order of the pages."""
    candidates = [one for layout in layouts for one in _candidates(layout, style)]
    kept = [one for one in candidates if one.strength >= LEAST]
    best: dict[tuple[str, bool], float] = {}
    for one in (one for one in kept if not one.label.bare):
        best[one.key] = max(best.get(one.key, 0.0), one.strength)
    return [
        one
        for one in kept
        if one.label.bare or one.label.continued or one.strength >= min(best[one.key] - 1.0, 3.5)
    ]


def tables_of(layout: Layout) -> list[tuple[int, ...]]:
    """Return the lines of each caption of a table on a page."""
    found: list[tuple[int, ...]] = []
    for number, line in enumerate(layout.page.lines):
        begins = layout.roles[number] != "furniture" and table_at_start(line.text)
        if (
            begins
            and (line.lead_bold or _opens(layout, number))
            and not re.search(r"^\S+\s\S+\s+(shows|lists|presents)", line.text)
        ):
            found.append((number,))
    return found


def _candidates(layout: Layout, style: Style) -> Iterator[Found]:
    lines = layout.page.lines
    for number, line in enumerate(lines):
        label = label_at_start(line.text) if line.upright and layout.roles[number] != "number" else None
        if label is None:
            continue
        body = _extent(layout, number, style)
        strength = _strength(layout, number, label, body, style)
        parts = parts_of([lines[n] for n in body])
        text = joined_text([lines[n] for n in body])
        yield Found(layout.page.number, label, body, parts, text, strength)


_VERB = re.compile(
    r"\s*(?:[a-h](?:[,–-][a-h])*\s+)?(?:shows?|showed|illustrates?|depicts?|presents?|demonstrates?|displays?|is|are|was|were|and|or|in|to|"
    r"for|of|gives?|indicates?|reveals?|summari[sz]es|describes?|compares?|provides?|suggests?|that|which|we|"
    r"can|may|has|have|lists?|plots?|reports?|represents?|contains?|with|by|from|as|also|above|below)\b",
)


def _strength(layout: Layout, number: int, label: Label, body: Sequence[int], style: Style) -> float:
    """The marks of a caption: a sign after the name, another type, a new paragraph; against it, a verb."""
    lines = layout.page.lines
    line = lines[number]
    rest = lines[body[1]] if len(body) > 1 else line
    strength = 0.0
    if label.end and not label.end.startswith((")", "]")):
        strength += 1.2
    if line.lead_bold and not (rest.bold and abs(rest.size - style.size) < 0.3):
        strength += 1.0
    if abs(rest.size - style.size) >= 0.4 or rest.font not in style.fonts:
        strength += 1.0
    if label.text[:2].isupper():
        strength += 0.5
    if label.bare:
        strength += 1.5
    elif label.continued:
        strength += 0.8
    if label.text[:1].islower() and not label.text.lower().startswith("efig"):
        strength -= 2.0
    strength += 0.8 if _opens(layout, number) else -1.5
    if not label.end and _VERB.match(label.rest):
        strength -= 2.0
    elif not label.end and label.rest[:1].isupper():
        strength += 0.4
    if label.end.startswith((")", "]")) or re.match(r"\s*[,;)]", label.rest):
        strength -= 2.0
    if layout.roles[number] == "furniture":
        strength -= 1.0
    return strength


def _opens(layout: Layout, number: int) -> bool:
    """Whether a line begins a text: nothing above goes on into it."""
    lines = layout.page.lines
    line = lines[number]
    above = [
        other
        for n, other in enumerate(lines[:number])
        if layout.roles[n] not in ("number", "furniture")
        and -0.3 * line.size < line.box[1] - other.box[3] + 0.35 * line.size < 0.9 * line.size
        and across(line.box, other.box, 0) > 0
    ]
    if not above:
        return True
    last = max(above, key=lambda other: other.box[3])
    if abs(last.size - line.size) > 0.4 or last.box[3] > line.box[3]:
        return True
    ended = bool(re.search(r"[.!?:)\]]\s*$", last.text)) and last.box[2] < line.box[2] - 1.5 * line.size
    return ended or (line.lead_bold and not last.bold and last.text.rstrip().endswith((".", ")")))


def _extent(layout: Layout, first: int, style: Style) -> tuple[int, ...]:
    """Numbers of the lines of a caption: those that go on below, then those of a second column beside."""
    found = [first]
    candidates = sorted(
        (n for n in range(len(layout.page.lines)) if eligible(layout, n) and n != first),
        key=lambda n: (layout.page.lines[n].box[1], layout.page.lines[n].box[0]),
    )
    found += going_on(layout, first, candidates, style)
    beside = _beside(layout, found, candidates, style)
    return tuple(found + beside)


def eligible(layout: Layout, number: int) -> bool:
    return layout.roles[number] not in ("number", "furniture") and layout.page.lines[number].upright


def going_on(layout: Layout, first: int, candidates: Sequence[int], style: Style) -> list[int]:
    lines = layout.page.lines
    taken: list[int] = []
    last, pitch = lines[first], 0.0
    left, right = last.box[0], last.box[2]
    for n in candidates:
        line = lines[n]
        step = line.box[3] - last.box[3]
        if _same_line(last, line) and not _column_at(layout, line, last):
            taken.append(n)  # goes on the same line after a wide space
            last = line
            right = max(right, line.box[2])
            continue
        if step <= 0.35 * last.size or min(line.box[2], right) - max(line.box[0], left) <= 0.3 * min(
            width(line.box), right - left
        ):
            continue
        spaced = (
            1.2 * style.pitch * min(1.0, line.size / style.size)
        )  # as wide as the text's lines for its type
        most = 1.3 * pitch if pitch else max(1.75 * line.size, spaced)
        if (
            step > most
            or not _alike(line, lines[taken[0]] if taken else last, 0.65)
            or _new_text(layout, n, last, first, taken, (left, right))
        ):
            break
        pitch = pitch or step
        taken.append(n)
        left, right, last = min(left, line.box[0]), max(right, line.box[2]), line
    return taken


def _same_line(last: Line, line: Line) -> bool:
    """Whether text goes on in its line after a space; after no more than a figure's name that may be wide."""
    label = label_at_start(last.text)
    widest = 4.0 if label is not None and label.bare else 1.0
    gap = line.box[0] - last.box[2]
    level = abs(line.box[3] - last.box[3]) <= 0.35 * last.size
    return level and -0.5 * line.size < gap < widest * line.size and _alike(line, last, 0.8)


def _column_at(layout: Layout, line: Line, last: Line) -> bool:
    """Whether a line begins where a column of the page does: a narrow gutter is no wide space."""
    label = label_at_start(last.text)
    if label is not None and label.bare:
        return False  # the lines of its own text begin there
    edges = (other.box[0] for other in layout.page.lines if other.words >= 4)
    return line.box[0] - last.box[2] > 0.3 * line.size and sum(abs(x - line.box[0]) < 1.5 for x in edges) >= 4


def _alike(line: Line, other: Line, tolerance: float) -> bool:
    return abs(line.size - other.size) <= tolerance


_ADDRESS = re.compile(r"\s*(?:https?://|(?:https?://)?doi\b[.:]?)\s*\S+\s*", re.IGNORECASE)
"""An address of the figure by itself, below its caption."""


def _new_text(
    layout: Layout, n: int, last: Line, first: int, taken: Sequence[int], span: tuple[float, float]
) -> bool:
    """Whether a line that could go on a caption begins another text instead."""
    lines = layout.page.lines
    line = lines[n]
    if (label_at_start(line.text) is not None and _opens(layout, n)) or table_at_start(line.text):
        return True
    if (layout.roles[n] == "heading" and not lines[first].bold) or _ADDRESS.fullmatch(line.text):
        return True
    body = lines[taken[0]] if taken else None
    short = last.box[2] < span[1] - 0.12 * (span[1] - span[0])
    ended = bool(re.search(r"[.!?]['”’)]?\s*$", last.text))
    plain = body is not None and not last.bold  # a bold title may be followed by other type once
    if plain and ended and not {line.font, line.lead_font} & _fonts(lines, first, taken):
        return True
    indent = line.box[0] - (body or lines[first]).box[0]
    centred = abs((span[1] - line.box[2]) - (line.box[0] - span[0])) < line.size
    if ended and indent > 0.8 * line.size and (short or (len(taken) >= 1 and not centred)):
        return True
    apart = abs(indent) > 0.8 * line.size or line.box[3] - last.box[3] > 1.5 * line.size
    return ended and short and line.block != last.block and apart


def _fonts(lines: Sequence[Line], first: int, taken: Sequence[int]) -> set[str]:
    return {font for n in (first, *taken) for font in (lines[n].font, lines[n].lead_font)}


def _beside(layout: Layout, found: Sequence[int], candidates: Sequence[int], style: Style) -> list[int]:
    """Lines of a second column: the same type from the same height on, to the right, as far down as the first."""
    lines = layout.page.lines
    first = lines[found[0]]
    body = lines[found[1]] if len(found) > 1 else first
    box = union(lines[n].box for n in found)
    starts = [
        n
        for n in candidates
        if n not in found
        and abs(lines[n].box[1] - first.box[1]) < 0.5 * first.size
        and 0.4 * first.size < lines[n].box[0] - box[2] < 5 * first.size
        and _alike(lines[n], body, 0.25)
        and lines[n].font == body.font
        and label_at_start(lines[n].text) is None
    ]
    distinct = abs(body.size - style.size) >= 0.4 or body.font not in style.fonts
    text = " ".join(lines[n].text for n in found)
    unfinished = not re.search(r"[.!?]\s*$", text)
    if not starts or not (distinct or unfinished) or len(found) < 2:
        return []
    start = min(starts, key=lambda n: lines[n].box[0])
    more = [start, *going_on(layout, start, candidates, style)]
    deep = union(lines[n].box for n in more)[3]
    if deep > box[3] + 1.6 * first.size:
        return []
    return more


def parts_of(lines: Sequence[Line]) -> tuple[Box, ...]:
    """One box a column."""
    columns: list[list[Box]] = []
    for line in lines:
        if columns and line.box[1] < columns[-1][-1][1] - line.size:
            columns.append([])
        if not columns:
            columns.append([])
        columns[-1].append(line.box)
    return tuple(union(column) for column in columns)


def joined_text(lines: Sequence[Line]) -> str:
    """Return lines as one text; a word that was parted at the end of a line is whole again.

    Only where the next line begins in lower case and the part before the hyphen is a word's beginning.
    """
    text = ""
    for line in lines:
        piece = " ".join(line.text.replace("\u00ad", "-").split())
        if re.search(r"[a-zﬁﬂ]{2}-$", text) and re.match(r"[a-zﬁﬂ]{2}", piece):
            text = text[:-1] + piece
        else:
            text = f"{text} {piece}".strip()
    return "".join(c for c in text if c.isprintable())
