"""Two datasets as one: trained on the first, tested on the second, whose classes are told in the words of the first.

Classes are matched by the names that both cards give them under `[shared_classes]`, one to one. They are never
merged: a model of other classes would be another model than the one on the first dataset's own board, and the two
boards could not be set side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from harness.data.cards import Card
from harness.data.dataset import Dataset
from harness.data.pixels import NativePixels
from harness.errors import DataError
from harness.types import Progress

__all__ = ["Joined", "join", "matched_classes"]


@dataclass(frozen=True, eq=False)
class Joined(Dataset):
    """The images of `home`, which is trained on, then those of `away`, which is tested on.

    The ids of `home` begin with its name and a colon; those of `away` are its own, so that its test images are
    called alike on all boards. Labels are indices into the classes of `home`. The contents of the two datasets stay
    what they are alone, so that nothing is decoded or embedded twice.
    """

    home: Dataset = field(kw_only=True)
    away: Dataset = field(kw_only=True)

    @property
    def tested(self) -> Dataset:
        return self.away

    def home_id(self, sample_id: str) -> str:
        """Return what an id of `home` is in that dataset alone."""
        return sample_id.removeprefix(_prefix(self.home))

    @property
    def sides(self) -> dict[str, Any]:
        """What a record keeps of the two: names, titles, contents, and which class is which."""
        known_as = matched_classes(self.home.card, self.away.card)
        return {
            "trained_on": _told(self.home),
            "tested_on": _told(self.away),
            "classes": [
                {"shared": self.home.card.shared_classes[mine], "trained_on": mine, "tested_on": theirs}
                for theirs, mine in sorted(
                    known_as.items(), key=lambda pair: self.card.classes.index(pair[1])
                )
            ],
        }

    def patients(self, ids: Iterable[str]) -> set[tuple[str, str]]:
        known = ((row, self.groups[row]) for row in self.rows(ids).tolist())
        return {(self._side(row).name, group) for row, group in known if group is not None}

    def hiding(self, ids: Iterable[str]) -> Self:
        hidden = set(ids)
        home, away = self.home.hiding(hidden), self.away.hiding(hidden)
        return replace(self, home=home, away=away).retold((*home.samples, *away.samples))

    def pixels(self, cache: Path | None = None, progress: Progress | None = None) -> NativePixels:
        return _Pixels(self.home.pixels(cache, progress), self.away.pixels(cache, progress))

    def _side(self, row: int) -> Dataset:
        return self.home if row < len(self.home) else self.away


@dataclass(frozen=True)
class _Pixels:
    home: NativePixels
    away: NativePixels

    def __len__(self) -> int:
        return len(self.home) + len(self.away)

    def image(self, row: int) -> np.ndarray:
        inside = row < len(self.home)
        return self.home.image(row) if inside else self.away.image(row - len(self.home))

    def resized(self, size_px: int, progress: Progress | None = None) -> np.ndarray:
        return np.concatenate([side.resized(size_px, progress) for side in (self.home, self.away)])


def join(home: Dataset, away: Dataset) -> Joined:
    """Return the two datasets as one. Raises `DataError` when their classes do not match, or ids clash."""
    known_as = matched_classes(home.card, away.card)
    number = [home.card.classes.index(known_as[name]) for name in away.card.classes]
    ours = home.retold(replace(s, id=_prefix(home) + s.id) for s in home.samples)
    theirs = away.retold(replace(s, label=number[s.label]) for s in away.samples)
    clash = {s.id for s in ours.samples} & {s.id for s in theirs.samples}
    if clash:
        raise DataError(
            f"dataset {away.name!r}: the id {min(clash)!r} reads like one of {home.name!r}; rename it"
        )
    return Joined(
        card=_card(home.card, away.card),
        root=home.root,
        samples=(*ours.samples, *theirs.samples),
        pixel_digests=(*home.pixel_digests, *away.pixel_digests),
        sizes=(*home.sizes, *away.sizes),
        warnings=(*_of(home, home.warnings), *_of(away, away.warnings)),
        skipped=(*_of(home, home.skipped), *_of(away, away.skipped)),
        cache=home.cache,
        home=ours,
        away=theirs,
    )


def _prefix(home: Dataset) -> str:
    return f"{home.name}:"


def _told(dataset: Dataset) -> dict[str, str]:
    return {"name": dataset.name, "title": dataset.card.title, "content": dataset.content}


def _of(dataset: Dataset, texts: Iterable[str]) -> list[str]:
    return [f"{dataset.name}: {text}" for text in texts]


def _card(home: Card, away: Card) -> Card:
    """The first one's card, with what must be known of both."""
    return home.model_copy(
        update={
            "title": f"Trained on {home.title}, tested on {away.title}",
            "licence": f"{home.title}: {home.licence}; {away.title}: {away.licence}",
            "known_problems": tuple(f"{c.title}: {what}" for c in (home, away) for what in c.known_problems),
        }
    )


def matched_classes(home: Card, away: Card) -> dict[str, str]:
    """Return {class of `away`: class of `home`} by their shared names; the order of neither matters.

    Raises `DataError` in one line that names a class without a shared name, one that the other dataset does not
    have, or positive classes that differ.
    """
    ours, theirs = _by_shared_name(home, away.name), _by_shared_name(away, home.name)
    for card, other, name in (
        *((home, away, name) for name in sorted(ours.keys() - theirs.keys())),
        *((away, home, name) for name in sorted(theirs.keys() - ours.keys())),
    ):
        mine = (ours if card is home else theirs)[name]
        raise DataError(
            f"the classes of {home.name!r} and {away.name!r} do not match: {mine!r} of {card.name!r} is {name!r}, "
            f"and {other.name!r} has none of that shared name, only {_listed(other.shared_classes)}"
        )
    positives = [_positive(card) for card in (home, away)]
    if positives[0] != positives[1]:
        said = [f"{name!r} of {card.name!r}" for name, card in zip(positives, (home, away), strict=True)]
        raise DataError(
            f"the positive classes differ: {said[0]}, {said[1]}; correct 'positive' on one of the cards"
        )
    return {theirs[name]: ours[name] for name in theirs}


def _by_shared_name(card: Card, other: str) -> dict[str, str]:
    without = [name for name in card.classes if name not in card.shared_classes]
    if without:
        raise DataError(
            f"dataset {card.name!r}: the class {without[0]!r} has no shared name, so it cannot be matched with one of "
            f"{other!r}; write it under [shared_classes] on the card"
        )
    return {card.shared_classes[name]: name for name in card.classes}


def _positive(card: Card) -> str | None:
    return None if card.positive is None else card.shared_classes[card.positive]


def _listed(shared: Mapping[str, str]) -> str:
    return ", ".join(repr(name) for name in sorted(shared.values()))
