"""Whether pictures are CT: what the small model sees, joined to what the caption says.

The model (`ct-model.npz` beside this file, written by `harness.figures.training`) looks at each panel; a figure shows
CT when one of its panels does. The caption's words move the probability by a fixed step, so that a radiograph named
as one is not taken for a slice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.figures.features import features
from harness.figures.forests import Forest, read
from harness.figures.lettering import is_picture
from harness.figures.types import Panel, PixelBox, Suggestion

__all__ = ["ct_and_panels", "ct_of", "probability", "words_for_ct"]

MODEL = Path(__file__).with_name("ct-model.npz")

CT = re.compile(
    r"\b(?:(?:HR|LD|PET[-/ ])?CT(?:A|PA)?s?|(?i:compute(?:d|ri[sz]ed)\s+tomograph\w*|CAT\s+scans?))\b"
    r"(?!\s(?i:severity\s)?(?i:scores?|scoring|values?|numbers?|index|ind(?:ic)?es)\b)"
)
OTHER = re.compile(
    r"\b(?:x-?\s?rays?|radiograph\w*|CXRs?|roentgenogram\w*|MRI?|magnetic\s+resonance|ultraso\w+|echocardiogra\w+"
    r"|histolog\w*|microscop\w*|micrograph\w*|h(?:a?)ematoxylin|stain(?:s|ed|ing)|DAPI|(?:immuno)?fluorescen\w+|western\s+blots?"
    r"|Kaplan|ROC\s+curves?|flow\s?charts?|photographs?|survival|phylogen\w*|endoscop\w*|angiogra\w+)\b",
    re.IGNORECASE,
)
STEP = 1.5
"""Log-odds that words for CT alone add, and words for something else alone take away."""


def probability(picture: NDArray[np.uint8]) -> float:
    """The model's probability that one picture (uint8, grey or RGB) is a CT slice."""
    if min(picture.shape[:2]) < 8:
        return 0.0
    return _model().probability(features(picture))


@cache
def _model() -> Forest:
    return read(MODEL)


def words_for_ct(text: str) -> tuple[int, str]:
    """(1, the word) when a text speaks of CT, (-1, the word) of other pictures only, (0, "") of both or neither."""
    tomography, other = CT.search(text), OTHER.search(text)
    if tomography and not other:
        return 1, tomography[0]
    if other and not tomography:
        return -1, other[0]
    return 0, ""


def ct_of(image: NDArray[np.uint8], panels: Sequence[Panel | PixelBox], caption_text: str = "") -> Suggestion:
    """Whether a figure shows CT: "CT" or "other", by its most likely panel and the caption's words.

    `panels` are those of the figure, or one of them to sort that one alone (a panel's own text then counts before the
    caption). The confidence is the probability of the value given.
    """
    chances = [_chance(image, panel, caption_text) for panel in panels]
    return _suggested(chances or [_moved(probability(image), caption_text)])


def ct_and_panels(
    image: NDArray[np.uint8], panels: Sequence[Panel], caption_text: str = ""
) -> tuple[Suggestion, tuple[Suggestion, ...]]:
    """Return what `ct_of` says of a figure, and of each of its panels alone; every panel is looked at once."""
    if not panels:
        return ct_of(image, panels, caption_text), ()
    chances = [_chance(image, panel, caption_text) for panel in panels]
    return _suggested(chances), tuple(_suggested([chance]) for chance in chances)


def _suggested(chances: Sequence[tuple[float, float, str]]) -> Suggestion:
    chance, seen, word = max(chances)
    value, confidence = ("CT", chance) if chance >= 0.5 else ("other", 1 - chance)
    count = sum(1 for c, _, _ in chances if c >= 0.5)
    reason = (
        f"picture {seen:.2f}" if len(chances) == 1 else f"{count} of {len(chances)} panels, best {seen:.2f}"
    )
    return Suggestion(value, round(confidence, 3), reason + (f"; caption says {word!r}" if word else ""))


def _chance(image: NDArray[np.uint8], panel: Panel | PixelBox, caption: str) -> tuple[float, float, str]:
    x0, y0, x1, y1 = panel.pixels if isinstance(panel, Panel) else panel
    own = panel.text if isinstance(panel, Panel) else ""
    text = own if words_for_ct(own)[0] else caption
    picture = image[y0:y1, x0:x1]
    seen = probability(picture)
    if words_for_ct(text)[0] > 0 and not is_picture(_grey(picture)):
        return seen, seen, ""  # a chart of CT scores
    return _moved(seen, text)


def _grey(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = picture if picture.ndim == 2 else picture[..., :3].mean(axis=2)
    return np.asarray(grey, np.float32)


def _moved(seen: float, text: str) -> tuple[float, float, str]:
    """The probability after the words, the one before, and the word that moved it."""
    direction, word = words_for_ct(text)
    safe = min(max(seen, 0.01), 0.99)
    odds = math.log(safe / (1 - safe)) + STEP * direction
    return 1 / (1 + math.exp(-odds)), seen, word
