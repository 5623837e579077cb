"""Which letter belongs to which panel: from words that the page prints near them, else from their order.

A letter stands in a corner of its panel, above, below or left of it. Panels without a letter of their own belong to
that of their row or column: figures often letter a series of slices once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from harness.figures.types import Box

__all__ = ["Word", "headings", "lettered"]

Word = tuple[float, float, float, float, str]
"""x0, y0, x1, y1 in PDF points, and what is printed there."""

LETTER = re.compile(r"^[(\[]?([A-Za-z])[)\]]?[.:,]?$")
ORDINALS = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "4th": 3}
FARTHEST = 0.35  # of a panel's larger side: a letter beyond belongs to something else


def lettered(boxes: Sequence[Box], words: Sequence[Word], names: Sequence[str]) -> tuple[str | None, ...]:
    """The letter of each panel (lower-case), None where nothing tells.

    `boxes` are the panels in reading order, `words` what is printed near them, `names` the letters or the
    places ("left", "top row") that the caption names, in order.
    """
    if len(boxes) < 2:
        return (None,) * len(boxes)
    printed = _printed(boxes, words, names)
    if len(printed) >= 2:
        return tuple(_inherited(boxes, printed))
    if names and not all(len(name) == 1 for name in names):
        return tuple(_placed(box, boxes, names) for box in boxes)
    return tuple(_by_order(boxes, names))


def headings(boxes: Sequence[Box], words: Sequence[Word], figure: Box) -> tuple[str, ...]:
    """What a figure prints above each panel, or above the column that it is in; nothing inside a panel counts."""
    outside = [
        word
        for word in words
        if _within(word, figure)
        and not LETTER.match(word[4].strip())
        and not any(_within(word, b) for b in boxes)
    ]
    return tuple(_heading(box, boxes, outside, figure) for box in boxes)


def _heading(box: Box, boxes: Sequence[Box], words: Sequence[Word], figure: Box) -> str:
    column = sorted((b for b in boxes if _in_column(b, box) and b[1] <= box[1]), key=lambda b: -b[1])
    for number, own in enumerate(column):
        ceiling = column[number + 1][3] if number + 1 < len(column) else figure[1]
        above = [
            w
            for w in words
            if own[0] <= (w[0] + w[2]) / 2 <= own[2] and ceiling <= (w[1] + w[3]) / 2 <= own[1]
        ]
        if above:
            return " ".join(w[4] for w in sorted(above, key=lambda w: (round(w[1] / 3), w[0])))
    return ""


def _within(word: Word, box: Box) -> bool:
    x, y = (word[0] + word[2]) / 2, (word[1] + word[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _alone(word: Word, words: Sequence[Word]) -> bool:
    """Whether nothing is printed right beside a word: letters stand alone, "(A)" in running text does not."""
    high = max(word[3] - word[1], 1.0)
    for other in words:
        level = min(word[3], other[3]) - max(word[1], other[1]) > 0.5 * high
        gap = max(other[0] - word[2], word[0] - other[2])
        if other is not word and level and gap < 0.8 * high and not LETTER.match(other[4].strip()):
            return False
    return True


def _printed(boxes: Sequence[Box], words: Sequence[Word], names: Sequence[str]) -> dict[int, str]:
    """Panel number to letter, nearest pairs first, each letter and each panel once."""
    single = [(word, match[1]) for word in words if (match := LETTER.match(word[4].strip()))]
    found = [(word, letter) for word, letter in single if _alone(word, words)]
    upper = sum(letter.isupper() for _, letter in found) * 2 >= len(found)
    letters = [(word, letter.lower()) for word, letter in found if letter.isupper() == upper]
    if names:
        letters = [(word, letter) for word, letter in letters if letter in names]
    ways = [_assigned(boxes, letters, side) for side in ("any", "inside", "above", "below", "left")]
    return max(ways, key=lambda way: (len(way), _in_order(way)))  # all stand on one side of their panels


def _in_order(taken: dict[int, str]) -> bool:
    letters = [taken[number] for number in sorted(taken)]
    return letters == sorted(letters)


def _assigned(boxes: Sequence[Box], letters: Sequence[tuple[Word, str]], side: str) -> dict[int, str]:
    """The letters of panels when all are taken to stand on one side; none where they leave gaps or are out of order."""
    pairs = sorted(
        (_distance(word, box), number, letter)
        for number, box in enumerate(boxes)
        for word, letter in letters
        if side == "any" or _stands(word, box, side)
    )
    taken: dict[int, str] = {}
    for distance, number, letter in pairs:
        if distance <= FARTHEST and number not in taken and letter not in taken.values():
            taken[number] = letter
    return taken if _without_gaps(taken) else {}


def _stands(word: Word, box: Box, side: str) -> bool:
    """Whether a word is inside a panel, or beside it on one side."""
    x, y = (word[0] + word[2]) / 2, (word[1] + word[3]) / 2
    across, down = box[0] <= x <= box[2], box[1] <= y <= box[3]
    return {
        "inside": across and down,
        "above": across and y < box[1],
        "below": across and y > box[3],
        "left": down and x < box[0],
    }[side]


def _without_gaps(taken: dict[int, str]) -> bool:
    """Whether the letters begin with a and miss at most every third: axis labels and units do not."""
    if "a" not in taken.values():
        return False
    return len(taken) >= (ord(max(taken.values())) - 96) * 2 / 3


def _distance(word: Word, box: Box) -> float:
    """How far a word is from a panel, in its larger sides; inside counts by the distance to the upper left corner."""
    x, y = (word[0] + word[2]) / 2, (word[1] + word[3]) / 2
    side = max(box[2] - box[0], box[3] - box[1], 1.0)
    across = max(box[0] - x, 0.0, x - box[2])
    down = max(box[1] - y, 0.0, y - box[3])
    corner = (abs(x - box[0]) + abs(y - box[1])) / 20 if across == down == 0 else 0.0
    return float(((across**2 + down**2) ** 0.5 + corner) / side)


def _inherited(boxes: Sequence[Box], printed: dict[int, str]) -> list[str | None]:
    """Panels without a letter take that of the lettered panel left of them or, in a lettered row, above them."""
    anchors = list(printed)
    one_row = all(_in_row(boxes[anchors[0]], boxes[n]) for n in anchors)
    letters: list[str | None] = []
    for number, box in enumerate(boxes):
        if number in printed:
            letters.append(printed[number])
            continue
        beside = [n for n in anchors if _in_row(boxes[n], box) and boxes[n][0] < box[0]]
        above = [n for n in anchors if _in_column(boxes[n], box) and boxes[n][1] < box[1]]
        near = (above or beside) if one_row else (beside or above)
        letters.append(printed[max(near, key=lambda n: (boxes[n][1], boxes[n][0]))] if near else None)
    return letters


def _by_order(boxes: Sequence[Box], names: Sequence[str]) -> list[str | None]:
    """Letters in reading order; one a row or a column where there are as many of these as letters."""
    count, panels = len(names), len(boxes)
    if count < 2 or panels % count:
        return [None] * panels
    if panels == count:
        return list(names)
    rows, columns = _rows(boxes), _columns(boxes)
    if len(set(rows)) == count:
        return [names[row] for row in rows]
    if len(set(columns)) == count:
        return [names[column] for column in columns]
    return [names[number * count // panels] for number in range(panels)]


def _rows(boxes: Sequence[Box]) -> list[int]:
    """Number of the row that each box is in, counted from the top."""
    return _lines(boxes, sorted(range(len(boxes)), key=lambda n: boxes[n][1]), _in_row)


def _columns(boxes: Sequence[Box]) -> list[int]:
    """Number of the column that each box is in, counted from the left."""
    return _lines(boxes, sorted(range(len(boxes)), key=lambda n: boxes[n][0]), _in_column)


def _lines(boxes: Sequence[Box], order: Sequence[int], together: Callable[[Box, Box], bool]) -> list[int]:
    firsts: list[int] = []
    found = [0] * len(boxes)
    for number in order:
        line = next((k for k, first in enumerate(firsts) if together(boxes[first], boxes[number])), None)
        if line is None:
            firsts.append(number)
            line = len(firsts) - 1
        found[number] = line
    return found


def _in_row(a: Box, b: Box) -> bool:
    return min(a[3], b[3]) - max(a[1], b[1]) > 0.5 * min(a[3] - a[1], b[3] - b[1])


def _in_column(a: Box, b: Box) -> bool:
    return min(a[2], b[2]) - max(a[0], b[0]) > 0.5 * min(a[2] - a[0], b[2] - b[0])


def _placed(box: Box, boxes: Sequence[Box], names: Sequence[str]) -> str | None:
    """The place that a panel is in, of those named: "left", "lower row", "second column"."""
    x0, y0 = min(b[0] for b in boxes), min(b[1] for b in boxes)
    x1, y1 = max(b[2] for b in boxes), max(b[3] for b in boxes)
    across = ((box[0] + box[2]) / 2 - x0) / max(x1 - x0, 1e-9)
    down = ((box[1] + box[3]) / 2 - y0) / max(y1 - y0, 1e-9)
    middle = 0.3 < (down if _stacked(boxes) else across) < 0.7
    fits = {
        "left": across < 0.5, "right": across >= 0.5, "top": down < 0.5, "upper": down < 0.5,
        "bottom": down >= 0.5, "lower": down >= 0.5, "middle": middle, "central": middle, "center": middle,
        "centre": middle,
    }  # fmt: skip
    row, column = _rows(boxes)[boxes.index(box)], _columns(boxes)[boxes.index(box)]
    for name in sorted(names, key=lambda n: -len(n.split())):
        words = name.split()
        if ORDINALS.get(words[0]) == (column if words[-1] == "column" else row):
            return name
        known = [word for word in words if word in fits]
        if known and all(fits[word] for word in known):
            return name
    return None


def _stacked(boxes: Sequence[Box]) -> bool:
    return len(set(_rows(boxes))) > len(set(_columns(boxes)))
