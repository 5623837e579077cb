"""Which records count on a board, and which predictions are believed."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from record_factory import MadeRecord, failed_record, on_disk, record_of

from harness.board_cells import chosen, entry_of, read_cells
from harness.errors import RecordError
from harness.records import sealed

GOOD = [[8, 2], [1, 9]]
OLD, NEW = "2024-01-01T00:00:00+00:00", "2024-02-01T00:00:00+00:00"


def kept(records):
    entries, dropped = chosen([entry_of(record) for record in records])
    return [entry.record for entry in entries], dropped


def with_frame(record: MadeRecord, frame: pd.DataFrame) -> MadeRecord:
    return MadeRecord(record.manifest, record.folder, frame)


def failure_of(record: MadeRecord) -> str:
    (cell,) = read_cells([entry_of(record)])
    assert cell.failure is not None
    assert "\n" not in cell.failure
    return cell.failure


def test_a_manifest_that_lacks_something_is_an_error_that_names_the_record():
    record = record_of(GOOD)
    del record.manifest["protocol"]["split"]
    with pytest.raises(RecordError, match=rf"record '{record.key}': its manifest has no 'split'"):
        entry_of(record)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.assign(COVID=np.nan), "holds a value that is not finite"),
        (lambda f: f.assign(COVID=2.0), "holds a value outside 0 to 1"),
        (lambda f: f.assign(COVID=0.5), "does not sum to 1"),
        (lambda f: f.assign(COVID="0.5"), "expected a numpy array of float64 or float32"),
        (lambda f: f.drop(columns="COVID"), "predictions have the columns"),
        (lambda f: f.iloc[:-1], "19 rows of 19 images, the test part has 20"),
        (lambda f: f.assign(id="same.png"), "20 rows of 1 images"),
        (lambda f: f.assign(label="healthy"), "the label 'healthy', which is none of"),
        (lambda f: f.assign(label=None), "which is none of"),
    ],
)
def test_predictions_that_cannot_be_believed_make_a_failed_cell(change, said):
    record = record_of(GOOD)
    assert said in failure_of(with_frame(record, change(record.frame)))


def test_predictions_changed_on_the_disk_make_a_failed_cell(tmp_path):
    record = on_disk(record_of(GOOD), tmp_path)
    (record.folder / "predictions.parquet").write_bytes(b"PAR1")
    assert "was changed after it was written" in failure_of(record)


def test_a_record_on_the_disk_gives_the_scores_of_its_predictions(tmp_path):
    (cell,) = read_cells([entry_of(on_disk(record_of(GOOD), tmp_path))])
    assert cell.failure is None
    assert cell.scores("COVID").recall.value == 0.8


def test_predictions_for_other_labels_than_the_other_rows_make_a_failed_cell():
    honest = [record_of(GOOD, model__label=name) for name in ("svm", "xdnn")]
    altered = record_of([[10, 0], [0, 10]], model__label="cheat")
    frame = altered.frame.assign(label=lambda f: f["label"].to_numpy()[::-1])
    cells = read_cells([entry_of(r) for r in [*honest, with_frame(altered, frame)]])
    assert [cell.failure is None for cell in cells] == [True, True, False]
    assert "other labels" in (cells[2].failure or "")


def test_the_order_of_the_rows_of_a_predictions_file_changes_nothing():
    record = record_of(GOOD)
    shuffled = with_frame(record, record.frame.sample(frac=1, random_state=0))
    (one,), (other,) = read_cells([entry_of(record)]), read_cells([entry_of(shuffled)])
    assert one.ids == other.ids
    assert np.array_equal(one.probabilities, other.probabilities)


def test_of_two_records_of_one_place_the_newest_counts():
    old, new = record_of(GOOD, finished=OLD), record_of(GOOD, finished=NEW, model__code="b" * 64)
    assert kept([new, old]) == kept([old, new]) == ([new], 1)


def test_records_of_other_images_of_the_same_name_do_not_count():
    old = record_of(GOOD, finished=OLD, dataset__content="old" * 20)
    new = record_of(GOOD, finished=NEW, model__label="xdnn")
    assert kept([old, new]) == ([new], 1)


def test_records_of_another_split_do_not_count():
    old = record_of(GOOD, finished=OLD, protocol__split="old" * 20)
    new = record_of(GOOD, finished=NEW, model__label="xdnn")
    assert kept([old, new]) == ([new], 1)


@pytest.mark.parametrize(
    "change",
    [
        {"model__code": "b" * 64},
        {"engine": "f" * 64},
        {"model__parameters": {"size_px": 96}},
        {"tuning": {"trials": 20, "history": []}},
        {"weights": [{"network": "vgg16", "sha256": "1" * 64, "reason": None}]},
    ],
)
def test_a_row_never_mixes_seeds_of_different_code_or_settings(change):
    old = record_of(GOOD, seed=0, finished=OLD)
    new = record_of(GOOD, seed=1, finished=NEW, **change)
    assert kept([old, new]) == ([new], 1)


def test_values_that_tuning_chose_may_differ_between_seeds():
    def tuned(seed: int, value: float) -> MadeRecord:
        history = [{"number": 0, "parameters": {}}, {"number": 1, "parameters": {"C": value}}]
        return record_of(
            GOOD, seed=seed, model__parameters={"C": value}, tuning={"trials": 2, "history": history}
        )

    assert kept([tuned(0, 1.0), tuned(1, 10.0)])[1] == 0


def test_a_variant_and_its_model_are_two_rows():
    records = [record_of(GOOD), record_of(GOOD, model__variant="untuned", finished=NEW)]
    assert kept(records)[1] == 0
    assert [entry_of(r).method for r in records] == ["svm", "svm (untuned)"]


def test_a_failure_that_a_later_run_mended_does_not_count():
    failed, done = failed_record(finished=OLD), record_of(GOOD, finished=NEW)
    assert kept([failed, done]) == ([done], 1)


def test_a_failure_after_a_finished_run_is_told_beside_it():
    done, failed = record_of(GOOD, finished=OLD), failed_record(finished=NEW)
    assert kept([failed, done]) == ([done, failed], 0)


def test_of_several_failures_of_one_place_the_newest_is_told():
    old, new = failed_record(finished=OLD), failed_record(("KeyError", "x"), finished=NEW)
    assert kept([old, new]) == ([new], 1)


def test_a_failure_is_told_in_one_line():
    assert failure_of(failed_record(("ValueError", "first\n  second"))) == "ValueError: first second"


def test_a_file_that_is_no_parquet_makes_a_failed_cell_even_with_the_right_digest(tmp_path):
    record = on_disk(record_of(GOOD), tmp_path)
    garbage = b"no parquet"
    (record.folder / "predictions.parquet").write_bytes(garbage)
    record.manifest["predictions"]["sha256"] = hashlib.sha256(garbage).hexdigest()
    record.manifest.update(sealed(record.manifest))
    assert "is no Parquet file" in failure_of(record)
