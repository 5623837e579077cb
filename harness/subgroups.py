"""Subgroups of a test part, and the one that a model does worst on (Sagawa et al. 2020).

A subgroup is a class from one source: COVID images of one paper, other images of one collection. Where no
source is known the classes themselves are the subgroups. A patient is none: all images of a patient are one draw,
so nothing could be said of how certain a patient's accuracy is, and the worst of many patients is mostly noise.

The lowest of k accuracies is lower than the truth, because it was chosen for being low. Its interval is
therefore that of level 1 - alpha / k (Bonferroni): then with 1 - alpha all k intervals hold, and the chosen one too.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from harness.intervals import LEVEL, Interval, student, wilson

__all__ = [
    "FEWEST_IMAGES",
    "FEWEST_PATIENTS",
    "OTHER_SOURCES",
    "Grouping",
    "Image",
    "Subgroup",
    "Subgroups",
    "grouping_of",
    "share_interval",
    "subgroups_of",
]

FEWEST_IMAGES = 10
"""Images that a subgroup must have: of fewer, one image changes the accuracy by more than 10 points."""

FEWEST_PATIENTS = 5
"""Patients that a subgroup must have, where patients are known: the spread of fewer is hardly known."""

OTHER_SOURCES = "other sources"
"""The sources of a class that are too small to be subgroups, and what has no source, together."""


class Image(NamedTuple):
    """What decides to which subgroup a test image belongs. `unit` is its patient, or itself where none is known."""

    label: str
    source: str | None
    unit: str


@dataclass(frozen=True)
class Grouping:
    """The subgroup of each image by its id. `by_source` is False where they are the classes."""

    by_source: bool
    name_of: Mapping[str, str]
    left_out: int


@dataclass(frozen=True, slots=True)
class Subgroup:
    """One subgroup's accuracy with two intervals: `alone` for itself, `chosen` for the worst of all of them."""

    name: str
    images: int
    units: int
    accuracy: float
    alone: Interval
    chosen: Interval


@dataclass(frozen=True)
class Subgroups:
    """All subgroups, the worst first; none and a `reason` where every one is too small.

    `left_out` images belong to none. `grouped` says whether the units are patients.
    """

    groups: tuple[Subgroup, ...]
    by_source: bool
    grouped: bool
    left_out: int
    reason: str | None = None

    @property
    def worst(self) -> Subgroup | None:
        return self.groups[0] if self.groups else None


def grouping_of(images: Mapping[str, Image], *, grouped: bool) -> Grouping:
    """Return the subgroups of these images (by id): class and source where any source is known, else class.

    Small sources of a class are put together; what is then still smaller than `FEWEST_IMAGES` (or, where
    patients are known, has fewer than `FEWEST_PATIENTS`) is left out and counted.
    """
    by_source = any(image.source is not None for image in images.values())
    names = {name: _name(image, by_source=by_source) for name, image in images.items()}
    if by_source:
        large = _large(images, names, grouped=grouped)
        names = {
            name: told if told in large else f"{images[name].label}, {OTHER_SOURCES}"
            for name, told in names.items()
        }
    large = _large(images, names, grouped=grouped)
    kept = {name: told for name, told in names.items() if told in large}
    return Grouping(by_source, kept, len(images) - len(kept))


def _name(image: Image, *, by_source: bool) -> str:
    return f"{image.label}, {image.source or OTHER_SOURCES}" if by_source else image.label


def _large(images: Mapping[str, Image], names: Mapping[str, str], *, grouped: bool) -> set[str]:
    """The names that enough images and enough patients bear."""
    count = Counter(names.values())
    units: dict[str, set[str]] = defaultdict(set)
    for name, told in names.items():
        units[told].add(images[name].unit)
    fewest_units = FEWEST_PATIENTS if grouped else 1
    return {told for told, n in count.items() if n >= FEWEST_IMAGES and len(units[told]) >= fewest_units}


def subgroups_of(
    images: Mapping[str, Image],
    tested: Sequence[tuple[str, bool]],
    *,
    grouped: bool,
    level: float = LEVEL,
) -> Subgroups:
    """Return the accuracy in every subgroup of `images` (by id), the worst first.

    `tested` are pairs of an image's id and whether it was decided rightly, one for each time it was tested: once
    a seed. An accuracy is the share of all of them, so that a subgroup's folds and seeds count by their images.
    """
    grouping = grouping_of(images, grouped=grouped)
    counts: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for name, right in tested:
        if (told := grouping.name_of.get(name)) is not None:
            of_unit = counts[told].setdefault(images[name].unit, [0, 0])
            of_unit[0] += right
            of_unit[1] += 1
    sizes = Counter(grouping.name_of.values())
    groups = [
        _subgroup(told, sizes[told], of_units, len(counts), grouped=grouped, level=level)
        for told, of_units in counts.items()
    ]
    groups.sort(key=lambda group: (group.accuracy, -group.images, group.name))
    return Subgroups(
        tuple(groups), grouping.by_source, grouped, grouping.left_out, None if groups else _too_small(grouped)
    )


def _too_small(grouped: bool) -> str:
    patients = f" and {FEWEST_PATIENTS} patients" if grouped else ""
    return f"no subgroup has {FEWEST_IMAGES} images{patients}"


def _subgroup(
    name: str, images: int, of_units: Mapping[str, Sequence[int]], k: int, *, grouped: bool, level: float
) -> Subgroup:
    right, tested = np.array([of_units[unit] for unit in sorted(of_units)], dtype=np.float64).T
    alone, chosen = (
        share_interval(right, tested, level=at, grouped=grouped) for at in (level, 1 - (1 - level) / k)
    )
    return Subgroup(name, images, len(of_units), float(right.sum() / tested.sum()), alone, chosen)


def share_interval(right: np.ndarray, tested: np.ndarray, *, level: float, grouped: bool) -> Interval:
    """Return the interval of sum(right) / sum(tested) over U units, each drawn as a whole.

    `right` (U,) and `tested` (U,) count the decisions on each unit. Units of one decision: Wilson's interval
    (1927). Else Wilson's of the effective number of decisions (Korn and Graubard 1998): that many independent ones
    would have the variance that is seen between units; Student's t makes up for few units.
    """
    units, total = len(right), float(tested.sum())
    share = float(right.sum() / total)
    if (tested == 1).all():
        low, high = wilson(float(right.sum()), units, level)
        return Interval(low, high, "Wilson", not grouped)
    if units < 2:
        return Interval(None, None, "none", not grouped, "a single unit: its spread is not known")
    effective = _effective(share, right - share * tested, total, level)
    low, high = wilson(share * effective, effective, level)
    what = "patients" if grouped else "images"
    return Interval(low, high, f"Wilson, effective size over {units} {what}", not grouped)


def _effective(share: float, deviations: np.ndarray, total: float, level: float) -> float:
    """How many independent decisions are worth as much; units that all agree are worth one each."""
    units = len(deviations)
    if not 0 < share < 1:
        return float(units)
    variance = units / (units - 1) * float((deviations**2).sum()) / total**2
    likely = share * (1 - share)
    effective = total if variance <= likely / total else likely / variance
    shrunk = NormalDist().inv_cdf((1 + level) / 2) / student(level, units - 1)
    return max(1.0, effective * math.pow(shrunk, 2))
