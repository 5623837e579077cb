"""What a model trained on one dataset is worth on another: matrices of scores, and what changes beside home.

A square is (method, dataset trained on, dataset tested on) at one recipe; on the diagonal stands the official split.
Two changes are taken from them, each away minus home:

- on the *same test images*, the model trained on another dataset against that trained on their own: a paired
  comparison, what training elsewhere costs;
- with the *same training part*, another dataset's test images against its own: two samples of images, so
  independent ones, and F1 also moves with the mixture of classes.

Both come from the bootstrap of `harness.resamples`. Nothing here reads an image or a clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from harness.board_cells import Cell
from harness.board_draws import Draws, draws_of
from harness.board_names import shown_names
from harness.board_rows import Row
from harness.board_sides import Side, Sides, in_order, in_words_of_tested, sides_of
from harness.boards import Board
from harness.intervals import LEVEL, student
from harness.paired import bootstrap_test, holm
from harness.protocols import other_dataset
from harness.types import unique

__all__ = ["HOME", "SHOWN", "Change", "Difference", "Square", "Transfers", "transfers_of"]

HOME = "official"
"""The protocol of the diagonal: its training and test parts are those of `external`."""

SHOWN = ("f1", "balanced_accuracy", "auc")
"""The metrics that are set side by side."""

FEWEST_DEFINED = 0.95
"""The share of resamples in which a metric must be defined, as for intervals."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Away minus home (a share) with its bounds; None with a `reason` where there is none. `p` is Holm's."""

    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Square:
    """A method trained on one dataset and tested on another, or at home."""

    method: str
    trained_on: str
    tested_on: str
    row: Row


@dataclass(frozen=True)
class Change:
    """What a method gains from home to away, by metric; `method_of_test` says how it was computed."""

    method: str
    trained_on: str
    tested_on: str
    differences: Mapping[str, Difference]
    method_of_test: str


@dataclass(frozen=True)
class Transfers:
    """All squares of one recipe, `titles` of their datasets by name, and the changes between them."""

    recipe: str
    titles: Mapping[str, str]
    squares: tuple[Square, ...]
    same_images: tuple[Change, ...]
    same_training: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> dict[str, str]:
        """What tables call each method."""
        return shown_names((square.row.label, square.method) for square in self.squares)

    def square(self, method: str, trained_on: str, tested_on: str) -> Square | None:
        """Return the square of these three, None where it was not run."""
        wanted = (method, trained_on, tested_on)
        return next((s for s in self.squares if (s.method, s.trained_on, s.tested_on) == wanted), None)


def transfers_of(boards: Sequence[Board]) -> list[Transfers]:
    """Return the transfers of each recipe, in the order of the boards' sections; none without an external board.

    Raises `RecordError` for a record whose two sides are damaged.
    """
    recipes = unique(section.recipe for board in boards for section in board.sections)
    found = (_Recipe.of(recipe, boards) for recipe in recipes)
    return [one.transfers() for one in found if one.away]


@dataclass(frozen=True)
class _Recipe:
    """Rows of one recipe by method: at home by dataset, and away by (trained on, tested on), with the sides."""

    recipe: str
    home: Mapping[str, Mapping[str, Row]]
    away: Mapping[tuple[str, str], Mapping[str, Row]]
    sides: Mapping[tuple[str, str], Sides]
    positives: Mapping[str, str | None]

    @classmethod
    def of(cls, recipe: str, boards: Sequence[Board]) -> _Recipe:
        home: dict[str, dict[str, Row]] = {}
        away: dict[tuple[str, str], dict[str, Row]] = {}
        sides: dict[tuple[str, str], Sides] = {}
        positives: dict[str, str | None] = {}
        for board, rows in ((board, _finished(board, recipe)) for board in boards):
            if board.protocol == HOME:
                home[board.dataset], positives[board.dataset] = rows, board.positive
            elif other_dataset(board.protocol) is not None:
                told = [sides_of(cell.manifest) for row in rows.values() for cell in row.cells]
                if told and (last := told[-1]) is not None:
                    pair = (last.trained_on.name, last.tested_on.name)
                    away[pair], sides[pair] = rows, last
        names = {*home, *(name for pair in away for name in pair)}
        for pair, found in sides.items():
            positive = next(row.cells[0] for row in away[pair].values()).manifest["dataset"].get("positive")
            theirs = {match.trained_on: match.tested_on for match in found.classes}
            positives.setdefault(pair[1], theirs.get(positive))
        return cls(recipe, {name: home.get(name, {}) for name in names}, away, sides, positives)

    def transfers(self) -> Transfers:
        titles = self._titles()
        methods = unique(method for rows in self.away.values() for method in sorted(rows))
        squares = tuple(self._squares(methods, sorted(titles)))
        draws = {name: self._draws(name) for name in titles}
        pairs = [pair for pair in permutations(sorted(titles), 2) if pair in self.away]
        same_images = [
            self._same_images(m, pair, draws)
            for m in sorted(methods)
            for pair in pairs
            if m in self.away[pair]
        ]
        same_training = [
            self._same_training(m, pair, draws)
            for m in sorted(methods)
            for pair in pairs
            if m in self.away[pair]
        ]
        return Transfers(
            self.recipe,
            titles,
            squares,
            tuple(_adjusted([c for c in same_images if c is not None])),
            tuple(c for c in same_training if c is not None),
            tuple(self._notes(squares, draws)),
        )

    def _titles(self) -> dict[str, str]:
        told: list[Side] = [side for s in self.sides.values() for side in (s.trained_on, s.tested_on)]
        return {side.name: side.title for side in sorted(told, key=lambda side: side.name)}

    def _squares(self, methods: Iterable[str], names: Sequence[str]) -> Iterator[Square]:
        for method in sorted(methods):
            for trained_on in names:
                for tested_on in names:
                    row = self._row(method, trained_on, tested_on)
                    if row is not None:
                        yield Square(method, trained_on, tested_on, row)

    def _row(self, method: str, trained_on: str, tested_on: str) -> Row | None:
        if trained_on == tested_on:
            return self.home.get(trained_on, {}).get(method)
        return self.away.get((trained_on, tested_on), {}).get(method)

    def _cells(self, method: str, trained_on: str, tested_on: str) -> dict[tuple[int, int], Cell]:
        """The cells of a square by seed and fold, their classes named and ordered as all of the dataset tested on."""
        row = self._row(method, trained_on, tested_on)
        cells = () if row is None else row.cells
        if trained_on == tested_on:
            return {cell.place: in_order(cell) for cell in cells}
        sides = self.sides[trained_on, tested_on] if cells else None
        return {cell.place: in_words_of_tested(cell, sides) for cell in cells if sides is not None}

    def _draws(self, tested_on: str) -> Draws:
        """All that was tested on a dataset, in resamples that all share."""
        trained = [tested_on, *(pair[0] for pair in sorted(self.away) if pair[1] == tested_on)]
        methods = unique(m for name in trained for m in self._methods(name, tested_on))
        cells = [
            cell for name in trained for m in methods for cell in self._cells(m, name, tested_on).values()
        ]
        return draws_of(cells, self.positives.get(tested_on))

    def _methods(self, trained_on: str, tested_on: str) -> Iterable[str]:
        return self.home[tested_on] if trained_on == tested_on else self.away[trained_on, tested_on]

    def _same_images(self, method: str, pair: tuple[str, str], draws: Mapping[str, Draws]) -> Change | None:
        trained_on, tested_on = pair
        home, away = self._cells(method, tested_on, tested_on), self._cells(method, *pair)
        places = sorted(home.keys() & away.keys())
        if not places:
            return None
        sides = [[side[place] for place in places] for side in (away, home)]
        drawn = draws[tested_on]
        units = "groups" if drawn.grouped else "images"
        how = f"paired bootstrap over {units}"
        if any(_tested(a) != _tested(b) for a, b in zip(*sides, strict=True)):
            none = Difference(
                None, reason="the two were tested on other images, or with other labels or patients"
            )
            return Change(method, trained_on, tested_on, dict.fromkeys(SHOWN, none), how)
        differences = {metric: _paired(metric, sides, drawn, units) for metric in SHOWN}
        return Change(method, trained_on, tested_on, differences, how)

    def _same_training(self, method: str, pair: tuple[str, str], draws: Mapping[str, Draws]) -> Change | None:
        trained_on, tested_on = pair
        home, away = self._cells(method, trained_on, trained_on), self._cells(method, *pair)
        places = sorted(home.keys() & away.keys())
        if not places:
            return None
        sides = [
            (draws[tested_on], [away[p] for p in places]),
            (draws[trained_on], [home[p] for p in places]),
        ]
        how = "two independent bootstraps"
        if any(_learned(a) != _learned(b) for a, b in zip(sides[0][1], sides[1][1], strict=True)):
            none = Difference(None, reason="the two were trained on other images")
            return Change(method, trained_on, tested_on, dict.fromkeys(SHOWN, none), how)
        return Change(method, trained_on, tested_on, {m: _independent(m, sides) for m in SHOWN}, how)

    def _notes(self, squares: Sequence[Square], draws: Mapping[str, Draws]) -> Iterator[str]:
        for name, title in self._titles().items():
            if not self.home.get(name):
                yield f"{title} has no finished row under {HOME!r}: nothing stands on its diagonal."
            if draws[name].scores and not draws[name].grouped:
                yield f"No patients of {title} are known: intervals of what is tested on it are per slice, too narrow."
        differing = [
            method
            for method in unique(square.method for square in squares)
            if len({cell.entry.code for s in squares if s.method == method for cell in s.row.cells}) > 1
        ]
        if differing:
            yield f"Computed by different versions of the code: the rows of {', '.join(differing)}."


def _finished(board: Board, recipe: str) -> dict[str, Row]:
    return {
        row.method: row
        for section in board.sections
        for row in section.rows
        if section.recipe == recipe and row.cells
    }


def _tested(cell: Cell) -> tuple[object, ...]:
    assert cell.labels is not None
    return cell.classes, cell.ids, cell.labels.tolist(), cell.groups


def _learned(cell: Cell) -> tuple[object, ...]:
    """What tells the training parts of two cells apart, as far as records say it."""
    dataset = cell.manifest["dataset"]
    sides = sides_of(cell.manifest)
    content = dataset["content"] if sides is None else sides.trained_on.content
    return content, dataset["n"]["train"], dataset["n"]["val"]


def _mean(metric: str, cells: Sequence[Cell], draws: Draws) -> tuple[float | None, str | None]:
    """The mean over the cells, or None and why it is undefined."""
    scores = [draws.scores[cell.entry.key][metric] for cell in cells]
    values = [score.value for score in scores if score.value is not None]
    if len(values) < len(scores):
        return None, next(score.reason for score in scores if score.value is None)
    return math.fsum(values) / len(values), None


def _paired(metric: str, sides: Sequence[Sequence[Cell]], draws: Draws, units: str) -> Difference:
    """Away minus home on the images that both were tested on."""
    (away, why), (home, why_home) = (_mean(metric, cells, draws) for cells in sides)
    if away is None or home is None:
        return Difference(None, reason=why or why_home)
    drawn = [draws.mean(cells)[metric] for cells in sides]
    test = bootstrap_test(away - home, drawn[0] - drawn[1], draws.resamples.fewest - 1, units)
    if test.p is None or test.degrees is None:
        return Difference(test.difference, reason=test.reason)
    return _bounded(away - home, test.error or 0.0, test.degrees, test.p)


def _independent(metric: str, sides: Sequence[tuple[Draws, Sequence[Cell]]]) -> Difference:
    """Away minus home on images of two datasets: the variances add up."""
    (away, why), (home, why_home) = (_mean(metric, cells, draws) for draws, cells in sides)
    if away is None or home is None:
        return Difference(None, reason=why or why_home)
    drawn = [draws.mean(cells)[metric] for draws, cells in sides]
    fewest = min(draws.resamples.fewest for draws, _ in sides)
    if fewest < 2 or any(np.isnan(each).mean() > 1 - FEWEST_DEFINED for each in drawn):
        return Difference(away - home, reason="too few images of a class to tell the spread")
    error = math.sqrt(sum(float(np.nanvar(each, ddof=1)) for each in drawn))
    return _bounded(away - home, error, fewest - 1, None)


def _bounded(value: float, error: float, degrees: int, p: float | None) -> Difference:
    if error <= 0:
        return Difference(value, p=p, reason="the same in every resample of the test part")
    reach = student(LEVEL, degrees) * error
    return Difference(value, max(-1.0, value - reach), min(1.0, value + reach), p)


def _adjusted(changes: Sequence[Change]) -> list[Change]:
    """The changes with p-values adjusted for their number, metric by metric (Holm 1979)."""
    found = list(changes)
    for metric in SHOWN:
        p_values = [(k, p) for k, c in enumerate(found) if (p := c.differences[metric].p) is not None]
        for (k, _), adjusted in zip(p_values, holm([p for _, p in p_values]), strict=True):
            changed = replace(found[k].differences[metric], p=adjusted)
            found[k] = replace(found[k], differences={**found[k].differences, metric: changed})
    return found
