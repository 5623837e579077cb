"""Names of methods for tables: short, and one for each method of a board."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

__all__ = ["LONGEST", "shown_names"]

LONGEST = 34
"""Characters of a method's name in a table; what is longer is told in a note."""

LONGEST_LABEL = 28
"""Characters of the name alone, where its settings have gone to a note."""


def shown_names(methods: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the name in tables of each method, given as (label, method); no two are the same.

    A short method keeps its name. A long one shows its label and a letter; which letter follows from the
    methods alone, not from their order or scores.

    >>> shown_names([("xdnn", "xdnn (untuned)"), ("net", "net (images_seen=30000, looks=15, size_px=160)")])
    {'xdnn (untuned)': 'xdnn (untuned)', 'net (images_seen=30000, looks=15, size_px=160)': 'net (a)'}
    """
    known = dict.fromkeys((method, label) for label, method in methods)
    shown = {method: method for method, _ in known if len(method) <= LONGEST}
    taken = set(shown.values())
    for method, label in sorted(known):
        if method not in shown:
            shown[method] = next(name for name in _marked(label) if name not in taken)
            taken.add(shown[method])
    return {method: shown[method] for method, _ in known}


def _marked(label: str) -> Iterator[str]:
    """The label with one letter after another behind it."""
    short = label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 3].rstrip()}..."
    return (f"{short} ({_letters(number)})" for number in count())


def _letters(number: int) -> str:
    """a to z, then aa, ab and so on."""
    text = ""
    while number >= 0:
        text = chr(ord("a") + number % 26) + text
        number = number // 26 - 1
    return text
