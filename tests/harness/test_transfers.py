"""Matrices of trained on x tested on, worked out by hand: whose words, whose images, which errors."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from record_factory import MadeRecord, record_of

from harness import schemas
from harness.board_sides import elsewhere
from harness.boards import build_boards
from harness.errors import RecordError
from harness.resamples import RESAMPLES
from harness.transfer_files import texts
from harness.transfers import Change, Transfers, transfers_of

A, B = ["sick", "well"], ["healthy", "ill"]
"""The classes of the two datasets, in other orders."""

SIDES = {
    "trained_on": {"name": "a", "title": "Set A", "content": "a" * 64},
    "tested_on": {"name": "b", "title": "Set B", "content": "b" * 64},
    "classes": [
        {"shared": "disease", "trained_on": "sick", "tested_on": "ill"},
        {"shared": "none", "trained_on": "well", "tested_on": "healthy"},
    ],
}


def home(name: str, confusion: list[list[int]], **changes: Any) -> MadeRecord:
    """A cell on a dataset's own official split; rows of the matrix are its classes in its order."""
    classes = A if name == "a" else B
    common = {
        "dataset__name": name,
        "dataset__title": f"Set {name.upper()}",
        "dataset__content": name * 64,
        "dataset__classes": classes,
        "dataset__positive": "sick" if name == "a" else "ill",
    }
    return record_of(confusion, **{**common, **changes})


def away(confusion: list[list[int]], **changes: Any) -> MadeRecord:
    """A cell trained on a and tested on b; rows of the matrix are the classes of a."""
    common = {
        "dataset__name": "a",
        "dataset__title": "Trained on Set A, tested on Set B",
        "dataset__content": "j" * 64,
        "dataset__classes": A,
        "dataset__positive": "sick",
        "dataset__sides": SIDES,
        "protocol__name": "external:b",
    }
    made = record_of(confusion, **{**common, **changes})
    # the ids of b count from its first class on: the well ones come first
    order = [*range(sum(confusion[0]), len(made.frame)), *range(sum(confusion[0]))]
    frame = made.frame.iloc[order].reset_index(drop=True)
    frame["id"] = [f"{row:04d}.png" for row in range(len(frame))]
    return replace(made, frame=frame)


def found(*records: MadeRecord) -> Transfers:
    (transfers,) = transfers_of(build_boards(records, {}))
    return transfers


def change(changes: tuple[Change, ...]) -> Change:
    (one,) = changes
    return one


HOME_A = home("a", [[36, 4], [4, 36]])
HOME_B = home("b", [[45, 5], [5, 45]])
AWAY = away([[30, 20], [25, 25]])


def test_without_an_external_board_there_is_nothing() -> None:
    assert transfers_of(build_boards([HOME_A, HOME_B], {})) == []
    assert texts(build_boards([HOME_A, HOME_B], {})) == {}


def test_squares_stand_where_they_were_trained_and_tested() -> None:
    transfers = found(HOME_A, HOME_B, AWAY)
    assert transfers.titles == {"a": "Set A", "b": "Set B"}
    places = [(s.trained_on, s.tested_on) for s in transfers.squares]
    assert places == [("a", "a"), ("a", "b"), ("b", "b")]
    assert transfers.square("svm", "b", "a") is None


def test_the_difference_on_the_same_images_is_away_minus_home_whatever_the_order_of_the_classes() -> None:
    one = change(found(HOME_A, HOME_B, AWAY).same_images)
    # away: 30 of 50 ill found, 25 of 50 healthy right; F1 = 60 / (60 + 25 + 20). Home: 45 and 45 of 50, F1 = .9.
    assert one.differences["f1"].value == pytest.approx(60 / 105 - 0.9)
    assert one.differences["balanced_accuracy"].value == pytest.approx(0.55 - 0.9)
    assert (one.trained_on, one.tested_on) == ("a", "b")


def test_the_difference_with_the_same_training_part_is_from_its_own_test_part_to_the_others() -> None:
    one = change(found(HOME_A, HOME_B, AWAY).same_training)
    assert one.differences["f1"].value == pytest.approx(60 / 105 - 0.9)
    assert one.differences["balanced_accuracy"].value == pytest.approx(0.55 - 0.9)
    # two shares of 50 and two of 40, drawn within their class, their mean each
    variance = (0.6 * 0.4 + 0.5 * 0.5) / 49 / 4 + 2 * (0.9 * 0.1) / 39 / 4
    bounds = one.differences["balanced_accuracy"]
    assert bounds.low is not None
    assert bounds.high is not None
    half = (bounds.high - bounds.low) / 2
    assert half == pytest.approx(2.0227 * math.sqrt(variance), rel=0.05)  # t with 39 degrees of freedom


def test_what_both_get_wrong_alike_cancels_on_the_same_images_and_nowhere_else() -> None:
    """The same predictions at home and away: no difference, and no doubt about it."""
    words = {"healthy": "well", "ill": "sick"}
    frame = HOME_B.frame.rename(columns=words).assign(label=HOME_B.frame["label"].map(words))
    same = away([[45, 5], [5, 45]])
    same = replace(same, frame=frame[list(same.frame.columns)])
    transfers = found(HOME_A, HOME_B, same)
    paired = change(transfers.same_images).differences["f1"]
    assert paired.value == pytest.approx(0.0)
    assert paired.p == 1.0
    assert paired.low is None
    independent = change(transfers.same_training).differences["f1"]
    assert independent.low is not None
    assert independent.low < 0 < (independent.high or 0)


def test_the_paired_interval_is_that_of_a_bootstrap_written_anew() -> None:
    """Images drawn within their class, both models on the same draw."""
    one = change(found(HOME_A, HOME_B, AWAY).same_images).differences["f1"]
    right_home = np.array([1] * 45 + [0] * 5 + [0] * 5 + [1] * 45)  # healthy, then ill: found last
    right_away = np.array([0] * 25 + [1] * 25 + [1] * 30 + [0] * 20)
    rng = np.random.default_rng(7)
    healthy, ill = (start + rng.integers(50, size=(RESAMPLES, 49)) for start in (0, 50))
    f1 = []
    for right in (right_away, right_home):
        hits, alarms = right[ill].sum(axis=1), 49 - right[healthy].sum(axis=1)
        f1.append(2 * hits / (49 + hits + alarms))  # 49 ill ones are hit or missed
    drawn = f1[0] - f1[1]
    assert one.low is not None
    assert one.high is not None
    half = (one.high - one.low) / 2
    assert half == pytest.approx(2.0096 * np.std(drawn, ddof=1), rel=0.08)  # t with 49 degrees of freedom


def test_p_values_are_adjusted_for_all_methods_of_a_recipe() -> None:
    records = [HOME_A, HOME_B, AWAY]
    alone = change(found(*records).same_images).differences["f1"].p
    for label in ("tree", "xdnn"):
        records += [
            home("b", [[45, 5], [5, 45]], model__label=label),
            away([[40, 10], [6, 44]], model__label=label),
        ]
    among = {c.method: c.differences["f1"].p for c in found(*records).same_images}
    assert alone is not None
    assert among["svm"] == pytest.approx(3 * alone)


def test_seeds_that_only_one_side_has_are_left_out() -> None:
    extra = home("b", [[50, 0], [0, 50]], seed=1)
    one = change(found(HOME_A, HOME_B, extra, AWAY).same_images)
    assert one.differences["f1"].value == pytest.approx(60 / 105 - 0.9)


def test_other_test_images_are_no_pair() -> None:
    other = home("b", [[44, 5], [5, 45]])
    one = change(found(HOME_A, other, AWAY).same_images)
    assert one.differences["f1"].value is None
    assert (
        one.differences["f1"].reason
        == "the two were tested on other images, or with other labels or patients"
    )


@pytest.mark.parametrize(
    "changes", [{"dataset__n": {"train": 70, "val": 10, "test": 80}}, {"dataset__content": "x" * 64}]
)
def test_another_training_part_is_not_set_beside_it(changes: dict[str, Any]) -> None:
    one = change(found(home("a", [[36, 4], [4, 36]], **changes), HOME_B, AWAY).same_training)
    assert one.differences["f1"].reason == "the two were trained on other images"


def test_without_a_home_row_the_diagonal_is_empty_and_the_page_says_so() -> None:
    transfers = found(HOME_B, AWAY)
    assert transfers.notes[0] == "Set A has no finished row under 'official': nothing stands on its diagonal."
    assert transfers.same_training == ()
    assert len(transfers.same_images) == 1


def test_recipes_are_kept_apart() -> None:
    boards = build_boards([HOME_A, HOME_B, away([[30, 20], [25, 25]], recipe="paper")], {})
    (transfers,) = transfers_of(boards)
    assert transfers.recipe == "paper"
    assert transfers.same_images == ()


def test_code_that_differs_is_said() -> None:
    transfers = found(HOME_A, HOME_B, away([[30, 20], [25, 25]], engine="f" * 64))
    assert transfers.notes[-1] == "Computed by different versions of the code: the rows of svm."


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"tested_on": None}, "dataset.sides.tested_on"),
        ({"trained_on": {"name": "a", "title": "Set A"}}, "'content' (dataset.sides.trained_on.content)"),
        ({"classes": SIDES["classes"][:1]}, "dataset.sides.classes"),
        ({"classes": SIDES["classes"][::-1]}, "the classes of its sides are not"),
        (
            {"classes": [{**match, "tested_on": "ill"} for match in SIDES["classes"]]},
            "its sides name a class of the dataset tested on twice",
        ),
    ],
)
def test_a_record_with_damaged_sides_is_named(damage: dict[str, Any], said: str) -> None:
    record = away([[30, 20], [25, 25]], dataset__sides={**SIDES, **damage})
    with pytest.raises(RecordError) as error:
        build_boards([record], {})
    assert said in str(error.value)
    assert record.key in str(error.value)
    assert "\n" not in str(error.value)


def test_intervals_without_known_patients_are_called_too_narrow() -> None:
    patients = [f"p{row // 4}" for row in range(100)]
    transfers = found(HOME_A, home("b", [[45, 5], [5, 45]], groups=patients), AWAY)
    told = [note for note in transfers.notes if "per slice" in note]
    assert [note.partition(" are known")[0] for note in told] == ["No patients of Set A"]


def test_a_long_method_has_a_short_name_and_is_told_once() -> None:
    variant = "images_seen=30000, looks=15, size_px=160"
    records = [
        home("b", [[45, 5], [5, 45]], model__variant=variant),
        away([[30, 20], [25, 25]], model__variant=variant),
    ]
    page = texts(build_boards(records, {}))["external.md"]
    assert "| svm (a)" in page
    assert page.count("images_seen=30000") == 1


def test_a_record_that_names_no_sides_has_a_board_and_no_square() -> None:
    record = away([[30, 20], [25, 25]])
    del record.manifest["dataset"]["sides"]
    (board,) = build_boards([record], {})
    assert board.cautions[0].startswith("Tested on another dataset")
    assert transfers_of([board]) == []


def test_the_caution_says_which_class_is_which() -> None:
    said = elsewhere(AWAY.manifest)
    assert "disease: 'sick' there, 'ill' here; none: 'well' there, 'healthy' here" in said


def test_the_page_marks_what_is_not_better_than_the_majority_class() -> None:
    page = texts(build_boards([HOME_A, HOME_B, AWAY], {}))["external.md"]
    line = next(line for line in page.splitlines() if line.startswith("| svm") and "Set A" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2].startswith("90.00 [")
    assert cells[3].startswith("57.14 [")
    assert cells[3].endswith("†")
    assert "\\[" not in page


def test_csv_and_json_hold_the_same_numbers_as_the_page() -> None:
    made = texts(build_boards([HOME_A, HOME_B, AWAY], {}))
    lines = {
        (line["trained_on"], line["tested_on"]): line
        for line in csv.DictReader(made["external.csv"].splitlines())
    }
    told = json.loads(made["external.json"])
    (recipe,) = told["recipes"]
    assert (told["schema_version"], recipe["recipe"], recipe["datasets"]) == (
        1,
        "quick",
        {"a": "Set A", "b": "Set B"},
    )
    (paired,) = recipe["same_images"]
    assert float(lines["a", "b"]["f1_same_images"]) == paired["differences"]["f1"]["value"]
    square = next(s for s in recipe["squares"] if (s["trained_on"], s["tested_on"]) == ("a", "b"))
    assert float(lines["a", "b"]["f1"]) == square["metrics"]["f1"]["value"] == pytest.approx(60 / 105)
    assert square["cells"] == [AWAY.key]


def test_the_json_keeps_to_its_schema_and_says_where_it_lies() -> None:
    schema = schemas.schema("external")
    jsonschema.Draft202012Validator.check_schema(schema)
    other = home("b", [[44, 5], [5, 45]])
    for records in ([HOME_A, HOME_B, AWAY], [HOME_A, other, AWAY], [AWAY]):
        told = json.loads(texts(build_boards(records, {}))["external.json"])
        jsonschema.validate(told, schema)
        assert told["$schema"] == "schemas/external.schema.json"
    assert told["$schema"] in schemas.texts()


def test_the_order_of_records_changes_no_byte() -> None:
    records = [HOME_A, HOME_B, AWAY, home("b", [[40, 10], [9, 41]], model__label="tree")]
    assert texts(build_boards(records, {})) == texts(build_boards(records[::-1], {}))


def test_boards_of_the_protocol_have_safe_file_names(tmp_path: Path) -> None:
    from harness.board_files import write_board

    (board,) = build_boards([AWAY], {})
    paths = {path.relative_to(tmp_path).as_posix() for path in write_board(board, tmp_path)}
    assert "a/external-b.md" in paths
    assert not any(":" in path for path in paths)
