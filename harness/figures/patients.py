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

COUNTS = {
    word: number
    for number, word in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"), 1
    )
}
ROMAN = {
    word: number
    for number, word in enumerate(
        ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"), 1
    )
}
WORDS = "|".join(COUNTS)
NUMBERS = rf"(?:(?!(?:19|20)\d\d\b)\d{{1,6}}|[IVX]{{1,4}}(?![A-Za-z])|[A-H](?![A-Za-z])|(?:{WORDS})\b)"
WHAT = (
    r"(?:[Pp]atients?|PATIENTS?|[Pp]ts?\b\.?|PTS?\b\.?|[Cc]ases?|CASES?|[Ss]ubjects?|SUBJECTS?|[Pp]articipants?"
    r"|[Vv]olunteers?|(?:[Ff]amily\s+)?[Mm]embers?)"
)
MEASURED = (
    r"(?:days?|weeks?|months?|years?|yrs?|hours?|h|d|mg|ml|of|cases|patients|men|women|males|females|slices|images|scans"
    r"|panels|lesions|nodules|lobes|times|or\s+more)\b|%"
)
NAMED = re.compile(
    rf"(?<!\d\s)(?<!this )(?<!each )(?<!every )(?<!that )\b{WHAT}[\s_-]*"
    r"(?:(?:[Nn](?:o|r)\b\.?|[Nn]umbers?|ID|#|№)[\s:]*)?"
    rf"(?P<numbers>{NUMBERS}(?:\s*(?:,\s*and\s|,|and\s|&|-|\u2013|\u2014|to\s|through\s)\s*{NUMBERS}(?![A-Za-z]))*)"
    rf"(?:[a-eA-E](?![A-Za-z0-9]))?(?![\w%])(?!\s*-?(?:{MEASURED}))"
)
SEX = {
    word: sex
    for sex, words in {
        "man": "man male boy gentleman m husband father son brother grandfather uncle",
        "woman": "woman female girl lady f wife mother daughter sister grandmother aunt",
    }.items()
    for word in words.split()
}
PEOPLE = "(?P<sex>" + "|".join(f"(?i:{word})" if len(word) > 1 else word.upper() for word in SEX) + ")"
SOMEBODY = rf"(?:{PEOPLE}|(?i:patient|person|case|child|infant|nurse|doctor|physician|worker|adult|resident))"
AGE = r"(?<![\d.])(?P<age>\d{1,3}(?:\.\d)?)"
UNIT = r"(?P<unit>(?i:years?|yrs?|months?|weeks?|wks?|days?))"
SHORT = r"(?P<unit>(?i:y\.?[-\s]?/?o\.?|yrs?|y))"
ALONE = r"(?![\s-]*(?:years?|yrs?|y)?\s*(?:of\s+age\s*)?(?:to|and|or|-|\u2013)\s*(?:\d|older|over|above|younger|more))"
OLD = r"[\s-]*(?i:old|of\s+age)\b(?!['\u2019]s)(?!\s+(?:and|or)\s+(?:older|over|above|younger))"
AGED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{AGE}[\s-]*{UNIT}[\s-]*(?i:olds?)(?!['\u2019]s)[\s,-]+(?:[\w-]+\s+){{0,3}}?{PEOPLE}\b",
        rf"{AGE}[\s-]*{SHORT}(?:[\s-]*(?i:olds?)(?!['\u2019]s))?[\s,-]+(?:[\w-]+\s+){{0,2}}?{PEOPLE}\b",
        rf"{AGE}\s?/?(?P<unit>)(?P<sex>[MF])\b(?!\s*(?:param|weight|read|pixel|voxel|image|cell|[A-Z]?Cl))",
        rf"(?<![A-Za-z])(?P<sex>[MF])\s?[/,]\s?{AGE}(?P<unit>)(?![\d.%])",
        rf"\b{SOMEBODY}\b[\s,(]+(?:patient[\s,]+)?(?:aged?\s+(?:of\s+)?){AGE}\s*(?:{UNIT}|y\b)?{ALONE}(?!\.?\d)",
        rf"\b{PEOPLE}\b\s+of\s+{AGE}\s*{UNIT}\b",
        rf"\b{PEOPLE}\b[\s,(]+(?:patient[\s,(]+)?{AGE}[\s-]*(?:{UNIT}|y\b|yo\b)(?:{OLD})?{ALONE}",
        rf"(?:\(\s*(?:aged?\s+)?|\bage:?\s*){AGE}\s*(?P<unit>years?|y|months?)?\s*[,/]\s*{PEOPLE}\b",
        rf"\b{PEOPLE}\s*/\s*{AGE}\s*(?P<unit>years?|y\b)",
        rf"{AGE}[\s-]*{UNIT}{OLD}(?P<sex>)",
    )
)
TENS = {
    word: number
    for number, word in zip(
        range(20, 100, 10),
        ("twent", "thirt", "fort", "fift", "sixt", "sevent", "eight", "ninet"),
        strict=True,
    )
}
DECADES = {
    "vicenarian": 20, "tricenarian": 30, "quadragenarian": 40, "quinquagenarian": 50, "sexagenarian": 60,
    "septuagenarian": 70, "octogenarian": 80, "nonagenarian": 90,
}  # fmt: skip
DECADE = (
    re.compile(
        rf"\b{PEOPLE}\b\s+(?:\w+\s+)?in\s+(?:his|her|their)\s+(?:(?:early|mid|middle|late)[\s-]*)?"
        rf"(?P<tens>[2-9]0['\u2019]?s|(?:{'|'.join(TENS)})ies)\b",
        re.IGNORECASE,
    ),
    re.compile(rf"\b(?P<tens>{'|'.join(DECADES)})(?:\s+(?:\w+\s+)?{PEOPLE})?\b", re.IGNORECASE),
)
KIN = (
    r"(?:mother|father|wife|husband|son|daughter|brother|sister|parent|child|contact|relative|twin|spouse)s?"
)
KIN_OF = re.compile(rf"\b{KIN}\s+of\s+(?:the\s+)?$", re.IGNORECASE)
OTHERS = re.compile(
    rf"\b(?:(?:an)?other|different|further|additional|(?:the|a)\s+(?:first|second|third|fourth|next|last))\s+"
    rf"(?:[\w-]+\s+){{0,3}}?(?:patient|case|man|woman|person|subject|child|individual|participant|boy|girl)s?\b"
    rf"|\b{KIN}\s+of\s+(?:the\s+|a\s+|an\s+)?(?:{WHAT}|\d)|['\u2019]s\s+{KIN}\b"
    r"|\bcontrols?\b(?!\s+ct)|\bvolunteers?\b(?!\s*\d)|\bhealthy\s+(?:\w+\s+)?(?:subject|person|adult|individual|man|woman)s?\b",
    re.IGNORECASE,
)
COUNTED = re.compile(
    rf"\b(?P<count>{WORDS}|\d{{1,3}}|several|multiple|various|different)\s+(?:[\w-]+\s+){{0,4}}?"
    r"(?:patients|cases|subjects|men|women|persons|individuals|children|participants)\b(?!\s*\d)",
    re.IGNORECASE,
)
UNITS = {"m": "months", "w": "weeks", "d": "days"}
LONGEST = 20_000  # characters of a text that are read
WORST = 6  # patients in one group: beyond, a caption counts people and names none


def patients_in(text: str) -> tuple[str, ...]:
    """The patients that a text names, in order: "patient-3", "man-45", "woman-6-months", "man-50s"."""
    return tuple(dict.fromkeys(name for _, name in _named(" ".join(text.split()))))


def _named(text: str) -> list[tuple[int, str]]:
    """Where each patient is named, and how, in the order of the text."""
    text = text[:LONGEST]
    found: list[tuple[int, str]] = []
    for match in NAMED.finditer(text):
        if not KIN_OF.search(text[max(match.start() - 40, 0) : match.start()]):
            found += [(match.start(), f"patient-{number}") for number in _numbers(match["numbers"])]
    taken = bytearray(len(text))
    for pattern in (*AGED, *DECADE):
        for match in pattern.finditer(text):
            start, stop = match.span()
            if not any(taken[start:stop]):
                taken[start:stop] = b"\1" * (stop - start)
                found.append((match.start(), _aged(match)))
    return sorted(found, key=lambda pair: pair[0])


def somebody_unnamed(text: str) -> bool:
    """Whether a text shows somebody whom it doesn't name: "another patient", "a healthy control", "two patients"."""
    text = " ".join(text.split())[:LONGEST]
    named = _named(text)
    for match in OTHERS.finditer(text):
        if not any(match.start() <= place <= match.end() + 30 for place, _ in named):
            return True
    for match in COUNTED.finditer(text):
        word = match["count"].lower()
        count = int(word) if word.isdigit() else COUNTS.get(word, WORST)
        if count > max(len({name for _, name in named}), 1):
            return True
    return False


def _numbers(words: str) -> list[str]:
    """The numbers of "2 and 5" or "1-3", lower-case."""
    numbers: list[str] = []
    for piece in (p for p in re.split(r"\s*(?:,|\band\b|&)\s*", words.strip()) if p):
        ends = [end.lower() for end in re.split(r"\s*(?:-|\u2013|\u2014|\bto\b|\bthrough\b)\s*", piece)]
        if len(ends) == 2 and all(end.isdigit() for end in ends) and 0 < int(ends[1]) - int(ends[0]) <= WORST:
            numbers += [str(n) for n in range(int(ends[0]), int(ends[1]) + 1)]
        else:
            numbers += ends
    return [str(int(n)) if n.isdigit() else str(COUNTS.get(n) or ROMAN.get(n) or n) for n in numbers]


def _aged(match: re.Match[str]) -> str:
    told = match.groupdict()
    sex = SEX.get((told.get("sex") or "").lower(), "person")
    if told.get("tens"):
        tens = told["tens"].lower()
        decade = DECADES.get(tens) or TENS.get(tens.removesuffix("ies")) or int(tens[:2])
        return f"{sex}-{decade}s"
    unit = (told.get("unit") or "y").lower()
    return f"{sex}-{int(float(told['age']))}" + (f"-{UNITS[unit[0]]}" if unit[0] in UNITS else "")


def patient_of(panel_text: str, caption_text: str, document: str, letter: str | None = None) -> Suggestion:
    """The group of a panel: "DOCUMENT/patient-3", or "DOCUMENT" where nobody is named.

    `document` is the paper's file or DOI; `letter` the panel's, to look at the panels before it. Several patients
    in one picture are one group, "DOCUMENT/patient-2+patient-5".
    """
    paper = _paper(document)
    for text, where, confidence in _texts(panel_text, passages(caption_text), letter):
        names = patients_in(text)
        if somebody_unnamed(text):
            return Suggestion(paper, 0.5, f"{where} shows somebody it doesn't name: one group for the paper")
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

    Names are joined when one picture shows both, when one of the `texts` (captions, paragraphs) names a numbered
    patient and right after it an age, and when no text tells the age of a number and the number of an age; what a
    person named (confidence 1) is not joined for that last reason. Each joined group is called after its first
    member in alphabetical order. As soon as one picture of the paper has no name, it might show any of the
    patients: then all are one group.
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
    linked = [pair for text in texts for pair in _apposed(text)]
    by_eye = {n for s, names in zip(suggested, members, strict=True) if s.confidence >= 1 for n in names}
    guessed = [name for name in parent if name not in by_eye]
    for together in [*members, *_same_age(parent), *linked, *_undecided(guessed, linked)]:
        known = [name for name in together if name in parent]
        for name in known[1:]:
            a, b = sorted((_root(parent, known[0]), _root(parent, name)))
            parent[b] = a
    return tuple(
        Suggestion(f"{paper}/{_root(parent, names[0])}", s.confidence, s.reason)
        for s, names in zip(suggested, members, strict=True)
    )


def _same_age(names: Iterable[str]) -> list[tuple[str, str]]:
    """A "person-28" may be any man or woman of 28, a "man-20s" any man of 20 to 29."""
    aged = [name for name in names if not name.startswith("patient-")]
    return [(a, b) for a in aged for b in aged if a < b and _may_be(a, b)]


def _may_be(a: str, b: str) -> bool:
    (sex, _, age), (other, _, years) = a.partition("-"), b.partition("-")
    if sex != other and "person" not in (sex, other):
        return False
    return age == years or f"{age[:-1]}0s" == years or f"{years[:-1]}0s" == age


def _undecided(names: Iterable[str], linked: Iterable[tuple[str, str]]) -> list[list[str]]:
    """All numbers of which no text tells the age and all ages of which none tells the number, if there are both."""
    known = {name for pair in linked for name in pair}
    free = [name for name in names if name not in known]
    return [free] if len({name.startswith("patient-") for name in free}) == 2 else []


def _root(parent: dict[str, str], name: str) -> str:
    while parent[name] != name:
        parent[name] = parent[parent[name]]  # halves the way for the next who asks
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
