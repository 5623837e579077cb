from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ProtocolSkipped, SplitError, UnknownName
from harness.protocols import PROTOCOLS, carved, make_splits
from harness.types import Sample


def sample(number: int, label: int, group: str | None = None, split: str | None = None) -> Sample:
    return Sample(f"{label}/{number}.png", Path("x"), label, group, None, split)


def slices(per_class: tuple[int, ...], groups_of: int | None = None) -> list[Sample]:
    return [
        sample(n, label, None if groups_of is None else f"{label}-{n // groups_of}")
        for label, count in enumerate(per_class)
        for n in range(count)
    ]


def test_an_unknown_protocol_is_answered_with_a_close_name() -> None:
    with pytest.raises(UnknownName, match="you probably meant 'official'"):
        make_splits("oficial", slices((10, 10)))


def test_official_is_skipped_where_the_authors_give_no_split() -> None:
    with pytest.raises(ProtocolSkipped, match="no split"):
        make_splits("official", slices((10, 10)))


def test_official_refuses_samples_that_are_in_no_part() -> None:
    samples = [sample(n, n % 2, split="train" if n < 6 else "test") for n in range(10)]
    with pytest.raises(SplitError, match=r"1 samples are in no part .*'0/99\.png'"):
        make_splits("official", [*samples, sample(99, 0)])


def test_official_refuses_a_training_part_without_one_of_the_classes() -> None:
    samples = [sample(n, 0, split="train") for n in range(8)]
    samples += [sample(n, 1, split="test") for n in range(8, 12)]
    with pytest.raises(SplitError, match="no sample of class number 1 in the training part"):
        make_splits("official", samples)


def test_official_refuses_an_empty_test_part() -> None:
    with pytest.raises(SplitError, match="the test part is empty"):
        make_splits("official", [sample(n, n % 2, split="train") for n in range(20)])


def test_group_kfold_is_skipped_where_no_group_is_known() -> None:
    with pytest.raises(ProtocolSkipped, match="no patient"):
        make_splits("group-kfold", slices((10, 10)))


def test_a_class_with_a_single_training_group_cannot_be_in_both_parts() -> None:
    with pytest.raises(SplitError, match="class number 1"):
        carved([*slices((10,), 1), *(sample(n, 1, "one patient") for n in range(5))], 0.15, salt="s")


def test_official_keeps_the_authors_validation_part() -> None:
    samples = [
        sample(n, n % 2, split=part) for n, part in enumerate(["train"] * 10 + ["val"] * 4 + ["test"] * 6)
    ]
    (split,) = make_splits("official", samples, seed=3)
    assert [len(split.train), len(split.val), len(split.test)] == [10, 4, 6]
    assert split.val == tuple(s.id for s in samples if s.split == "val")


def test_the_carved_validation_part_of_official_is_the_same_for_every_seed() -> None:
    samples = [sample(n, n % 2, split="test" if n % 5 == 0 else "train") for n in range(100)]
    (first,), (second,) = (make_splits("official", samples, seed=s) for s in (0, 1))
    assert (first.train, first.val, first.test) == (second.train, second.val, second.test)
    assert len(first.val) == 12


def test_random_takes_a_fifth_of_each_class_as_soares_et_al_did() -> None:
    (split,) = make_splits("random", slices((1230, 1252)))
    counts = Counter(i[0] for i in split.test)
    assert counts == {"0": 246, "1": 250}


def test_random_differs_between_seeds_and_repeats_for_one() -> None:
    samples = slices((50, 50))
    first, again, other = (make_splits("random", samples, seed=s)[0] for s in (0, 0, 1))
    assert first == again
    assert set(first.test) != set(other.test)


def test_the_order_in_which_samples_are_listed_does_not_change_who_is_tested() -> None:
    samples = slices((40, 40))
    (forward,), (backward,) = (make_splits("random", s) for s in (samples, samples[::-1]))
    assert set(forward.test) == set(backward.test)
    assert set(forward.val) == set(backward.val)


def test_removing_one_sample_hardly_changes_who_is_tested() -> None:
    samples = slices((100, 100))
    (whole,), (less,) = (make_splits("random", s) for s in (samples, samples[1:]))
    assert len(set(whole.test) ^ set(less.test)) <= 2


def test_group_kfold_tests_every_sample_once() -> None:
    samples = slices((60, 40), groups_of=4)
    folds = make_splits("group-kfold", samples)
    assert len(folds) == 5
    assert Counter(i for fold in folds for i in fold.test) == Counter(s.id for s in samples)


def test_group_kfold_keeps_the_class_shares_even() -> None:
    for fold in make_splits("group-kfold", slices((100, 50), groups_of=5)):
        counts = Counter(i[0] for i in fold.test)
        assert counts["0"] == 20
        assert counts["1"] == 10


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1)), min_size=12, max_size=40),
    seed=st.integers(0, 99),
    protocol=st.sampled_from(["group-kfold", "random"]),
)
def test_parts_never_overlap_and_groups_never_straddle(
    sizes: list[tuple[int, int]], seed: int, protocol: str
) -> None:
    samples = [
        Sample(f"{g}-{n}", Path("x"), label, f"g{g}")
        for g, (count, label) in enumerate(sizes)
        for n in range(count)
    ]
    group_of = {s.id: s.group for s in samples}
    try:
        splits = make_splits(protocol, samples, seed=seed)
    except SplitError:
        return  # too few groups of a class: refused, which is tested above
    for split in splits:
        parts = [set(split.train), set(split.val), set(split.test)]
        assert set().union(*parts) == set(group_of)
        assert sum(map(len, parts)) == len(samples)
        train, val, test = ({group_of[i] for i in part} for part in parts)
        assert not train & val
        if protocol == "group-kfold":
            assert not (train | val) & test


def test_every_protocol_is_documented() -> None:
    assert all(function.__doc__ for function in PROTOCOLS.values())
