"""Records of the protocol `external`: which two datasets they speak of, and their predictions in the other's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.board_cells import Cell
from harness.manifests import Side, Sides

__all__ = ["Side", "Sides", "elsewhere", "in_order", "in_words_of_tested", "sides_of"]


def sides_of(manifest: Mapping[str, Any]) -> Sides | None:
    """Return the two sides of a manifest that was checked, None for a record that does not name them."""
    said = manifest["dataset"].get("sides")
    return None if said is None else Sides.model_validate(said)


def elsewhere(manifest: Mapping[str, Any]) -> str:
    """Return what a reader must know of a board whose test images are of another dataset than was trained on."""
    sides = sides_of(manifest)
    if sides is None:
        return "Tested on another dataset than trained on; the records do not say more of it."
    matches = "; ".join(
        f"{match.shared}: {match.trained_on!r} there, {match.tested_on!r} here" for match in sides.classes
    )
    home, away = sides.trained_on.title, sides.tested_on.title
    return (
        f"Trained on {home}, tested on {away}: no image of the second was used for training or tuning. Less than on "
        f"{away}'s own board may be due to other patients, scanners, file formats, or to what each of the two means "
        f"by a class ({matches}); this board cannot tell which. 'Under-trained' says here that what was learned on "
        f"{home} does not carry over."
    )


def in_words_of_tested(cell: Cell, sides: Sides) -> Cell:
    """Return a finished cell with the classes of the dataset that it was tested on, in the order of their names.

    Unlike on its own board, where they are those of the dataset that it was trained on.
    """
    assert cell.labels is not None
    assert cell.probabilities is not None
    name_of = {match.trained_on: match.tested_on for match in sides.classes}
    named = [name_of[name] for name in cell.classes]
    return in_order(replace(cell, classes=tuple(named)))


def in_order(cell: Cell) -> Cell:
    """Return a finished cell with its classes in the order of their names."""
    assert cell.labels is not None
    assert cell.probabilities is not None
    order = sorted(range(len(cell.classes)), key=lambda number: cell.classes[number])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return replace(
        cell,
        classes=tuple(cell.classes[number] for number in order),
        labels=place[cell.labels],
        probabilities=cell.probabilities[:, order],
    )
