"""A board's files: Markdown, CSV, LaTeX and JSON. The same board gives the same bytes, on any processor."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import board_latex, board_markdown, schemas
from harness.board_cells import Cell
from harness.board_pairs import PAIRED, Pair, Pairs
from harness.board_rows import RANKED_BY, Mean, Row
from harness.comparisons import Comparison, Context
from harness.errors import RecordError
from harness.intervals import LEVEL, Interval
from harness.metrics import METRICS
from harness.paired import ALPHA, POWER
from harness.records import DIGEST, writable
from harness.reliability_tables import reliability_cells, reliability_json
from harness.resamples import RESAMPLES, SEED
from harness.schemas import portable
from harness.verdicts import compared_verdicts

if TYPE_CHECKING:
    from harness.boards import Board

__all__ = ["SCHEMA_VERSION", "file_name", "index", "place", "replaced", "texts", "write_board"]

SCHEMA_VERSION = 2


def texts(board: Board) -> dict[str, str]:
    """Return the files of a board, `DATASET/PROTOCOL` as .md, .csv, .pairs.csv, .tex and .json, by their path."""
    made = {
        ".md": board_markdown.page(board),
        ".csv": comma_separated(board),
        ".pairs.csv": pairs_comma_separated(board),
        ".tex": board_latex.tables(board),
        ".json": schemas.document("board", as_json(board)),
    }
    return {place(board, ending): text for ending, text in made.items()}


def write_board(board: Board, out: Path) -> list[Path]:
    """Write the files of a board below `out`; return their paths.

    Each file appears whole or not at all. Raises `RecordError` in one line when one cannot be written.
    """
    made = texts(board)
    with writable(out):
        return [replaced(out / path, text) for path, text in made.items()]


def index(boards: Sequence[Board], judged: Sequence[str] = ()) -> str:
    """Return the Markdown overview: the best row of each board, where it is, and where verdicts are.

    `judged` are the datasets whose published tables have verdicts.
    """
    links = [place(board, ".md") for board in boards]
    return board_markdown.index_page(
        boards, links, {name: f"{file_name(name)}/verdicts.md" for name in judged}
    )


def place(board: Board, ending: str) -> str:
    """Return where a file of a board lies below the output folder."""
    return f"{file_name(board.dataset)}/{file_name(board.protocol)}{ending}"


def file_name(name: str) -> str:
    """Return a name as one part of a path: 'external:covid-ct' becomes 'external-covid-ct', '../x' becomes 'x'."""
    safe = re.sub(r"[^\w.-]+", "-", name).strip(".-")[:100]
    if not safe:
        raise RecordError(f"{name!r} cannot be the name of a board's file")
    return safe


def replaced(path: Path, text: str) -> Path:
    """Write text under a temporary name, then rename it into place; return `path`."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_text(text, "utf-8", newline="")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def comma_separated(board: Board) -> str:
    """Return one line a row: metrics as shares with every digit, empty where undefined."""
    lines = []
    for row in board.rows:
        line = _summary(row) | {"seeds": " ".join(map(str, row.seeds))}
        for metric in METRICS:
            mean = (row.means or {}).get(metric, Mean(None))
            bounds = mean.interval or Interval(None, None, "")
            line |= {metric: mean.value, f"{metric}_sd": mean.sd}
            line |= {f"{metric}_low": portable(bounds.low), f"{metric}_high": portable(bounds.high)}
            line |= {f"{metric}_interval": bounds.method}
        line |= reliability_cells(row)
        lines.append(line | {"notes": "; ".join(row.notes)})
    return _lines(lines, list(lines[0]))


def pairs_comma_separated(board: Board) -> str:
    """Return one line a pair and metric: the difference, its test, and who is better beyond chance."""
    headings = ["recipe", "metric", "first", "second", *_PAIR]
    lines = [
        {"recipe": section.recipe, "metric": metric, "first": pair.first, "second": pair.second}
        | _tested(pair, metric)
        for section in board.sections
        for metric in PAIRED
        for pair in section.pairs.pairs
    ]
    return _lines(lines, headings)


_PAIR = ("difference", "standard_error", "degrees", "p", "p_holm", "better", "method", "reason")


def _tested(pair: Pair, metric: str) -> dict[str, Any]:
    test = pair.tests[metric]
    values = (
        test.difference,
        portable(test.error),
        test.degrees,
        portable(test.p),
        portable(pair.adjusted[metric]),
        pair.better(metric),
        test.method,
        test.reason,
    )
    return dict(zip(_PAIR, values, strict=True))


def _lines(lines: Sequence[Mapping[str, Any]], headings: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, headings, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _summary(row: Row) -> dict[str, Any]:
    return {
        "recipe": row.recipe,
        "rank": row.rank,
        "status": row.status,
        "method": row.method,
        "seeds": row.seeds,
        "trials": None if row.tried is None else min(row.tried.trials),
        "from_scratch": row.from_scratch if row.cells else None,
        "test_images": row.test_images,
        "majority_share": row.majority_share,
        "accuracy_lower_bound": portable(row.bound),
        "fit_seconds": row.fit_seconds,
    }


def as_json(board: Board) -> dict[str, Any]:
    """Return all that is known of a board, its cells with their keys and confusion matrices included."""
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": {
            "name": board.dataset,
            "title": board.title,
            "classes": board.classes,
            "positive": board.positive,
            "licence": board.licence,
            "content": board.content,
            "images": board.images,
            "test": board.test,
        },
        "protocol": {"name": board.protocol, "folds": board.folds},
        "reading": {"positive": board.positive, "auc": "scores", "ranked_by": RANKED_BY},
        "statistics": {
            "level": LEVEL,
            "alpha": ALPHA,
            "power": POWER,
            "resamples": RESAMPLES,
            "resamples_seed": SEED,
        },
        "cautions": board.cautions,
        "devices": board.devices,
        "versions": board.versions,
        "superseded": board.superseded,
        "rows": [_row(row, board.positive) for row in board.rows],
        "pairs": {section.recipe: _pairs(section.pairs) for section in board.sections},
        "comparisons": [_comparison(comparison) for comparison in board.comparisons],
        "not_comparable": [_context(context) for context in board.context],
    }


def _row(row: Row, positive: str | None) -> dict[str, Any]:
    return _summary(row) | {
        "shown": row.shown,
        "tuning": None if row.tried is None else row.tried.as_dict(),
        "metrics": None if row.means is None else _means(row.means),
        **reliability_json(row),
        "notes": row.notes,
        "cells": [_cell(cell, positive) for cell in row.cells],
    }


def _means(means: Mapping[str, Mean]) -> dict[str, Any]:
    return {
        name: {"value": m.value, "sd": m.sd, "reason": m.reason, "interval": _interval(m.interval)}
        for name, m in means.items()
    }


def _interval(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    return asdict(interval) | {"low": portable(interval.low), "high": portable(interval.high)}


def _pairs(pairs: Pairs) -> dict[str, Any]:
    smallest = {metric: pairs.smallest(metric) for metric in PAIRED}
    return {
        "smallest_difference": {
            m: None if s is None else {"alone": portable(s.alone), "adjusted": portable(s.adjusted)}
            for m, s in smallest.items()
        },
        "tests": [
            {
                "first": pair.first,
                "second": pair.second,
                "metrics": {metric: _tested(pair, metric) for metric in PAIRED},
            }
            for pair in pairs.pairs
        ],
    }


def _cell(cell: Cell, positive: str | None) -> dict[str, Any]:
    result = cell.scores(positive)
    return {
        "key": cell.entry.key,
        "manifest_sha256": cell.manifest.get(DIGEST),
        "seed": cell.entry.seed,
        "fold": cell.entry.fold,
        "finished": cell.entry.finished,
        "parameters": cell.manifest["model"]["parameters"],
        "metrics": {m: {"value": result[m].value, "reason": result[m].reason} for m in METRICS},
        "confusion": result.confusion.tolist(),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    lines = [
        {
            "published": None if line.published is None else line.published.method,
            "method": None if line.row is None else line.row.method,
            "recipe": None if line.row is None else line.row.recipe,
            "status": "not run" if line.row is None else line.row.status,
            "ours": _means(line.ours),
            "differences": line.differences,
            "verdicts": None if verdicts is None else {cell.name: cell.verdict for cell in verdicts.cells},
        }
        for line, verdicts in zip(comparison.lines, compared_verdicts(comparison), strict=True)
    ]
    return {
        "table": comparison.table.model_dump(mode="json", by_alias=True),
        "possible": comparison.possible,
        "lines": lines,
    }


def _context(context: Context) -> dict[str, Any]:
    return {"table": context.table.model_dump(mode="json", by_alias=True), "reason": context.reason}
