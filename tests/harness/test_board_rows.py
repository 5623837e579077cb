"""Rows: means, standard deviations, the rule for being ranked, ranks."""

from __future__ import annotations

import math

import pytest
from record_factory import failed_record, record_of

from harness.board_cells import entry_of, read_cells
from harness.board_pairs import Pairs
from harness.board_rows import means, rows_of
from harness.metrics import lower_bound

BETTER, GOOD, WORSE = [[19, 1], [1, 19]], [[18, 2], [2, 18]], [[16, 4], [4, 16]]
COIN = [[10, 10], [10, 10]]


def rows(*records, positive="COVID"):
    return rows_of(read_cells([entry_of(record) for record in records]), positive)[0]


def named(found):
    return [(row.method, row.status, row.rank) for row in found]


def test_a_single_cell_has_a_mean_and_no_deviation():
    (row,) = rows(record_of(GOOD))
    assert row.means["accuracy"].value == pytest.approx(36 / 40)
    assert row.means["accuracy"].sd is None


def test_several_seeds_have_the_mean_of_their_metrics_and_the_sample_deviation():
    (row,) = rows(*(record_of(c, seed=seed) for seed, c in enumerate([BETTER, GOOD, WORSE])))
    values = [38 / 40, 36 / 40, 32 / 40]
    mean = sum(values) / 3
    assert row.means["f1"].value == pytest.approx(mean)
    assert row.means["f1"].sd == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in values) / 2))
    assert row.seeds == [0, 1, 2]


def test_folds_are_averaged_before_seeds_so_that_they_make_no_deviation():
    folds = {"protocol__folds": 2}
    records = [record_of(c, protocol__fold=fold, **folds) for fold, c in enumerate([BETTER, WORSE])]
    (row,) = rows(*records)
    assert row.means["accuracy"].value == pytest.approx((38 / 40 + 32 / 40) / 2)
    assert row.means["accuracy"].sd is None
    assert row.test_images == 80


def test_f1_is_computed_per_cell_and_not_from_added_counts():
    (row,) = rows(record_of([[20, 0], [5, 15]], seed=0), record_of([[10, 10], [0, 20]], seed=1))
    assert row.means["f1"].value == pytest.approx((40 / 45 + 20 / 30) / 2)


def test_a_metric_undefined_in_one_cell_has_no_mean_and_the_row_says_why():
    (row,) = rows(record_of(BETTER, seed=0), record_of([[0, 20], [0, 20]], seed=1))
    assert row.means["precision"].value is None
    reason = "no image was decided to be of class 'COVID' (seed 1)"
    assert row.means["precision"].reason == reason
    assert f"precision undefined: {reason}" in row.notes
    assert row.means["recall"].value == pytest.approx((19 / 20) / 2)


def test_one_class_in_the_test_part_leaves_the_row_without_auc():
    (row,) = rows(record_of([[30, 0], [0, 0]]))
    assert row.means["auc"].value is None
    assert row.status == "under-trained"


SURE, FAIR = [[96, 4], [4, 96]], [[80, 20], [20, 80]]


def test_a_row_that_is_better_beyond_chance_takes_a_rank_and_equal_ones_share_one():
    found = rows(
        record_of(FAIR, model__label="d"),
        record_of(SURE, model__label="c"),
        record_of(SURE, model__label="b"),
    )
    assert named(found) == [("b", "ranked", 1), ("c", "ranked", 1), ("d", "ranked", 3)]


def test_rows_that_cannot_be_told_apart_share_a_rank_and_stand_in_the_order_of_f1():
    found = rows(
        record_of(GOOD, model__label="b"),
        record_of(BETTER, model__label="a"),
        record_of(GOOD, model__label="c"),
    )
    assert named(found) == [("a", "ranked", 1), ("b", "ranked", 1), ("c", "ranked", 1)]


def test_the_order_of_records_changes_no_rank():
    records = [record_of(c, model__label=name) for name, c in {"a": SURE, "b": FAIR, "c": SURE}.items()]
    assert named(rows(*records)) == named(rows(*reversed(records)))


def test_a_row_not_clearly_above_the_majority_class_is_under_trained():
    found = rows(record_of(COIN, model__label="coin"), record_of(GOOD, model__label="good"))
    assert named(found) == [("good", "ranked", 1), ("coin", "under-trained", None)]
    assert found[1].majority_share == 0.5


def test_under_trained_is_decided_by_the_wilson_bound_and_the_share_of_the_test_part():
    """60 + 40 images: accuracy .67 has the bound .589, .69 the bound .610; the majority class has .6."""
    low = record_of([[50, 10], [23, 17]], model__label="low")
    high = record_of([[50, 10], [21, 19]], model__label="high")
    found = rows(low, high)
    assert named(found) == [("high", "ranked", 1), ("low", "under-trained", None)]
    assert lower_bound(0.67, 100) < 0.6 < lower_bound(0.69, 100)
    assert [row.bound for row in found] == [lower_bound(0.69, 100), lower_bound(0.67, 100)]


def test_always_answering_the_majority_class_is_under_trained_however_large_it_is():
    (row,) = rows(record_of([[95, 0], [5, 0]]))
    assert row.status == "under-trained"


def test_seeds_do_not_multiply_the_test_images_of_the_rule():
    (row,) = rows(*(record_of([[12, 8], [8, 12]], seed=seed) for seed in range(20)))
    assert row.test_images == 40
    assert row.status == "under-trained"


def test_failed_methods_stand_at_the_bottom_with_their_reason():
    found = rows(failed_record(model__label="a"), record_of(COIN, model__label="b"), record_of(GOOD))
    assert named(found) == [("svm", "ranked", 1), ("b", "under-trained", None), ("a", "failed", None)]
    assert found[2].notes == ("seed 0: ValueError: no luck",)
    assert found[2].means is None


def test_a_failed_seed_is_told_on_both_rows():
    found = rows(record_of(GOOD, seed=0), failed_record(seed=1), failed_record(seed=2))
    assert named(found) == [("svm", "ranked", 1), ("svm", "failed", None)]
    assert "without seed 1, seed 2" in found[0].notes
    assert found[1].notes == ("seed 1, seed 2: ValueError: no luck",)


def test_folds_are_named_where_there_are_several():
    folds = {"protocol__folds": 2}
    found = rows(
        record_of(GOOD, protocol__fold=0, **folds),
        record_of(GOOD, protocol__fold=1, model__label="xdnn", **folds),
    )
    assert "without seed 0 fold 1" in found[0].notes


def test_pretrained_weights_or_their_absence_are_told():
    weights = [{"network": "vgg16", "sha256": None, "reason": "no network"}]
    (scratch,) = rows(record_of(GOOD, weights=weights))
    assert scratch.from_scratch
    assert scratch.notes == ("trained from scratch: no weights of vgg16 (no network)",)
    weights = [{"network": "vgg16", "sha256": "1" * 64, "reason": None}]
    (tuned,) = rows(record_of(GOOD, weights=weights, model__parameters={"backbone": "vgg16", "size_px": 64}))
    assert not tuned.from_scratch
    assert tuned.notes == ("pretrained vgg16", "64 px images")


def test_a_model_that_says_itself_why_it_was_trained_from_scratch_is_not_repeated():
    weights = [{"network": "vgg16", "sha256": None, "reason": "no network"}]
    note = "trained from scratch: weights of 'vgg16' cannot be had: no network"
    (row,) = rows(record_of(GOOD, weights=weights, notes=[note, "64 px images"]))
    assert row.notes == (note, "64 px images")
    (asked,) = rows(record_of(GOOD, notes=["trained from scratch: asked for by weights='none'"]))
    assert asked.from_scratch


def test_weights_that_differ_from_the_published_ones_are_told():
    weights = [{"network": "vgg16", "sha256": "1" * 64, "reason": "not the file of its makers"}]
    (row,) = rows(record_of(GOOD, weights=weights))
    assert row.notes == ("pretrained vgg16 (not the file of its makers)",)
    assert not row.from_scratch


def test_features_of_a_network_trained_on_the_split_count_as_from_scratch():
    (row,) = rows(record_of(GOOD, model__parameters={"backbone": "split-network"}, notes=["why"]))
    assert row.from_scratch
    assert row.notes == ("why",)


def test_three_classes_are_averaged_and_ranked():
    record = record_of(
        [[9, 1, 0], [1, 9, 0], [0, 0, 10]], dataset__classes=["a", "b", "c"], dataset__positive="a"
    )
    (row,) = rows(record, positive="a")
    assert row.status == "ranked"
    assert row.means["recall"].value == pytest.approx((0.9 + 0.9 + 1) / 3)


def test_the_other_class_as_positive_gives_other_means():
    (cell,) = read_cells([entry_of(record_of([[20, 0], [5, 15]]))])
    assert means([cell], "COVID")["recall"].value == 1.0
    assert means([cell], "non-COVID")["recall"].value == 0.75
    assert means([cell], "COVID", "hard-labels")["auc"].value == pytest.approx(0.875)


def test_a_row_of_one_seed_has_closed_intervals_and_one_of_several_the_bootstrap():
    (one,) = rows(record_of(GOOD))
    (two,) = rows(record_of(GOOD, seed=0), record_of(BETTER, seed=1))
    assert one.means["accuracy"].interval.method == "Wilson"
    assert two.means["accuracy"].interval.method == "bootstrap over 40 images"
    assert two.means["accuracy"].interval.low < two.means["accuracy"].value == pytest.approx(37 / 40)


def test_seeds_on_the_same_images_make_the_interval_hardly_narrower():
    """Five seeds that decide alike are one: five times the images would make it narrower by sqrt(5)."""
    groups = [f"patient {row}" for row in range(40)]
    (one,) = rows(record_of(GOOD, groups))
    (five,) = rows(*(record_of(GOOD, groups, seed=seed) for seed in range(5)))
    for metric in ("accuracy", "f1", "auc"):
        first, second = one.means[metric].interval, five.means[metric].interval
        assert (first.low, first.high) == pytest.approx((second.low, second.high))


def test_the_images_of_all_folds_are_drawn():
    records = []
    for fold, confusion in enumerate([BETTER, WORSE]):
        records.append(record_of(confusion, protocol__fold=fold, protocol__folds=2))
        records[-1].frame["id"] = [f"{fold}-{row}" for row in range(40)]
    (row,) = rows(*records)
    interval = row.means["accuracy"].interval
    assert interval.method == "bootstrap over 80 images"
    assert row.means["accuracy"].value == pytest.approx(70 / 80)
    assert interval.low < 70 / 80 < interval.high


def test_a_metric_undefined_in_one_cell_has_no_interval_but_the_reason():
    (row,) = rows(record_of(BETTER, seed=0), record_of([[0, 20], [0, 20]], seed=1))
    interval = row.means["precision"].interval
    assert (interval.low, interval.reason) == (None, row.means["precision"].reason)


def test_where_patients_are_known_slices_are_not_so_many_trials():
    """Of 40 + 40 slices 62 % are right, all of a patient or none: clear for 80 trials, not for 8 patients."""
    groups = [f"p{k // 10}" for k in range(80)]
    (by_slice,) = rows(record_of([[30, 10], [20, 20]]))
    (by_patient,) = rows(record_of([[30, 10], [20, 20]], groups=groups))
    assert (by_slice.status, by_patient.status) == ("ranked", "under-trained")
    assert by_patient.bound is not None
    assert by_patient.bound < 0.5 < by_slice.bound


def test_no_row_has_a_better_rank_than_one_with_a_higher_score(monkeypatch):
    monkeypatch.setattr(Pairs, "rank", lambda self, method, metric: {"a": 1, "b": 3, "c": 2}[method])
    found = rows(
        record_of([[49, 1], [1, 49]], model__label="a"),
        record_of([[45, 5], [5, 45]], model__label="b"),
        record_of([[40, 10], [10, 40]], model__label="c"),
    )
    assert [(row.method, row.rank) for row in found] == [("a", 1), ("b", 3), ("c", 3)]
