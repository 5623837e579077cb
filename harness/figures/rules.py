"""COVID or not, and which patient, as captions say it: rules of a file that can be read and changed.

The rules (`rules.toml` beside this file) are regular expressions tried in order, exceptions first; a stretch of text
that one has taken is hidden from the next. So "COVID-19 could not be excluded" is never seen by "excluded", nor "no
evidence of COVID-19" by "COVID-19": the idea of scopes is that of NegEx (Chapman et al. 2001).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.figures.passages import passages
from harness.figures.types import Suggestion

__all__ = ["Rule", "RulesBroken", "label_of", "read_rules"]

BUILT_IN = Path(__file__).with_name("rules.toml")
VALUES = ("COVID", "non-COVID", "uncertain", "nothing")
GAPS = {
    "few": r"(?:[^\s.;]+\s+){0,3}?",
    "some": r"(?:[^\s.;]+\s+){0,8}?",
    "near": r"(?:(?!(?:patient|case|made|despite|with|in|after|until|then|when|but|whose)s?\b)[^\s.;,]+\s+){0,3}?",
    "link": r"(?:(?!(?:and|or|versus|vs|but|nor|than|from|for|like)\b)[^\s.;]+\s+){0,8}?",
    "firm": r"(?:(?!(?:not|no|nor|never|negative|{other})\b)[^\s.;]+\s+){0,8}?",
}
KEYS = {"name", "says", "confidence", "yields", "settles", "patterns"}
DASHES = {ord(dash): "-" for dash in "\u2010\u2011\u2012\u2013\u2014\u2212"}
LONGEST = 6000  # characters of a text that are read: a caption is shorter, and long ones cost their square
FROM_MENTIONS = 0.8
"""Share of its confidence that a rule keeps when it spoke in a paragraph and not in the caption."""


class RulesBroken(DataError):
    """A file of rules that cannot be used."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the file, its patterns joined and compiled."""

    name: str
    says: str
    confidence: float
    yields: bool
    settles: bool
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class _Hit:
    rule: Rule
    words: str


def read_rules(path: Path | None = None) -> tuple[Rule, ...]:
    """The rules of a TOML file, or the built-in ones.

    Raises RulesBroken with the rule's name for an unknown key, a value out of range or a pattern that is none.
    """
    return _read(BUILT_IN if path is None else path)


@cache
def _read(path: Path) -> tuple[Rule, ...]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RulesBroken(f"cannot read the rules {str(path)!r}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RulesBroken(f"{str(path)!r} is not TOML: {error}") from None
    words: dict[str, str] = {}
    named = table.get("words", {})
    if not isinstance(named, dict):
        raise RulesBroken(f"{str(path)!r}: words is {named!r}; expected a table of lists of patterns")
    for name, patterns in named.items():
        words[name] = _filled(_joined(path, "words", name, patterns), words)
    listed = table.get("rule", [])
    if not isinstance(listed, list) or not listed or not all(isinstance(entry, dict) for entry in listed):
        raise RulesBroken(f"{str(path)!r} holds no rule; expected at least one [[rule]]")
    return tuple(_rule(path, number, entry, words) for number, entry in enumerate(listed, 1))


def _joined(path: Path, where: str, name: str, patterns: Any) -> str:
    if not isinstance(patterns, list) or not patterns or not all(isinstance(p, str) for p in patterns):
        raise RulesBroken(f"{str(path)!r}: {name!r} of {where} is {patterns!r}; expected a list of patterns")
    return "(?:" + "|".join(f"(?:{pattern})" for pattern in patterns) + ")"


def _filled(pattern: str, words: Mapping[str, str]) -> str:
    """A pattern with the names in braces replaced; a name may stand in the words of those after it."""
    for name, alternatives in words.items():
        pattern = pattern.replace("{" + name + "}", alternatives)
    return pattern


def _rule(path: Path, number: int, entry: Mapping[str, Any], words: Mapping[str, str]) -> Rule:
    where = f"rule {number} ({entry.get('name', 'without a name')})"
    unknown = sorted(set(entry) - KEYS)
    if unknown:
        raise RulesBroken(
            f"{str(path)!r}: {where} has an unknown key {unknown[0]!r}; expected {sorted(KEYS)}"
        )
    if entry.get("says") not in VALUES:
        raise RulesBroken(
            f"{str(path)!r}: {where} says {entry.get('says')!r}; expected one of {list(VALUES)}"
        )
    confidence = entry.get("confidence", 0.0)
    if not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        raise RulesBroken(
            f"{str(path)!r}: {where} has confidence {confidence!r}; expected a number in 0 to 1"
        )
    pattern = _filled(_joined(path, where, "patterns", entry.get("patterns")), {**GAPS, **words})
    try:
        compiled = re.compile(rf"(?<![A-Za-z0-9]){pattern}", re.IGNORECASE)
    except re.error as error:
        raise RulesBroken(f"{str(path)!r}: {where} has a pattern that cannot be compiled: {error}") from None
    return Rule(
        str(entry.get("name", number)),
        entry["says"],
        float(confidence),
        entry.get("yields") is True,
        entry.get("settles") is True,
        compiled,
    )


def label_of(
    panel_text: str, caption_text: str = "", mentions: Sequence[str] = (), rules: Sequence[Rule] | None = None
) -> Suggestion:
    """COVID, non-COVID or None for a panel, by its own words, else the caption's, else the paragraphs that cite it.

    The first of these texts in which a rule speaks decides; of a caption with letters, the introduction stands
    before the whole.
    """
    chosen = read_rules() if rules is None else rules
    for text, where, share in _texts(panel_text, caption_text, mentions):
        found = _said(text, chosen)
        if found is not None:
            reason = f"{where}: {found.reason}"
            return Suggestion(found.value, round(found.confidence * share, 3), reason)
    return Suggestion(None, 0.0, "no rule speaks")


def _texts(panel: str, caption: str, mentions: Sequence[str]) -> Iterator[tuple[str, str, float]]:
    yield panel, "panel", 1.0
    said = passages(caption)
    if said.parts:
        yield said.introduction, "introduction of the caption", 0.95
    yield caption, "caption", 0.95 if not said.parts else 0.8
    for paragraph in mentions:
        citing = [
            s for s in re.split(r"(?<=[.!?])\s+(?=[A-Z])", paragraph) if re.search(r"\bfig", s, re.IGNORECASE)
        ]
        yield " ".join(citing), "paragraph", FROM_MENTIONS
    for paragraph in mentions:
        yield paragraph, "paragraph", FROM_MENTIONS**2


def _said(text: str, rules: Sequence[Rule]) -> Suggestion | None:
    """What the rules find in one text, or None when none speaks."""
    hits = _hits(" ".join(text[:LONGEST].translate(DASHES).split()), rules)
    firm = [hit for hit in hits if hit.rule.settles] or [hit for hit in hits if not hit.rule.yields] or hits
    if not firm:
        return None
    best = {says: _surest(firm, says) for says in VALUES[:3]}
    covid, other, uncertain = best["COVID"], best["non-COVID"], best["uncertain"]
    if covid and other:
        return Suggestion(None, 0.5, f"both {covid.words!r} and {other.words!r}")
    if uncertain and not (covid or other):
        return Suggestion(None, uncertain.rule.confidence, f"{uncertain.rule.name}: {uncertain.words!r}")
    spoken = covid or other
    if spoken is None:
        return None
    doubt = 0.85 if uncertain else 1.0
    return Suggestion(
        spoken.rule.says, spoken.rule.confidence * doubt, f"{spoken.rule.name}: {spoken.words!r}"
    )


def _surest(hits: Sequence[_Hit], says: str) -> _Hit | None:
    return max((h for h in hits if h.rule.says == says), key=lambda h: h.rule.confidence, default=None)


def _hits(text: str, rules: Sequence[Rule]) -> list[_Hit]:
    """What each rule takes; taken words are blanked out, so that distances stay."""
    hits: list[_Hit] = []
    for rule in rules:
        for match in list(rule.pattern.finditer(text)):
            words = text[match.start() : match.end()]
            if "\0" in words or not words.strip():
                continue
            if rule.says != "nothing":
                hits.append(_Hit(rule, words.strip(" ,;:(")))
            text = text[: match.start()] + "\0" * len(words) + text[match.end() :]
    return hits
