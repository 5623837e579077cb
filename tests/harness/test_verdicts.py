"""Verdicts on published cells: by stated tolerances, in the source's reading, never without a reason."""

from __future__ import annotations

from typing import Any

import pytest
from record_factory import failed_record, record_of

from harness.errors import RecordError
from harness.intervals import Interval
from harness.published import Published, load_published
from harness.verdicts import judged, verdicts_of

XDNN = [[248, 2], [11, 235]]
PRINTED = {"accuracy": 97.38, "precision": 99.16, "recall": 95.53, "f1": 97.31, "auc": 97.36}
READING = {"positive": "non-COVID", "auc": "hard-labels"}
TOLERANCE = {"reproduced": 0.5, "reason": "an example"}


def published(row: dict[str, Any] | None = None, **changes: Any) -> Published:
    table = {
        "id": "one",
        "title": "A table",
        "source": "A paper",
        "protocol": "official",
        "decimals": 2,
        "test": {"COVID": 250, "non-COVID": 246},
        "reading": READING,
        "tolerance": TOLERANCE,
        "row": [{"method": "xDNN", "models": ["xdnn"], **(PRINTED if row is None else row)}],
    } | changes
    return Published.model_validate({"schema_version": 1, "dataset": "made", "table": [table]})


def no_interval(row, reading):
    return {}


def verdicts(said: Published, *records, intervals=no_interval) -> dict[str, str]:
    (row,) = verdicts_of(said.tables[0], said, records, intervals_of_row=intervals)
    return {cell.name: cell.verdict for cell in row.cells}


def reasons(said: Published, *records) -> set[str | None]:
    (row,) = verdicts_of(said.tables[0], said, records, "no record at all", intervals_of_row=no_interval)
    assert {cell.verdict for cell in row.cells} == {"NOT RUN"}
    return {cell.reason for cell in row.cells}


def ours(confusion=XDNN, **changes):
    return record_of(confusion, model__label="xdnn", **changes)


def test_without_a_record_no_cell_is_judged():
    assert reasons(published()) == {"no record at all"}


def test_a_record_of_another_dataset_or_protocol_is_none():
    assert reasons(published(), ours(dataset__name="other")) == {"no record at all"}
    assert reasons(published(), ours(protocol__name="random")) == {"no record at all"}


def test_a_record_of_another_model_is_none_of_this_row():
    assert reasons(published(), record_of(XDNN, model__label="svm")) == {"no record of 'xdnn'"}


def test_a_method_that_no_model_claims_to_be_is_not_run():
    assert reasons(published({"f1": 90, "models": []}), ours()) == {"no model here is said to be this method"}


def test_a_model_that_failed_is_not_run_and_says_why():
    (reason,) = reasons(published(), failed_record(("ValueError", "no luck"), model__label="xdnn"))
    assert "ValueError: no luck" in reason


def test_a_table_of_other_images_is_not_judged():
    said = published(other_images="an earlier cut")
    assert reasons(said, ours()) == {"other images: an earlier cut"}
    (reason,) = reasons(published(test={"COVID": 97, "non-COVID": 246}), ours())
    assert reason.startswith("another test part")


def test_a_cell_whose_reading_is_not_known_is_not_judged():
    assert verdicts(published(reading={}), ours()) == {
        "accuracy": "REPRODUCED",
        **dict.fromkeys(("precision", "recall", "f1", "auc"), "NOT RUN"),
    }


def test_a_metric_of_ours_that_is_undefined_is_not_judged():
    nothing_positive = [[250, 0], [246, 0]]
    found = verdicts(published(), ours(nothing_positive))
    assert found["precision"] == "NOT RUN"
    assert found["recall"] == "WORSE"


def test_a_manifest_that_lacks_something_is_an_error():
    record = ours()
    del record.manifest["recipe"]
    with pytest.raises(RecordError, match="has no 'recipe'"):
        verdicts(published(), record)


@pytest.mark.parametrize(
    ("mine", "interval", "verdict"),
    [
        (97.38, None, "REPRODUCED"),
        (97.88, None, "REPRODUCED"),
        (96.88, None, "REPRODUCED"),
        (97.881, None, "BETTER"),
        (96.879, None, "WORSE"),
        (96.0, (95.0, 97.38), "WITHIN INTERVAL"),
        (96.0, (95.0, 97.37), "WORSE"),
        (98.8, (97.38, 99.0), "WITHIN INTERVAL"),
        (98.8, (97.39, 99.0), "BETTER"),
    ],
)
def test_a_verdict_follows_from_tolerance_then_interval(mine, interval, verdict):
    assert judged(97.38, mine, 0.5, interval) == verdict


def test_without_a_stated_tolerance_only_the_same_printed_figure_is_reproduced():
    """Accuracy 483 of 496 is 97.379 %."""
    assert verdicts(published({"accuracy": 97.38}, tolerance=None), ours()) == {"accuracy": "REPRODUCED"}
    assert verdicts(published({"accuracy": 97.37}, tolerance=None), ours()) == {"accuracy": "BETTER"}
    assert verdicts(published({"accuracy": 97.39}, tolerance=None), ours()) == {"accuracy": "WORSE"}


def test_the_papers_own_matrix_reproduces_its_row_in_its_reading():
    assert set(verdicts(published(), ours()).values()) == {"REPRODUCED"}


def test_read_with_the_other_class_positive_the_same_run_does_not():
    other = published(reading={"positive": "COVID", "auc": "hard-labels"})
    found = verdicts(other, ours())
    assert (found["accuracy"], found["precision"], found["recall"]) == ("REPRODUCED", "WORSE", "BETTER")


def test_an_interval_that_holds_the_printed_figure_is_said():
    def wide(row, reading):
        assert reading.positive == "non-COVID"
        return {"recall": Interval(0.5, 1.0, "made"), "f1": Interval(None, None, "none", reason="made")}

    found = verdicts(published(), ours([[200, 50], [50, 196]]), intervals=wide)
    assert (found["recall"], found["f1"], found["accuracy"]) == ("WITHIN INTERVAL", "WORSE", "WORSE")


def test_the_intervals_are_those_of_a_share_of_the_test_images():
    """Wilson's interval of 235 of 246, worked out by hand: centre .9485, half width .0263 of it."""
    said = published()
    (row,) = verdicts_of(said.tables[0], said, [ours()])
    recall = next(cell for cell in row.cells if cell.name == "recall")
    z, n, p = 1.959964, 246, 235 / 246
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert recall.interval == pytest.approx((100 * (centre - half), 100 * (centre + half)))


def test_known_patients_make_the_interval_one_over_patients():
    groups = [f"patient {place // 10}" for place in range(496)]
    grouped = record_of(XDNN, groups, model__label="xdnn")
    said = published()
    alone, over_patients = (
        verdicts_of(said.tables[0], said, [record])[0].cells[0].interval for record in (ours(), grouped)
    )
    # the eleven false alarms lie in two patients, so patients differ more than images do
    assert over_patients[1] - over_patients[0] > alone[1] - alone[0]


def test_seeds_are_judged_by_their_mean():
    worse = [[230, 20], [29, 217]]
    said = published({"accuracy": 93.75})
    (row,) = verdicts_of(said.tables[0], said, [ours(seed=0), ours(worse, seed=1)])
    assert row.cells[0].ours == pytest.approx(100 * (483 + 447) / (2 * 496))
    assert row.cells[0].interval[0] < row.cells[0].ours < row.cells[0].interval[1]


def test_specificity_and_balanced_accuracy_are_judged_too():
    said = published({"specificity": 99.2, "balanced_accuracy": 90.0})
    assert verdicts(said, ours()) == {"specificity": "REPRODUCED", "balanced_accuracy": "BETTER"}


def test_times_are_faster_or_slower_and_the_machine_is_named():
    said = published({"accuracy": 97.38, "fit_seconds": 11.82, "predict_seconds_per_image": 0.0001})
    durations = {"fit_seconds": 11.82, "predict_seconds": 0.1}
    (row,) = verdicts_of(said.tables[0], said, [ours(durations=durations)], intervals_of_row=no_interval)
    _, fit, predict = row.cells
    assert (fit.verdict, predict.verdict) == ("WORSE", "WORSE")
    assert predict.ours == pytest.approx(0.1 / 496)
    assert "cpu (made, 1 thread)" in fit.reason
    assert verdicts(said, ours(durations={"fit_seconds": 1.0, "predict_seconds": 0.01})) == {
        "accuracy": "REPRODUCED",
        "fit_seconds": "BETTER",
        "predict_seconds_per_image": "BETTER",
    }


def test_a_time_that_was_not_recorded_is_not_judged():
    said = published({"accuracy": 97.38, "fit_seconds": 11.82})
    assert verdicts(said, ours(durations={"predict_seconds": 1.0}))["fit_seconds"] == "NOT RUN"


def test_each_of_our_variants_is_judged():
    said = published()
    found = verdicts_of(said.tables[0], said, [ours(), ours(model__variant="untuned")])
    assert [row.ours for row in found] == ["xdnn, quick", "xdnn (untuned), quick"]


def test_a_tolerance_that_is_younger_than_the_run_is_said_to_be():
    def caution(**tolerance):
        said = published(tolerance=TOLERANCE | tolerance)
        (row,) = verdicts_of(said.tables[0], said, [ours()], intervals_of_row=no_interval)
        return row.caution

    assert caution(written="2023-12-31T23:59:59Z") is None
    assert caution(written="2024-01-01T00:00:01Z") == "1 of 1 runs began before the tolerance was written"
    assert caution() == "when the tolerance was written is not stated"


def test_the_committed_tables_state_their_tolerance_range_and_key():
    from harness.folders import bundled

    files = load_published(bundled("leaderboards"))
    assert {published.key for published in files.values()} == {"soares2020", "zhao2020"}
    for table in (table for published in files.values() for table in published.tables):
        assert table.tolerance.reproduced == 0.5
        assert table.tolerance.written is not None
        assert table.search.sizes[0] < table.search.sizes[1]
    xdnn = files["sars-cov-2-ct"].tables[0].rows[0]
    assert (xdnn["fit_seconds"], xdnn["predict_seconds_per_image"]) == (11.82, 0.005)
