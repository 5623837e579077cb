"""What `harness verify` found, as JSON: `verdicts.schema.json` says how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.feasibility import LISTED, Conflict, Fits
from harness.schemas import portable
from harness.verdicts import RowVerdicts
from harness.verify_findings import OnSplit, RowFinding
from harness.verify_report import CANNOT_TELL, Verified
from harness.verify_together import Together, together

__all__ = ["SCHEMA_VERSION", "as_json"]

SCHEMA_VERSION = 1


def as_json(tables: Sequence[Verified]) -> dict[str, Any]:
    """Return everything found; of many matrices the first ones, with the count of all."""
    return {
        "schema_version": SCHEMA_VERSION,
        "matrices_listed_at_most": LISTED,
        "tables": [_table_json(verified) for verified in tables],
        "cannot_tell": list(CANNOT_TELL),
    }


def _table_json(verified: Verified) -> dict[str, Any]:
    table = verified.table
    verdicts = verified.verdicts
    return {
        "title": table.title,
        "source": table.source,
        "dataset": table.dataset,
        "positive": table.reading.positive,
        "auc": table.reading.auc,
        "rounding": verified.rounding,
        "sizes": {"least": table.sizes[0], "most": table.sizes[1], "why": table.why_sizes},
        "tests": [{"whose": whose, "images": dict(counts)} for whose, counts in table.tests],
        "rows_together": _together_json(together(verified.findings)),
        "rows": [_finding_json(finding) for finding in verified.findings],
        "verdicts": None if verdicts is None else [_verdicts_json(row) for row in verdicts],
    }


def _verdicts_json(row: RowVerdicts) -> dict[str, Any]:
    cells = [
        asdict(cell) | {"interval": None if cell.interval is None else [portable(b) for b in cell.interval]}
        for cell in row.cells
    ]
    return asdict(row) | {"cells": cells}


def _finding_json(finding: RowFinding) -> dict[str, Any]:
    return {
        "method": finding.claim.method,
        "printed": dict(finding.claim.printed),
        "held_to_the_matrix": list(finding.checked),
        "possible": finding.possible,
        "contradictions": list(finding.contradictions),
        "in_range": None if finding.in_range is None else _fits_json(finding.in_range),
        "not_searched": finding.not_searched,
        "smallest_sets_of_wrong_cells": _conflicts_json(finding.conflicts),
        "as_averages": {average: _fits_json(found) for average, found in finding.as_averages},
        "splits": [_split_json(split) for split in finding.splits],
    }


def _conflicts_json(conflicts: tuple[Conflict, ...] | None) -> list[dict[str, Any]] | None:
    return (
        None
        if conflicts is None
        else [{"metrics": list(c.metrics), "fits": _fits_json(c.fits)} for c in conflicts]
    )


def _split_json(split: OnSplit) -> dict[str, Any]:
    return {
        "whose": split.whose,
        "positive": split.positive,
        "positives": split.positives,
        "negatives": split.negatives,
        "fits": _fits_json(split.fits),
        "smallest_sets_of_wrong_cells": _conflicts_json(split.conflicts),
    }


def _fits_json(found: Fits) -> dict[str, Any]:
    return {"count": found.count, "matrices": [asdict(matrix) for matrix in found.matrices]}


def _together_json(found: Together | None) -> dict[str, Any] | None:
    if found is None:
        return None
    parts = [
        {"positives": p, "negatives": n, "rows": list(methods)} for (p, n), methods in found.parts[:LISTED]
    ]
    return {
        "rows": list(found.rows),
        "at_least_wrong": found.at_odds,
        "test_parts": len(found.parts),
        "first": parts,
    }
