"""Records that somebody damaged on purpose: always one line that names the record, never a traceback."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from record_factory import failed_record, on_disk, record_of

from harness.errors import HarnessError
from harness.publishing import texts_of
from harness.records import read_records, sealed
from harness.scoring import Faulty, sound_records

GOOD, BETTER = [[18, 2], [2, 18]], [[19, 1], [1, 19]]
RECORD = record_of(
    GOOD,
    dataset__name="sars-cov-2-ct",
    dataset__on_two_sides={"groups": 1, "tested_groups": 2, "identical": [["a", "b"]]},
    model__label="xdnn",
    model__parameters={"size_px": 224, "backbone": "vgg16"},
    tuning={"trials": 2, "budget": {"trials": 2}, "history": [{"parameters": {"C": 1.0}, "value": 0.5}]},
    weights=[{"network": "vgg16", "sha256": None, "reason": "no network"}],
)
FAILED = failed_record(dataset__name="sars-cov-2-ct", model__label="z")
N = len(RECORD.frame)
TABLE = pa.Table.from_pandas(RECORD.frame, preserve_index=False)

ODD = [None, "", [], {}, -1, 1e308, True, "x", "2024-13-45", 10**30, [None], {"a": None}, 0, "\n|&%_"]


def replaced(column: str, values: pa.Array) -> pa.Table:
    return TABLE.set_column(TABLE.column_names.index(column), column, values)


STRANGE = {
    "ids that are lists": replaced("id", pa.array([[name] for name in RECORD.frame["id"]])),
    "ids that are structures": replaced("id", pa.array([{"a": name} for name in RECORD.frame["id"]])),
    "ids that are numbers": replaced("id", pa.array(range(N))),
    "no ids": replaced("id", pa.array([None] * N, pa.string())),
    "ids that are no text": replaced("id", pa.array([b"\xff%d" % row for row in range(N)])),
    "labels that are lists": replaced("label", pa.array([[name] for name in RECORD.frame["label"]])),
    "groups that are numbers": replaced("group", pa.array(range(N))),
    "groups that are lists": replaced("group", pa.array([[row, row] for row in range(N)])),
    "groups that are moments": replaced("group", pa.array([pd.Timestamp("2020-01-01")] * N)),
    "probabilities that are texts": replaced("COVID", pa.array(["0.5"] * N)),
    "probabilities that are lists": replaced("COVID", pa.array([[0.5]] * N)),
    "no rows": TABLE.slice(0, 0),
    "a column twice": pa.Table.from_arrays(
        [TABLE.column(place) for place in (0, 1, 2, 3, 3)], names=["id", "label", "group", "COVID", "COVID"]
    ),
    "metadata that lies": TABLE.replace_schema_metadata(
        {b"pandas": b'{"index_columns": ["id"], "column_indexes": [], "columns": []}'}
    ),
    "metadata that is none": TABLE.replace_schema_metadata({b"pandas": b"garbage"}),
    "a schema that is none": TABLE.replace_schema_metadata({b"ARROW:schema": b"xx"}),
}


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, from its top down."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield (*place, name)
        yield from places(part, (*place, name))


def changed(manifest: dict[str, Any], place: tuple[Any, ...], value: Any) -> str:
    said = copy.deepcopy(manifest)
    part = said
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    try:
        return json.dumps(sealed(said))  # so that the value itself is judged, not its digest
    except ValueError:  # no number
        return json.dumps(said)


@pytest.mark.parametrize("name", STRANGE)
def test_predictions_with_a_true_digest_and_strange_content_are_a_fault(tmp_path: Path, name: str) -> None:
    runs = tmp_path / "runs"
    for record in (RECORD, record_of(BETTER, dataset__name="sars-cov-2-ct")):
        on_disk(record, runs)
    path = runs / RECORD.key / "predictions.parquet"
    pq.write_table(STRANGE[name], path)
    manifest = json.loads((runs / RECORD.key / "manifest.json").read_text())
    manifest["predictions"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (runs / RECORD.key / "manifest.json").write_text(json.dumps(sealed(manifest)))
    with pytest.raises(Faulty) as error:
        sound_records(runs)
    assert [fault.partition(": ")[0] for fault in error.value.faults] in (
        [f"record {RECORD.key!r}"],
        [
            f"record {record_of(BETTER, dataset__name='sars-cov-2-ct').key!r}"
        ],  # two rows: either is the strange one
    )
    assert "failed" in texts_of(read_records(runs))["sars-cov-2-ct/official.md"]  # as a run shows it


@pytest.mark.slow
@pytest.mark.parametrize("record", [RECORD, FAILED], ids=["finished", "failed"])
def test_a_manifest_with_any_value_anywhere_gives_a_line_or_boards(tmp_path: Path, record) -> None:
    """Each place of a manifest in turn holds three of the odd values: all of them over neighbouring places."""
    runs = tmp_path / "runs"
    for each in (RECORD, FAILED, record_of(BETTER, dataset__name="sars-cov-2-ct")):
        on_disk(each, runs)
    path = runs / record.key / "manifest.json"
    manifest, lines = json.loads(path.read_text()), []
    for number, place in enumerate(places(manifest)):
        for step in range(3):
            path.write_text(changed(manifest, place, ODD[(3 * number + step) % len(ODD)]))
            try:
                texts_of(sound_records(runs))
            except HarnessError as error:
                lines.append(str(error))
    assert lines
    assert [line for line in lines if "\n" in line] == []
