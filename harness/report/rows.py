"""Rows and pairs of one recipe, as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.board_pairs import PAIRED, Pair
from harness.board_rows import RANKED_BY, Row
from harness.board_tables import MAIN, NONE, p_value
from harness.boards import Section
from harness.metrics import METRICS
from harness.report.figures import Figure, figure, heading, scale_of, seconds
from harness.report.provenance import CellFacts, facts_of

__all__ = [
    "MOST_CLASSES",
    "Confusion",
    "PairCell",
    "PairTable",
    "RowView",
    "confusion_of",
    "pair_tables",
    "row_views",
    "shown_metrics",
]

MOST_PAIRED = 24
"""Ranked models in a table of pairs: it grows with their square."""

MOST_CLASSES = 12
"""Of a confusion matrix that is shown."""

STATUS_WORDS = {
    "ranked": "ranked",
    "under-trained": "under-trained: not clearly above the majority class, so not ranked",
    "not ranked": "not ranked: its F1 is undefined",
    "failed": "failed: no cell is finished",
}


@dataclass(frozen=True)
class RowView:
    """A row with its number on the page, which figures, pairs and tables of the section all use."""

    number: int
    row: Row
    figures: tuple[tuple[str, Figure], ...]
    fit: Figure
    cells: tuple[CellFacts, ...]

    @property
    def label(self) -> str:
        """What stands first: the model's name."""
        return self.row.label

    @property
    def variant(self) -> str:
        """What else tells it from others: 'untuned, squeezenet1_1', 'from scratch'."""
        inside = self.row.method.removeprefix(self.row.label).strip()
        if inside.startswith("(") and inside.endswith(")"):
            inside = inside[1:-1]
        return ", ".join(part for part in (inside, "from scratch" * self.row.from_scratch) if part)

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def rank(self) -> str:
        return self.row.status if self.row.rank is None else str(self.row.rank)

    @property
    def status_words(self) -> str:
        return STATUS_WORDS[self.row.status]

    @property
    def seeds(self) -> str:
        return str(len(self.row.seeds)) if self.row.cells else NONE

    @property
    def trials(self) -> str:
        return NONE if self.row.tried is None else str(self.row.tried)

    @property
    def spread(self) -> str:
        """Return the standard deviations over seeds in words, '' with one seed."""
        known = [(m, mean.sd) for m, mean in (self.row.means or {}).items() if mean.sd is not None]
        return ", ".join(f"{heading(metric)} {100 * sd:.2f}" for metric, sd in known)


def shown_metrics() -> tuple[str, ...]:
    """Return all metrics, those that models are compared in first."""
    return (*MAIN, *(metric for metric in METRICS if metric not in MAIN))


def row_views(section: Section) -> tuple[RowView, ...]:
    """Return the rows in the order of the board, numbered from 1."""
    metrics = shown_metrics()
    scales = {m: scale_of((row.means or {}).get(m) for row in section.rows) for m in metrics}
    return tuple(
        RowView(
            number=number,
            row=row,
            figures=tuple((m, figure(m, (row.means or {}).get(m), scales[m])) for m in metrics),
            fit=Figure(seconds(row.fit_seconds), sort=row.fit_seconds),
            cells=tuple(facts_of(cell) for cell in row.cells),
        )
        for number, row in enumerate(section.rows, start=1)
    )


@dataclass(frozen=True, slots=True)
class PairCell:
    """A row's method against a column's. `kind`: better, worse, alike, none (no test) or self."""

    kind: str
    text: str
    words: str


@dataclass(frozen=True)
class PairTable:
    """Every ranked method against every other in one metric; `left_out` counts those there is no room for."""

    metric: str
    name: str
    views: tuple[RowView, ...]
    cells: tuple[tuple[PairCell, ...], ...]
    told_apart: int
    tests: int
    left_out: int


def pair_tables(section: Section, views: Sequence[RowView]) -> tuple[PairTable, ...]:
    """Return a table a paired metric, the ranking one first; none with fewer than two ranked rows."""
    all_ranked = tuple(view for view in views if view.row.rank is not None)
    ranked, left_out = all_ranked[:MOST_PAIRED], len(all_ranked[MOST_PAIRED:])
    if len(ranked) < 2:
        return ()
    metrics = sorted(PAIRED, key=lambda metric: metric != RANKED_BY)
    by_names = {frozenset((pair.first, pair.second)): pair for pair in section.pairs.pairs}
    found = []
    for metric in metrics:
        cells = tuple(
            tuple(_pair_cell(by_names, metric, first.row, second.row) for second in ranked)
            for first in ranked
        )
        apart = sum(pair.better(metric) is not None for pair in section.pairs.pairs)
        tests = len(section.pairs.tested(metric))
        found.append(PairTable(metric, heading(metric), ranked, cells, apart, tests, left_out))
    return tuple(found)


def _pair_cell(pairs: dict[frozenset[str], Pair], metric: str, first: Row, second: Row) -> PairCell:
    pair = pairs.get(frozenset((first.method, second.method)))
    if first.method == second.method or pair is None:
        return PairCell("self", "", "the same model")
    test, p = pair.tests[metric], pair.adjusted[metric]
    between = f"{first.name} and {second.name}"
    if p is None or test.difference is None:
        return PairCell("none", NONE, f"{between}: no test, {test.reason}")
    difference = 100 * (test.difference if pair.first == first.method else -test.difference)
    better = pair.better(metric)
    kind = "alike" if better is None else "better" if better == first.method else "worse"
    said = {"alike": "cannot be told apart", "better": "first is better", "worse": "second is better"}[kind]
    words = f"{between}: {said}; difference {difference:+.2f} points, p {p_value(p)} ({test.method}, Holm)"
    return PairCell(kind, p_value(p), words)


@dataclass(frozen=True)
class Confusion:
    """Counts (true class by decided class): of one seed, the mean over seeds; `shares` of the true class."""

    view: RowView
    texts: tuple[tuple[str, ...], ...]
    shares: tuple[tuple[float, ...], ...]
    classes: tuple[str, ...]


def confusion_of(view: RowView, positive: str | None) -> Confusion | None:
    """Return the confusion matrix of a row: a seed's folds added up, the mean over seeds.

    None of a failed row, and of more classes than a page has room for.
    """
    cells = view.row.cells
    if not cells or len(cells[0].classes) > MOST_CLASSES:
        return None
    mean = np.sum([cell.scores(positive).confusion for cell in cells], axis=0) / len(view.row.seeds)
    shares = mean / np.maximum(mean.sum(axis=1, keepdims=True), 1e-12)
    texts = tuple(tuple(_count(value) for value in line) for line in mean.tolist())
    return Confusion(view, texts, tuple(map(tuple, shares.tolist())), cells[0].classes)


def _count(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.1f}"
