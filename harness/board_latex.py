"""LaTeX of boards: tables to input into a paper that loads booktabs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from harness.board_comparisons import comparison_table, comparison_texts, reading_text
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
)
from harness.reliability_tables import reliability_tables
from harness.types import digest_of

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

MOST_ROWS = 48
"""Of a table on one page."""

LONGEST_WORD = 40
"""Characters that a line of notes has room for without a place to break."""

HEAD = r"""% \input this below \usepackage{booktabs,graphicx}; without graphicx wide tables run over the margin.
% What pdfLaTeX's fonts lack appears as its code point there, as itself with LuaLaTeX and XeLaTeX.
\ifdefined\boardbox\else\newsavebox{\boardbox}\fi
\providecommand{\boardtable}[1]{\sbox{\boardbox}{#1}\ifdefined\resizebox
\ifdim\wd\boardbox>\textwidth\sbox{\boardbox}{\resizebox{\textwidth}{!}{\usebox{\boardbox}}}\fi
\ifdim\dimexpr\ht\boardbox+\dp\boardbox\relax>.8\textheight
\sbox{\boardbox}{\resizebox*{!}{.8\textheight}{\usebox{\boardbox}}}\fi\fi\usebox{\boardbox}}
"""
"""A table that is too wide or too high for the page is scaled, where graphicx is loaded."""


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
            [
                reading_text(board, comparison),
                *comparison_texts(comparison),
                f"Source: {comparison.table.source}.",
            ],
        )
        for comparison in board.comparisons
    ]
    return HEAD + "".join(f"\n{text}" for text in made)


def _more(section: Section, where: str) -> list[str]:
    """What has no room beside the ranks."""
    texts = pairs_text(section)
    tables = [
        (other_metrics_table(section), "other metrics", []),
        (probabilities_table(section), "probabilities", []),
        *((table, title.lower(), below) for title, (table, below) in reliability_tables(section).items()),
        (cost_table(section), "what it took", []),
        (seeds_table(section), "standard deviations over seeds", []),
        (pairs_table(section), "pairs", texts),
    ]
    return [_environment(table, f"{where}, {what}.", below) for table, what, below in tables if table.rows]


def _environment(table: Table, caption: str, texts: Iterable[str]) -> str:
    """The table as floats of a page at most, and what is to be said of it after them, where it may run over pages."""
    label = f"tab:board-{digest_of(caption)[:8]}"
    pages = list(_pages(table.rows))
    floats = [
        _float(
            table,
            rows,
            rf"\caption{{{escaped(caption)}}}\label{{{label}}}" if not page else _continued(page, pages),
        )
        for page, rows in enumerate(pages)
    ]
    notes = [f"({number}) {note}" for number, note in enumerate(table.notes, start=1)]
    said = [_prose(text) for text in [*texts, *notes]]
    if said:
        said[0] = rf"Table~\ref{{{label}}}. {said[0]}"
        floats.append("{\\footnotesize\\raggedright\n" + "\\par\n".join(said) + "\\par}\n")
    return "".join(floats)


def _pages(rows: Sequence[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    """The rows by page; a row stays together with those below it that begin with a dash."""
    page: list[Sequence[str]] = []
    groups: list[list[Sequence[str]]] = []
    for row in rows:
        if groups and row[0].startswith("- "):
            groups[-1].append(row)
        else:
            groups.append([row])
    for group in groups:
        if page and len(page) + len(group) > MOST_ROWS:
            yield page
            page = []
        page.extend(group)
    if page:
        yield page


def _continued(page: int, pages: Sequence[object]) -> str:
    return rf"{{\footnotesize The same table, part {page + 1} of {len(pages)}.\par}}\smallskip"


def _float(table: Table, rows: Iterable[Sequence[str]], caption: str) -> str:
    columns = "".join("l" if heading in table.left else "r" for heading in table.headings)
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        caption,
        r"\boardtable{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line(table.headings),
        r"\midrule",
        *map(_line, rows),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _prose(text: str) -> str:
    """Escaped, with places to break in words that no line has room for."""
    words = (
        [word[at : at + LONGEST_WORD] for at in range(0, len(word), LONGEST_WORD)] for word in text.split()
    )
    return " ".join(r"\hspace{0pt}".join(map(escaped, parts)) for parts in words)


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
