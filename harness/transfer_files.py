"""The page of transfers between datasets, `external.md`, with the same numbers as CSV and JSON."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness import schemas
from harness.board_markdown import aligned, escaped
from harness.board_rows import Row
from harness.board_tables import HEADINGS, NONE, p_value, with_interval
from harness.boards import Board
from harness.intervals import LEVEL
from harness.resamples import RESAMPLES, SEED
from harness.schemas import portable
from harness.transfers import HOME, SHOWN, Change, Difference, Transfers, transfers_of
from harness.types import unique

__all__ = [
    "FILE",
    "NAMES",
    "SAME_IMAGES",
    "SAME_TRAINING",
    "SCHEMA_VERSION",
    "difference_texts",
    "index_line",
    "long_names",
    "reasons",
    "texts",
]

FILE = "external.md"
SCHEMA_VERSION = 1
WIDTH = 110

NAMES = HEADINGS | {"balanced_accuracy": "Balanced accuracy"}

MARK = "†"
"""Behind a score that is not clearly above the majority class."""

LEGEND = (
    f"Percent; in brackets the {100 * LEVEL:.0f} % confidence interval. On the diagonal stands the official split of "
    "the dataset; beside it a model that learned from the same training part and was tested on the other dataset's "
    f"test part (all of its images where its authors give none). {MARK}: not clearly above the majority class."
)

SAME_IMAGES = (
    "Trained elsewhere minus trained on the dataset itself, in percentage points, on the same test images: what "
    "training on another dataset costs. Paired bootstrap, over patients where they are known; p by Holm over "
    "all of a metric's comparisons here."
)

SAME_TRAINING = (
    "Tested elsewhere minus tested at home, in percentage points, the same training part: the fall that a user of the "
    "model sees. The images differ, so the two errors add up; precision, and with it F1, moves with the "
    "mixture of classes as well."
)


def texts(boards: Sequence[Board]) -> dict[str, str]:
    """Return `external.md`, .csv and .json by name; nothing without a record of the protocol `external`."""
    found = transfers_of(boards)
    if not found:
        return {}
    stem = FILE.removesuffix(".md")
    return {
        FILE: page(found),
        f"{stem}.csv": comma_separated(found),
        f"{stem}.json": schemas.document("external", as_json(found), folders=0),
    }


def index_line(boards: Sequence[Board]) -> str:
    """Return the line of the index that leads to the page, '' where there is none."""
    there = any(row.cells for board in boards for row in board.rows if _is_external(board))
    return (
        f"\nTrained on one dataset, tested on another: [{FILE.removesuffix('.md')}]({FILE}).\n"
        if there
        else ""
    )


def _is_external(board: Board) -> bool:
    return board.protocol.partition(":")[0] == "external"


def page(found: Sequence[Transfers]) -> str:
    """Return all transfers as Markdown."""
    parts = ["# Trained on one dataset, tested on another", _wrapped(LEGEND)]
    for transfers in found:
        parts.append(f"## Recipe {escaped(transfers.recipe)}")
        for metric in SHOWN:
            parts += [f"### {NAMES[metric]}", _matrix(transfers, metric)]
        if transfers.same_images:
            parts += ["### The same test images, trained elsewhere", _wrapped(SAME_IMAGES)]
            words = "Tested on {tested_on}, trained on {trained_on}"
            parts += _changes(transfers, transfers.same_images, words, with_p=True)
        if transfers.same_training:
            parts += ["### The same training part, tested elsewhere", _wrapped(SAME_TRAINING)]
            words = "Trained on {trained_on}, tested on {tested_on}"
            parts += _changes(transfers, transfers.same_training, words, with_p=False)
        parts += [
            _wrapped(escaped(note))
            for note in [*long_names(transfers), *transfers.notes, *reasons(transfers)]
        ]
    return "\n\n".join(parts) + "\n"


def _matrix(transfers: Transfers, metric: str) -> str:
    """One line a method and dataset trained on, one column a dataset tested on."""
    titles = transfers.titles
    rows = []
    for method, name in transfers.names.items():
        for trained_on, title in titles.items():
            squares = [transfers.square(method, trained_on, tested_on) for tested_on in titles]
            if any(squares):
                values = [NONE if s is None else _score(metric, s.row) for s in squares]
                rows.append([name, title, *values])
    return _table(["Method", "Trained on", *(f"on {title}" for title in titles.values())], rows, 2)


def _score(metric: str, row: Row) -> str:
    value = with_interval(metric, (row.means or {}).get(metric))
    return value + MARK if row.status == "under-trained" else value


def _changes(transfers: Transfers, changes: Sequence[Change], words: str, *, with_p: bool) -> list[str]:
    """Return a table for each pair of datasets, under a line that names them in `words`."""
    tables = []
    for trained_on, tested_on in unique((change.trained_on, change.tested_on) for change in changes):
        titles = {"trained_on": transfers.titles[trained_on], "tested_on": transfers.titles[tested_on]}
        rows = [
            [transfers.names[c.method], *(_points(c.differences[metric], with_p=with_p) for metric in SHOWN)]
            for c in changes
            if (c.trained_on, c.tested_on) == (trained_on, tested_on)
        ]
        headings = [f"{NAMES[metric]}, p" if with_p else NAMES[metric] for metric in SHOWN]
        tables += [f"{escaped(words.format(**titles))}:", _table(["Method", *headings], rows, 1)]
    return tables


def _points(difference: Difference, *, with_p: bool) -> str:
    """Percentage points, the interval, and the p-value."""
    text, bounds = difference_texts(difference)
    p = p_value(difference.p) if with_p and difference.p is not None and difference.low is not None else ""
    return " ".join(filter(None, (text, bounds, p)))


def difference_texts(difference: Difference) -> tuple[str, str]:
    """Return a difference in percentage points, and its bounds in brackets, '' where there is no difference.

    >>> difference_texts(Difference(-0.125, -0.2, 0.0)), difference_texts(Difference(None, reason="one class"))
    (('-12.5', '[-20.0, +0.0]'), ('-', ''))
    """
    if difference.value is None:
        return NONE, ""
    # adding 0.0 turns the -0.0 of a rounded difference into 0.0
    value, *bounds = (
        None if share is None else f"{round(100 * share, 1) + 0.0:+.1f}"
        for share in (difference.value, difference.low, difference.high)
    )
    low, high = bounds
    return str(value), "(no interval)" if low is None or high is None else f"[{low}, {high}]"


def long_names(transfers: Transfers) -> list[str]:
    """Return what the shortened names in the tables stand for, a sentence each."""
    return [f"{name} is {method}." for method, name in transfers.names.items() if name != method]


def reasons(transfers: Transfers) -> list[str]:
    """Return why a difference, or its interval, is not there, a sentence each."""
    return [
        f"{transfers.names[change.method]}, trained on {transfers.titles[change.trained_on]}, tested on "
        f"{transfers.titles[change.tested_on]}: {NAMES[metric]}: {difference.reason}."
        for change in (*transfers.same_images, *transfers.same_training)
        for metric, difference in change.differences.items()
        if difference.reason is not None
    ]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    cells = [[*map(escaped, row[:left]), *row[left:]] for row in rows]  # the others are numbers of ours
    return aligned(
        [escaped(h) for h in headings], cells, ["left"] * left + ["right"] * (len(headings) - left)
    )


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False))


def comma_separated(found: Sequence[Transfers]) -> str:
    """Return one line a square, with what changes there beside home: shares with every digit, empty where undefined."""
    lines = []
    for transfers in found:
        changes = {
            name: {(c.method, c.trained_on, c.tested_on): c for c in of}
            for name, of in (
                ("same_images", transfers.same_images),
                ("same_training", transfers.same_training),
            )
        }
        for square in transfers.squares:
            key = (square.method, square.trained_on, square.tested_on)
            line: dict[str, Any] = dict(zip(("method", "trained_on", "tested_on"), key, strict=True))
            line = {"recipe": transfers.recipe, **line, "status": square.row.status}
            for metric in SHOWN:
                line |= _score_columns(square.row, metric)
                for name, of in changes.items():
                    line |= _change_columns(name, metric, of.get(key))
            lines.append(line)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _score_columns(row: Row, metric: str) -> dict[str, Any]:
    mean = (row.means or {})[metric]
    bounds = mean.interval
    return {
        metric: mean.value,
        f"{metric}_low": None if bounds is None else portable(bounds.low),
        f"{metric}_high": None if bounds is None else portable(bounds.high),
    }


def _change_columns(name: str, metric: str, change: Change | None) -> dict[str, Any]:
    found = Difference(None) if change is None else change.differences[metric]
    values = {"": found.value, "_low": portable(found.low), "_high": portable(found.high)}
    columns = {f"{metric}_{name}{ending}": value for ending, value in values.items()}
    return columns if name == "same_training" else columns | {f"{metric}_{name}_p_holm": portable(found.p)}


def as_json(found: Sequence[Transfers]) -> dict[str, Any]:
    """Return all transfers for a machine."""
    return {
        "schema_version": SCHEMA_VERSION,
        "home_protocol": HOME,
        "statistics": {"level": LEVEL, "resamples": RESAMPLES, "resamples_seed": SEED},
        "recipes": [_recipe(transfers) for transfers in found],
    }


def _recipe(transfers: Transfers) -> dict[str, Any]:
    return {
        "recipe": transfers.recipe,
        "datasets": dict(transfers.titles),
        "squares": [
            {
                "method": square.method,
                "trained_on": square.trained_on,
                "tested_on": square.tested_on,
                "status": square.row.status,
                "seeds": square.row.seeds,
                "cells": [cell.entry.key for cell in square.row.cells],
                "metrics": {metric: _metric(square.row, metric) for metric in SHOWN},
            }
            for square in transfers.squares
        ],
        "same_images": [_change(change) for change in transfers.same_images],
        "same_training": [_change(change) for change in transfers.same_training],
        "notes": list(transfers.notes),
    }


def _metric(row: Row, metric: str) -> Mapping[str, Any]:
    mean = (row.means or {})[metric]
    bounds = _score_columns(row, metric)
    return {
        "value": mean.value,
        "low": bounds[f"{metric}_low"],
        "high": bounds[f"{metric}_high"],
        "reason": mean.reason,
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "method": change.method,
        "trained_on": change.trained_on,
        "tested_on": change.tested_on,
        "test": change.method_of_test,
        "differences": {
            metric: {
                "value": d.value,
                "low": portable(d.low),
                "high": portable(d.high),
                "p_holm": portable(d.p),
                "reason": d.reason,
            }
            for metric, d in change.differences.items()
        },
    }
