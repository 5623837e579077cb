"""Which patient a picture shows, as its caption says it: the groups of a split, from the start.

Names are "Patient 3", "case 3", "patients 2 and 5", ages with a sex ("a 45-year-old man", "female aged 60"). A
panel without a name takes that of the panel before it in the same figure, else the introduction's. Where nothing is
said the whole paper is one group: the choice that cannot leak.

Names of one paper that may mean the same patient ("Case 1, a 45-year-old man" here, "a 45-year-old man" there) are
joined by `groups`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from harness.figures.passages import Passages, passages
from harness.figures.types import Suggestion

__all__ = ["groups", "patient_of", "patients_in"]

NUMBERS = r"(?:\d{1,3}|[IVX]{1,4}|[A-H](?![A-Za-z]))"
NAMED = re.compile(
    rf"(?<!\d\s)\b(?P<what>[Pp]atients?|[Cc]ases?|[Ss]ubjects?|PATIENTS?|CASES?)\s*(?:[Nn]o\.?\s*|[Nn]umbers?\s*|#\s*)?"
    rf"(?P<numbers>{NUMBERS}(?:\s*(?:,\s*and\s|,|and\s|&|-|\u2013|to\s)\s*{NUMBERS})*)"
    r"(?![\w%])(?!\s*(?:-|\s)?(?:days?|weeks?|months?|years?|hours?|h|d|mg|ml|%|of\s|cases\s|patients\s|men\b|women\b|males\b))"
)
ROMAN = {
    "i": "1",
    "ii": "2",
    "iii": "3",
    "iv": "4",
    "v": "5",
    "vi": "6",
    "vii": "7",
    "viii": "8",
    "ix": "9",
    "x": "10",
}
SEX = {
    "man": "man", "male": "man", "boy": "man", "gentleman": "man", "men": "man", "m": "man",
    "woman": "woman", "female": "woman", "girl": "woman", "lady": "woman", "women": "woman", "f": "woman",
}  # fmt: skip
PEOPLE = r"(?P<sex>man|male|boy|gentleman|woman|female|girl|lady|M|F)"
UNIT = r"(?P<unit>years?|yrs?|y/?o|months?|weeks?|days?|y)"
AGED = (
    re.compile(rf"\b(?P<age>\d{{1,3}})[\s-]*{UNIT}[\s-]*(?:olds?)?[\s,-]+(?:\w+\s+){{0,3}}?{PEOPLE}\b"),
    re.compile(
        rf"\b{PEOPLE}\b[\s,]+(?:patient\s+)?(?:aged|age|of)\s+(?P<age>\d{{1,3}})\s*(?P<unit>\w+)?",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\(\s*(?:aged?\s+)?(?P<age>\d{{1,3}})\s*(?P<unit>years?|y|months?)?\s*[,/]\s*{PEOPLE}\s*\)",
        re.IGNORECASE,
    ),
    re.compile(rf"\b{PEOPLE}\s*,\s*(?P<age>\d{{1,3}})\s*{UNIT}", re.IGNORECASE),
    re.compile(rf"\b(?P<age>\d{{1,3}})[\s-]*{UNIT}[\s-]*old\b(?P<sex>)", re.IGNORECASE),
)
WORST = 6  # patients in one group: beyond, a caption counts people and names none


def patients_in(text: str) -> tuple[str, ...]:
    """The patients that a text names, in order: "patient-3", "man-45", "woman-6-months"."""
    text = " ".join(text.split())
    found: list[tuple[int, str]] = []
    for match in NAMED.finditer(text):
        found += [(match.start(), f"patient-{number}") for number in _numbers(match["numbers"])]
    taken: list[tuple[int, int]] = []
    for pattern in AGED:
        for match in pattern.finditer(text):
            if all(match.end() <= start or match.start() >= stop for start, stop in taken):
                taken.append(match.span())
                found.append((match.start(), _aged(match)))
    return tuple(dict.fromkeys(name for _, name in sorted(found, key=lambda pair: pair[0])))


def _numbers(words: str) -> list[str]:
    """The numbers of "2 and 5" or "1-3", lower-case."""
    numbers: list[str] = []
    for piece in (p for p in re.split(r"\s*(?:,|\band\b|&)\s*", words.strip()) if p):
        ends = [end.lower() for end in re.split(r"\s*(?:-|\u2013|\bto\b)\s*", piece)]
        if len(ends) == 2 and all(end.isdigit() for end in ends) and 0 < int(ends[1]) - int(ends[0]) <= WORST:
            numbers += [str(n) for n in range(int(ends[0]), int(ends[1]) + 1)]
        else:
            numbers += ends
    return [str(int(n)) if n.isdigit() else ROMAN.get(n, n) for n in numbers]


def _aged(match: re.Match[str]) -> str:
    sex = SEX.get((match["sex"] or "").lower(), "person")
    unit = (match["unit"] or "y").lower()
    return f"{sex}-{int(match['age'])}" + (f"-{unit.rstrip('s')}s" if unit[0] in "mwd" else "")


def patient_of(panel_text: str, caption_text: str, document: str, letter: str | None = None) -> Suggestion:
    """The group of a panel: "DOCUMENT/patient-3", or "DOCUMENT" where nobody is named.

    `document` is the paper's file or DOI; `letter` the panel's, to look at the panels before it. Several patients
    in one picture are one group, "DOCUMENT/patient-2+patient-5".
    """
    paper = _paper(document)
    for text, where, confidence in _texts(panel_text, passages(caption_text), letter):
        names = patients_in(text)
        if len(names) > WORST:
            return Suggestion(paper, 0.5, f"{where} names {len(names)} patients: one group for the paper")
        if names:
            return Suggestion(f"{paper}/{'+'.join(names)}", confidence, f"{where} names {', '.join(names)}")
    return Suggestion(paper, 0.5, "nobody is named: one group for the paper")


def _texts(panel: str, said: Passages, letter: str | None) -> list[tuple[str, str, float]]:
    texts = [(panel, "panel", 0.9)]
    if letter in said.names:
        earlier = said.names[: said.names.index(letter)]
        texts.append((said.of(letter), f"panel {letter}", 0.9))
        texts += [(said.of(name), f"panel {name}, before it,", 0.7) for name in reversed(earlier)]
    texts.append((said.introduction, "introduction", 0.85))
    if letter not in said.names:
        texts += [(" ".join(words for _, words in said.parts), "caption", 0.6)]
    return texts


def _paper(document: str) -> str:
    name = PurePath(document).name if not document.startswith("10.") else document
    name = re.sub(r"\.pdf$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "paper"


def groups(suggested: Sequence[Suggestion], texts: Sequence[str] = ()) -> tuple[Suggestion, ...]:
    """The suggestions of one paper with names joined that may mean the same patient.

    Names are joined when one picture shows both, or one of the `texts` (captions, paragraphs) names a numbered patient
    and right after it an age. Each joined group is called after its first member in alphabetical order. As soon as
    one picture of the paper has no name, it might show any of the patients: then all are one group.
    """
    values = [s.value or "" for s in suggested]
    paper = next((value.partition("/")[0] for value in values if value), "")
    members = [value.partition("/")[2].split("+") if "/" in value else [] for value in values]
    if not all(members):
        reason = "a picture of this paper names nobody: one group for the paper"
        return tuple(
            s if s.value == paper else Suggestion(paper, 0.5, f"{s.reason}; {reason}") for s in suggested
        )
    parent = {name: name for names in members for name in names}
    for together in [*members, *_same_age(parent), *(pair for text in texts for pair in _apposed(text))]:
        known = [name for name in together if name in parent]
        for name in known[1:]:
            a, b = sorted((_root(parent, known[0]), _root(parent, name)))
            parent[b] = a
    return tuple(
        Suggestion(f"{paper}/{_root(parent, names[0])}", s.confidence, s.reason)
        for s, names in zip(suggested, members, strict=True)
    )


def _same_age(names: Iterable[str]) -> list[tuple[str, str]]:
    """A "person-28" may be any man or woman of 28."""
    listed = list(names)
    aged = [(name, name.partition("-")[2]) for name in listed if not name.startswith("patient-")]
    return [
        (a, b) for a, age in aged if a.startswith("person-") for b, other in aged if age == other and a != b
    ]


def _root(parent: dict[str, str], name: str) -> str:
    while parent[name] != name:
        name = parent[name]
    return name


def _apposed(text: str) -> list[tuple[str, str]]:
    """Numbered patients and the ages said of them: ("patient-1", "man-45") of "Case 1, a 45-year-old man"."""
    pairs: list[tuple[str, str]] = []
    for match in NAMED.finditer(text):
        rest = re.split(r"[.;]", text[match.end() : match.end() + 60])[0]
        ages = [name for name in patients_in(rest) if not name.startswith("patient-")]
        numbers = _numbers(match["numbers"])
        if len(numbers) == 1 and ages:
            pairs.append((f"patient-{numbers[0]}", ages[0]))
    return pairs
