"""LaTeX of boards: tables to input into a paper that loads booktabs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.board_tables import (
    Table,
    comparison_table,
    facts,
    legend,
    other_metrics_table,
    pairs_table,
    pairs_text,
    reading_text,
    section_table,
    seeds_table,
)
from harness.reliability_tables import reliability_tables

if TYPE_CHECKING:
    from harness.boards import Board, Section

__all__ = ["escaped", "tables"]

REPLACED = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",
    "]": "{]}",
    "`": "{`}",
    "±": r"$\pm$",
}
"""What LaTeX would take for its own; a bracket after a line's end would be an argument of it."""

TOLD = ("Split", "Images", "Reading", "Intervals", "Caution")
"""Which of a board's facts stand below its tables."""

HEAD = r"""% \input this below \usepackage{booktabs}. What pdfLaTeX's fonts lack appears as its code point there,
% as itself with LuaLaTeX and XeLaTeX.
"""


def tables(board: Board) -> str:
    """Return the table environments of each recipe and one a comparison."""
    where = f"{board.title}, {board.protocol} split"
    about = [f"{what}: {text.rstrip('.')}." for what, text in facts(board) if what in TOLD]
    made = []
    for section in board.sections:
        caption = f"{where}, recipe {section.recipe}."
        made.append(_environment(section_table(section), caption, [*legend(board), *about]))
        made += _more(section, f"{where}, recipe {section.recipe}")
    made += [
        _environment(
            comparison_table(comparison),
            f"{where}, beside {comparison.table.title}.",
            [reading_text(board, comparison.table.reading), f"Source: {comparison.table.source}."],
        )
        for comparison in board.comparisons
    ]
    return HEAD + "".join(f"\n{text}" for text in made)


def _more(section: Section, where: str) -> list[str]:
    """What has no room beside the ranks."""
    texts = pairs_text(section)
    tables = [
        (other_metrics_table(section), "other metrics", []),
        *((table, title.lower(), below) for title, (table, below) in reliability_tables(section).items()),
        (seeds_table(section), "standard deviations over seeds", []),
        (pairs_table(section), "pairs", texts),
    ]
    return [_environment(table, f"{where}, {what}.", below) for table, what, below in tables if table.rows]


def _environment(table: Table, caption: str, texts: Iterable[str]) -> str:
    columns = "".join("l" if heading in table.left else "r" for heading in table.headings)
    notes = [f"({number}) {note}" for number, note in enumerate(table.notes, start=1)]
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line(table.headings),
        r"\midrule",
        *map(_line, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\raggedright {escaped(text)}" for text in [*texts, *notes]),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def escaped(text: str) -> str:
    r"""Return `text` on one line, as pdfLaTeX, LuaLaTeX and XeLaTeX print it.

    >>> escaped("50 % of a_b & c")
    '50 \\% of a\\_b \\& c'
    """
    line = unicodedata.normalize("NFC", text)
    line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    return re.sub("-(?=-)", "-{}", "".join(_escaped(character) for character in line))


def _escaped(character: str) -> str:
    if character in REPLACED:
        return REPLACED[character]
    if character.isascii() or _latin(character):
        return character
    return rf"\ifdefined\Umathchar {character}\else {{[}}U+{ord(character):04X}{{]}}\fi{{}}"


def _latin(character: str) -> bool:
    """Letters with accents up to U+017F: those the fonts of pdfLaTeX know."""
    return character.isalpha() and "\u00c0" <= character <= "\u017f"
