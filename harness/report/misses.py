"""Test images that most models get wrong, and how sure each was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.report.rows import RowView

__all__ = ["MOST", "Miss", "Misses", "misses_of"]

MOST = 48
"""Images that are listed; the counts are of all."""


@dataclass(frozen=True, slots=True)
class Miss:
    """A test image: its id and class, how many of the models that were tested on it are wrong.

    `given` is the probability of the true class by each model, in their order; None where a model was not
    tested on the image. `wrong` says for each whether it decided otherwise.
    """

    id: str
    true: str
    count: int
    models: int
    given: tuple[float | None, ...]
    wrong: tuple[bool, ...]


@dataclass(frozen=True)
class Misses:
    """The images that all models get wrong; where there is none, those that most do."""

    views: tuple[RowView, ...]
    all_wrong: int
    tested: int
    listed: tuple[Miss, ...]
    left_out: int

    @property
    def by_all(self) -> bool:
        return self.all_wrong > 0


def misses_of(views: Sequence[RowView]) -> Misses | None:
    """Return the misses of a section's finished rows; None with fewer than two.

    A model's probabilities are the mean over the seeds that tested an image. The decision is the class
    of the largest, as everywhere.
    """
    finished = tuple(view for view in views if view.row.cells)
    if len(finished) < 2:
        return None
    labels: dict[str, int] = {}
    given = [_mean_probabilities(view, labels) for view in finished]
    classes = finished[0].row.cells[0].classes
    found = [_miss(name, label, classes, given) for name, label in sorted(labels.items())]
    hard = sorted((miss for miss in found if miss.count), key=lambda m: (-m.count / m.models, _sure(m), m.id))
    everybody = [miss for miss in hard if miss.count == miss.models]
    chosen = everybody or [m for m in hard if m.count * hard[0].models == hard[0].count * m.models]
    return Misses(finished, len(everybody), len(found), tuple(chosen[:MOST]), len(chosen[MOST:]))


def _mean_probabilities(view: RowView, labels: dict[str, int]) -> dict[str, np.ndarray]:
    """The mean probabilities (C,) by image; fills in the labels."""
    rows: dict[str, list[np.ndarray]] = defaultdict(list)
    for cell in view.row.cells:
        assert cell.labels is not None
        assert cell.probabilities is not None
        labels.update(zip(cell.ids, cell.labels.tolist(), strict=True))
        for name, row in zip(cell.ids, cell.probabilities, strict=True):
            rows[name].append(row)
    return {name: np.mean(of_image, axis=0) for name, of_image in rows.items()}


def _miss(name: str, label: int, classes: Sequence[str], given: Sequence[dict[str, np.ndarray]]) -> Miss:
    rows = [of_model.get(name) for of_model in given]
    wrong = tuple(row is not None and int(row.argmax()) != label for row in rows)
    shares = tuple(None if row is None else float(row[label]) for row in rows)
    return Miss(name, classes[label], sum(wrong), sum(row is not None for row in rows), shares, wrong)


def _sure(miss: Miss) -> float:
    """The mean probability of the true class: the smaller, the surer the models were of another."""
    known = [share for share in miss.given if share is not None]
    return sum(known) / len(known)
