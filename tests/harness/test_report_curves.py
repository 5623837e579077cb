"""The numbers behind the report's curves: by hand, against scikit-learn, and as properties."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from record_factory import MadeRecord, frame_of, manifest, record_of
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.board_cells import Cell, entry_of, read_cells
from harness.boards import build_boards
from harness.metrics import scores
from harness.report.curves import curves_of, mean_line, mean_steps, precision_recall, roc
from harness.report.panels import FINEST, SIDE, cost_panel, curve_panels, log_ticks, thinned

CLASSES = ["COVID", "non-COVID"]


def cell_of(labels, probabilities, groups=None, **changes) -> Cell:
    probabilities = np.asarray(probabilities, dtype=float)
    made = manifest(**changes)
    classes = made["dataset"]["classes"]
    made["dataset"]["n"]["test"] = len(labels)
    record = MadeRecord(made, None, frame_of(list(labels), probabilities, classes, groups))
    (cell,) = read_cells([entry_of(record)])
    assert cell.failure is None, cell.failure
    return cell


def noisy(seed: int, n: int = 60, groups=None, **changes) -> Cell:
    """Predictions that are right more often than not; COVID is class 0."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    p = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.5 * (labels == 0) - 0.7)))
    return cell_of(labels, np.column_stack([p, 1 - p]), groups, seed=seed, **changes)


def area(points: np.ndarray) -> float:
    return float(np.trapezoid(points[:, 1], points[:, 0]))


def step_area(points: np.ndarray) -> float:
    return float(np.diff(points[:, 0], prepend=0.0) @ points[:, 1])


scored = st.integers(4, 40).flatmap(
    lambda n: st.tuples(
        arrays(bool, n).filter(lambda y: 0 < y.sum() < len(y)),
        arrays(float, n, elements=st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0])),
    )
)


class TestWhatIsUndefined:
    def test_a_test_part_of_one_class_has_no_curve_but_a_reason(self) -> None:
        found = curves_of([cell_of([0, 0, 0], [[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]])], "COVID")
        assert found.roc is None
        assert found.precision_recall is None
        assert found.average_precision is None
        assert found.reason == "no curve: the test part of seed 0 lacks a class"
        assert sum(b.images for b in found.bins) == 3

    def test_a_class_of_a_single_patient_has_no_band(self) -> None:
        groups = ["a", "a", "b", "c", "d"]
        cell = cell_of([0, 0, 1, 1, 1], np.tile([0.5, 0.5], (5, 1)), groups)
        found = curves_of([cell], "COVID")
        assert found.band is None
        assert found.roc is not None

    def test_no_points_make_no_cost_panel(self) -> None:
        assert cost_panel("Training", "s", "F1", [(1, "a", 0.0, 0.5, None, None)]) is None


class TestRocAndPrecision:
    def test_by_hand(self) -> None:
        y, s = np.array([True, True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.7, 0.1])
        assert roc(y, s).tolist() == [[0, 0], [0, 1 / 3], [0, 2 / 3], [0.5, 1], [1, 1]]
        assert precision_recall(y, s).tolist() == [[1 / 3, 1], [2 / 3, 1], [1, 0.75]]

    @given(scored)
    def test_areas_are_those_of_scikit_learn_and_of_the_board(self, made) -> None:
        y, s = made
        assert area(roc(y, s)) == pytest.approx(roc_auc_score(y, s), abs=1e-12)
        assert step_area(precision_recall(y, s)) == pytest.approx(average_precision_score(y, s), abs=1e-12)
        board = scores((~y).astype(int), np.column_stack([s, 1 - s]), positive=0)
        assert area(roc(y, s)) == pytest.approx(board.auc.value, abs=1e-12)

    @given(st.lists(scored, min_size=2, max_size=4))
    def test_the_mean_of_curves_has_the_mean_of_their_areas(self, many) -> None:
        shares = [1 / len(many)] * len(many)
        lines, steps = [roc(*m) for m in many], [precision_recall(*m) for m in many]
        line, step = mean_line(lines, shares), mean_steps(steps, shares)
        assert area(line) == pytest.approx(np.mean([area(x) for x in lines]), abs=1e-12)
        assert step_area(step) == pytest.approx(np.mean([step_area(x) for x in steps]), abs=1e-12)
        assert (np.diff(line, axis=0) >= -1e-12).all()

    def test_the_drawn_curve_of_several_seeds_has_the_area_that_the_board_prints(self) -> None:
        cells = [noisy(seed) for seed in range(3)]
        (board,) = build_boards([cell.entry.record for cell in cells], {})
        found = curves_of(cells, "COVID")
        assert area(found.roc) == pytest.approx(board.rows[0].means["auc"].value, abs=1e-12)

    def test_with_three_classes_the_area_is_the_macro_auc(self) -> None:
        rng = np.random.default_rng(3)
        p = rng.dirichlet(np.ones(3), size=30)
        cell = cell_of(np.arange(30) % 3, p, dataset__classes=["a", "b", "c"], dataset__positive=None)
        found = curves_of([cell], None)
        assert area(found.roc) == pytest.approx(cell.scores(None).auc.value, abs=1e-12)
        assert found.point is None


class TestBand:
    def test_it_surrounds_the_curve(self) -> None:
        found = curves_of([noisy(1, 200)], "COVID")
        x, low, high = found.band.T
        middle = np.interp(x[1:], found.roc[:, 0], found.roc[:, 1])
        assert (low[1:] <= middle + 0.02).all()
        assert (middle - 0.02 <= high[1:]).all()
        assert (high - low)[1:-1].max() > 0.05

    def test_it_is_wider_when_images_come_from_few_patients(self) -> None:
        rng = np.random.default_rng(5)
        labels = np.repeat(np.arange(40) % 2, 5)
        p = np.repeat(1 / (1 + np.exp(-(rng.normal(size=40) + (np.arange(40) % 2 == 0)))), 5)
        both = np.column_stack([p, 1 - p])
        groups = [f"patient {row // 5}" for row in range(200)]
        apart, together = (curves_of([cell_of(labels, both, g)], "COVID").band for g in (None, groups))
        widths = [(band[:, 2] - band[:, 1]).mean() for band in (apart, together)]
        assert widths[1] > 1.7 * widths[0]  # five equal images a patient: about the square root of 5


class TestDecisionsAndBins:
    def test_the_dot_lies_where_the_confusion_matrix_says(self) -> None:
        record = record_of([[8, 2], [3, 7]])
        (cell,) = read_cells([entry_of(record)])
        assert curves_of([cell], "COVID").point == pytest.approx((0.3, 0.8))

    def test_bins_by_hand(self) -> None:
        p = np.array([0.05, 0.15, 0.15, 1.0])
        cell = cell_of([1, 0, 1, 0], np.column_stack([p, 1 - p]))
        found = curves_of([cell], "COVID").bins
        assert [(b.stated, b.observed, b.images) for b in found] == [(0.05, 0, 1), (0.15, 0.5, 2), (1, 1, 1)]

    def test_more_seeds_on_the_same_images_do_not_narrow_the_bars(self) -> None:
        one = curves_of([noisy(0)], "COVID").bins
        cells = [noisy(0), noisy(0)]
        cells[1] = replace(cells[1], entry=replace(cells[1].entry, seed=1))
        both = curves_of(cells, "COVID").bins
        assert [b.images for b in both] == [b.images for b in one]
        assert [b.high - b.low for b in both] == pytest.approx([b.high - b.low for b in one])


class TestPanels:
    @given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=60))
    def test_no_dropped_vertex_is_far_from_the_thinned_line(self, raw) -> None:
        points = np.array(sorted(raw))
        kept = thinned(points)
        assert kept[0].tolist() == points[0].tolist()
        assert kept[-1].tolist() == points[-1].tolist()
        for x, y in points:
            assert min(_distance((x, y), a, b) for a, b in pairwise(kept)) <= FINEST + 1e-9

    def test_corners_stay_and_points_between_them_go(self) -> None:
        points = np.array([[0, 0], [0, 0.5], [0, 1], [0.5, 1], [1, 1]])
        assert thinned(points).tolist() == [[0, 0], [0, 1], [1, 1]]

    def test_a_thousand_points_on_a_curve_become_few(self) -> None:
        x = np.linspace(0, 1, 1000)
        assert len(thinned(np.column_stack([x, np.sqrt(x)]))) < 60

    def test_logarithmic_ticks_hold_all_values(self) -> None:
        ticks, scale = log_ticks([0.03, 466.0])
        assert [tick.text for tick in ticks] == ["0.01", "0.1", "1", "10", "100", "1,000"]
        assert 0 < scale(0.03) < scale(466.0) < SIDE

    def test_equal_costs_have_an_axis_too(self) -> None:
        panel = cost_panel(
            "Training", "s", "F1, %", [(1, "a", 2.0, 0.5, None, None), (2, "b", 2.0, 0.5, None, None)]
        )
        assert panel is not None
        assert all(0 <= place.x <= SIDE and 0 <= place.y <= SIDE for s in panel.series for place in s.places)

    def test_paths_hold_no_number_that_a_browser_cannot_read(self) -> None:
        panels = curve_panels([(1, "a", curves_of([noisy(2)], "COVID"))], "COVID")
        paths = [text for panel in panels for s in panel.series for text in (s.line, s.band)]
        assert not [text for text in paths if "nan" in text or "inf" in text or "e" in text]


def _distance(point, a, b) -> float:
    point, a, b = map(np.asarray, (point, a, b))
    along = b - a
    length = along @ along
    share = min(max((point - a) @ along / length, 0), 1) if length else 0
    return float(np.hypot(*(point - a - share * along)))
