"""What a row's probabilities and its worst subgroup say of it: calibration, and accuracy where it is lowest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.board_cells import Cell
from harness.board_draws import shared_out
from harness.calibration import Calibration, calibration_of
from harness.resamples import units_of
from harness.subgroups import Image, Subgroups, subgroups_of

__all__ = ["Reliability", "reliability_of", "sources_of"]


@dataclass(frozen=True)
class Reliability:
    """The calibration of a row's probabilities, and its accuracy in the subgroups of its test images."""

    calibration: Calibration
    subgroups: Subgroups


def sources_of(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the source of each image (by id) that any of these cells has recorded, the newest told last.

    All cells of a board are of the same images: records that were written before sources were kept
    learn theirs from the others.
    """
    return {
        name: source
        for cell in sorted(cells, key=lambda cell: cell.entry.age)
        for name, source in zip(cell.ids, cell.sources or (), strict=cell.sources is not None)
        if source is not None
    }


def reliability_of(cells: Sequence[Cell], positive: str | None, sources: Mapping[str, str]) -> Reliability:
    """Return what is known of the finished cells of a row (at least one), as one model over its seeds and folds."""
    grouped = any(cell.grouped for cell in cells)
    number = None if positive is None else cells[0].classes.index(positive)
    images: dict[str, Image] = {}
    tested: list[tuple[str, bool]] = []
    for cell in cells:
        assert cell.labels is not None
        assert cell.probabilities is not None
        units = units_of(cell.ids, cell.groups)
        for name, label, unit in zip(cell.ids, cell.labels.tolist(), units, strict=True):
            images[name] = Image(cell.classes[label], sources.get(name), unit)
        right = cell.probabilities.argmax(axis=1) == cell.labels
        tested += zip(cell.ids, right.tolist(), strict=True)
    return Reliability(
        calibration_of(shared_out(cells), positive=number, grouped=grouped),
        subgroups_of(images, tested, grouped=grouped),
    )
