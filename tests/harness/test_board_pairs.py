"""Pairs on a board: which test for which design, and ranks from what it finds."""

from __future__ import annotations

import pytest
from record_factory import record_of

from harness.board_cells import entry_of, read_cells
from harness.board_draws import draws_of
from harness.board_pairs import Pair, Pairs, pairs_of
from harness.paired import Test, mcnemar

GOOD, BETTER, FAIR = [[36, 4], [4, 36]], [[38, 2], [2, 38]], [[28, 12], [12, 28]]
PATIENTS = [f"patient {row // 4}" for row in range(80)]


def pairs(*records):
    cells = read_cells([entry_of(record) for record in records])
    rows = {}
    for cell in cells:
        rows.setdefault(cell.entry.method, []).append(cell)
    return pairs_of(rows, draws_of(cells, "COVID"))


def methods(pair):
    return {metric: test.method for metric, test in pair.tests.items()}


def made(first, second, p, difference=0.1):
    return Pair(first, second, {"f1": Test(difference, p, "made", 0.05)}, {"f1": p})


def test_no_model_and_one_model_make_no_pair():
    assert pairs_of({}, draws_of([], "COVID")).pairs == ()
    found = pairs(record_of(GOOD))
    assert found.pairs == ()
    assert found.smallest("f1") is None
    assert found.rank("svm", "f1") == 1


def test_models_without_a_seed_in_common_are_not_compared_and_are_no_part_of_the_family():
    found = pairs(
        record_of(GOOD, model__label="a", seed=0),
        record_of(FAIR, model__label="b", seed=1),
        record_of(GOOD, model__label="c", seed=0),
    )
    alone = found.between("b", "a")
    assert alone.tests["f1"].reason == "no seed and fold in common"
    assert alone.better("f1") is None
    assert len(found.tested("f1")) == 1


def test_an_undefined_metric_is_not_compared():
    none_found = record_of([[0, 0], [4, 36]], model__label="a")
    found = pairs(none_found, record_of([[0, 0], [2, 38]], model__label="b")).pairs[0]
    assert found.tests["auc"].p is None
    assert "no pair to put in order" in found.tests["auc"].reason


def test_slices_of_one_seed_have_mcnemar_delong_and_the_bootstrap():
    (pair,) = pairs(record_of(GOOD, model__label="a"), record_of(FAIR, model__label="b")).pairs
    assert methods(pair) == {
        "f1": "paired bootstrap over images",
        "accuracy": "McNemar, mid-p",
        "auc": "DeLong",
    }


def test_patients_have_the_bootstrap_over_groups_for_every_metric():
    records = [record_of(c, PATIENTS, model__label=name) for name, c in {"a": GOOD, "b": FAIR}.items()]
    (pair,) = pairs(*records).pairs
    assert set(methods(pair).values()) == {"paired bootstrap over groups"}


def test_several_seeds_on_the_same_images_have_the_bootstrap_of_their_mean():
    records = [
        record_of(c, model__label=name, seed=seed)
        for name, c in {"a": GOOD, "b": FAIR}.items()
        for seed in (0, 1)
    ]
    (pair,) = pairs(*records).pairs
    assert set(methods(pair).values()) == {"paired bootstrap over images"}
    assert pair.tests["accuracy"].difference == pytest.approx(72 / 80 - 56 / 80)


def folds(name, *confusions):
    records = []
    for fold, confusion in enumerate(confusions):
        record = record_of(confusion, model__label=name, protocol__fold=fold, protocol__folds=len(confusions))
        record.frame["id"] = [f"{fold}-{row}" for row in range(len(record.frame))]
        record.manifest["dataset"]["n"] = {"train": 280, "val": 40, "test": 80}
        records.append(record)
    return records


def test_folds_have_the_corrected_resampled_t_test():
    """Differences of accuracy 1/40, 2/40, 3/40 of folds; 80 test images for 320 others."""
    a = folds("a", [[36, 4], [4, 36]], [[37, 3], [3, 37]], [[38, 2], [2, 38]])
    b = folds("b", [[35, 5], [5, 35]], [[35, 5], [5, 35]], [[35, 5], [5, 35]])
    (pair,) = pairs(*a, *b).pairs
    test = pair.tests["accuracy"]
    assert test.method == "corrected resampled t-test over 3 test parts"
    assert test.difference == pytest.approx(0.05)
    assert test.error == pytest.approx(((1 / 3 + 1 / 4) * 0.025**2) ** 0.5)


def test_seeds_of_the_same_fold_are_averaged_and_add_no_test_part():
    a = folds("a", GOOD, BETTER)
    again = folds("a", BETTER, GOOD)
    for record in again:
        record.manifest["seed"] = 1
        record.manifest["key"] += "1"
    b = folds("b", FAIR, FAIR)
    more = folds("b", FAIR, FAIR)
    for record in more:
        record.manifest["seed"] = 1
        record.manifest["key"] += "1"
    (pair,) = pairs(*a, *again, *b, *more).pairs
    assert pair.tests["f1"].degrees == 1


def test_mcnemar_sees_the_images_of_both_models_in_the_same_order():
    first, second = record_of(GOOD, model__label="a"), record_of(FAIR, model__label="b")
    (pair,) = pairs(first, second).pairs
    right = [
        record.frame[["COVID", "non-COVID"]].idxmax(axis=1).to_numpy() == record.frame["label"].to_numpy()
        for record in (first, second)
    ]
    assert pair.tests["accuracy"] == mcnemar(*right)


def test_a_rank_is_one_more_than_the_number_of_better_models():
    found = Pairs((made("a", "b", 0.2), made("a", "c", 0.01), made("b", "c", 0.2)))
    assert [found.rank(name, "f1") for name in "abc"] == [1, 1, 2]
    assert found.between("c", "a").better("f1") == "a"


def test_a_negative_difference_makes_the_second_better():
    assert made("a", "b", 0.01, -0.1).better("f1") == "b"
    assert made("a", "b", 0.051, -0.1).better("f1") is None
    assert made("a", "b", 0.05, -0.1).better("f1") == "b"


def test_p_values_are_adjusted_for_the_tests_of_their_metric():
    found = pairs(*(record_of(c, model__label=n) for n, c in {"a": GOOD, "b": FAIR, "c": BETTER}.items()))
    for metric in ("f1", "accuracy", "auc"):
        raw = sorted(pair.tests[metric].p for pair in found.pairs)
        adjusted = sorted(pair.adjusted[metric] for pair in found.pairs)
        assert adjusted[0] == pytest.approx(3 * raw[0])
        assert adjusted[-1] == pytest.approx(max(raw[-1], 2 * raw[1], 3 * raw[0]))


def test_the_smallest_difference_is_of_the_median_pair():
    found = Pairs(tuple(made("a", b, 0.5) for b in "bc"))
    smallest = found.smallest("f1")
    assert smallest.alone == pytest.approx((1.959964 + 0.841621) * 0.05, rel=1e-5)
    assert smallest.adjusted == pytest.approx((2.241403 + 0.841621) * 0.05, rel=1e-5)


SAME = [[34, 6], [5, 35]]


@pytest.mark.parametrize("groups", [None, PATIENTS])
@pytest.mark.parametrize("seeds", [1, 2])
def test_models_with_the_same_predictions_have_p_1_and_share_a_rank(groups, seeds):
    records = [
        record_of(SAME, groups, model__label=name, seed=seed) for name in "ab" for seed in range(seeds)
    ]
    found = pairs(*records)
    (pair,) = found.pairs
    assert {(test.difference, test.p) for test in pair.tests.values()} == {(0.0, 1.0)}
    assert set(pair.adjusted.values()) == {1.0}
    assert [found.rank(name, "f1") for name in "ab"] == [1, 1]
    assert found.smallest("f1") is None


def test_models_with_the_same_predictions_in_every_fold_have_p_1():
    (pair,) = pairs(*folds("a", GOOD, FAIR, BETTER), *folds("b", GOOD, FAIR, BETTER)).pairs
    assert {(test.difference, test.p) for test in pair.tests.values()} == {(0.0, 1.0)}


def test_a_copy_of_a_model_takes_no_part_in_the_median_of_the_smallest_difference():
    two = pairs(record_of(GOOD, model__label="a"), record_of(FAIR, model__label="b"))
    copied = pairs(*(record_of(c, model__label=n) for n, c in {"a": GOOD, "b": FAIR, "c": FAIR}.items()))
    assert copied.smallest("accuracy").alone == pytest.approx(two.smallest("accuracy").alone)


def test_the_single_patient_of_a_class_leaves_every_pair_untested_with_the_reason():
    groups = ["the one"] * 40 + [f"patient {row // 4}" for row in range(40)]
    records = [record_of(c, groups, model__label=name) for name, c in {"a": GOOD, "b": FAIR}.items()]
    found = pairs(*records)
    (pair,) = found.pairs
    assert {(test.p, test.reason) for test in pair.tests.values()} == {(None, "one class has a single unit")}
    assert [found.rank(name, "f1") for name in "ab"] == [1, 1]
    assert found.smallest("f1") is None


def test_the_only_image_of_a_class_has_neither_delongs_test_nor_a_number_in_its_place():
    (pair,) = pairs(
        record_of([[1, 0], [4, 36]], model__label="a"), record_of([[0, 1], [2, 38]], model__label="b")
    ).pairs
    assert pair.tests["auc"].p is None
    assert pair.tests["accuracy"].p is not None


def test_probabilities_that_are_all_alike_are_a_tie_and_no_error():
    records = [record_of(GOOD, model__label="a"), record_of(FAIR, model__label="b")]
    records[1].frame[["COVID", "non-COVID"]] = 0.5
    (pair,) = pairs(*records).pairs
    assert pair.tests["auc"].difference == pytest.approx(0.9 - 0.5)
    assert pair.tests["auc"].p < 1e-6
