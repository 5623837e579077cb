"""Records of the protocol `external`: which two datasets they speak of, and their predictions in the other's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.board_cells import Cell
from harness.errors import RecordError

__all__ = ["Side", "Sides", "elsewhere", "in_words_of_tested", "sides_of"]

Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Side(_Part):
    """One of the two datasets: its name, title and the digest of its content."""

    name: Text
    title: Text
    content: Text


class Match(_Part):
    """A class by its shared name, and what the two datasets call it."""

    shared: Text
    trained_on: Text
    tested_on: Text


class Sides(_Part):
    """The dataset that was trained on, the one that was tested on, and their classes in the order of the first."""

    trained_on: Side
    tested_on: Side
    classes: Annotated[list[Match], Field(min_length=2)]


def sides_of(manifest: Mapping[str, Any]) -> Sides | None:
    """Return the two sides, None for a record that does not name them. Raises `RecordError` for damaged ones."""
    said = manifest["dataset"].get("sides")
    if said is None:
        return None
    try:
        sides = Sides.model_validate(said)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, ("dataset", "sides", *fault["loc"])))
        raise _damaged(manifest, f"{place}: {fault['msg']}") from error
    ours, theirs = ([getattr(match, side) for match in sides.classes] for side in ("trained_on", "tested_on"))
    if ours != list(manifest["dataset"].get("classes", ours)) or len(set(theirs)) < len(theirs):
        raise _damaged(manifest, "dataset.sides.classes: they are not those of the two datasets, each once")
    return sides


def _damaged(manifest: Mapping[str, Any], what: str) -> RecordError:
    return RecordError(
        f"record {manifest.get('key')!r}: its manifest is damaged: {what}; delete the folder and run again"
    )


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
