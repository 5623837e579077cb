from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.folds import fold_numbers


def test_one_group_or_one_image_of_a_class_gives_no_folds() -> None:
    assert fold_numbers(np.array([0, 0, 1, 1]), ["a"] * 4) is None
    assert fold_numbers(np.array([0, 0, 0, 1]), [None] * 4) is None


def test_as_many_folds_as_the_rarest_class_has_images() -> None:
    fold_N = fold_numbers(np.array([0] * 10 + [1] * 3), [None] * 13)
    assert fold_N is not None
    assert fold_N.max() == 2


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([None, *"abcdefgh"])), min_size=2, max_size=60),
    st.data(),
)
def test_groups_stay_together_and_every_class_is_on_both_sides(
    images: list[tuple[int, str | None]], data
) -> None:
    labels, groups = np.array([label for label, _ in images]), [group for _, group in images]
    fold_N = fold_numbers(labels, groups, seed=data.draw(st.integers(0, 3)))
    if fold_N is None:
        return
    assert 2 <= fold_N.max() + 1 <= 5
    assert fold_N.min() == 0
    for group in set(groups) - {None}:
        assert len({int(f) for f, g in zip(fold_N, groups, strict=True) if g == group}) == 1
    for fold in range(fold_N.max() + 1):
        for side in (fold_N == fold, fold_N != fold):
            assert set(labels[side]) == set(labels)


@pytest.mark.parametrize("n", [400])
def test_shares_of_classes_are_even(n: int) -> None:
    labels = np.repeat([0, 1], [n // 4, 3 * n // 4])
    fold_N = fold_numbers(labels, [None] * n)
    assert fold_N is not None
    assert {int((labels[fold_N == fold] == 0).sum()) for fold in range(5)} == {n // 20}
