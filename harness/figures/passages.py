"""A caption taken apart: its introduction, and what it says of each panel.

Letters are found as papers print them: "(A) ... (B, C) ...", "a, Chest CT ... b, ...", "A: ...", "A) ... B-C) ...",
"a Axial image ... b, c Images ...", "Panel A shows ...", and behind the words they belong to: "X-ray (a), CT (b)".
A reading counts when its letters begin with a and none is left out. Without letters, "left" and "right" or "top" and
"bottom" are read in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Passages", "passages"]

ONE = r"[A-Za-z]\d?"
LETTERS = (
    rf"{ONE}(?:\s*(?:,\s*and\s|,\s*&|,|and\s|&|/|-|\u2013|\u2014|to\s|through\s)\s*{ONE}(?![A-Za-z])){{0,12}}"
)
ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
NUMBERED = r"[Ff]ig(?:ure)?s?\.?\s*S?\d{1,3}"
FIGURE = r"[Ff]ig(?:ure)?s?\.?\s*S?\d{0,3}"
START = r"(?:^|(?<=[.;:!?]\s)|(?<=[.;:!?]\)\s)|(?<=\|\s))"
ROMANS = r"\((?P<letters>[ivx]{1,4}(?:\s*(?:,|and\s|-|\u2013)\s*[ivx]{1,4})*)\)"
STYLES = (
    rf"\((?:[Pp]anels?\s+|[Ii]mages?\s+|{FIGURE})?(?P<letters>{LETTERS})\)",
    rf"\[(?P<letters>{LETTERS})\]",
    rf"\b(?:[Pp]anels?|[Ii]mages?|[Ss]lices?|[Pp]arts?|[Ss]ubfigures?|{FIGURE})\s*\(?(?P<letters>{LETTERS})\)?(?![A-Za-z])",
    rf"(?:{START}|(?<=\s))(?P<letters>{LETTERS})\)",
    rf"{START}(?P<letters>{LETTERS})\s*[:.|=\u2013\u2014-](?=\s)",
    rf"(?:\(|(?<=;\s))(?P<letters>{LETTERS})[,:=]\s+",
    rf"(?:{START}|(?<=,\s))(?P<letters>{LETTERS})\s*=\s+",
    ROMANS,
    rf"{START}(?P<letters>{LETTERS})(?:,\s+|\s+(?=[A-Z0-9]))",
)
"""Ways to print letters, the surest first; of equally long sequences the first counts."""

PLACES = (
    r"(?P<letters>(?:(?:first|second|third|fourth|1st|2nd|3rd|4th)\s+(?:row|column|line)"
    r"|(?:upper|lower|top|middle|central|center|centre|bottom|left|right)"
    r"(?:[\s-]+(?:left|right|middle|row|column|panels?|images?))*))"
)
PLACE_STYLES = (rf"\({PLACES}\)", rf"{START}(?:[Tt]he\s+)?{PLACES}\s*[:,]")
LABEL = re.compile(
    r"^\s*(?:supplementa\w*\s+|extended\s+data\s+)?fig(?:ure|\.)?s?\.?\s*S?\d+[a-z]?\s*[.:|]*\s*",
    re.IGNORECASE,
)
GOES_ON = re.compile(
    r"\s*(?:[,;.]|(?:and|or|of|in|with|at|on|from|to|for|show\w*|demonstrat\w+|obtained|is|are|was|were)\b)"
)
SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=[A-Z(\[0-9])")


@dataclass(frozen=True, slots=True)
class Passages:
    """The introduction that holds for all panels, and (name, words) for each letter or place named, in order.

    `places` tells that the names are places ("left", "top row") and not letters.
    """

    introduction: str
    parts: tuple[tuple[str, str], ...] = ()
    places: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The letters (or places) named, each once, lower-case."""
        return tuple(name for name, _ in self.parts)

    def of(self, name: str | None) -> str:
        """What the caption says of one panel alone; nothing for an unknown name."""
        return dict(self.parts).get(name or "", "")


def passages(caption: str) -> Passages:
    """The caption's introduction and its words for each panel."""
    text = _unlabelled(" ".join(caption.split()))
    readings = [(_markers(text, style), False) for style in STYLES]
    readings += [(_place_markers(text, style), True) for style in PLACE_STYLES]
    markers, places = max(readings, key=_weight)
    if not markers:
        return Passages(text)
    introduction, parts = _behind(text, markers) if _follow(text, markers) else _before(text, markers)
    return Passages(introduction, tuple(parts.items()), places)


def _unlabelled(text: str) -> str:
    """The caption without the figure's name; a letter behind it stays where other figures' letters follow."""
    lettered = re.match(rf"{NUMBERED}\s?[aA](?![A-Za-z])", text)
    if lettered and re.search(rf"\b{NUMBERED}\s?[b-zB-Z](?![A-Za-z])", text):
        return text
    return LABEL.sub("", text)


def _weight(reading: tuple[list[_Marker], bool]) -> tuple[bool, int]:
    """Letters before places, long sequences before short ones."""
    markers, places = reading
    return bool(markers) and not places, len(_named(markers))


@dataclass(frozen=True, slots=True)
class _Marker:
    start: int
    stop: int
    names: tuple[str, ...]
    upper: bool = False


def _markers(text: str, style: str) -> list[_Marker]:
    """The markers of one style, or none unless their letters are a, b, ... without a gap."""
    read = _romans if style is ROMANS else _letters
    found = [
        _Marker(match.start(), match.end(), read(match["letters"]), match["letters"][0].isupper())
        for match in re.finditer(style, text)
        if style is ROMANS or _one_case(match["letters"])
    ]
    found = _of_main_case([marker for marker in found if marker.names])
    named = _named(found)
    expected = [chr(97 + number) for number in range(len(named))]
    while named and sorted(named) != expected:  # a stray letter: "(n)", "(P)"
        found = [m for m in found if not set(m.names) - set(expected)]
        if sorted(_named(found)) == sorted(named):
            return []
        named = _named(found)
        expected = [chr(97 + number) for number in range(len(named))]
    return found if len(named) >= 2 else []


def _of_main_case(found: list[_Marker]) -> list[_Marker]:
    """Markers in the case of the first a: a caption does not mix (A) and (a)."""
    first = next((marker for marker in found if "a" in marker.names), None)
    return [marker for marker in found if marker.upper == first.upper] if first else []


def _one_case(letters: str) -> bool:
    single = re.findall(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])", letters)
    return all(s.isupper() for s in single) or all(s.islower() for s in single)


def _letters(words: str) -> tuple[str, ...]:
    """The letters of "B, C" or "a-d", lower-case; none for a range that runs backwards."""
    names: list[str] = []
    pieces = re.split(r"\s*(?:,|\band\b|&|/)\s*", words.lower())
    for piece in (p for p in pieces if p):
        ends = re.split(r"\s*(?:-|\u2013|\u2014|\bto\b|\bthrough\b)\s*", piece)
        first, last = ord(ends[0][0]), ord(ends[-1][0])
        if last < first:
            return ()
        names += [chr(code) for code in range(first, last + 1)]
    return tuple(names)


def _romans(words: str) -> tuple[str, ...]:
    """The letters that stand for the roman numerals of "i" or "ii, iii"; none for an unknown numeral or a range."""
    pieces = [piece for piece in re.split(r"\s*(?:,|\band\b)\s*", words) if piece]
    return tuple(chr(97 + ROMAN.index(p)) for p in pieces) if all(p in ROMAN for p in pieces) else ()


def _place_markers(text: str, style: str) -> list[_Marker]:
    found = [
        _Marker(m.start(), m.end(), (" ".join(re.split(r"[\s-]+", m["letters"].lower())),))
        for m in re.finditer(style, text, re.IGNORECASE)
    ]
    return found if len(_named(found)) >= 2 else []


def _named(markers: Iterable[_Marker]) -> list[str]:
    return list(dict.fromkeys(name for marker in markers for name in marker.names))


def _follow(text: str, markers: list[_Marker]) -> bool:
    """Whether the markers stand behind their words, as in "X-ray (a) and CT (b) of a man"."""
    if not _mid_sentence(text, markers[0]):
        return False
    if not re.search(r"\w", text[markers[-1].stop :]):
        return True
    continued = [bool(GOES_ON.match(text[marker.stop :])) for marker in markers]
    return sum(continued) > len(markers) / 2


def _mid_sentence(text: str, marker: _Marker) -> bool:
    before = text[: marker.start].rstrip()
    return bool(before) and before[-1] not in ".;:!?|"


def _before(text: str, markers: list[_Marker]) -> tuple[str, dict[str, str]]:
    """Markers first: the words of each run to the next."""
    parts: dict[str, str] = {}
    stops = [*(marker.start for marker in markers[1:]), len(text)]
    for marker, stop in zip(markers, stops, strict=True):
        _add(parts, marker, text[marker.stop : stop])
    return text[: markers[0].start].strip(), parts


def _behind(text: str, markers: list[_Marker]) -> tuple[str, dict[str, str]]:
    """Words first: each marker belongs to the sentence, or the end of one, that it closes."""
    parts: dict[str, str] = {}
    shared: list[str] = []
    starts = [0, *(marker.stop for marker in markers[:-1])]
    for marker, start in zip(markers, starts, strict=True):
        sentences = SENTENCE.split(text[start : marker.start])
        shared += sentences[:-1]
        _add(parts, marker, sentences[-1])
    shared.append(text[markers[-1].stop :])
    introduction = " ".join(s.strip(" .;,") + "." for s in shared if s.strip(" .;,"))
    return introduction, parts


def _add(parts: dict[str, str], marker: _Marker, words: str) -> None:
    words = re.sub(r"^(?:[\s,;:|.]|and\s)+", "", words).rstrip(" ,;:|(")
    words = re.sub(r"(?:,|;)?\s+(?:and|or)$", "", words)
    for name in marker.names:
        parts[name] = f"{parts[name]} {words}" if name in parts else words
