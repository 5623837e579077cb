"""Cells of a table that somebody typed or copied: CSV in its dialects, Markdown, LaTeX."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import DataError

__all__ = ["MOST_BYTES", "TYPED", "Line", "check_readable", "grids"]

MOST_BYTES = 1_000_000
"""Of one file."""

MOST_TABLES = 100
"""Of one file."""

MOST_CELLS = 10_000
"""Of one line."""

LONGEST_CELL = 1000
"""Characters: what is looked for in a cell costs the square of its length."""

SEPARATED = (".csv", ".tsv")
MARKDOWN = (".md", ".markdown", ".txt")
LATEX = (".tex",)
TYPED = (*SEPARATED, *MARKDOWN, *LATEX)
"""Endings of files that are read here."""

Line = tuple[int, list[str]]
"""The number of a line in its file, and its cells."""

ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
"""By the mark at the beginning; spreadsheets write the second as 'Unicode text'."""


def check_readable(path: Path) -> None:
    """Raise `DataError` in one line for a file that is not there, no file, or too large."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise DataError(f"{str(path)!r} is no file")
    if size > MOST_BYTES:
        raise DataError(f"{str(path)!r} has {size} bytes; a table to verify has at most {MOST_BYTES}")


def grids(path: Path) -> list[list[Line]]:
    """Return the tables in a file, headings first, columns and rows without any text left out.

    Raises `DataError` in one line, for what is no table and for one that is larger than any that was printed.
    """
    check_readable(path)
    text, ending = _text(path), path.suffix.lower()
    if ending in SEPARATED:
        found, what = [_separated(text, str(path))], "no rows"
    elif ending in LATEX:
        found, what = list(_latex_tables(text)), "no LaTeX table (\\begin{tabular} to \\end{tabular})"
    else:
        found = list(_pipe_tables(text))
        what = "no Markdown table (lines with | and a line of dashes under the headings)"
    found = [grid for grid in found if grid]
    if not found:
        raise DataError(f"{str(path)!r}: {what}")
    if len(found) > MOST_TABLES:
        raise DataError(f"{str(path)!r} has {len(found)} tables; at most {MOST_TABLES} are verified at once")
    for grid in found:
        _check_cells(grid, str(path))
    return [_trimmed(grid) for grid in found]


def _check_cells(grid: Sequence[Line], where: str) -> None:
    for number, cells in grid:
        if len(cells) > MOST_CELLS:
            raise DataError(f"{where!r}, line {number}: {len(cells)} cells; expected at most {MOST_CELLS}")
        longest = max(map(len, cells))
        if longest > LONGEST_CELL:
            raise DataError(
                f"{where!r}, line {number}: a cell of {longest} characters; expected at most {LONGEST_CELL}"
            )


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    encoding = next((name for mark, name in ENCODINGS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{str(path)!r} is no UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8"
        ) from error
    if "\0" in text:
        raise DataError(f"{str(path)!r} is no text: it holds a zero byte; save it as UTF-8")
    return text


def _trimmed(grid: Sequence[Line]) -> list[Line]:
    """The same without columns at the end that hold nothing, as a separator at the end of each line makes them."""
    lines = [(number, list(cells)) for number, cells in grid]
    while all(not cells[-1] for _, cells in lines) and len({len(cells) for _, cells in lines}) == 1:
        if len(lines[0][1]) == 1:
            break
        for _, cells in lines:
            cells.pop()
    return lines


def _separated(text: str, where: str) -> list[Line]:
    lines = text.splitlines()
    stated = re.fullmatch(r"sep=(.)", lines[0].strip()) if lines else None  # as Excel writes and reads it
    first = next((line for line in lines if line.strip()), "")
    delimiter = stated[1] if stated else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        return [
            (reader.line_num, [cell.strip() for cell in cells])
            for cells in reader
            if any(cell.strip() for cell in cells) and not (stated and reader.line_num == 1)
        ]
    except csv.Error as error:
        raise DataError(f"{where!r}, line {reader.line_num}: no CSV: {error}") from error


def _pipe_tables(text: str) -> Iterator[list[Line]]:
    """Each Markdown table: a line of headings, a line of dashes, then its rows."""
    lines = [_pipe_cells(line) for line in text.splitlines()]
    place = 0
    while place < len(lines):
        table: list[Line] = []
        if lines[place] and place + 1 < len(lines) and _is_rule(lines[place + 1]):
            table.append((place + 1, lines[place]))
            width = len(lines[place])
            place += 2
            while place < len(lines) and lines[place]:
                if any(lines[place]):
                    missing = [""] * (width - len(lines[place]))  # cells at the end may be left out
                    table.append((place + 1, lines[place] + missing))
                place += 1
            yield table
        else:
            place += 1


def _pipe_cells(line: str) -> list[str]:
    if "|" not in line:
        return []
    inner = line.strip().removeprefix("|").removesuffix("|")
    cells = re.split(r"(?<!\\)\|", inner)  # a pipe after a backslash belongs to a name
    return [cell.replace("\\|", "|").strip() for cell in cells]


def _is_rule(cells: Sequence[str]) -> bool:
    return bool(cells) and all(re.fullmatch(r":?-+:?", cell) for cell in cells)


RULES = re.compile(
    r"\\(hline|toprule|midrule|bottomrule|cline|cmidrule|addlinespace)\b"
    r"(\([a-z]{1,9}\))?(\[[^]]{0,40}\])?(\{[^}]{0,40}\})?"
)
MANY_COLUMNS = re.compile(
    r"\\multicolumn\s*\{(\d{1,2})\}\s*\{[^}]{0,99}\}\s*\{((?:[^{}]|\{[^{}]{0,999}\}){0,999})\}"
)
MANY_ROWS = re.compile(
    r"\\multirow\s*(?:\[[^]]{0,40}\])?\s*\{[^}]{0,40}\}\s*\{[^}]{0,40}\}"
    r"\s*\{((?:[^{}]|\{[^{}]{0,999}\}){0,999})\}"
)
MARKS = re.compile(
    r"\\(?:cite[a-z]*|footnotemark|tnote|ref|label|textsuperscript|vspace)(?:\[[^]]{0,99}\])?(\{[^{}]{0,999}\})?"
)
ROW_ENDS = re.compile(r"\\\\(?:\[[^]]{0,40}\])?|\\tabularnewline")
COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
"""From a percent sign that no backslash escapes; two backslashes before it end a row."""

TABULAR = re.compile(r"\\begin\{tabular[x*]?\}(.*?)\\end\{tabular[x*]?\}", re.DOTALL)
TABULAR_ENDS = re.compile(r"\\end\{tabular[x*]?\}")


def _latex_tables(text: str) -> Iterator[list[Line]]:
    """Each `tabular` of LaTeX, a line up to its two backslashes; of commands only what they enclose stays."""
    text = COMMENT.sub(r"\1", text)
    ends = max((match.end() for match in TABULAR_ENDS.finditer(text)), default=0)
    number, place = 1, 0
    for match in TABULAR.finditer(
        text, 0, ends
    ):  # beyond the last end every beginning would be read to the file's
        number, place = number + text.count("\n", place, match.start(1)), match.start(1)
        yield list(_latex_lines(match[1], number))


def _latex_lines(body: str, number: int) -> Iterator[Line]:
    """The lines of a `tabular` whose body begins in the line `number` of the file."""
    rest = _without_columns(body)
    number += body[: len(body) - len(rest)].count("\n")
    for row in ROW_ENDS.split(rest):
        spread = MANY_COLUMNS.sub(lambda m: m[2] + " &" * (int(m[1]) - 1), RULES.sub("", row))
        cells = [_latex_text(cell) for cell in re.split(r"(?<!\\)&", spread)]
        if any(cells):
            yield number + row[: len(row) - len(row.lstrip())].count("\n"), cells
        number += row.count("\n")


def _without_columns(body: str) -> str:
    """The body without what says how wide and how aligned its columns are: groups up to the first line's end."""
    depth = 0
    for place, letter in enumerate(body):
        depth += (letter in "{[") - (letter in "}]")
        if depth == 0 and letter not in "}] \t":
            return body[place:]
    return ""


def _latex_text(cell: str) -> str:
    """What a cell of LaTeX shows, as far as names and numbers go."""
    cell = MARKS.sub("", MANY_ROWS.sub(r"\1", cell))
    cell = (
        cell.replace("\\pm", "±")
        .replace("\\%", "%")
        .replace("\\&", "&")
        .replace("~", " ")
        .replace("\\,", " ")
    )
    cell = cell.replace("\\_", "_").replace("--", "-").replace("\\dagger", "†").replace("\\ddagger", "‡")
    cell = re.sub(r"\\[A-Za-z]+\*?", "", cell)
    return " ".join(re.sub(r"[{}$]", "", cell).split())
