"""Tables to verify in one form, wherever they came from: what each row printed, and how the table counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.matrices import VERIFIABLE, Figure
from harness.metrics import Auc
from harness.published import PublishedRow, PublishedTable, Reading

__all__ = ["AVERAGES", "Average", "Claim", "ClaimTable", "Counts", "Settings", "averaged"]

Counts = Mapping[str, int]
"""Test images by class: two of them."""

Average = Literal["macro", "weighted"]
AVERAGES: tuple[Average, ...] = ("macro", "weighted")
"""Over the two classes, each counting the same or by its images; else a metric is that of the positive class."""


@dataclass(frozen=True)
class Settings:
    """What the command line says of a table; None leaves it to the table.

    `test` counts the positive and the negative images, `decimals` are those of a percentage, `average` says of
    what precision, recall and F1 are means.
    """

    test: tuple[int, int] | None = None
    sizes: tuple[int, int] | None = None
    positive: str | None = None
    auc: Auc | None = None
    decimals: int | None = None
    average: Average | None = None


@dataclass(frozen=True)
class Claim:
    """A row: every figure that was printed, by metric; in percent, those in `fractions` as fractions of 1.

    Figures in `spread` were printed with a ±, so they may be means over runs. `row` is the published one it came
    from.
    """

    method: str
    figures: Mapping[str, Figure]
    printed: Mapping[str, str]
    fractions: frozenset[str] = frozenset()
    spread: frozenset[str] = frozenset()
    row: PublishedRow | None = None


@dataclass(frozen=True)
class ClaimTable:
    """Rows, the class counted as positive where it is known, and where matrices are looked for.

    `tests` are pairs (whose counts, test images by class), the table's own first.
    """

    title: str
    source: str
    rows: tuple[Claim, ...]
    reading: Reading
    tests: tuple[tuple[str, Counts], ...]
    sizes: tuple[int, int]
    why_sizes: str
    dataset: str | None = None
    published: PublishedTable | None = None

    def checkable(self, claim: Claim) -> dict[str, Figure]:
        """Return the figures of a row that its confusion matrix determines in this table's reading."""
        return {
            name: figure
            for name, figure in claim.figures.items()
            if name in VERIFIABLE
            and name not in claim.spread
            and (name != "auc" or self.reading.auc == "hard-labels")
        }


def averaged(metric: str, average: Average | None) -> str:
    """Return the metric that a heading means when precision, recall and F1 are averages.

    >>> averaged("f1", "macro"), averaged("accuracy", "macro"), averaged("f1", None)
    ('macro_f1', 'accuracy', 'f1')
    """
    return f"{average}_{metric}" if average and metric in ("precision", "recall", "f1") else metric
