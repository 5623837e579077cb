"""Published tables as the page shows them: each printed figure beside ours, and what arithmetic says of its row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.feasibility import Fits
from harness.published import PUBLISHED_TIMES
from harness.report.figures import Scale
from harness.verdicts import CellVerdict, RowVerdicts, Verdict
from harness.verify_findings import RowFinding
from harness.verify_report import NAMES, Verified, row_facts
from harness.verify_together import together, words

__all__ = ["JudgedCell", "JudgedRow", "PaperRow", "PaperTable", "paper_tables"]


@dataclass(frozen=True)
class JudgedCell:
    """One printed figure beside ours; `at`, `printed_at`, `low`, `high` are percent of the column's width."""

    cell: CellVerdict
    ours: str
    difference: str
    bounds: str
    at: float | None = None
    printed_at: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class JudgedRow:
    """One of our rows beside a published one; None in `cells` where the paper printed nothing."""

    ours: str
    cells: tuple[JudgedCell | None, ...]
    caution: str | None
    not_run: str | None


@dataclass(frozen=True)
class PaperRow:
    """A published row: what it printed, whether it is possible, what became of it here."""

    method: str
    printed: tuple[str, ...]
    possible: str
    impossible: bool
    summary: str
    facts: tuple[str, ...]
    judged: tuple[JudgedRow, ...]


@dataclass(frozen=True)
class PaperTable:
    """A published table; `names` head the columns that any of its rows printed.

    `together` says which rows can be right about one test part, None where there are fewer than two to compare.
    """

    verified: Verified
    names: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    counts: tuple[tuple[str, int], ...]
    together: str | None


def paper_tables(verified: Iterable[Verified]) -> tuple[PaperTable, ...]:
    """Return the tables as the page shows them."""
    return tuple(map(_table, verified))


def _table(verified: Verified) -> PaperTable:
    verdicts = verified.verdicts or ()
    printed = {name for claim in verified.table.rows for name in claim.figures}
    timed = {cell.name for row in verdicts for cell in row.cells if cell.name in PUBLISHED_TIMES}
    columns = [name for name in NAMES if name in printed | timed]
    scales = {name: _scale(name, verdicts) for name in columns}
    rows = tuple(_row(finding, verified, columns, scales) for finding in verified.findings)
    said_of = [cell.verdict for row in verdicts for cell in row.cells]
    counts = tuple((verdict, said_of.count(verdict)) for verdict in DOING if verdict in said_of)
    found = together(verified.findings)
    said = None if found is None else words(found)
    return PaperTable(verified, tuple(NAMES[name] for name in columns), rows, counts, said)


def _scale(name: str, verdicts: Iterable[RowVerdicts]) -> Scale:
    cells = [cell for row in verdicts for cell in row.cells if cell.name == name and cell.ours is not None]
    ends = [
        end
        for cell in cells
        for end in (cell.published, cell.ours, *(cell.interval or ()))
        if end is not None
    ]
    return Scale(min(ends) - 0.5, max(ends) + 0.5) if ends else Scale(0.0, 100.0)


def _row(
    finding: RowFinding, verified: Verified, columns: Sequence[str], scales: Mapping[str, Scale]
) -> PaperRow:
    claim, possible = finding.claim, finding.word
    rows = [row for row in verified.verdicts or () if row.method == claim.method]
    times = {cell.name: f"{cell.published:g}" for row in rows for cell in row.cells}
    return PaperRow(
        method=claim.method,
        printed=tuple(claim.printed.get(name, times.get(name, "")) for name in columns),
        possible=possible,
        impossible=finding.possible is False,
        summary=_summary(finding, verified, rows),
        facts=tuple(row_facts(finding, verified.table)),
        judged=tuple(_judged(row, columns, scales) for row in rows),
    )


def _summary(finding: RowFinding, verified: Verified, rows: Sequence[RowVerdicts]) -> str:
    """Is the row possible, and what became of it here: a sentence each."""
    told = [f"{row.ours} {_done(row)}" for row in rows if row.ours is not None]
    ours = f"Here {'; '.join(told)}" if told else "Nothing of ours stands beside it"
    return f"{_arithmetic(finding, verified)} {ours}."


def _arithmetic(finding: RowFinding, verified: Verified) -> str:
    """How many matrices print as the row does: on the stated test part, and over the range of sizes."""
    said = [
        f"{fits.count:,} {where}" if fits.count else f"none {where}"
        for fits, where in _searched(finding, verified)
    ]
    if not said:
        return f"Whether a confusion matrix prints as this row does was not decided: {finding.not_searched}."
    text = f"Confusion matrices that print as this row does: {', '.join(said)}."
    conflicts = next((split.conflicts for split in finding.splits if split.conflicts), None)
    if finding.possible is False and conflicts:
        text += f" On that test part at least {len(conflicts[0].metrics)} of its figures must be wrong."
    return text


def _searched(finding: RowFinding, verified: Verified) -> Iterator[tuple[Fits, str]]:
    positive = verified.table.reading.positive
    for split in finding.splits[:2]:
        if positive in (None, split.positive):
            yield (
                split.fits,
                f"of {split.positives} {split.positive} (positive) + {split.negatives} test images",
            )
    if finding.in_range is not None:
        least, most = verified.table.sizes
        sizes = f"{least} to {most}" if least < most else str(least)
        yield finding.in_range, f"over all test parts of {sizes} images"


DOING: Mapping[Verdict, str] = {
    "REPRODUCED": "reproduces",
    "WITHIN INTERVAL": "agrees within its interval in",
    "BETTER": "is better in",
    "WORSE": "is worse in",
    "NOT RUN": "has no verdict in",
}
"""Each verdict as a verb."""


def _done(row: RowVerdicts) -> str:
    """What a row of ours does with the printed metrics, times apart."""
    metrics = [cell for cell in row.cells if cell.name not in PUBLISHED_TIMES]
    said = []
    for word, verb in DOING.items():
        names = [NAMES[cell.name] for cell in metrics if cell.verdict == word]
        if names:
            said.append(
                f"{verb} {f'all {len(names)} metrics' if len(names) == len(metrics) > 1 else _listed(names)}"
            )
    return ", ".join(said)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _judged(row: RowVerdicts, columns: Sequence[str], scales: Mapping[str, Scale]) -> JudgedRow:
    cells = {cell.name: _cell(cell, scales[cell.name]) for cell in row.cells}
    reasons = {cell.reason for cell in row.cells}
    skipped = all(cell.verdict == "NOT RUN" for cell in row.cells) and len(reasons) == 1
    return JudgedRow(
        ours=row.ours or "nothing of ours",
        cells=tuple(cells.get(name) for name in columns),
        caution=row.caution,
        not_run=row.cells[0].reason if skipped else None,
    )


def _cell(cell: CellVerdict, scale: Scale) -> JudgedCell:
    if cell.ours is None:
        return JudgedCell(cell, "-", "", "")
    if cell.name in PUBLISHED_TIMES:
        return JudgedCell(cell, f"{cell.ours:.3g}", _times(cell.ours, cell.published), "")
    low, high = cell.interval or (None, None)
    return JudgedCell(
        cell,
        ours=f"{cell.ours:.2f}",
        # adding 0.0 turns the -0.0 of a rounded difference into 0.0
        difference=f"{round(cell.ours - cell.published, 2) + 0.0:+.2f}",
        bounds="" if low is None or high is None else f"[{low:.1f}, {high:.1f}]",
        at=scale.place(cell.ours),
        printed_at=scale.place(cell.published),
        low=None if low is None else scale.place(low),
        high=None if high is None else scale.place(high),
    )


def _times(ours: float, published: float) -> str:
    """How many times faster or slower ours is.

    >>> _times(0.141, 11.82), _times(3.0, 1.5)
    ('84× faster', '2× slower')
    """
    ratio, word = max(ours, published) / min(ours, published), "faster" if ours < published else "slower"
    return f"{ratio:.0f}× " + word if ratio >= 10 else f"{ratio:.2g}× " + word
