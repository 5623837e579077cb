"""Which confusion matrices print as given: against hand counts, brute force and random matrices."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
    precision_score,
    recall_score,
)

from harness.feasibility import (
    LISTED,
    MOST_IMAGES,
    Parts,
    contradictions,
    fits,
    smallest_conflicts,
    work,
)
from harness.matrices import VERIFIABLE, Figure, Matrix

COLUMNS = ("accuracy", "precision", "recall", "f1", "auc")
TABLE_1 = {
    "xDNN": "97.38 99.16 95.53 97.31 97.36",
    "ResNet": "94.96 93.00 97.15 95.03 94.98",
    "GoogleNet": "91.73 90.20 93.50 91.82 91.79",
    "VGG-16": "94.96 94.02 95.43 94.97 94.96",
    "AlexNet": "93.75 94.98 92.28 93.61 93.68",
    "Decision Tree": "79.44 76.81 83.13 79.84 79.51",
    "AdaBoost": "95.16 93.63 96.71 95.14 95.19",
}


def figures(method: str) -> dict[str, Figure]:
    digits = [text.replace(".", "") for text in TABLE_1[method].split()]
    return {name: Figure(int(d), 10_000) for name, d in zip(COLUMNS, digits, strict=True)}


def missed(method: str, positives: int, negatives: int) -> dict[tuple[int, int, int, int], tuple[str, ...]]:
    """Of every matrix the cells it does not print, by integer inequalities of our own, on whole arrays."""
    said = [int(text.replace(".", "")) for text in TABLE_1[method].split()]
    tp, fp = (a.ravel() for a in np.mgrid[0 : positives + 1, 0 : negatives + 1])
    tn = negatives - fp
    shares = (
        (tp + tn, positives + negatives + 0 * tp),
        (tp, tp + fp),
        (tp, positives + 0 * tp),
        (2 * tp, tp + fp + positives),
        (tp * negatives + tn * positives, 2 * positives * negatives + 0 * tp),
    )
    wrong = np.array(
        [(q == 0) | (abs(20_000 * p - 2 * u * q) > q) for (p, q), u in zip(shares, said, strict=True)]
    )
    return {
        (int(t), positives - int(t), int(f), negatives - int(f)): tuple(np.array(COLUMNS)[of].tolist())
        for t, f, of in zip(tp, fp, wrong.T, strict=True)
        if of.sum() < 4
    }


def brute_force(method: str, positives: int, negatives: int) -> list[tuple[int, int, int, int]]:
    return [matrix for matrix, cells in missed(method, positives, negatives).items() if not cells]


def as_tuples(found) -> list[tuple[int, int, int, int]]:
    return [(m.tp, m.fn, m.fp, m.tn) for m in found.matrices]


def test_a_test_part_without_images_or_beyond_the_limit_is_refused():
    for positives, negatives in ((0, 0), (-1, 5), (MOST_IMAGES, 1)):
        with pytest.raises(ValueError, match="expected 1 to"):
            Parts.of(positives, negatives)
    for least, most in ((0, 5), (6, 5), (1, MOST_IMAGES + 1)):
        with pytest.raises(ValueError, match="the smaller first"):
            Parts.of_sizes(least, most)
    with pytest.raises(ValueError, match="name fewer sizes"):
        Parts.of_sizes(50_000, MOST_IMAGES)


def test_a_search_that_would_take_minutes_is_refused_at_once():
    start = time.perf_counter()
    with pytest.raises(ValueError, match="a search of"):
        fits({"accuracy": Figure(95, 100)}, Parts.of_sizes(99_990, 100_000))
    assert time.perf_counter() - start < 5


def test_a_metric_that_is_undefined_never_prints_as_given():
    """Nothing was called positive: precision is 0/0, so it is not 0."""
    zero = Figure(0, 100)
    for name in ("precision", "recall", "specificity", "f1", "auc", "balanced_accuracy"):
        for matrix in fits({name: zero}, Parts.of_sizes(1, 3)).matrices:
            assert matrix.metric(name) is not None
    assert fits({"recall": zero}, Parts.of(0, 3)).count == 0
    assert fits({"specificity": Figure(100, 100)}, Parts.of(3, 0)).count == 0
    assert fits({"auc": Figure(50, 100)}, Parts.of(3, 0)).count == 0
    assert fits({"precision": zero}, Parts.of(2, 1)).matrices == (Matrix(0, 2, 1, 0),)


def test_two_images_of_each_class_are_counted_by_hand():
    """Recall 50 %: TP is 1; precision 50 %: FP is 1."""
    half = Figure(50, 100)
    assert fits({"recall": half}, Parts.of(2, 2)).count == 3
    assert as_tuples(fits({"recall": half, "precision": half}, Parts.of(2, 2))) == [(1, 1, 1, 1)]
    assert fits({}, Parts.of(2, 2)).count == 9


@pytest.mark.parametrize(
    ("printed", "rounding", "hit"),
    [
        (Figure(12, 100), "nearest", True),  # 12.5 %, half to even
        (Figure(13, 100), "nearest", True),  # 12.5 %, half up
        (Figure(12, 100), "truncate", True),
        (Figure(13, 100), "truncate", False),
        (Figure(12, 100), "either", True),
        (Figure(13, 100), "either", True),
        (Figure(11, 100), "either", False),
        (Figure(125, 1000), "truncate", True),
        (Figure(124, 1000), "truncate", False),
        (Figure(126, 1000), "nearest", False),
    ],
)
def test_one_of_eight_at_the_edge_of_what_is_printed(printed, rounding, hit):
    found = fits({"recall": printed}, Parts.of(8, 0), rounding)
    assert (Matrix(1, 7, 0, 0) in found.matrices) is hit


@pytest.mark.parametrize("method", TABLE_1)
@pytest.mark.parametrize("part", [(246, 250), (250, 246)])
def test_each_row_of_table_1_fits_as_a_brute_force_finds(method, part):
    assert as_tuples(fits(figures(method), Parts.of(*part))) == brute_force(method, *part)


def test_what_is_known_of_table_1_on_the_split_of_its_authors():
    found = {method: as_tuples(fits(figures(method), Parts.of(246, 250))) for method in TABLE_1}
    assert found.pop("xDNN") == [(235, 11, 2, 248)]
    assert found.pop("ResNet") == [(239, 7, 18, 232)]
    assert set(found) == {"GoogleNet", "VGG-16", "AlexNet", "Decision Tree", "AdaBoost"}
    assert not any(found.values())


def test_over_480_to_510_images_two_other_rows_fit_a_test_part_of_243_and_253():
    sizes = Parts.of_sizes(480, 510)
    found = {method: as_tuples(fits(figures(method), sizes)) for method in TABLE_1}
    assert {method: matrices for method, matrices in found.items() if matrices} == {
        "xDNN": [(235, 11, 2, 248)],
        "ResNet": [(239, 7, 18, 232)],
        "Decision Tree": [(202, 41, 61, 192)],
        "AdaBoost": [(235, 8, 16, 237)],
    }
    assert brute_force("Decision Tree", 243, 253) == [(202, 41, 61, 192)]
    assert brute_force("AdaBoost", 243, 253) == [(235, 8, 16, 237)]


def test_a_range_finds_what_its_test_parts_find_one_by_one():
    printed = {"accuracy": Figure(75, 100), "f1": Figure(67, 100)}
    over = fits(printed, Parts.of_sizes(7, 9)).count
    single = [fits(printed, Parts.of(p, n - p)).count for n in (7, 8, 9) for p in range(n + 1)]
    assert over == sum(single) > 0


def test_of_many_matrices_all_are_counted_and_the_first_listed():
    found = fits({}, Parts.of(300, 300))
    assert found.count == 301**2
    assert len(found.matrices) == LISTED == len(set(found.matrices))


def test_the_listing_holds_over_chunks(monkeypatch):
    whole = fits({"accuracy": Figure(90, 100)}, Parts.of_sizes(20, 22))
    monkeypatch.setattr("harness.feasibility.CHUNK", 7)
    assert fits({"accuracy": Figure(90, 100)}, Parts.of_sizes(20, 22)) == whole


def test_a_recall_that_was_printed_spares_most_of_the_search():
    parts = Parts.of_sizes(480, 510)
    everything = work({"precision": Figure(9738, 10_000)}, parts)
    assert everything == int((parts.positives + 1).sum())
    assert work(figures("xDNN"), parts) < everything / 100


@pytest.mark.parametrize("name", ["accuracy", "f1", "balanced_accuracy", "weighted_recall", "auc"])
def test_a_metric_that_bounds_tp_spares_part_of_the_search(name):
    parts = Parts.of_sizes(480, 510)
    assert work({name: Figure(95, 100)}, parts) < int((parts.positives + 1).sum()) / 3


def test_ten_thousand_images_of_unknown_classes_are_searched():
    """Impossible without the bounds of TP: 50 million pairs."""
    row = {"accuracy": Figure(9503, 10_000), "precision": Figure(9400, 10_000), "f1": Figure(9512, 10_000)}
    assert fits(row, Parts.of_sizes(10_000, 10_000)).count > 0


def test_the_cell_that_was_altered_is_the_one_that_is_named():
    row = figures("xDNN") | {"precision": Figure(9816, 10_000)}
    (conflict,) = smallest_conflicts(row, Parts.of(246, 250))
    assert conflict.metrics == ("precision",)
    assert as_tuples(conflict.fits) == [(235, 11, 2, 248)]


def test_a_row_that_fits_has_no_conflict():
    assert smallest_conflicts(figures("xDNN"), Parts.of(246, 250)) == ()


@pytest.mark.parametrize("method", ["GoogleNet", "VGG-16", "AlexNet", "Decision Tree", "AdaBoost"])
def test_the_smallest_sets_of_wrong_cells_are_those_of_a_search_over_all_matrices(method):
    """Independently: of every matrix, the cells it gets wrong; the smallest such sets."""
    wrong = Counter(missed(method, 246, 250).values())
    least = min(map(len, wrong))
    expected = {cells: count for cells, count in wrong.items() if len(cells) == least}
    found = smallest_conflicts(figures(method), Parts.of(246, 250))
    assert {conflict.metrics: conflict.fits.count for conflict in found} == expected


def test_googlenet_and_alexnet_need_one_cell_changed_and_vgg_two():
    wrong = {
        method: [c.metrics for c in smallest_conflicts(figures(method), Parts.of(246, 250))]
        for method in ("GoogleNet", "AlexNet", "VGG-16")
    }
    assert wrong == {"GoogleNet": [("auc",)], "AlexNet": [("auc",)], "VGG-16": [("recall", "auc")]}


def test_the_f1_of_vgg_contradicts_its_own_precision_and_recall():
    """2 * .9402 * .9543 / (.9402 + .9543) = .9472, and 94.97 was printed."""
    assert [method for method in TABLE_1 if contradictions(figures(method))] == ["VGG-16"]
    assert contradictions(figures("VGG-16")) == ("f1",)


def test_a_mean_of_recall_and_specificity_is_checked_too():
    row = {"recall": Figure(80, 100), "specificity": Figure(90, 100)}
    assert contradictions(row | {"balanced_accuracy": Figure(85, 100)}) == ()
    assert contradictions(row | {"balanced_accuracy": Figure(87, 100), "auc": Figure(83, 100)}) == (
        "balanced_accuracy",
        "auc",
    )
    assert contradictions({"precision": Figure(0, 100), "recall": Figure(0, 100), "f1": Figure(2, 100)}) == (
        "f1",
    )


def test_metrics_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    for _ in range(20):
        tp, fn, fp, tn = (int(x) for x in rng.integers(1, 40, 4))
        true = np.repeat([1, 1, 0, 0], [tp, fn, fp, tn])
        said = np.repeat([1, 0, 1, 0], [tp, fn, fp, tn])
        matrix = Matrix(tp, fn, fp, tn)
        expected = {
            "accuracy": accuracy_score(true, said),
            "precision": precision_score(true, said),
            "recall": recall_score(true, said),
            "specificity": recall_score(true, said, pos_label=0),
            "f1": f1_score(true, said),
            "balanced_accuracy": balanced_accuracy_score(true, said),
            "auc": balanced_accuracy_score(true, said),
            "npv": precision_score(true, said, pos_label=0),
            "kappa": cohen_kappa_score(true, said),
            "mcc": matthews_corrcoef(true, said),
        }
        for average in ("macro", "weighted"):
            found = precision_recall_fscore_support(true, said, average=average)
            for name, value in zip(("precision", "recall", "f1"), found, strict=False):
                expected[f"{average}_{name}"] = value
        assert {name: float(matrix.metric(name)) for name in VERIFIABLE} == pytest.approx(expected)


counts = st.integers(0, 12)
WAYS = {"nearest": (ROUND_HALF_UP, ROUND_HALF_EVEN), "truncate": (ROUND_DOWN,)}


@settings(max_examples=150, deadline=None)
@given(counts, counts, counts, counts, st.integers(0, 4), st.sampled_from(sorted(WAYS)), st.data())
def test_a_matrix_is_found_from_its_own_metrics_however_they_are_rounded(
    tp, fn, fp, tn, decimals, rounding, data
):
    assume(tp + fn + fp + tn > 0)
    matrix = Matrix(tp, fn, fp, tn)
    values = {name: matrix.metric(name) for name in VERIFIABLE}
    defined = [
        name for name, value in values.items() if value is not None and value >= 0
    ]  # tables print no minus
    names = data.draw(st.lists(st.sampled_from(defined), min_size=1, unique=True))
    row = {
        name: printed(matrix.metric(name), decimals, data.draw(st.sampled_from(WAYS[rounding])))
        for name in names
    }
    for allowed in (rounding, "either"):
        found = fits(row, Parts.of(tp + fn, fp + tn), allowed)
        brute = [
            Matrix(a, tp + fn - a, b, fp + tn - b)
            for a, b in itertools.product(range(tp + fn + 1), range(fp + tn + 1))
            if all(
                within(Matrix(a, tp + fn - a, b, fp + tn - b).metric(n), f, allowed) for n, f in row.items()
            )
        ]
        assert matrix in brute
        assert found.count == len(brute)
        assert list(found.matrices) == brute[:LISTED]


def printed(value: Fraction, decimals: int, way: str) -> Figure:
    """As decimal arithmetic prints it, with digits enough that only true ties are ties."""
    percent = Decimal(value.numerator * 100) / Decimal(value.denominator)
    units = percent.quantize(Decimal(1).scaleb(-decimals), rounding=way).scaleb(decimals)
    return Figure(int(units), 100 * 10**decimals)


def within(value: Fraction | None, figure: Figure, rounding: str) -> bool:
    if value is None:
        return False
    units = value * figure.scale - figure.units
    near, cut = abs(units) <= Fraction(1, 2), 0 <= units < 1
    return {"nearest": near, "truncate": cut, "either": near or cut}[rounding]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40_000), st.integers(0, 10_000), st.integers(0, 50_000), st.integers(0, 100))
def test_large_counts_and_six_decimals_do_not_overflow(tp, fn, fp, tn):
    assume(tp + fn > 0 and fp + tn > 0 and tp + fp > 0 and tp + fn + fp + tn <= MOST_IMAGES)
    matrix = Matrix(tp, fn, fp, tn)
    values = {name: matrix.metric(name) for name in VERIFIABLE}
    row = {name: printed(v, 6, ROUND_HALF_UP) for name, v in values.items() if v is not None and v >= 0}
    assert matrix in fits(row, Parts.of(tp + fn, fp + tn)).matrices
