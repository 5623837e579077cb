"""Boards: what belongs on which, what is told of the dataset, and that order and time change nothing."""

from __future__ import annotations

import random
import re

import pytest
from record_factory import failed_record, on_disk, record_of

from harness.board_files import index, write_board
from harness.board_tables import facts, legend
from harness.boards import build_boards
from harness.errors import RecordError
from harness.folders import bundled
from harness.published import load_published
from harness.records import read_records

GOOD, BETTER, COIN = [[18, 2], [2, 18]], [[19, 1], [1, 19]], [[10, 10], [10, 10]]


def told(board) -> str:
    return "\n".join(f"{what}: {text}" for what, text in facts(board))


def test_no_record_is_no_board():
    assert build_boards([], {}) == []


def test_a_manifest_without_a_split_stops_with_its_key():
    record = record_of(GOOD)
    del record.manifest["recipe"]
    with pytest.raises(RecordError, match="'recipe'"):
        build_boards([record], {})


def test_there_is_one_board_per_dataset_and_protocol():
    boards = build_boards(
        [
            record_of(GOOD, dataset__name="b"),
            record_of(GOOD, dataset__name="a", protocol__name="random"),
            record_of(GOOD, dataset__name="a"),
        ],
        {},
    )
    assert [(b.dataset, b.protocol) for b in boards] == [
        ("a", "official"),
        ("a", "random"),
        ("b", "official"),
    ]


def test_recipes_have_sections_of_their_own_and_ranks_of_their_own():
    (board,) = build_boards([record_of(GOOD, recipe=r) for r in ("smoke", "mine", "paper", "quick")], {})
    assert [section.recipe for section in board.sections] == ["paper", "quick", "smoke", "mine"]
    assert [row.rank for row in board.rows] == [1, 1, 1, 1]


def test_superseded_records_are_counted_and_told():
    old = record_of(COIN, finished="2023-01-01T00:00:00+00:00")
    (board,) = build_boards([record_of(GOOD), old], {})
    assert board.superseded == 1
    assert "Older records: 1, superseded by newer ones" in told(board)


def test_the_test_part_is_counted_by_class():
    (board,) = build_boards([record_of([[5, 1], [2, 9]])], {})
    assert dict(board.test) == {"COVID": 6, "non-COVID": 11}
    assert "17 test (6 COVID, 11 non-COVID)" in told(board)


def test_what_the_reader_is_warned_of():
    records = [
        record_of(
            GOOD,
            groups=[f"p{row // 2}" for row in range(40)],
            protocol__name="random",
            dataset__known_problems=["A known problem."],
            dataset__skipped=[f"{number}.png" for number in range(1, 8)],
        ),
    ]
    (board,) = build_boards(records, {})
    assert board.cautions == (
        "A known problem.",
        "This split ignores patients: images of one patient lie in the training and in the test part.",
        "Left out as unreadable (--skip-bad): 1.png, 2.png, 3.png, 4.png, 5.png and 2 more.",
    )


def test_unknown_patients_are_a_caution_where_the_card_names_no_problem():
    (board,) = build_boards([record_of(GOOD)], {})
    assert board.cautions == (
        "No patients are known: images of one patient may lie in the training and in the test part.",
    )


def test_rows_on_different_seeds_are_a_caution():
    records = [record_of(GOOD, seed=0), record_of(GOOD, seed=1), record_of(GOOD, model__label="xdnn")]
    (board,) = build_boards(records, {})
    assert any("same seeds" in caution for caution in board.cautions)


def test_different_versions_of_the_harness_are_a_caution():
    records = [record_of(GOOD), record_of(GOOD, model__label="xdnn", engine="f" * 64)]
    (board,) = build_boards(records, {})
    assert any("different versions" in caution for caution in board.cautions)


def test_versions_and_devices_are_told_with_all_their_values():
    records = [
        record_of(GOOD, versions={"numpy": "2.0"}),
        record_of(GOOD, model__label="x", versions={"numpy": "2.1"}, device={"kind": "cuda", "name": "H100"}),
    ]
    (board,) = build_boards(records, {})
    assert "Versions: numpy 2.0 / 2.1" in told(board)
    assert "Ran: seed 0; cpu (made, 1 thread); cuda (H100)" in told(board)


def test_a_board_without_a_graphics_card_says_so():
    (board,) = build_boards([record_of(GOOD)], {})
    assert "Ran: seed 0; cpu (made, 1 thread); no GPU" in told(board)


def test_the_rule_is_told_with_its_numbers():
    (board,) = build_boards([record_of([[50, 10], [5, 35]])], {})
    assert "must exceed that class's share of the 100 test images, 60.0 %" in " ".join(legend(board))


def test_a_board_of_failures_alone_still_says_why():
    (board,) = build_boards([failed_record(), failed_record(model__label="xdnn")], {})
    assert [row.status for row in board.rows] == ["failed", "failed"]
    assert "no cell is finished" in told(board)


def test_a_board_from_the_disk_is_the_board_from_memory(tmp_path):
    records = [record_of(GOOD), record_of(BETTER, model__label="xdnn"), failed_record(model__label="vgg16")]
    for record in records:
        on_disk(record, tmp_path / "runs")
    for name, source in (("a", records), ("b", read_records(tmp_path / "runs"))):
        (board,) = build_boards(source, {})
        write_board(board, tmp_path / name)
    for ending in ("md", "csv", "tex", "json"):
        one, other = (tmp_path / name / "made" / f"official.{ending}" for name in "ab")
        digests = re.compile(r'("manifest_sha256": )("\w+"|null)')  # what is in memory only has none
        assert digests.sub(r"\1", one.read_text()) == digests.sub(r"\1", other.read_text())


def test_the_order_of_the_records_changes_no_byte(tmp_path):
    records = [
        record_of(c, seed=seed, model__label=name, recipe=recipe)
        for name, c in (("a", GOOD), ("b", GOOD), ("c", BETTER), ("d", COIN))
        for seed in (0, 1)
        for recipe in ("quick", "smoke")
    ]
    records += [failed_record(seed=seed, model__label="e") for seed in range(3)]
    written = set()
    for shuffle in range(4):
        random.Random(shuffle).shuffle(records)
        (board,) = build_boards(records, {})
        paths = write_board(board, tmp_path / str(shuffle))
        written.add(tuple(path.read_bytes() for path in paths))
    assert len(written) == 1


def test_the_papers_board_sets_ours_beside_table_1():
    record = record_of(
        [[248, 2], [11, 235]],
        model__label="xdnn",
        dataset__name="sars-cov-2-ct",
    )
    (board,) = build_boards([record], load_published(bundled("leaderboards")))
    (comparison,) = board.comparisons
    assert comparison.table.id == "soares2020"
    assert len(comparison.lines) == 7
    assert round(comparison.lines[0].differences["f1"], 4) == 0


def test_the_index_names_the_best_row_of_each_board_and_links_it():
    boards = build_boards(
        [
            record_of(GOOD, dataset__name="a b", model__label="svm"),
            record_of(BETTER, dataset__name="a b", model__label="xdnn"),
            record_of(COIN, dataset__name="coin"),
        ],
        {},
    )
    lines = index(boards).splitlines()
    assert "[a b, official][1]" in lines[4]
    assert "[1]: a-b/official.md" in lines
    assert "xdnn" in lines[4]
    assert "95.00" in lines[4]
    assert "none ranked" in lines[5]
