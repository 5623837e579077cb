"""JSON documents keep to the schemas that are shipped and written beside them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from record_factory import failed_record, record_of

from harness import schemas
from harness.board_files import as_json, texts
from harness.boards import build_boards
from harness.folders import bundled
from harness.published import load_published
from harness.schemas import portable
from harness.verdict_files import verified_tables
from harness.verify_json import as_json as verdicts_json

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"
COMMITTED = sorted(
    path for path in LEADERBOARDS.glob("*/*.json") if path.parent.name not in ("schemas", "runs")
)
GOOD, COIN = [[18, 2], [2, 18]], [[10, 10], [10, 10]]


def validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = schemas.schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def faults(kind: str, document: Any) -> list[str]:
    plain = json.loads(json.dumps(document))
    return [f"{error.json_path}: {error.message}" for error in validator(kind).iter_errors(plain)]


def document_of(*records) -> dict[str, Any]:
    (board,) = build_boards(records, load_published(bundled("leaderboards")))
    return json.loads(texts(board)[f"{board.dataset}/{board.protocol}.json"])


def described(schema: dict[str, Any], part: dict[str, Any], value: Any, place: str = "$") -> list[str]:
    """The places of a document that its schema says nothing of."""
    while "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]] | {
            k: v for k, v in part.items() if k != "$ref"
        }
    options = [part, *part.get("allOf", []), *part.get("oneOf", [])]
    options += [schema["$defs"][o["$ref"].rpartition("/")[2]] for o in options if "$ref" in o]
    properties = {
        name: p for option in options for name, p in option.get("properties", {}).items() if p is not True
    }
    others = next((o["additionalProperties"] for o in options if "additionalProperties" in o), None)
    if isinstance(value, dict):
        found = []
        for name, inner in value.items():
            known = properties.get(name, others)
            if known is None and not any(name in o.get("properties", {}) for o in options):
                found.append(f"{place}.{name}")
            elif isinstance(known, dict):
                found += described(schema, known, inner, f"{place}.{name}")
        return found
    if isinstance(value, list) and "items" in part:
        return [fault for inner in value for fault in described(schema, part["items"], inner, f"{place}[]")]
    return []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("rows"), "'rows' is a required property"),
        (lambda d: d.update(schema_version=1), "2 was expected"),
        (lambda d: d["rows"][0].update(rank=0), "0 is less than the minimum"),
        (lambda d: d["rows"][0].update(status="good"), "'good' is not one of"),
        (lambda d: d["rows"][0]["metrics"]["f1"].update(value=None), "None is not of type 'string'"),
        (lambda d: d["rows"][0]["metrics"]["f1"]["interval"].update(low=None), "not of type"),
        (lambda d: d["rows"][0].update(metrics=None), "None is not of type 'object'"),
        (lambda d: d["rows"][0]["cells"][0].update(confusion=[[0.5]]), "0.5 is not of type 'integer'"),
    ],
)
def test_the_schema_of_boards_sees_what_is_wrong(change, said):
    document = copy.deepcopy(document_of(record_of(GOOD)))
    assert faults("board", document) == []
    change(document)
    assert any(said in fault for fault in faults("board", document))


def test_the_schema_of_verdicts_sees_a_cell_without_a_reason():
    path = next(path for path in COMMITTED if path.name == "verdicts.json")
    document = json.loads(path.read_text("utf-8"))
    cell = next(
        cell
        for table in document["tables"]
        for row in table["verdicts"]
        for cell in row["cells"]
        if cell["verdict"] == "NOT RUN"
    )
    cell["reason"] = None
    assert len(faults("verdicts", document)) == 1


def test_boards_of_all_kinds_keep_to_the_schema():
    classes = ["a", "b", "c"]
    three = record_of([[9, 1, 0], [0, 9, 1], [1, 0, 9]], dataset__classes=classes, dataset__positive=None)
    undefined = record_of([[30, 0], [0, 0]], model__label="x")
    boards = [
        document_of(record_of(GOOD), record_of(COIN, model__label="coin"), failed_record(model__label="f")),
        document_of(failed_record()),
        document_of(three),
        document_of(undefined),
        document_of(*(record_of(GOOD, seed=seed, model__label=m) for seed in (0, 1) for m in ("a", "b"))),
        document_of(record_of([[248, 2], [11, 235]], dataset__name="sars-cov-2-ct", model__label="xdnn")),
    ]
    assert [faults("board", board) for board in boards] == [[]] * len(boards)
    schema = schemas.schema("board")
    assert [described(schema, schema, board) for board in boards] == [[]] * len(boards)


def test_verdicts_without_any_of_our_runs_keep_to_the_schema():
    published = load_published(bundled("leaderboards"))
    boards = build_boards([record_of(GOOD, dataset__name="covid-ct", protocol__name="random")], published)
    verified = verified_tables(boards, published)["covid-ct"]
    assert faults("verdicts", verdicts_json(verified)) == []
    cells = [cell for each in verified for row in each.verdicts or () for cell in row.cells]
    assert {cell.reason for cell in cells if cell.verdict == "NOT RUN"} >= {
        "there is no record of 'covid-ct' under the protocol 'official'"
    }


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_each_committed_document_names_its_schema_and_keeps_to_it(path):
    document = json.loads(path.read_text("utf-8"))
    beside = (path.parent / document["$schema"]).resolve()
    assert beside.parent == LEADERBOARDS / "schemas"
    kind = beside.name.removesuffix(".schema.json")
    schema = schemas.schema(kind)
    assert json.loads(beside.read_text("utf-8")) == schema
    assert faults(kind, document) == []
    assert described(schema, schema, document) == []


def test_the_check_of_descriptions_itself_finds_a_stranger():
    schema, document = schemas.schema("board"), document_of(record_of(GOOD))
    document["rows"][0]["metrics"]["f1"]["colour"] = "red"
    document["rows"][0]["stranger"] = 1
    assert described(schema, schema, document) == ["$.rows[].metrics.f1.colour", "$.rows[].stranger"]


def test_a_number_with_nine_digits_is_the_same_on_either_side_of_a_last_bit():
    import numpy as np

    value = 0.12345678949
    assert portable(value) == portable(float(np.nextafter(value, 1))) == 0.123456789
    assert portable(None) is None
    assert portable(1e-300) == 1e-300


def test_a_board_as_json_holds_what_the_file_does():
    (board,) = build_boards([record_of(GOOD)], {})
    document = document_of(record_of(GOOD))
    assert document.pop("$schema") == "../schemas/board.schema.json"
    assert json.loads(json.dumps(as_json(board))) == document
