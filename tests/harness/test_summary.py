"""Summaries: hand-counted on a stand-in, then the two real datasets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.data.cards import Card
from harness.data.dataset import open_dataset
from harness.data.summary import UNASSIGNED, Part, Range, summary
from harness.types import Sample

CARD = Card(
    schema_version=1,
    name="squares",
    title="Squares",
    description="Some squares.",
    adapter="image-folder",
    classes=("dark", "bright"),
    positive="bright",
    licence="CC0-1.0",
    citation="Nobody 2020",
    known_problems=("They are square.",),
    known_missing=("lost.png",),
)


@dataclass(frozen=True)
class StandIn:
    samples: tuple[Sample, ...]
    sizes: tuple[tuple[int, int], ...]
    card: Card = CARD
    warnings: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def sample(
    number: int, label: int, group: str | None, split: str | None, source: str | None = None
) -> Sample:
    return Sample(f"{number}.png", Path(f"{number}.png"), label, group, source, split)


SQUARES = StandIn(
    samples=(
        sample(1, 0, "p1", "train", "hospital"),
        sample(2, 0, "p1", "train", "hospital"),
        sample(3, 0, "p2", "test", "paper"),
        sample(4, 1, "p3", "train"),
        sample(5, 1, "p3", "test"),
        sample(6, 1, None, "val"),
    ),
    sizes=((10, 20), (20, 20), (30, 26), (5, 7), (6, 8), (7, 12)),
    warnings=("one is odd",),
    skipped=("7.png: torn",),
)


class TestCounts:
    def test_images_and_patients_are_counted_by_class_and_part(self) -> None:
        dark, bright = summary(SQUARES).classes
        assert (dark.label, dark.total) == ("dark", Part(images=3, groups=2))
        assert dict(dark.parts) == {"train": Part(2, 1), "val": Part(0, None), "test": Part(1, 1)}
        assert (bright.label, bright.total) == ("bright", Part(images=3, groups=1))
        assert dict(bright.parts) == {"train": Part(1, 1), "val": Part(1, None), "test": Part(1, 1)}

    def test_the_whole_is_counted_too(self) -> None:
        overall = summary(SQUARES).overall
        assert overall.label is None
        assert overall.total == Part(images=6, groups=3)
        assert overall.parts["train"] == Part(images=3, groups=2)

    def test_patients_are_none_where_none_is_known(self) -> None:
        nameless = StandIn(tuple(sample(n, n % 2, None, None) for n in range(4)), ((3, 3),) * 4)
        found = summary(nameless)
        assert found.overall.total == Part(images=4, groups=None)
        assert found.images_without_group == 4

    def test_images_in_no_part_are_unassigned(self) -> None:
        mixed = StandIn((sample(1, 0, None, "train"), sample(2, 1, None, None)), ((3, 3), (4, 4)))
        found = summary(mixed)
        assert found.parts == ("train", UNASSIGNED)
        assert found.overall.parts[UNASSIGNED] == Part(images=1, groups=None)

    def test_a_patient_on_two_sides_is_named(self) -> None:
        assert summary(SQUARES).groups_on_two_sides == ("p3",)

    def test_a_patient_of_whom_some_images_are_unassigned_is_on_one_side(self) -> None:
        found = summary(StandIn((sample(1, 0, "p", "train"), sample(2, 1, "p", None)), ((3, 3), (4, 4))))
        assert found.groups_on_two_sides == ()

    def test_sources_are_counted_where_they_are_known(self) -> None:
        assert summary(SQUARES).sources == 2
        assert (
            summary(StandIn((sample(1, 0, None, None), sample(2, 1, None, None)), ((3, 3),) * 2)).sources
            is None
        )


class TestSizes:
    def test_height_and_width_have_a_least_a_mean_and_a_greatest(self) -> None:
        dark, bright = summary(SQUARES).classes
        assert (dark.height, dark.width) == (Range(10, 20.0, 30), Range(20, 22.0, 26))
        assert (bright.height, bright.width) == (Range(5, 6.0, 7), Range(7, 9.0, 12))

    def test_those_of_the_whole_are_of_all_images(self) -> None:
        overall = summary(SQUARES).overall
        assert (overall.height, overall.width) == (Range(5, 13.0, 30), Range(7, 15.5, 26))

    def test_samples_without_a_size_are_a_bug(self) -> None:
        with pytest.raises(ValueError, match="shorter"):
            summary(StandIn(SQUARES.samples, SQUARES.sizes[:-1]))


def test_what_a_reader_must_know_is_passed_on() -> None:
    found = summary(SQUARES)
    assert (found.name, found.title, found.positive) == ("squares", "Squares", "bright")
    assert (found.licence, found.citation) == ("CC0-1.0", "Nobody 2020")
    assert (found.warnings, found.skipped) == (("one is odd",), ("7.png: torn",))
    assert (found.known_problems, found.known_missing) == (("They are square.",), ("lost.png",))


@pytest.mark.data
class TestRealDatasets:
    def test_covid_ct_is_as_its_authors_counted(self) -> None:
        found = summary(open_dataset("covid-ct"))
        other, covid = found.classes
        assert [covid.parts[part].images for part in found.parts] == [191, 60, 98]
        assert [other.parts[part].images for part in found.parts] == [234, 58, 105]
        assert (found.overall.height.minimum, found.overall.width.maximum) == (61, 1671)
        assert found.groups_on_two_sides == ()

    def test_sars_cov_2_ct_has_no_patients_and_one_known_missing_file(self) -> None:
        found = summary(open_dataset("sars-cov-2-ct"))
        assert found.overall.total == Part(images=2481, groups=None)
        assert [found.overall.parts[part].images for part in found.parts] == [1985, 496]
        assert found.known_missing == ("non-COVID/Non-Covid (151).png",)
