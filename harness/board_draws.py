"""The cells of a board scored, as they are and in resamples of their test parts that all share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.board_cells import Cell
from harness.metrics import Auc, Scores
from harness.resamples import Part, Resamples, mean_of, resampled, resamples_of

__all__ = ["Draws", "draws_of", "shared_out"]


@dataclass(frozen=True, eq=False)
class Draws:
    """Scores of cells by their key, and their metrics in each of B resamples (B,)."""

    positive: int | None
    auc: Auc
    resamples: Resamples
    grouped: bool
    scores: Mapping[str, Scores]
    drawn: Mapping[str, Mapping[str, np.ndarray]]

    def mean(self, cells: Sequence[Cell]) -> dict[str, np.ndarray]:
        """Return the mean over a seed's folds, then over seeds, of every metric in each resample."""
        return mean_of(shared_out(cells), [self.drawn[cell.entry.key] for cell in cells])


def draws_of(cells: Sequence[Cell], positive: str | None, auc: Auc = "scores") -> Draws:
    """Return the draws of finished cells, with the class named `positive` counted as such."""
    parts = shared_out(cells)
    resamples = resamples_of(parts)
    number = None if positive is None or not cells else cells[0].classes.index(positive)
    return Draws(
        positive=number,
        auc=auc,
        resamples=resamples,
        grouped=any(cell.grouped for cell in cells),
        scores={cell.entry.key: cell.scores(positive, auc) for cell in cells},
        drawn={
            cell.entry.key: resampled(part, resamples, positive=number, auc=auc)
            for cell, part in zip(cells, parts, strict=True)
        },
    )


def shared_out(cells: Sequence[Cell]) -> list[Part]:
    """Return the cells' test parts with their shares in a mean over a seed's folds, then over seeds."""
    folds = Counter(cell.entry.seed for cell in cells)
    return [_part(cell, 1 / (len(folds) * folds[cell.entry.seed])) for cell in cells]


def _part(cell: Cell, share: float) -> Part:
    assert cell.labels is not None
    assert cell.probabilities is not None
    return Part(cell.labels, cell.probabilities, cell.units, share)
