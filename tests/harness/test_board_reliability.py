"""Worst groups and calibration on a board: what records know, what is shown, and how it is missing."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from record_factory import MadeRecord, failed_record, frame_of, manifest, on_disk, record_of

from harness.board_cells import entry_of, read_cells
from harness.board_files import write_board
from harness.board_reliability import sources_of
from harness.boards import build_boards
from harness.records import read_records

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"
GOOD, FAIR = [[36, 4], [4, 36]], [[28, 12], [12, 28]]


def with_sources(record: MadeRecord, sources: list[str | None]) -> MadeRecord:
    record.frame.insert(3, "source", pd.Series(sources, dtype=object))
    return record


def board(*records):
    (made,) = build_boards(records, {})
    return made


def files(tmp_path, *records) -> dict[str, str]:
    paths = write_board(board(*records), tmp_path)
    return {path.name.removeprefix("official"): path.read_text("utf-8") for path in paths}


def calibrated(n: int = 200, **changes) -> MadeRecord:
    """A record whose probabilities are neither 0 nor 1 nor all alike."""
    rng = np.random.default_rng(0)
    logits = 1.5 * rng.standard_normal(n)
    p = 1 / (1 + np.exp(-logits))
    labels = (rng.random(n) >= p).astype(int)
    made = manifest(dataset__n={"train": 800, "val": 10, "test": n}, **changes)
    frame = frame_of(labels.tolist(), np.column_stack([p, 1 - p]), made["dataset"]["classes"])
    return MadeRecord(made, Path(made["key"]), frame)


def test_a_column_of_another_name_makes_the_row_fail_with_what_was_expected():
    record = record_of(GOOD)
    record.frame.insert(3, "scanner", "A")
    (row,) = board(record).rows
    assert row.status == "failed"
    assert "'scanner'" in row.notes[0]


def test_a_source_in_another_place_is_no_source():
    record = record_of(GOOD)
    record.frame["source"] = "A"
    assert board(record).rows[0].status == "failed"


def test_a_failed_row_has_no_reliability(tmp_path):
    made = files(tmp_path, failed_record())
    assert json.loads(made[".json"])["rows"][0]["calibration"] is None
    assert "### Worst group" not in made[".md"]
    assert "### Calibration" not in made[".md"]


def test_records_without_sources_have_the_classes_as_groups_and_say_so(tmp_path):
    made = files(tmp_path, record_of([[38, 2], [4, 36]]))
    assert "no record says which source an image comes from" in " ".join(made[".md"].split())
    (row,) = json.loads(made[".json"])["rows"]
    assert row["subgroups"]["by"] == "class"
    assert [group["name"] for group in row["subgroups"]["groups"]] == ["non-COVID", "COVID"]


def test_records_with_sources_have_the_worst_class_and_source(tmp_path):
    sources = ["paper 1"] * 20 + ["paper 2"] * 20 + ["hospital"] * 40
    record = with_sources(record_of([[36, 4], [2, 38]]), sources)
    (row,) = json.loads(files(tmp_path, record)[".json"])["rows"]
    worst = row["subgroups"]["groups"][0]
    assert (row["subgroups"]["by"], worst["name"], worst["images"]) == (
        "class and source",
        "COVID, paper 2",
        20,
    )
    assert worst["accuracy"] == 0.8
    assert worst["chosen"]["low"] < worst["alone"]["low"] < 0.8


def test_a_record_from_before_sources_were_kept_learns_them_from_another_one():
    sources = ["paper 1"] * 20 + ["paper 2"] * 20 + [None] * 40
    new = with_sources(record_of(GOOD, model__label="new"), sources)
    old = record_of(FAIR, model__label="old")
    rows = {row.method: row for row in board(new, old).rows}
    for row in rows.values():
        assert row.reliability.subgroups.by_source
        assert {group.name for group in row.reliability.subgroups.groups} == {
            "COVID, paper 1",
            "COVID, paper 2",
            "non-COVID, other sources",
        }


def test_where_two_records_differ_in_a_source_the_newer_counts():
    times = ("2024-01-01T00:01:00.000+00:00", "2024-01-02T00:01:00.000+00:00")
    records = [
        with_sources(record_of(GOOD, model__label=str(number), finished=time), [f"paper {number}"] * 80)
        for number, time in enumerate(times)
    ]
    for order in (records, records[::-1]):
        cells = read_cells([entry_of(record) for record in order])
        assert set(sources_of(cells).values()) == {"paper 1"}


def test_a_record_on_disk_keeps_the_sources_it_was_given(tmp_path):
    record = with_sources(record_of(GOOD), ["paper"] * 40 + [None] * 40)
    on_disk(record, tmp_path)
    (cell,) = read_cells([entry_of(found) for found in read_records(tmp_path)])
    assert cell.sources == ("paper",) * 40 + (None,) * 40


def test_a_record_without_any_source_is_the_same_bytes_as_before_there_were_any(tmp_path):
    plain = on_disk(record_of(GOOD), tmp_path / "a")
    none = on_disk(with_sources(record_of(GOOD), [None] * 80), tmp_path / "b")
    assert list(plain.predictions().columns) == ["id", "label", "group", "COVID", "non-COVID"]
    assert none.manifest["predictions"] == plain.manifest["predictions"]


def test_the_interval_of_the_worst_group_is_told_to_allow_for_the_choice(tmp_path):
    text = " ".join(files(tmp_path, record_of(GOOD))[".md"].split())
    assert "looks worse than it is for being chosen so" in text
    assert "interval at level 1 - 5 % / number of groups (Bonferroni)" in text


def test_calibration_stands_on_the_board_with_its_intervals_and_what_chance_makes(tmp_path):
    made = files(tmp_path, calibrated())
    assert "| Cal. error |" in " ".join(made[".md"].split())
    (row,) = json.loads(made[".json"])["rows"]
    found = row["calibration"]
    for name in ("error", "slope", "intercept"):
        assert found[name]["interval"]["low"] <= found[name]["value"] <= found[name]["interval"]["high"]
    assert found["slope"]["interval"]["low"] < 1 < found["slope"]["interval"]["high"]
    assert 0 < found["ece_if_calibrated"] < 0.1
    (line,) = csv.DictReader(io.StringIO(made[".csv"]))
    assert float(line["calibration_error"]) == found["error"]["value"]
    assert float(line["calibration_slope_low"]) == found["slope"]["interval"]["low"]
    assert float(line["ece"]) == found["ece"]["value"]
    assert line["worst_group"] == row["subgroups"]["groups"][0]["name"]
    assert float(line["worst_group_accuracy_low"]) == row["subgroups"]["groups"][0]["chosen"]["low"]


def test_why_a_slope_is_missing_is_told_below_the_table_once_for_all_it_holds_of(tmp_path):
    hard = [record_of(GOOD, model__label=name) for name in ("one", "two")]
    for record in hard:
        record.frame[["COVID", "non-COVID"]] = record.frame[["COVID", "non-COVID"]].round()
    text = " ".join(files(tmp_path, *hard)[".md"].split())
    assert "No slope and intercept of one, two: probabilities of 0 and 1 have no logit (80 of 80)." in text


def test_a_negative_bound_is_read_as_text_and_not_as_a_link(tmp_path):
    assert "\\[-" not in files(tmp_path, calibrated())[".md"]


def test_patients_are_counted_where_they_are_known(tmp_path):
    patients = [f"patient {row // 4}" for row in range(80)]
    made = files(tmp_path, record_of(GOOD, patients))
    (row,) = json.loads(made[".json"])["rows"]
    assert [group["units"] for group in row["subgroups"]["groups"]] == [10, 10]
    assert row["subgroups"]["fewest_patients"] == 5
    assert "at least 10 images and 5 patients" in " ".join(made[".md"].split())


def test_seeds_are_one_model():
    (row,) = board(*(record_of(confusion, seed=seed) for seed, confusion in enumerate([GOOD, FAIR]))).rows
    worst = row.reliability.subgroups.worst
    assert worst.accuracy == pytest.approx(64 / 80)
    assert worst.images == 40


def test_the_order_of_the_records_changes_no_byte(tmp_path):
    records = [calibrated(model__label=name, seed=seed) for name in "ab" for seed in (0, 1)]
    assert files(tmp_path / "a", *records) == files(tmp_path / "b", *records[::-1])


@pytest.mark.skipif(not (LEADERBOARDS / "runs").is_dir(), reason="an installed wheel has no records")
def test_every_committed_record_still_reads():
    records = read_records(LEADERBOARDS / "runs")
    made = build_boards(records, {})
    complete = {record.key for record in records if record.complete}
    read = {cell.entry.key for one in made for row in one.rows for cell in row.cells}
    assert complete
    assert [row.notes for one in made for row in one.rows if "RecordError" in " ".join(row.notes)] == []
    assert read <= complete
    for one in made:
        for row in one.rows:
            assert (row.reliability is None) == (row.status == "failed")
