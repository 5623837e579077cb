"""Markdown on a narrow terminal: sentences are wrapped anew, and tables that are too wide are told row by row."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest

import typer

__all__ = ["fitted", "show"]

NARROWEST = 40
"""Columns below which nothing is gained by wrapping."""

BEGINS_ITEM = re.compile(r"(?:[-*] |\d+\. )")
CELL_ENDS = re.compile(r"(?<!\\)\|")


def show(text: str, *, nl: bool = True) -> None:
    """Print Markdown: on a terminal as it fits, into a pipe or a file as it is."""
    typer.echo(fitted(text, shutil.get_terminal_size().columns) if sys.stdout.isatty() else text, nl=nl)


def fitted(text: str, width: int) -> str:
    """Return the text with no line longer than the width, as far as its words and cells allow.

    >>> print(fitted("| Method | F1 | AUC |\\n|:--|--:|--:|\\n| svm | 98.00 [96.3, 98.9] | 99.78 [98.8, 100] |", 40))
    svm
      F1: 98.00 [96.3, 98.9]
      AUC: 99.78 [98.8, 100]
    """
    width = max(width, NARROWEST) if width > 0 else NARROWEST
    if max(map(len, text.splitlines()), default=0) <= width:
        return text
    parts: list[str] = []
    for is_table, lines in groupby(text.splitlines(), key=lambda line: line.startswith("|")):
        parts += (_table if is_table else _prose)(list(lines), width)
    return "\n".join(parts) + "\n" * text.endswith("\n")


def _table(lines: Sequence[str], width: int) -> Iterator[str]:
    if len(lines) < 2 or max(map(len, lines)) <= width:
        yield from lines
        return
    headings, rules, *rows = map(_cells, lines)
    named = _leading(rules)
    for number, row in enumerate(rows):
        if number:
            yield ""
        yield from _wrapped("  ".join(filter(None, row[:named])), width, "  ") or [""]
        told = zip_longest(headings[named:], row[named:], fillvalue="")
        yield from _packed([f"{heading}: {cell}" for heading, cell in told if cell], width)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in CELL_ENDS.split(line)[1:-1]]


def _leading(rules: Sequence[str]) -> int:
    """How many columns name a row: those up to the last of the first run that is set to the left."""
    left = [not rule.endswith(":") for rule in rules]
    if not any(left):
        return 1
    first = left.index(True)
    return next((k for k in range(first, len(left)) if not left[k]), len(left))


def _packed(pieces: Sequence[str], width: int) -> Iterator[str]:
    """As many pieces on an indented line as there is room for."""
    line = ""
    for piece in pieces:
        if line and len(line) + 3 + len(piece) > width:
            yield line
            line = ""
        line = f"{line}   {piece}" if line else f"  {piece}"
    if line:
        yield line


def _prose(lines: Sequence[str], width: int) -> Iterator[str]:
    for item in _items(lines):
        if len(item) <= width:
            yield item
            continue
        mark = BEGINS_ITEM.match(item)
        indent = " " * len(mark.group()) if mark else ""
        yield from _wrapped(item, width, indent)


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _items(lines: Sequence[str]) -> Iterator[str]:
    """Paragraphs, headings and the items of lists, each on one line; blank lines as they are."""
    item = ""
    for line in lines:
        begins = not line.strip() or line.startswith("#") or BEGINS_ITEM.match(line)
        if item and (begins or item.startswith("#")):
            yield item
            item = ""
        if not line.strip():
            yield ""
        else:
            item = f"{item} {line.strip()}" if item else line
    if item:
        yield item
