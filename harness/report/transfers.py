"""Trained on one dataset, tested on another, as the page shows it: matrices of scores, and what changes beside home."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.board_tables import p_value
from harness.boards import Board
from harness.paired import ALPHA
from harness.report.figures import Figure, Scale, figure, scale_of, scale_over
from harness.transfer_files import (
    NAMES,
    SAME_IMAGES,
    SAME_TRAINING,
    difference_texts,
    long_names,
    reasons,
)
from harness.transfers import SHOWN, Change, Difference, Square, Transfers, transfers_of

__all__ = ["ChangeCell", "ChangeTable", "Matrix", "SquareCell", "TransferView", "transfer_views"]

Anchors = Mapping[tuple[str, ...], str]
"""Where a row stands on the page, by the keys of its cells."""


@dataclass(frozen=True)
class SquareCell:
    """A score with its interval. `own`: trained and tested on one dataset; `weak`: not clearly above the majority."""

    figure: Figure
    own: bool
    weak: bool
    anchor: str | None


@dataclass(frozen=True)
class Matrix:
    """One metric: a line a method and dataset trained on, in `cells` a column a dataset tested on, None if not run."""

    metric: str
    name: str
    rows: tuple[tuple[str, str, tuple[SquareCell | None, ...]], ...]


@dataclass(frozen=True)
class ChangeCell:
    """Away minus home in points, drawn beside `zero`, the place of no change. `p`: in words, '' without a test."""

    figure: Figure
    p: str
    zero: float
    kind: str


@dataclass(frozen=True)
class ChangeTable:
    """What changes beside home; `rows` are (method, first dataset, second dataset, a cell a metric)."""

    title: str
    words: str
    headings: tuple[str, str]
    rows: tuple[tuple[str, str, str, tuple[ChangeCell, ...]], ...]


@dataclass(frozen=True)
class TransferView:
    """The transfers of one recipe; `id` begins the anchors of their parts."""

    id: str
    recipe: str
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]
    matrices: tuple[Matrix, ...]
    changes: tuple[ChangeTable, ...]
    notes: tuple[str, ...]


def transfer_views(boards: Sequence[Board], anchors: Anchors) -> tuple[TransferView, ...]:
    """Return the transfers of each recipe, none without a board of the protocol `external`."""
    return tuple(
        _view(f"t{number}", transfers, anchors)
        for number, transfers in enumerate(transfers_of(boards), start=1)
    )


def _view(name: str, transfers: Transfers, anchors: Anchors) -> TransferView:
    changes = (
        ("The same test images, trained elsewhere", SAME_IMAGES, transfers.same_images, True),
        ("The same training part, tested elsewhere", SAME_TRAINING, transfers.same_training, False),
    )
    return TransferView(
        id=name,
        recipe=transfers.recipe,
        datasets=tuple(transfers.titles.values()),
        metrics=tuple(NAMES[metric] for metric in SHOWN),
        matrices=tuple(_matrix(transfers, metric, anchors) for metric in SHOWN),
        changes=tuple(
            _changes(transfers, title, words, found, tested_first=tested_first)
            for title, words, found, tested_first in changes
            if found
        ),
        notes=(*long_names(transfers), *transfers.notes, *reasons(transfers)),
    )


def _matrix(transfers: Transfers, metric: str, anchors: Anchors) -> Matrix:
    scale = scale_of((square.row.means or {}).get(metric) for square in transfers.squares)
    rows = []
    for method, name in transfers.names.items():
        for trained_on, title in transfers.titles.items():
            squares = [transfers.square(method, trained_on, tested_on) for tested_on in transfers.titles]
            if any(squares):
                cells = tuple(
                    None if one is None else _square(one, metric, scale, anchors) for one in squares
                )
                rows.append((name, title, cells))
    return Matrix(metric, NAMES[metric], tuple(rows))


def _square(square: Square, metric: str, scale: Scale, anchors: Anchors) -> SquareCell:
    keys = tuple(cell.entry.key for cell in square.row.cells)
    return SquareCell(
        figure=figure(metric, (square.row.means or {}).get(metric), scale),
        own=square.trained_on == square.tested_on,
        weak=square.row.status == "under-trained",
        anchor=anchors.get(keys),
    )


def _changes(
    transfers: Transfers, title: str, words: str, changes: Sequence[Change], *, tested_first: bool
) -> ChangeTable:
    scales = {metric: _scale(change.differences[metric] for change in changes) for metric in SHOWN}
    rows = []
    for change in changes:
        trained_on, tested_on = transfers.titles[change.trained_on], transfers.titles[change.tested_on]
        first, second = (tested_on, trained_on) if tested_first else (trained_on, tested_on)
        cells = tuple(
            _change(change.differences[metric], change.method_of_test, scales[metric]) for metric in SHOWN
        )
        rows.append((transfers.names[change.method], first, second, cells))
    headings = ("Tested on", "Trained on") if tested_first else ("Trained on", "Tested on")
    return ChangeTable(title, words, headings, tuple(rows))


def _scale(differences: Iterable[Difference]) -> Scale:
    """The scale of a column, with room for no change."""
    ends = [0.0]
    for found in differences:
        ends += [end for end in (found.value, found.low, found.high) if end is not None]
    return scale_over(ends)


def _change(found: Difference, how: str, scale: Scale) -> ChangeCell:
    text, bounds = difference_texts(found)
    drawn = Figure(
        text=text,
        bounds=bounds,
        at=None if found.value is None else scale.place(found.value),
        low=None if found.low is None else scale.place(found.low),
        high=None if found.high is None else scale.place(found.high),
        note=found.reason or how,
    )
    p = "" if found.p is None else f"p {p_value(found.p)}"
    return ChangeCell(drawn, p, scale.place(0.0), _kind(found))


def _kind(found: Difference) -> str:
    """'worse' or 'better' where a test of pairs, or without one the interval, tells the two apart; else 'alike'."""
    if found.value is None or found.low is None or found.high is None:
        return "none"
    apart = found.low > 0 or found.high < 0 if found.p is None else found.p <= ALPHA
    if not apart:
        return "alike"
    return "better" if found.value > 0 else "worse"
