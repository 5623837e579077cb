"""Markdown of boards, made to be read in a terminal too."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from harness.board_comparisons import comparison_table, comparison_texts, context_text, reading_text
from harness.board_rows import RANKED_BY
from harness.board_tables import (
    Table,
    cost_table,
    facts,
    legend,
    other_metrics_table,
    pairs_table,
    pairs_text,
    probabilities_table,
    section_table,
    seeds_table,
    with_interval,
)
from harness.reliability_tables import reliability_tables

if TYPE_CHECKING:
    from harness.boards import Board, Section

__all__ = ["aligned", "escaped", "index_page", "page"]

WIDTH = 110

SPECIAL = re.compile(
    r"(?P<plain>\[-?[\d.]+, -?[\d.]+\](?!\()|<(?![a-zA-Z/!?]))|[\\`*\[\]<>|$~]|(?<!\w)_|_(?!\w)|&(?=#?\w+;)"
)
"""What Markdown would take for its own; an underscore within a word, an interval and a lone < are none."""


def page(board: Board) -> str:
    """Return the whole board."""
    parts = [f"# {escaped(board.title)}: {escaped(board.protocol)} split"]
    parts.append("\n".join(_wrapped("- ", f"**{what}**: {escaped(text)}") for what, text in facts(board)))
    for section in board.sections:
        parts += [f"## Recipe {escaped(section.recipe)}", *_section(section)]
    parts += [_wrapped("", escaped(text)) for text in legend(board)]
    for comparison in board.comparisons:
        source = comparison.table
        parts += [
            f"## Beside {escaped(source.title)}",
            _wrapped("", escaped(reading_text(board, comparison))),
        ]
        parts.append(_table(comparison_table(comparison)))
        parts += [_wrapped("", escaped(text)) for text in comparison_texts(comparison)]
        parts.append(
            _bullets([f"Source: {source.source}", *_reading_source(source.reading.source), *source.notes])
        )
    if board.context:
        parts += ["## Published, not comparable", _bullets(map(context_text, board.context))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(section: Section) -> list[str]:
    tables = {
        "Other metrics": (other_metrics_table(section), []),
        "Probabilities": (probabilities_table(section), []),
        **reliability_tables(section),
        "What it took": (cost_table(section), []),
        "Standard deviations over seeds": (seeds_table(section), []),
        "Pairs": (pairs_table(section), []),
    }
    parts = [_table(section_table(section))]
    for title, (table, texts) in tables.items():
        if table.rows:
            parts += [f"### {title}", _table(table), *(_wrapped("", escaped(text)) for text in texts)]
    return [*parts, *(_wrapped("", escaped(text)) for text in pairs_text(section))]


def _reading_source(source: str | None) -> list[str]:
    return [] if source is None else [f"Reading: {source}"]


def _table(table: Table) -> str:
    """The table, and its notes as a numbered list."""
    rows = [[escaped(cell) for cell in row] for row in table.rows]
    text = aligned(
        table.headings, rows, ["left" if heading in table.left else "right" for heading in table.headings]
    )
    notes = [_wrapped(f"{number}. ", escaped(note)) for number, note in enumerate(table.notes, start=1)]
    return "\n\n".join(part for part in (text, "\n".join(notes)) if part)


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str]) -> str:
    """Return a Markdown table whose columns are as wide as what is in them; cells are `escaped` already."""
    from tabulate import tabulate

    # the headings go in as a row, since tabulate makes columns wider than headings of its own
    lines = tabulate([headings, *rows], tablefmt="pipe", colalign=align, disable_numparse=True).splitlines()
    return "\n".join([lines[1], lines[0], *lines[2:]])


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(_wrapped("- ", escaped(text)) for text in texts)


def escaped(text: str) -> str:
    """Return `text` on one line, with nothing left that Markdown would take for its own.

    >>> escaped("a_b | *c*")
    'a_b \\\\| \\\\*c\\\\*'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return SPECIAL.sub(lambda match: match[0] if match["plain"] else "\\" + match[0], line)


def _wrapped(mark: str, text: str) -> str:
    """Lines of at most `WIDTH` characters, a list's mark before the first."""
    lines = textwrap.wrap(text, WIDTH - len(mark), break_long_words=False, break_on_hyphens=False) or [""]
    return mark + ("\n" + " " * len(mark)).join([lines[0], *map(_continued, lines[1:])])


def _continued(line: str) -> str:
    """A line that would begin a list or heading of its own, kept from it."""
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", re.sub(r"^([-+#=])", r"\\\1", line))


def index_page(boards: Sequence[Board], links: Sequence[str], verdicts: Mapping[str, str]) -> str:
    """Return one line a board: its best row and where it is; then where each dataset's verdicts are."""
    rows = []
    for number, board in enumerate(boards, start=1):
        name = f"[{escaped(board.dataset)}, {escaped(board.protocol)}][{number}]"
        rows.append([name, *_best(board), ", ".join(map(str, board.seeds))])
    headings = ["Board", "Recipe", "Best", "F1", "Seeds"]
    text = aligned(headings, rows, ["left", "left", "left", "right", "left"])
    said = "Best: rank 1 by F1 (percent, of the first) of the most thorough recipe with a ranked row."
    places = [f"[{number}]: {quote(link)}" for number, link in enumerate(links, start=1)]
    parts = ["# Boards", text, "\n".join(places), said]
    if verdicts:
        links = ", ".join(f"[{escaped(name)}]({quote(link)})" for name, link in verdicts.items())
        parts.append(f"Verdicts on published tables: {links}.")
    return "\n\n".join(parts) + "\n"


def _best(board: Board) -> list[str]:
    """Recipe, the method that leads those of rank 1, and its F1 with its interval."""
    for section in board.sections:
        first = [row for row in section.rows if row.rank == 1]
        if first and first[0].means is not None:
            others = f" and {len(first) - 1} more" if len(first) > 1 else ""
            methods = escaped(first[0].shown) + others
            value = escaped(with_interval(RANKED_BY, first[0].means[RANKED_BY]))
            return [escaped(section.recipe), methods, value]
    return ["-", "none ranked", "-"]
