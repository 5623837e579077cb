"""What `harness verify` says, as Markdown that reads well in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from harness.board_markdown import aligned as _table
from harness.board_markdown import escaped
from harness.board_tables import HEADINGS
from harness.claims import Claim, ClaimTable
from harness.feasibility import Conflict, Fits
from harness.matrices import VERIFIABLE, Matrix, Rounding
from harness.published import Tolerance
from harness.verdicts import CellVerdict, RowVerdicts
from harness.verify_findings import RowFinding
from harness.verify_together import together, words

__all__ = [
    "CANNOT_TELL",
    "NAMES",
    "Verified",
    "report",
    "row_facts",
]

WIDTH = 110

NAMES = HEADINGS | {
    **{name: name.replace("_", " ").replace("f1", "F1") for name in VERIFIABLE},
    "auc": "AUC",
    "npv": "NPV",
    "mcc": "MCC",
    "fit_seconds": "training, s",
    "predict_seconds_per_image": "prediction, s an image",
}

SHOWN = 3
"""Matrices, and sets of wrong cells, that the Markdown names; the JSON lists more."""

ROUNDED = {
    "nearest": "rounded to the nearest (a tie either way)",
    "truncate": "cut off after the last printed digit",
    "either": "rounded or cut off, each cell for itself",
}

CANNOT_TELL = (
    "A matrix that fits is possible, not proven: nobody has shown that the run gave it.",
    "A row that fits none was not necessarily made up: a slip of the pen, another test part, means over "
    "several runs, another rounding or averages over the classes look the same from here.",
    "Which of several smallest sets of cells is the wrong one, and whether more cells than those are wrong.",
    "Anything of an AUC of scores: it depends on the order of all images, not on the matrix. It is held to "
    "the matrix only where the source computes it from hard labels (--auc hard-labels).",
    "Whether training and test part had patients in common, or the test part was looked at while training.",
)


@dataclass(frozen=True)
class Verified:
    """A table with its findings, row by row, and the verdicts; none for a table without a dataset."""

    table: ClaimTable
    rounding: Rounding
    findings: tuple[RowFinding, ...]
    verdicts: tuple[RowVerdicts, ...] | None


def report(tables: Sequence[Verified]) -> str:
    """Return the Markdown: each table with its rows and verdicts, then what cannot be told."""
    parts = [part for verified in tables for part in _table_parts(verified)]
    parts += ["## What this cannot tell", "\n".join(_bullets(CANNOT_TELL))]
    return "\n\n".join(parts) + "\n"


def _table_parts(verified: Verified) -> Iterator[str]:
    table = verified.table
    yield f"# {escaped(table.title)}"
    yield "\n".join(_bullets(_facts(verified)))
    yield "\n\n".join(_summary(verified))
    for finding in verified.findings:
        claim = finding.claim
        printed = ", ".join(f"{NAMES[name]} {text}" for name, text in claim.printed.items())
        yield f"## {escaped(claim.method)}: {finding.word}"
        yield "\n".join(_bullets([f"Printed: {printed or 'no figure'}.", *row_facts(finding, table)]))
    yield "## Verdicts"
    if verified.verdicts is None:
        yield _wrapped("", "None: this table names no dataset, so nothing of ours stands beside it.")
        return
    yield from _verdict_parts(verified)


def _facts(verified: Verified) -> Iterator[str]:
    table = verified.table
    least, most = table.sizes
    size = f"{least} to {most}" if least < most else str(least)
    yield f"Source: {table.source}"
    yield f"Reading: {table.reading.words}."
    yield f"Searched: all test parts of {size} images, any number of them positive ({table.why_sizes})."
    for whose, counts in table.tests:
        by_class = " + ".join(f"{count} {name}" for name, count in counts.items())
        yield f"And {whose}: {by_class}, either class as positive."
    yield f"Figures are taken to be {ROUNDED[verified.rounding]}. Matrices are TP/FN/FP/TN."


def _summary(verified: Verified) -> Iterator[str]:
    """How many matrices fit each row, where; then the test parts that the rows fit together."""
    first = max((finding.splits for finding in verified.findings), key=len)
    headings = ["Row", "In a word", "In the range"]
    headings += [f"{split.positives} {split.positive} + {split.negatives}" for split in first]
    lines = []
    for finding in verified.findings:
        counts = ["-" if finding.in_range is None else f"{finding.in_range.count:,}"]
        counts += [f"{split.fits.count:,}" for split in finding.splits] or ["-"] * len(first)
        lines.append([escaped(finding.claim.method), finding.word, *counts])
    align = ["left", "left", *["right"] * (len(headings) - 2)]
    said = ", on each test part (positive + negative images)" if first else ""
    yield f"Matrices that fit{said}:\n\n{_table([escaped(text) for text in headings], lines, align)}"
    found = together(verified.findings)
    if found is not None:
        yield _wrapped("", escaped(words(found)))


def row_facts(finding: RowFinding, table: ClaimTable) -> Iterator[str]:
    """Yield what is said below a row, a sentence each: what was left out, what contradicts it, what fits where."""
    spread = finding.claim.spread
    left_out = [
        NAMES[name] for name in finding.claim.figures if name not in finding.checked and name not in spread
    ]
    if left_out:
        yield f"Not held to the matrix: {', '.join(left_out)} ({_why_left_out(table)})."
    if spread:
        names = ", ".join(NAMES[name] for name in finding.claim.figures if name in spread)
        yield f"Not held to the matrix: {names} (printed with a deviation: a mean of runs is of no one matrix)."
    for name in finding.contradictions:
        yield f"{NAMES[name]} contradicts the row itself: {_contradicted(finding, name)}."
    if finding.in_range is None:
        yield f"Over the range of sizes: not searched: {finding.not_searched}."
    else:
        wrong = _conflicts_text(finding.in_range, finding.conflicts, finding.claim, with_sizes=True)
        yield f"Over the range of sizes: {_fitting(finding.in_range, with_sizes=True)}{wrong}."
    for average, found in finding.as_averages:
        yield f"With precision, recall and F1 as {average} averages over the classes: {_fitting(found, True)}."
    for split in finding.splits:
        where = f"{split.positives} {split.positive} (positive) + {split.negatives}"
        yield f"{where}: {_fitting(split.fits)}{_conflicts_text(split.fits, split.conflicts, finding.claim)}."


def _why_left_out(table: ClaimTable) -> str:
    if table.reading.auc == "scores":
        return "of scores, so the matrix does not determine it"
    return "whether it is of scores or of hard labels is not known"


def _contradicted(finding: RowFinding, name: str) -> str:
    if name == "accuracy":
        texts = finding.claim.printed
        return f"{texts[name]} is not between recall {texts['recall']} and specificity {texts['specificity']}"
    pair = ("precision", "recall") if name == "f1" else ("recall", "specificity")
    one, other = (finding.checked[of].share for of in pair)
    mean = 2 * one * other / (one + other) if name == "f1" and one + other else (one + other) / 2
    printed = finding.claim.printed
    said = f"{NAMES[pair[0]]} {printed[pair[0]]} and {NAMES[pair[1]]} {printed[pair[1]]}"
    return f"{said} give {_as_printed(mean, name, finding.claim)}, not {printed[name]}"


def _fitting(found: Fits, with_sizes: bool = False) -> str:
    if not found.count:
        return "no matrix fits"
    shown = [_matrix(matrix, with_sizes) for matrix in found.matrices[:SHOWN]]
    if found.count == 1:
        return f"one matrix fits: {shown[0]}"
    more = ", ..." if found.count > len(shown) else ""
    return f"{found.count:,} matrices fit: {', '.join(shown)}{more}"


def _matrix(matrix: Matrix, with_sizes: bool) -> str:
    if not with_sizes:
        return str(matrix)
    return f"{matrix} ({matrix.tp + matrix.fn} positive + {matrix.fp + matrix.tn})"


def _conflicts_text(
    found: Fits, conflicts: tuple[Conflict, ...] | None, claim: Claim, with_sizes: bool = False
) -> str:
    if found.count or conflicts == ():
        return ""
    if conflicts is None:
        return "; which cells must be wrong was not searched: too many test images and cells"
    size = len(conflicts[0].metrics)
    cells = "one cell" if size == 1 else f"{size} cells"
    shown = [_conflict(conflict, claim, with_sizes) for conflict in conflicts[:SHOWN]]
    more = f" or {len(conflicts) - SHOWN} other sets" if len(conflicts) > SHOWN else ""
    return f"; at least {cells} must be wrong: {' or '.join(shown)}{more}"


def _conflict(conflict: Conflict, claim: Claim, with_sizes: bool) -> str:
    names = " and ".join(NAMES[name] for name in conflict.metrics)
    if conflict.fits.count > 1:
        fitting = _fitting(conflict.fits, with_sizes)
        return f"{names} ({fitting.replace('matrices fit', 'matrices fit the rest')})"
    matrix = conflict.fits.matrices[0]
    instead = [_implied(matrix, name, claim) for name in conflict.metrics]
    return f"{names} ({_matrix(matrix, with_sizes)} fits the rest and gives {', '.join(instead)})"


def _implied(matrix: Matrix, name: str, claim: Claim) -> str:
    value = matrix.metric(name)
    text = "none (0/0)" if value is None else _as_printed(value, name, claim)
    return f"{NAMES[name]} {text}"


def _as_printed(value: Fraction, name: str, claim: Claim) -> str:
    """A share with the digits, and in the unit, of a printed figure."""
    figure = claim.figures[name]
    decimals = len(str(figure.scale)) - (1 if name in claim.fractions else 3)
    if value < 0:
        return f"-{_as_printed(-value, name, claim)}"
    units = int(value * figure.scale + Fraction(1, 2))
    if decimals <= 0:
        return str(units * 10**-decimals)
    return f"{units // 10**decimals}.{units % 10**decimals:0{decimals}d}"


def _verdict_parts(verified: Verified) -> Iterator[str]:
    published = verified.table.published
    tolerance = None if published is None else published.tolerance
    if tolerance is None:
        within = "REPRODUCED: ours prints the same figure (the table states no tolerance)."
    else:
        within = (
            f"REPRODUCED: ours within {tolerance.reproduced:g} percentage points of the printed figure "
            f"({escaped(tolerance.reason)}){_written(tolerance)}."
        )
    yield _wrapped(
        "",
        f"{within} WITHIN INTERVAL: the printed figure in the 95 % interval of ours. Else BETTER or WORSE. "
        "Times: BETTER is faster, no more.",
    )
    yield _verdict_table([v for v in verified.verdicts or () if not _one_reason(v)])
    cautions = [f"{v.method} ({v.ours}): {v.caution}." for v in verified.verdicts or () if v.caution]
    if cautions:
        yield "\n".join(_bullets(cautions))
    skipped = [v for v in verified.verdicts or () if _one_reason(v)]
    if skipped:
        yield "\n".join(_bullets(_not_run(v) for v in skipped))


def _written(tolerance: Tolerance) -> str:
    return "" if tolerance.written is None else f", written {tolerance.written:%Y-%m-%d %H:%M %Z}"


def _one_reason(row: RowVerdicts) -> bool:
    return all(cell.verdict == "NOT RUN" for cell in row.cells) and len({c.reason for c in row.cells}) == 1


def _not_run(row: RowVerdicts) -> str:
    names = ", ".join(NAMES[cell.name] for cell in row.cells)
    ours = "" if row.ours is None else f" ({row.ours})"
    return f"{row.method}{ours}: NOT RUN ({names}): {row.cells[0].reason}."


def _verdict_table(rows: Sequence[RowVerdicts]) -> str:
    """One line a cell below the pair of rows it belongs to, reasons numbered below."""
    if not rows:
        return "No row of ours is judged."
    headings = ["Cell", "Printed", "Here", "95 % interval", "Verdict", "Note"]
    notes: list[str] = []
    lines = []
    for row in rows:
        lines.append([f"{row.method}, ours {row.ours}", *[""] * (len(headings) - 1)])
        for cell in row.cells:
            if cell.reason is not None and cell.reason not in notes:
                notes.append(cell.reason)
            note = "" if cell.reason is None else str(notes.index(cell.reason) + 1)
            lines.append([f"- {NAMES[cell.name]}", *_cell_texts(cell), note])
    cells = [[escaped(str(text)) for text in line] for line in lines]
    table = _table(headings, cells, ["left", "right", "right", "left", "left", "left"])
    numbered = [_wrapped(f"{number}. ", escaped(note)) for number, note in enumerate(notes, start=1)]
    return "\n\n".join(part for part in (table, "\n".join(numbered)) if part)


def _cell_texts(cell: CellVerdict) -> list[str]:
    seconds = cell.name.startswith(("fit_", "predict_"))
    ours = "-" if cell.ours is None else f"{cell.ours:.4g}" if seconds else f"{cell.ours:.2f}"
    interval = "" if cell.interval is None else f"{cell.interval[0]:.1f} to {cell.interval[1]:.1f}"
    return [f"{cell.published:g}", ours, interval, cell.verdict]


def _bullets(texts: Iterable[str]) -> Iterator[str]:
    return (_wrapped("- ", escaped(text)) for text in texts)


def _wrapped(mark: str, text: str) -> str:
    indent = " " * len(mark)
    return mark + f"\n{indent}".join(
        textwrap.wrap(text, WIDTH - len(mark), break_long_words=False, break_on_hyphens=False) or [""]
    )
