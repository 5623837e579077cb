"""Our rows beside published ones: only ever in the same reading, of the same test images."""

from __future__ import annotations

from typing import Any

import pytest
from record_factory import MadeRecord, failed_record, record_of

from harness.board_cells import entry_of, read_cells
from harness.board_rows import rows_of
from harness.comparisons import comparisons_of
from harness.errors import CardError
from harness.published import Published

XDNN = [[248, 2], [11, 235]]
TEST = {"COVID": 250, "non-COVID": 246}
PRINTED = {"accuracy": 97.38, "precision": 99.16, "recall": 95.53, "f1": 97.31, "auc": 97.36}
READING = {"positive": "non-COVID", "auc": "hard-labels"}


def published(**changes: Any) -> Published:
    table = {
        "id": "one",
        "title": "A table",
        "source": "A paper",
        "protocol": "official",
        "decimals": 2,
        "test": TEST,
        "reading": READING,
        "row": [{"method": "xDNN", "models": ["xdnn"], **PRINTED}],
    } | changes
    return Published.model_validate({"schema_version": 1, "dataset": "made", "table": [table]})


def rows(*records):
    cells = read_cells([entry_of(record) for record in records])
    recipes = list(dict.fromkeys(cell.entry.recipe for cell in cells))
    return [row for r in recipes for row in rows_of([c for c in cells if c.entry.recipe == r], "COVID")[0]]


def compared(table: Published, *records):
    found, context = comparisons_of(rows(*records), table, "official", TEST)
    assert context == ()
    return list(found[0].lines)


def test_the_papers_own_confusion_matrix_differs_from_its_row_by_less_than_a_digit():
    (line,) = compared(published(), record_of(XDNN, model__label="xdnn"))
    assert all(abs(100 * line.differences[metric]) < 0.005 for metric in PRINTED)
    assert line.ours["recall"].value == pytest.approx(235 / 246)


def test_ours_is_read_as_the_source_reads_and_not_as_the_board_does():
    record = record_of(XDNN, model__label="xdnn")
    surer = (record.frame["label"] == "COVID") & (record.frame["COVID"] > 0.5)
    frame = record.frame.assign(COVID=record.frame["COVID"].mask(surer, 0.95))
    frame["non-COVID"] = 1 - frame["COVID"]
    (line,) = compared(published(), MadeRecord(record.manifest, record.folder, frame))
    assert line.row.means["recall"].value == pytest.approx(248 / 250)
    assert line.ours["recall"].value == pytest.approx(235 / 246)
    balanced = (248 / 250 + 235 / 246) / 2
    assert line.ours["auc"].value == pytest.approx(balanced)
    assert line.row.means["auc"].value > balanced + 0.001


def test_without_a_known_reading_only_accuracy_is_compared():
    (line,) = compared(published(reading={}), record_of(XDNN, model__label="xdnn"))
    assert set(line.ours) == {"accuracy"}
    assert [m for m, d in line.differences.items() if d is not None] == ["accuracy"]


def test_without_a_known_origin_of_auc_all_but_auc_is_compared():
    (line,) = compared(published(reading={"positive": "non-COVID"}), record_of(XDNN, model__label="xdnn"))
    assert [m for m, d in line.differences.items() if d is None] == ["auc"]


def test_a_number_that_was_not_printed_makes_no_difference():
    row = {"method": "xDNN", "models": ["xdnn"], "f1": 97.31}
    (line,) = compared(published(row=[row]), record_of(XDNN, model__label="xdnn"))
    assert [m for m, d in line.differences.items() if d is not None] == ["f1"]
    assert line.ours["accuracy"].value is not None


def test_a_metric_that_is_undefined_makes_no_difference():
    (line,) = compared(published(), record_of([[250, 0], [246, 0]], model__label="xdnn"))
    assert line.ours["precision"].value is None
    assert line.differences["precision"] is None
    assert line.differences["recall"] == pytest.approx(-0.9553)


def test_a_published_row_that_we_have_not_run_keeps_its_line():
    lines = compared(published(), record_of(XDNN, model__label="svm"))
    assert [(line.published and line.published.method, line.row and line.row.method) for line in lines] == [
        ("xDNN", None),
        (None, "svm"),
    ]


def test_a_variant_is_compared_with_the_same_published_row():
    lines = compared(
        published(),
        record_of(XDNN, model__label="xdnn"),
        record_of(XDNN, model__label="xdnn", model__variant="untuned"),
    )
    assert [line.row.method for line in lines] == ["xdnn", "xdnn (untuned)"]
    assert all(line.published.method == "xDNN" for line in lines)


def test_a_failed_row_stands_beside_the_published_one_without_numbers():
    (line,) = compared(published(), failed_record(model__label="xdnn"))
    assert line.row.status == "failed"
    assert line.ours == {}


def test_of_several_recipes_the_most_thorough_that_finished_is_compared():
    lines = compared(
        published(),
        failed_record(model__label="xdnn", recipe="paper"),
        record_of(XDNN, model__label="xdnn", recipe="quick"),
        record_of(XDNN, model__label="xdnn", recipe="smoke"),
    )
    assert [line.row.recipe for line in lines] == ["quick"]


@pytest.mark.parametrize(
    ("changes", "protocol", "test", "reason"),
    [
        ({"other_images": "an earlier cut"}, "official", TEST, "other images: an earlier cut"),
        ({}, "random", TEST, "another split"),
        ({}, "official", {"COVID": 249, "non-COVID": 246}, "another test part"),
    ],
)
def test_a_table_of_other_images_is_context_and_no_difference_is_taken(changes, protocol, test, reason):
    found, context = comparisons_of(
        rows(record_of(XDNN, model__label="xdnn")), published(**changes), protocol, test
    )
    assert found == ()
    assert reason in context[0].reason


def test_failures_alone_are_still_set_beside_the_published_rows():
    found, context = comparisons_of(rows(failed_record(model__label="xdnn")), published(), "official", {})
    assert context == ()
    assert found[0].lines[0].row.status == "failed"


def test_a_positive_class_that_the_dataset_lacks_is_an_error():
    table = published(test=None, reading={"positive": "NonCOVID"})
    with pytest.raises(CardError, match="its positive class 'NonCOVID' is none of"):
        comparisons_of(rows(record_of(XDNN)), table, "official", TEST)


def test_our_rows_without_a_published_one_are_listed_once():
    two = published().model_copy(update={"tables": (published().tables[0], published(id="two").tables[0])})
    found, _ = comparisons_of(rows(record_of(XDNN, model__label="svm")), two, "official", TEST)
    assert [len(comparison.lines) for comparison in found] == [2, 1]


def test_a_dataset_without_published_tables_has_no_comparison():
    assert comparisons_of(rows(record_of(XDNN)), None, "official", TEST) == ((), ())
