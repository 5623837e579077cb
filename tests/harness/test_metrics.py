"""Metrics against hand counts, against scikit-learn, and against what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import PredictionError
from harness.metrics import METRICS, check_probabilities, lower_bound, scores


def predictions_from(confusion: list[list[int]], certainty: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) and probabilities (N, C) whose decisions give this confusion matrix."""
    n_classes = len(confusion)
    labels, rows = [], []
    for true, counts in enumerate(confusion):
        for decided, count in enumerate(counts):
            row = np.full(n_classes, (1 - certainty) / (n_classes - 1))
            row[decided] = certainty
            labels += [true] * count
            rows += [row] * count
    return np.array(labels), np.array(rows)


@pytest.mark.parametrize(
    ("probabilities", "said"),
    [
        ([[0.5, 0.5]], "expected a numpy array of float64 or float32, got list"),
        (np.array([[1, 0]]), "got ndarray of int64"),
        (np.array([[0.5, 0.5]], dtype=np.float16), "got ndarray of float16"),
        (np.array([[0.5, 0.5]], dtype=object), "got ndarray of object"),
        (np.array([0.5, 0.5]), "expected shape (1, 2), a row an image, got (2,)"),
        (np.array([[0.5, 0.5], [0.5, 0.5]]), "expected shape (1, 2), a row an image, got (2, 2)"),
        (np.array([[0.2, 0.3, 0.5]]), "got (1, 3)"),
        (np.array([[np.nan, 0.5]]), "row 0 [nan, 0.5] (sum nan) holds a value that is not finite"),
        (np.array([[np.inf, -np.inf]]), "holds a value that is not finite"),
        (np.array([[-0.1, 1.1]]), "row 0 [-0.1, 1.1] (sum 1) holds a value outside 0 to 1"),
        (np.array([[0.5, 0.4]]), "row 0 [0.5, 0.4] (sum 0.9) does not sum to 1"),
        (np.array([[0.0, 0.0]]), "does not sum to 1"),
    ],
)
def test_what_is_no_probability_is_refused_in_one_line(probabilities, said):
    with pytest.raises(PredictionError) as error:
        check_probabilities(probabilities, 1, 2)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_first_bad_row_is_named_and_the_bad_ones_are_counted():
    probabilities = np.array([[0.5, 0.5], [0.5, 0.5], [0.9, 0.9], [0.8, 0.8]])
    with pytest.raises(PredictionError, match=r"row 2 .* 2 of 4 rows are so"):
        check_probabilities(probabilities, 4, 2)


def test_a_row_of_many_classes_is_shown_in_part():
    with pytest.raises(PredictionError) as error:
        check_probabilities(np.full((1, 1000), 0.5), 1, 1000)
    assert len(str(error.value)) < 200


def test_one_column_is_refused_because_its_class_would_be_a_guess():
    with pytest.raises(PredictionError, match="expected shape"):
        check_probabilities(np.array([[1.0]]), 1)


@pytest.mark.parametrize(
    "labels", [np.array([]), np.array([0.0, 1.0]), np.array([0, 2]), np.array([-1, 0]), np.array([[0], [1]])]
)
def test_labels_that_are_none_are_refused(labels):
    probabilities = np.full((len(labels), 2), 0.5)
    with pytest.raises(ValueError, match="labels"):
        scores(labels, probabilities, positive=1)


def test_a_positive_class_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="positive class number 2"):
        scores(np.array([0, 1]), np.full((2, 2), 0.5), positive=2)


def test_probabilities_with_nan_never_become_a_score():
    with pytest.raises(PredictionError):
        scores(np.array([0, 1]), np.array([[0.5, 0.5], [np.nan, 0.5]]), positive=1)


def test_float64_comes_back_unchanged():
    probabilities = np.array([[0.25, 0.75 + 5e-7]])
    assert check_probabilities(probabilities, 1, 2).tobytes() == probabilities.tobytes()


def test_float32_rows_come_back_as_float64_that_sums_to_one():
    probabilities = np.array([[0.3001, 0.7004]], dtype=np.float32)
    checked = check_probabilities(probabilities, 1, 2)
    assert checked.dtype == np.float64
    assert checked.sum() == pytest.approx(1, abs=1e-15)


def test_the_tolerance_of_float64_is_not_that_of_float32():
    row = [[0.3001, 0.7004]]
    check_probabilities(np.array(row, dtype=np.float32), 1, 2)
    with pytest.raises(PredictionError, match="does not sum to 1"):
        check_probabilities(np.array(row), 1, 2)


def test_a_hand_counted_binary_case():
    """4 positive, 6 negative images; 3 + 4 decided rightly."""
    labels, probabilities = predictions_from([[4, 2], [1, 3]])
    result = scores(labels, probabilities, positive=1)
    assert result.confusion.tolist() == [[4, 2], [1, 3]]
    assert result.accuracy.value == pytest.approx(7 / 10)
    assert result.precision.value == pytest.approx(3 / 5)
    assert result.recall.value == pytest.approx(3 / 4)
    assert result.f1.value == pytest.approx(6 / 9)
    assert result.specificity.value == pytest.approx(4 / 6)
    assert result.balanced_accuracy.value == pytest.approx((3 / 4 + 4 / 6) / 2)
    # pairs: 3x4 right, 3x2 + 1x4 tied, 1x2 wrong, of 24
    assert result.auc.value == pytest.approx((12 + 10 / 2) / 24)
    assert result.brier.value == pytest.approx((7 * 0.1**2 + 3 * 0.9**2) / 10)


def test_auc_counts_the_pairs_in_the_right_order_and_halves_the_ties():
    p = np.array([0.1, 0.4, 0.4, 0.8])
    result = scores(np.array([0, 0, 1, 1]), np.stack([1 - p, p], axis=1), positive=1)
    assert result.auc.value == pytest.approx(3.5 / 4)


def test_a_tie_of_probabilities_goes_to_the_first_column():
    result = scores(np.array([0, 1]), np.full((2, 2), 0.5), positive=1)
    assert result.confusion.tolist() == [[1, 0], [1, 0]]


def test_a_hand_counted_case_of_three_classes():
    labels, probabilities = predictions_from([[2, 0, 0], [1, 1, 0], [0, 1, 3]])
    result = scores(labels, probabilities, positive=None)
    assert result.accuracy.value == pytest.approx(6 / 8)
    assert result.precision.value == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert result.recall.value == pytest.approx((1 + 1 / 2 + 3 / 4) / 3)
    assert result.balanced_accuracy.value == result.recall.value
    assert result.f1.value == pytest.approx((4 / 5 + 2 / 4 + 6 / 7) / 3)
    assert result.specificity.value == pytest.approx((5 / 6 + 5 / 6 + 1) / 3)
    right, wrong = 0.1**2 + 2 * 0.05**2, 0.9**2 + 0.95**2 + 0.05**2
    assert result.brier.value == pytest.approx((6 * right + 2 * wrong) / 8)


def test_the_papers_xdnn_row_follows_from_its_confusion_matrix_to_every_digit():
    """Soares et al. (2020), Table 1: 235/11/2/248 (TP/FN/FP/TN), non-COVID positive, AUC of hard labels."""
    labels, probabilities = predictions_from([[248, 2], [11, 235]])
    result = scores(labels, probabilities, positive=1, auc="hard-labels")
    printed = [
        f"{100 * result[metric].value:.2f}" for metric in ("accuracy", "precision", "recall", "f1", "auc")
    ]
    assert printed == ["97.38", "99.16", "95.53", "97.31", "97.36"]


def test_no_other_confusion_matrix_and_not_the_other_class_gives_the_papers_xdnn_row():
    def matrices(n_positive: int, n_negative: int) -> list[tuple[int, int]]:
        tp, fp = np.meshgrid(np.arange(n_positive + 1), np.arange(n_negative + 1), indexing="ij")
        recall, specificity = tp / n_positive, 1 - fp / n_negative
        computed = {
            97.38: (tp + n_negative - fp) / (n_positive + n_negative),
            99.16: tp / np.maximum(tp + fp, 1),
            95.53: recall,
            97.31: 2 * tp / (tp + fp + n_positive),
            97.36: (recall + specificity) / 2,
        }
        agree = np.logical_and.reduce(
            [np.abs(100 * v - said) <= 0.005 + 1e-9 for said, v in computed.items()]
        )
        return [(int(t), int(f)) for t, f in zip(tp[agree], fp[agree], strict=True)]

    assert matrices(246, 250) == [(235, 2)]
    assert matrices(250, 246) == []


def test_the_wilson_bound_at_its_ends():
    z2 = 1.6448536269514722**2
    assert lower_bound(0.0, 10) == pytest.approx(0)
    assert lower_bound(1.0, 10) == pytest.approx(10 / (10 + z2))


def test_one_class_in_the_test_part_leaves_auc_and_specificity_without_a_value():
    result = scores(np.array([1, 1]), np.array([[0.2, 0.8], [0.6, 0.4]]), positive=1)
    for metric in ("auc", "specificity", "balanced_accuracy"):
        assert result[metric].value is None
        assert result[metric].reason
    assert result.recall.value == 0.5
    assert result.brier.value == pytest.approx((0.04 + 0.36) / 2)


def test_precision_without_a_positive_decision_is_undefined_but_f1_is_zero():
    result = scores(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), positive=1)
    assert result.precision.value is None
    assert result.precision.reason == "no image was decided to be of class number 1"
    assert result.f1.value == 0.0


def test_f1_is_undefined_where_the_class_neither_is_nor_is_decided():
    result = scores(np.array([0, 0]), np.array([[0.9, 0.1], [0.8, 0.2]]), positive=1)
    assert result.f1.value is None
    assert result.recall.reason == "no image is of class number 1"


def test_a_class_missing_from_the_test_part_leaves_the_macro_mean_undefined():
    labels, probabilities = predictions_from([[2, 0, 0], [0, 3, 0], [0, 0, 0]])
    result = scores(labels, probabilities, positive=None)
    assert result.recall.value is None
    assert result.auc.value is None
    assert result.accuracy.value == 1.0


def test_an_unknown_metric_name_is_a_key_error():
    result = scores(np.array([0, 1]), np.full((2, 2), 0.5), positive=1)
    with pytest.raises(KeyError):
        result["confusion"]


def random_case(rng: np.random.Generator, n: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Coarse probabilities, so that ties abound; every class is present."""
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    raw = rng.integers(1, 5, (n, n_classes)).astype(np.float64)
    return labels, raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("positive", [0, 1])
def test_binary_scores_agree_with_scikit_learn(seed, positive):
    from sklearn import metrics as sk

    labels, p = random_case(np.random.default_rng(seed), 30, 2)
    is_positive, decided = labels == positive, p.argmax(axis=1) == positive
    result = scores(labels, p, positive=positive)
    assert result.confusion.tolist() == sk.confusion_matrix(labels, p.argmax(axis=1)).tolist()
    expected = {
        "accuracy": sk.accuracy_score(is_positive, decided),
        "precision": sk.precision_score(is_positive, decided),
        "recall": sk.recall_score(is_positive, decided),
        "f1": sk.f1_score(is_positive, decided),
        "auc": sk.roc_auc_score(is_positive, p[:, positive]),
        "specificity": sk.recall_score(~is_positive, ~decided),
        "balanced_accuracy": sk.balanced_accuracy_score(is_positive, decided),
        "brier": sk.brier_score_loss(is_positive, p[:, positive]),
    }
    assert set(expected) == set(METRICS)
    for metric, value in expected.items():
        assert result[metric].value == pytest.approx(value, abs=1e-12), metric
    hard = scores(labels, p, positive=positive, auc="hard-labels")
    assert hard.auc.value == pytest.approx(sk.roc_auc_score(is_positive, decided), abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_scores_of_four_classes_agree_with_scikit_learn(seed):
    from sklearn import metrics as sk

    labels, p = random_case(np.random.default_rng(seed), 60, 4)
    decided = p.argmax(axis=1)
    result = scores(labels, p, positive=None)
    expected = {
        "accuracy": sk.accuracy_score(labels, decided),
        "precision": sk.precision_score(labels, decided, average="macro"),
        "recall": sk.recall_score(labels, decided, average="macro"),
        "f1": sk.f1_score(labels, decided, average="macro"),
        "auc": sk.roc_auc_score(labels, p, multi_class="ovr", average="macro"),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, decided),
        "brier": ((p - np.eye(4)[labels]) ** 2).sum(axis=1).mean(),
    }
    for metric, value in expected.items():
        assert result[metric].value == pytest.approx(value, abs=1e-12), metric


def test_the_wilson_bound_agrees_with_scipy():
    from scipy.stats import binomtest

    for hits, n in ((60, 100), (1, 7), (248, 250)):
        interval = binomtest(hits, n).proportion_ci(confidence_level=0.90, method="wilson")
        assert lower_bound(hits / n, n) == pytest.approx(interval.low, abs=1e-12)


cases = st.integers(2, 25).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 1), min_size=n, max_size=n),
        st.lists(st.integers(0, 64), min_size=n, max_size=n),
    )
)


def binary(labels: list[int], eighths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    p = np.array(eighths) / 64  # exact in binary, so that 1 - p is exact too
    return np.array(labels), np.stack([1 - p, p], axis=1)


@given(cases)
@settings(max_examples=60, deadline=None)
def test_the_other_class_as_positive_swaps_recall_and_specificity_and_keeps_the_rest(case):
    labels, p = binary(*case)
    one, other = scores(labels, p, positive=1), scores(labels, p, positive=0)
    assert one.recall.value == other.specificity.value
    assert one.specificity.value == other.recall.value
    for metric in ("accuracy", "auc", "balanced_accuracy", "brier"):
        assert one[metric].value == pytest.approx(other[metric].value)


@given(cases)
@settings(max_examples=60, deadline=None)
def test_auc_only_sees_the_order_of_the_scores(case):
    labels, p = binary(*case)
    squared = p[:, 1] ** 2
    transformed = np.stack([1 - squared, squared], axis=1)
    assert scores(labels, p, positive=1).auc == scores(labels, transformed, positive=1).auc


@given(cases, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_images_changes_nothing(case, random):
    labels, p = binary(*case)
    order = list(range(len(labels)))
    random.shuffle(order)
    one, other = scores(labels, p, positive=1), scores(labels[order], p[order], positive=1)
    for metric in METRICS:
        assert one[metric].value == pytest.approx(other[metric].value)


@given(cases)
@settings(max_examples=60, deadline=None)
def test_auc_of_hard_labels_is_balanced_accuracy(case):
    labels, p = binary(*case)
    result = scores(labels, p, positive=1, auc="hard-labels")
    assert result.auc.value == pytest.approx(result.balanced_accuracy.value)


@given(cases)
@settings(max_examples=60, deadline=None)
def test_every_metric_has_either_a_value_in_its_range_or_a_reason(case):
    labels, p = binary(*case)
    for positive in (None, 0, 1):
        result = scores(labels, p, positive=positive)
        for metric in METRICS:
            value, reason = result[metric].value, result[metric].reason
            assert (value is None) == bool(reason)
            assert value is None or 0 <= value <= (2 if metric == "brier" else 1)


@given(st.floats(0, 1), st.integers(1, 10_000))
def test_the_lower_bound_lies_below_the_share_and_above_zero(share, n):
    assert -1e-12 <= lower_bound(share, n) <= share + 1e-12
