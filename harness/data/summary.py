"""What a dataset holds, in numbers: counts by class, part and patient, sizes, and what a reader must know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from harness.data.cards import Card
from harness.types import Sample

__all__ = ["UNASSIGNED", "Counts", "Described", "Part", "Range", "Summary", "summary"]

UNASSIGNED = "unassigned"
"""The part of the images that their authors put in none."""

PARTS = ("train", "val", "test", UNASSIGNED)


class Described(Protocol):
    """What a summary is made of: a `harness.data.dataset.Dataset`."""

    @property
    def card(self) -> Card: ...
    @property
    def samples(self) -> tuple[Sample, ...]: ...
    @property
    def sizes(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def skipped(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Range:
    """Least, mean and greatest of some lengths in pixels."""

    minimum: int
    mean: float
    maximum: int

    @classmethod
    def of(cls, values: Sequence[int]) -> Range:
        return cls(min(values), sum(values) / len(values), max(values))


@dataclass(frozen=True, slots=True)
class Part:
    """Images, and the patients (groups) they are of; `groups` is None where no image's patient is known."""

    images: int
    groups: int | None


@dataclass(frozen=True, slots=True)
class Counts:
    """One class, or all of them (`label` None): in total, by part of the official split, and the sizes in pixels."""

    label: str | None
    total: Part
    parts: Mapping[str, Part]
    height: Range
    width: Range


@dataclass(frozen=True, slots=True)
class Summary:
    """The facts on a dataset. `parts` are those that occur, in the order train, val, test, unassigned.

    `groups_on_two_sides` names the groups with images in more than one part; `images_without_group` counts
    those whose patient is not known; `sources` is None where no source is known.
    """

    name: str
    title: str
    description: str
    positive: str | None
    parts: tuple[str, ...]
    classes: tuple[Counts, ...]
    overall: Counts
    groups_on_two_sides: tuple[str, ...]
    images_without_group: int
    sources: int | None
    skipped: tuple[str, ...]
    warnings: tuple[str, ...]
    licence: str
    citation: str
    known_problems: tuple[str, ...]
    known_missing: tuple[str, ...]


def summary(dataset: Described) -> Summary:
    """Return the facts on a dataset of at least one image a class (`open_dataset` grants that)."""
    card, samples = dataset.card, dataset.samples
    rows = list(zip(samples, dataset.sizes, strict=True))
    parts = tuple(part for part in PARTS if any(_part(sample) == part for sample in samples))
    return Summary(
        name=card.name,
        title=card.title,
        description=card.description,
        positive=card.positive,
        parts=parts,
        classes=tuple(
            _counts(name, [row for row in rows if row[0].label == label], parts)
            for label, name in enumerate(card.classes)
        ),
        overall=_counts(None, rows, parts),
        groups_on_two_sides=_on_two_sides(samples),
        images_without_group=sum(sample.group is None for sample in samples),
        sources=_distinct(sample.source for sample in samples),
        skipped=dataset.skipped,
        warnings=dataset.warnings,
        licence=card.licence,
        citation=card.citation,
        known_problems=card.known_problems,
        known_missing=card.known_missing,
    )


def _counts(
    label: str | None, rows: Sequence[tuple[Sample, tuple[int, int]]], parts: Sequence[str]
) -> Counts:
    samples = [sample for sample, _ in rows]
    by_part = {part: _counted([s for s in samples if _part(s) == part]) for part in parts}
    heights, widths = zip(*(size for _, size in rows), strict=True)
    return Counts(label, _counted(samples), MappingProxyType(by_part), Range.of(heights), Range.of(widths))


def _counted(samples: Sequence[Sample]) -> Part:
    return Part(len(samples), _distinct(sample.group for sample in samples))


def _distinct(values: Iterable[str | None]) -> int | None:
    """Return how many different values there are, None when all are unknown."""
    return len({value for value in values if value is not None}) or None


def _part(sample: Sample) -> str:
    return sample.split or UNASSIGNED


def _on_two_sides(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the groups with images in more than one part, in the order of their first image."""
    parts: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.group is not None and sample.split is not None:
            parts[sample.group].add(sample.split)
    return tuple(group for group in parts if len(parts[group]) > 1)
