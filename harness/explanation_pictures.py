"""An explanation as two pictures: the prototypes of each class, and decisions beside the prototypes behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw

from harness.data.pictures import (
    FAINT_INK,
    INK,
    PAPER,
    Pixels,
    broken,
    font,
    line_height,
    thumbnail,
    wrapped,
)
from harness.explanation_data import ClassRule, Decision, Explained, Winner

__all__ = ["decisions_picture", "rules_picture"]

COLUMNS = 6
SIDE_PX, GAP_PX = 176, 10
SENTENCE_PX = 200
"""Width of the sentence that stands left of the images of a decision."""

CAPTION_LINES = 3
"""A name may take so many lines below its image before its middle is left out."""

FRAME_PX = 3
TITLE_PX, HEADING_PX, TEXT_PX, SMALL_PX = 20, 16, 13, 12
"""Heights of letters: of the title, of headings, of sentences, and below images."""

WINNERS = 5
"""The classes of a decision that fit on a line, the most similar ones; explanation.json has all."""

Line = tuple[str, int]
"""A text and the height of its letters."""


def rules_picture(found: Explained, pixels: Pixels, prototypes: int) -> Image.Image:
    """Return each class's rule above its `prototypes` images of largest support (Soares et al., 2020, Figs. 5, 6)."""
    width = GAP_PX + COLUMNS * (SIDE_PX + GAP_PX)
    parts = [_header(found, width), *(_rule(rule, pixels, prototypes, width) for rule in found.rules)]
    return _stacked(parts)


def decisions_picture(found: Explained, pixels: Pixels) -> Image.Image:
    """Return a line a decision: what it is, the image, and each class's winning prototype (ibid., Fig. 2)."""
    columns = 1 + max(len(_shown(decision)) for decision in found.decisions)
    width = 2 * GAP_PX + SENTENCE_PX + columns * (SIDE_PX + GAP_PX)
    decisions = (_decision(decision, pixels, width) for decision in found.decisions)
    return _stacked([_header(found, width, "The framed prototype decided."), *decisions])


def _header(found: Explained, width: int, *further: str) -> Image.Image:
    licence = f"Licence of the images: {found.licence}"
    text = [f"{found.title}: {found.setting}", found.summary, *further, licence]
    return _text([(f"Why {found.method} decides as it does", TITLE_PX), *((t, TEXT_PX) for t in text)], width)


def _rule(rule: ClassRule, pixels: Pixels, prototypes: int, width: int) -> Image.Image:
    shown = rule.prototypes[:prototypes]
    heading = f"{rule.name}: {len(shown)} of {len(rule.prototypes)} prototypes, the largest supports first"
    figures = [
        _figure(pixels, p.row, [(p.id, INK), (f"support {p.support}", FAINT_INK)], framed=False)
        for p in shown
    ]
    return _stacked(
        [_text([(heading, HEADING_PX), (rule.text(), TEXT_PX)], width), *_in_lines(figures, width)]
    )


def _in_lines(figures: Sequence[Image.Image], width: int) -> Iterator[Image.Image]:
    for first in range(0, len(figures), COLUMNS):
        yield _beside(figures[first : first + COLUMNS], width, left=GAP_PX)


def _decision(decision: Decision, pixels: Pixels, width: int) -> Image.Image:
    verdict = "Right" if decision.is_right else "Wrong"
    left = 2 * GAP_PX + SENTENCE_PX
    sentence = _text([(verdict, HEADING_PX), (f"This image {decision.words}.", TEXT_PX)], left)
    query = _figure(pixels, decision.row, [("image", FAINT_INK), (decision.id, INK)], framed=False)
    winners = [
        _figure(pixels, w.prototype.row, _caption(w), framed=w.name == decision.predicted)
        for w in _shown(decision)
    ]
    line = _beside([query, *winners], width, left)
    line.paste(sentence, (0, 0))
    return line


def _shown(decision: Decision) -> list[Winner]:
    """Return the winners that are drawn, in the order of the classes."""
    alike = sorted(decision.winners, key=lambda winner: -winner.similarity)[:WINNERS]
    return [winner for winner in decision.winners if winner in alike]


def _caption(winner: Winner) -> list[tuple[str, int]]:
    return [
        (f"{winner.name}: {winner.words}", FAINT_INK),
        (winner.prototype.id, INK),
        (f"support {winner.prototype.support}", FAINT_INK),
    ]


def _text(lines: Sequence[Line], width: int) -> Image.Image:
    """Return a block of lines, each wrapped to the width."""
    fitting = [(part, size) for text, size in lines for part in wrapped(text, font(size), width - 2 * GAP_PX)]
    block = Image.new("L", (width, GAP_PX + sum(line_height(size) for _, size in fitting)), PAPER)
    draw, y = ImageDraw.Draw(block), GAP_PX
    for text, size in fitting:
        draw.text((GAP_PX, y), text, fill=INK, font=font(size))
        y += line_height(size)
    return block


def _figure(pixels: Pixels, row: int, caption: Sequence[tuple[str, int]], *, framed: bool) -> Image.Image:
    """Return an image above its caption, (text, ink) a line; a frame says that it decided."""
    letters, below = font(SMALL_PX), SIDE_PX + 3
    lines = [(part, ink) for text, ink in caption for part in broken(text, letters, SIDE_PX, CAPTION_LINES)]
    block = Image.new("L", (SIDE_PX, below + len(lines) * line_height(SMALL_PX)), PAPER)
    block.paste(thumbnail(pixels.image(row), SIDE_PX), (0, 0))
    draw = ImageDraw.Draw(block)
    if framed:
        draw.rectangle((0, 0, SIDE_PX - 1, SIDE_PX - 1), outline=INK, width=FRAME_PX)
    for number, (text, ink) in enumerate(lines):
        draw.text((0, below + number * line_height(SMALL_PX)), text, fill=ink, font=letters)
    return block


def _beside(blocks: Sequence[Image.Image], width: int, left: int) -> Image.Image:
    line = Image.new("L", (width, GAP_PX + max(block.height for block in blocks)), PAPER)
    for place, block in enumerate(blocks):
        line.paste(block, (left + place * (SIDE_PX + GAP_PX), GAP_PX))
    return line


def _stacked(blocks: Sequence[Image.Image]) -> Image.Image:
    width = max(block.width for block in blocks)
    page = Image.new("L", (width, sum(block.height for block in blocks) + GAP_PX), PAPER)
    y = 0
    for block in blocks:
        page.paste(block, (0, y))
        y += block.height
    return page
