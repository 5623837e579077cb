"""Subgroups and the worst of them: when there is none, by hand, and what choosing the lowest does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import array

from harness.intervals import wilson
from harness.subgroups import Image, grouping_of, share_interval, subgroups_of


def part(**groups):
    """Images and their results from `name=(class, source, right, wrong)`, each its own unit."""
    images, tested = {}, []
    for name, (label, source, right, wrong) in groups.items():
        for number in range(right + wrong):
            images[f"{name} {number}"] = Image(label, source, f"image {name} {number}")
            tested.append((f"{name} {number}", number < right))
    return images, tested


def shares(found):
    return {group.name: (group.accuracy, group.images) for group in found.groups}


def test_no_images_have_no_worst_group_but_the_reason():
    found = subgroups_of({}, [], grouped=False)
    assert (found.worst, found.reason) == (None, "no subgroup has 10 images")


def test_groups_of_nine_images_are_too_small_to_be_any():
    found = subgroups_of(*part(a=("COVID", None, 9, 0), b=("other", None, 9, 0)), grouped=False)
    assert (found.groups, found.left_out, found.reason) == ((), 18, "no subgroup has 10 images")


def test_many_images_of_four_patients_are_too_few_patients():
    images = {f"{row}": Image("COVID", None, f"group {row % 4}") for row in range(40)}
    found = subgroups_of(images, [(name, True) for name in images], grouped=True)
    assert found.reason == "no subgroup has 10 images and 5 patients"
    assert found.left_out == 40


def test_without_sources_the_groups_are_the_classes():
    images, tested = part(a=("COVID", None, 15, 5), b=("other", None, 18, 2))
    found = subgroups_of(images, tested, grouped=False)
    assert not found.by_source
    assert shares(found) == {"COVID": (0.75, 20), "other": (0.9, 20)}
    assert found.worst.name == "COVID"


def test_with_sources_the_groups_are_class_and_source():
    images, tested = part(
        a=("COVID", "paper 1", 18, 2), b=("COVID", "paper 2", 12, 8), c=("other", "paper 1", 20, 0)
    )
    found = subgroups_of(images, tested, grouped=False)
    assert found.by_source
    assert [group.name for group in found.groups] == ["COVID, paper 2", "COVID, paper 1", "other, paper 1"]


def test_small_sources_of_a_class_are_one_group_with_what_has_no_source():
    images, tested = part(
        a=("COVID", "large", 12, 0),
        b=("COVID", "small", 3, 3),
        c=("COVID", None, 4, 0),
        d=("other", "small", 2, 0),
    )
    found = subgroups_of(images, tested, grouped=False)
    assert shares(found) == {"COVID, large": (1.0, 12), "COVID, other sources": (0.7, 10)}
    assert found.left_out == 2


def test_a_source_of_many_images_and_few_patients_is_no_group_of_its_own():
    images = {f"a{row}": Image("COVID", "one man", "group a") for row in range(20)}
    images |= {f"b{row}": Image("COVID", "ward", f"group {row}") for row in range(12)}
    assert set(grouping_of(images, grouped=True).name_of.values()) == {"COVID, ward"}
    assert grouping_of(images, grouped=True).left_out == 20


def test_images_of_one_decision_have_wilsons_interval_at_both_levels():
    """Two groups: 95 % for the worst alone, 97.5 % where it was chosen."""
    found = subgroups_of(*part(a=("COVID", None, 15, 5), b=("other", None, 18, 2)), grouped=False)
    worst = found.worst
    assert (worst.alone.low, worst.alone.high) == wilson(15, 20, 0.95)
    assert (worst.chosen.low, worst.chosen.high) == pytest.approx(wilson(15, 20, 0.975))
    assert worst.alone.per_slice


def test_seeds_on_the_same_images_count_the_share_of_all_decisions():
    images, tested = part(a=("COVID", None, 15, 5))
    found = subgroups_of(images, tested + [(name, True) for name, _ in tested], grouped=False)
    assert found.worst.accuracy == pytest.approx(35 / 40)
    assert found.worst.images == 20


def test_a_seed_repeated_makes_the_interval_no_narrower():
    images, tested = part(a=("COVID", None, 60, 40))
    once = subgroups_of(images, tested, grouped=False).worst.alone
    thrice = subgroups_of(images, tested * 3, grouped=False).worst.alone
    assert thrice.low == pytest.approx(once.low, abs=0.005)
    assert thrice.low <= once.low


def test_an_image_that_a_row_was_not_tested_on_counts_nowhere():
    images, tested = part(a=("COVID", None, 15, 5), b=("other", None, 18, 2))
    found = subgroups_of(images, [pair for pair in tested if pair[0].startswith("a")], grouped=False)
    assert shares(found) == {"COVID": (0.75, 20)}


def test_patients_that_agree_are_worth_one_decision_each():
    """Ten patients of four images, eight all right and two all wrong: about Wilson's of 8 of 10, a little wider."""
    found = share_interval(array([4.0] * 8 + [0.0] * 2), array([4.0] * 10), level=0.95, grouped=True)
    low, high = wilson(8, 10)
    assert found.low < low < high < found.high
    assert found.method == "Wilson, effective size over 10 patients"


def test_patients_that_differ_no_more_than_images_are_worth_their_images():
    right, tested = array([3.0, 3.0, 3.0, 3.0, 2.0, 4.0] * 10), array([4.0] * 60)
    found = share_interval(right, tested, level=0.95, grouped=True)
    low, high = wilson(180, 240)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.003)


def test_a_perfect_group_of_patients_is_not_certain():
    found = share_interval(array([4.0] * 6), array([4.0] * 6), level=0.95, grouped=True)
    assert (found.low, found.high) == wilson(6, 6)


def test_a_single_unit_has_no_interval():
    found = share_interval(array([3.0]), array([4.0]), level=0.95, grouped=True)
    assert (found.low, found.reason) == (None, "a single unit: its spread is not known")


def test_of_equally_bad_groups_the_larger_is_called_the_worst():
    images, tested = part(a=("a", None, 10, 10), b=("b", None, 20, 20))
    assert subgroups_of(images, tested, grouped=False).worst.name == "b"


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=6), st.randoms())
@settings(max_examples=50, deadline=None)
def test_every_accuracy_lies_in_its_intervals_and_the_order_of_images_changes_nothing(sizes, random):
    images, tested = part(**{f"g{i}": ("COVID", f"source {i}", *size) for i, size in enumerate(sizes)})
    found = subgroups_of(images, tested, grouped=False)
    moved = list(images.items())
    random.shuffle(moved)
    random.shuffle(tested)
    assert subgroups_of(dict(moved), tested, grouped=False) == found
    assert sum(group.images for group in found.groups) + found.left_out == len(images)
    for group in found.groups:
        assert group.chosen.low <= group.alone.low <= group.accuracy <= group.alone.high <= group.chosen.high
