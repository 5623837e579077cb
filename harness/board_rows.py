"""Rows of a board: means over cells, whether they may be ranked, and their rank."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal

from harness.board_cells import Cell
from harness.board_draws import Draws, draws_of, shared_out
from harness.board_pairs import Pairs, pairs_of
from harness.board_reliability import Reliability
from harness.board_trials import Tried, tried_in
from harness.intervals import Interval, mean_intervals
from harness.metrics import METRICS, Auc, Score, lower_bound
from harness.stages import is_stage
from harness.types import unique

__all__ = ["RANKED_BY", "Mean", "Row", "means", "rows_of"]

RANKED_BY = "f1"
"""The papers lead with F1: both abstracts name it."""

NOTED_PARAMETERS = {"size_px": "{} px images"}
"""Parameters that a reader must know to judge a row, and how they are told."""

SPLIT_NETWORK = "split-network"
"""The backbone of heads for which no pretrained one can be had: trained on the training part of the split."""

SCRATCH_NOTE = "trained from scratch"
"""How a model's note begins that says so."""

Status = Literal["ranked", "under-trained", "not ranked", "failed"]


@dataclass(frozen=True, slots=True)
class Mean:
    """A metric's mean over seeds and folds.

    `sd` is the standard deviation over seeds, None with one: how much training anew changes. `interval`
    says how much testing on other images would.
    """

    value: float | None
    sd: float | None = None
    reason: str | None = None
    interval: Interval | None = None


@dataclass(frozen=True)
class Row:
    """A method at a recipe. `cells` are its finished ones; a failed row has none and `notes` that say why.

    `test_images` counts the images one seed is tested on, `majority_share` is that of the largest
    class among them, `bound` the lower bound of the accuracy that has to exceed it (None: nobody knows).
    `reliability` is its calibration and its worst subgroup.
    `short` is what tables call a method whose name is too long for them (`harness.board_names`).
    """

    method: str
    label: str
    recipe: str
    status: Status
    cells: tuple[Cell, ...] = ()
    means: dict[str, Mean] | None = None
    rank: int | None = None
    test_images: int | None = None
    majority_share: float | None = None
    bound: float | None = None
    reliability: Reliability | None = None
    notes: tuple[str, ...] = ()
    short: str | None = None

    @property
    def seeds(self) -> list[int]:
        return sorted({cell.entry.seed for cell in self.cells})

    @property
    def tried(self) -> Tried | None:
        """What was tried in tuning, None when no cell is finished."""
        return tried_in([cell.manifest for cell in self.cells])

    @property
    def from_scratch(self) -> bool:
        """True when a network that the row rests on was trained without pretrained weights."""
        return any(_from_scratch(cell.manifest) for cell in self.cells)

    @property
    def name(self) -> str:
        """What a reader calls it: the method, and whether it had no pretrained weights."""
        return f"{self.method}, from scratch" if self.from_scratch else self.method

    @property
    def shown(self) -> str:
        """What a table calls it; `told` holds what is missing there."""
        name = self.method if self.short is None else self.short
        return f"{name}, from scratch" if self.from_scratch else name

    @property
    def told(self) -> tuple[str, ...]:
        """The notes of a table that calls the row `shown`."""
        return (
            self.notes
            if self.short in (None, self.method)
            else (f"{self.short} is {self.method}", *self.notes)
        )

    @property
    def fit_seconds(self) -> float | None:
        """The mean time of the final fit, None when it was not recorded for every cell."""
        times = [cell.manifest["durations"].get("fit_seconds") for cell in self.cells]
        return None if not times or None in times else math.fsum(times) / len(times)


def means(cells: Sequence[Cell], positive: str | None, auc: Auc = "scores") -> dict[str, Mean]:
    """Return every metric's mean: computed per cell, averaged over a seed's folds, then over seeds.

    A metric that is undefined in one cell has no mean.
    """
    return _means(cells, draws_of(cells, positive, auc))


def _means(cells: Sequence[Cell], draws: Draws) -> dict[str, Mean]:
    found = {m: _mean([(cell, draws.scores[cell.entry.key][m]) for cell in cells]) for m in METRICS}
    bounds = mean_intervals(
        shared_out(cells),
        {metric: Score(mean.value, mean.reason) for metric, mean in found.items()},
        draws.mean(cells),
        draws.resamples,
        grouped=draws.grouped,
        positive=draws.positive,
        auc=draws.auc,
    )
    return {metric: replace(mean, interval=bounds[metric]) for metric, mean in found.items()}


def _mean(scored: Sequence[tuple[Cell, Score]]) -> Mean:
    by_seed: dict[int, list[float]] = defaultdict(list)
    for cell, score in scored:
        if score.value is None:
            return Mean(None, reason=_in_words(cell, score.reason or ""))
        by_seed[cell.entry.seed].append(score.value)
    values = [math.fsum(of_seed) / len(of_seed) for _, of_seed in sorted(by_seed.items())]
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Mean(mean)
    return Mean(mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)))


def _in_words(cell: Cell, reason: str) -> str:
    """A reason with the class's name, and where it arose."""
    named = re.sub(r"class number (\d+)", lambda m: f"class {cell.classes[int(m[1])]!r}", reason)
    return f"{named} ({cell.where})"


def rows_of(cells: Sequence[Cell], positive: str | None) -> tuple[list[Row], Pairs]:
    """Return the rows of one recipe, ranked, then those that are not, then the failed; and the pairs of the ranked.

    Only rows that are clearly above the majority class are ranked. A rank is 1 + the number of rows that
    are better beyond chance (`harness.board_pairs`), and at least that of every row with a higher score.
    """
    by_method: dict[str, list[Cell]] = defaultdict(list)
    for cell in sorted(cells, key=lambda c: (c.entry.slot, c.entry.age)):
        by_method[cell.entry.method].append(cell)
    places = {cell.place: cell.where for cell in cells}
    draws = draws_of([cell for cell in cells if cell.failure is None], positive)
    finished = [_row(method, of_it, draws, places) for method, of_it in by_method.items()]
    failed = [_failed_row(method, of_it) for method, of_it in by_method.items()]
    ranked, pairs = _ranked([row for row in finished if row is not None], draws)
    return ranked + [row for row in failed if row is not None], pairs


def _row(method: str, cells: Sequence[Cell], draws: Draws, places: dict[tuple[int, int], str]) -> Row | None:
    done = tuple(cell for cell in cells if cell.failure is None)
    if not done:
        return None
    found = _means(done, draws)
    labels = Counter(label for cell in done for label in _labels(cell))
    test_images = round(sum(labels.values()) / len({cell.entry.seed for cell in done}))
    share = max(labels.values()) / sum(labels.values())
    accuracy = found["accuracy"].value
    assert accuracy is not None
    bound = _bound(found["accuracy"], accuracy, test_images, grouped=draws.grouped)
    status: Status = "ranked" if bound is not None and bound > share else "under-trained"
    if status == "ranked" and found[RANKED_BY].value is None:
        status = "not ranked"
    return Row(
        method=method,
        label=done[0].entry.label,
        recipe=done[0].entry.recipe,
        status=status,
        cells=done,
        means=found,
        test_images=test_images,
        majority_share=share,
        bound=bound,
        notes=tuple(unique(_notes(done, found, places))),
    )


def _bound(mean: Mean, accuracy: float, n: int, *, grouped: bool) -> float | None:
    """Return what the accuracy is clearly above: slices of one patient are not so many trials."""
    if not grouped:
        return lower_bound(accuracy, n)
    return None if mean.interval is None else mean.interval.low


def _labels(cell: Cell) -> list[int]:
    assert cell.labels is not None
    return [int(label) for label in cell.labels]


def _notes(
    cells: Sequence[Cell], found: dict[str, Mean], places: dict[tuple[int, int], str]
) -> Iterable[str]:
    for cell in cells:
        yield from _about_weights(cell.manifest)
    for cell in cells:
        parameters = cell.manifest["model"]["parameters"]
        for name, words in NOTED_PARAMETERS.items():
            if parameters.get(name) is not None:
                yield words.format(parameters[name])
    for cell in cells:
        yield from cell.manifest["notes"]
    missing = sorted(places.keys() - {cell.place for cell in cells})
    if missing:
        yield f"without {', '.join(places[place] for place in missing)}"
    for metric, mean in found.items():
        if mean.reason is not None:
            yield f"{metric.replace('_', ' ')} undefined: {mean.reason}"


def _from_scratch(manifest: Mapping[str, Any]) -> bool:
    return (
        any(weights["sha256"] is None for weights in manifest["weights"])
        or manifest["model"]["parameters"].get("backbone") == SPLIT_NETWORK
        or _says_so(manifest)
    )


def _says_so(manifest: Mapping[str, Any]) -> bool:
    return any(note.startswith(SCRATCH_NOTE) for note in manifest["notes"])


def _about_weights(manifest: Mapping[str, Any]) -> Iterable[str]:
    """Which pretrained networks a row rests on; of those that could not be had only if the model is silent."""
    told = {weights["network"] for weights in manifest["weights"]}
    backbone = manifest["model"]["parameters"].get("backbone")
    if isinstance(backbone, str) and backbone not in told | {SPLIT_NETWORK}:
        yield f"features of {backbone}"
    for weights in manifest["weights"]:
        if is_stage(weights["network"]):
            continue  # a note says what it was trained on
        reason = f" ({weights['reason']})" if weights["reason"] else ""
        if weights["sha256"]:
            yield f"pretrained {weights['network']}{reason}"
        elif not _says_so(manifest):
            yield f"{SCRATCH_NOTE}: no weights of {weights['network']}{reason}"


def _failed_row(method: str, cells: Sequence[Cell]) -> Row | None:
    """The failures of a method as one row, the reason told once for all seeds and folds it struck."""
    struck: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        if cell.failure is not None:
            struck[cell.failure].append(cell.where)
    if not struck:
        return None
    notes = tuple(f"{', '.join(places)}: {reason}" for reason, places in struck.items())
    entry = cells[0].entry
    return Row(method=method, label=entry.label, recipe=entry.recipe, status="failed", notes=notes)


def _ranked(rows: Sequence[Row], draws: Draws) -> tuple[list[Row], Pairs]:
    """Give ranks, the rows without one last; no row has a better rank than one with a higher score."""
    order = ("ranked", "not ranked", "under-trained")
    ordered = sorted(rows, key=lambda row: (order.index(row.status), -_value(row), row.method))
    best_first = [row for row in ordered if row.status == "ranked"]
    pairs = pairs_of({row.method: row.cells for row in best_first}, draws)
    ranks = accumulate((pairs.rank(row.method, RANKED_BY) for row in best_first), max)
    ranked = [replace(row, rank=rank) for row, rank in zip(best_first, ranks, strict=True)]
    return ranked + ordered[len(ranked) :], pairs


def _value(row: Row) -> float:
    value = None if row.means is None else row.means[RANKED_BY].value
    return -1.0 if value is None else value
