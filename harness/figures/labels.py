"""Names of figures in words: 'Fig. 3', 'Supplementary Figure S3', 'Figs. 1-3 and 5'. As labels, and as citations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Label", "citations", "label_at_start", "same_figure", "table_at_start"]

MOST_IN_RANGE = 40
"""'Figs. 1-400' is no range of figures."""

_EXTRA = r"supplementa(?:ry|l)|suppl?\.?|supporting(?:\s+information)?|extended\s+data|additional|appendix|online|web"
_WORD = (
    r"figures?|figs?\b\.?|fıg\.?|ﬁgures?|ﬁgs?\b\.?|scheme|plate|chart"
    r"|figur[ae]?|abbildung|abb\.|рис\.|рисунок|图|圖|図|그림"
)
_NUMBER = (
    r"(?:(?:(?<![A-Za-z])[A-Z]{1,2}|S)[\s.\-–]?)?\d{1,3}(?:[.\-–]\d{1,2})?(?![\d%])|[IVX]{1,5}(?![A-Za-z])"
)
_LETTER = r"[a-h](?![a-z])"
_PANELS = rf"(?P<panels>\s*\(?{_LETTER}(?:\s*(?:,|and|&|[–-])+\s*{_LETTER})*\)?(?=\s*[.:|—│∣]))?"
"""'Fig. 2 A, B.' is the name of one figure; 'Fig. 2 A 61-year-old man' has no letter."""

_CONTINUED = (
    r"(?P<continued>[\s.:,]*[(\[]\s*cont[a-z'’.]{0,8}\s*[)\]]"
    r"|[\s.:,]*cont(?:inued|['’]?d|\.)(?=\s*(?:[.:|—│∣]|$)))?"
)
"""On the second page of a figure: 'Figure 3 (continued).'"""

LABEL = re.compile(
    rf"^[\s\[(•■▪►▶◄▲▼*]*(?P<label>(?:(?P<extra>{_EXTRA}|e(?=fig)|S(?=fig))\s*)?(?P<word>{_WORD})\s*"
    rf"(?P<number>{_NUMBER})(?P<part>[a-h](?![a-z]))?){_PANELS}{_CONTINUED}(?P<end>\s*[.:|)\]—–│∣-]+|\s*)",
    re.IGNORECASE,
)
TABLE = re.compile(
    rf"^\s*(?:(?:{_EXTRA}|e|S)\s*)?(?:tables?|box|algorithm|listing|tab\.)\s*(?:{_NUMBER})", re.IGNORECASE
)

_CITED = r"(?<![A-Za-z\d])(?:[A-Z]{1,2}\.?)?\d{1,3}(?:\.\d{1,2})?(?![\d%])"
_ITEM = rf"(?:(?:and|or|to|through|&|,|;|–|—|-|\s)*\s*(?:{_CITED})(?:\s?[a-z](?![a-z])(?:\s?[,–-]\s?[a-z](?![a-z]))*)?)"
CITATION = re.compile(
    rf"(?:(?P<extra>(?:{_EXTRA})\s*\b|\be(?=fig))|\b)(?P<word>figures?|figs?\b\.?|ﬁgures?|ﬁgs?\b\.?)\s*(?P<list>{_ITEM}+)",
    re.IGNORECASE,
)
_ONE = re.compile(rf"(?P<join>to|through|–|—|-)?\s*(?P<number>{_CITED})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Label:
    """A figure's name. `number` has no words and no spaces ('3', 'S3', 'II'), `end` what stands after it.

    `bare` is true where no more than the name is there; `rest` is the text after it; `continued` is true on the
    later pages of a figure.
    """

    text: str
    number: str
    part: str
    supplementary: bool
    end: str
    rest: str
    continued: bool = False

    @property
    def bare(self) -> bool:
        return not self.rest.strip(" .:|)]—–-") or bool(
            _ELSEWHERE.match(self.rest) or _FILE.fullmatch(self.rest)
        )

    @property
    def pointing(self) -> bool:
        """Whether the words after the name say that the caption stands on another page."""
        return bool(_ELSEWHERE.match(self.rest)) and re.search(r"\bcont", self.rest, re.IGNORECASE) is None


_ELSEWHERE = re.compile(
    r"[\s.:|(–—-]*(?:(?:see|for|please)\b.{0,40}\b(?:page|overleaf|caption|legend)|caption|legend|cont(?:\.|inued|inues|d\b)"
    r"(?:\s+on\b.{0,20})?[).]*\s*$)",
    re.IGNORECASE,
)
_FILE = re.compile(r"\W*(?:tiff?|eps|pdf|png|jpe?g|pptx?)\W*", re.IGNORECASE)


_ALONE = re.compile(
    r"^[\s•■▪►▶◄▲▼]*(?P<label>Figure|FIGURE|Fig\.?|FIG\.?)(?P<end>\s*[.:|—│∣]|\s+[–-](?=\s))\s*(?=\S+\s+\S)"
)
"""The name of a paper's only figure, which has no number: 'Figure: Chest CT of a man'."""


def _alone(text: str) -> Label | None:
    match = _ALONE.match(text)
    if match is None or not re.match(r"[A-Z0-9(\[]", text[match.end() :]):
        return None
    return Label(match["label"], "", "", False, match["end"].strip(), text[match.end() :])


def label_at_start(text: str) -> Label | None:
    """Return the name that a text begins with, None where it begins otherwise.

    >>> label_at_start("FIG. 3 | Chest CT").number, label_at_start("Supplementary Figure S3. x").supplementary
    ('3', True)
    >>> label_at_start("Figures 1 and 2 show") is None, label_at_start("The figure") is None
    (True, True)
    """
    match = LABEL.match(text)
    if match is None:
        return _alone(text)
    if re.match(r"(?:figure|fig|ﬁgure|ﬁg)s", match["word"], re.IGNORECASE):
        return None
    number = _plain(match["number"])
    if number.isalpha() and (not number.isupper() or match["number"] != number):
        return None  # 'figure i' is a word of a sentence
    extra = bool(match["extra"]) or _extra(number)
    end = match["end"].strip()
    return Label(
        " ".join(match["label"].split()),
        number,
        (match["part"] or "").strip(),
        extra,
        end,
        text[match.end() :],
        bool(match["continued"]),
    )


def table_at_start(text: str) -> bool:
    return TABLE.match(text) is not None


def same_figure(a: tuple[str, bool], b: tuple[str, bool]) -> bool:
    """Return whether two pairs of number and supplementary name one figure: ('S3', True) is ('3', True).

    >>> same_figure(("S3", True), ("3", True)), same_figure(("3", False), ("3", True))
    (True, False)
    """
    return a[1] == b[1] and bare_number(a[0]) == bare_number(b[0])


def bare_number(number: str) -> str:
    """Return a number without the letter that says supplementary: '3' for 'S3' and for 'ED3'."""
    return re.sub(r"^(?:S|ED|E|SF)(?=\d)", "", number.upper())


def citations(text: str) -> set[tuple[str, bool]]:
    """Return the figures that a text names, as pairs of number and supplementary.

    >>> sorted(citations("see Figs. 1-3 and 5, and Supplementary Fig. S2A"))
    [('1', False), ('2', False), ('2', True), ('3', False), ('5', False)]
    >>> citations("(eFigure 4 in the Supplement)")
    {('4', True)}
    """
    found: set[tuple[str, bool]] = set()
    for match in CITATION.finditer(text):
        found |= {
            (bare_number(number), bool(match["extra"]) or _extra(number))
            for number in _numbers(match["list"])
        }
    return found


def _numbers(listed: str) -> Iterator[str]:
    last = ""
    for match in _ONE.finditer(listed):
        number = _plain(match["number"])
        if match["join"] and last.isdigit() and number.isdigit():
            between = range(int(last) + 1, int(number))
            if len(between) < MOST_IN_RANGE:
                yield from map(str, between)
        yield number
        last = number


def _plain(number: str) -> str:
    number = "".join(number.split()).replace("–", "-")
    number = re.sub(r"^([A-Za-z]+)[.\-](?=\d)", r"\1", number)
    return number.upper() if number[:1].isalpha() and any(map(str.isdigit, number)) else number


def _extra(number: str) -> bool:
    return bool(re.match(r"(?:S|ED|E|SF)\d", number, re.IGNORECASE))
