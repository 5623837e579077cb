"""Markdown on a narrow terminal: nothing is lost, nothing is wider than it must be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cli.terminal import fitted

STORED = Path(__file__).parents[2] / "leaderboards"
PAGES = sorted(path.relative_to(STORED).as_posix() for path in STORED.rglob("*.md"))

TABLE = """\
| Rank | Method      |                 F1 | Notes |
|:-----|:------------|-------------------:|:------|
| 1    | svm         | 98.00 [96.3, 98.9] | 1     |
|      | broken \\| x | -                  |       |
"""


def test_what_fits_stays_as_it_is() -> None:
    assert fitted(TABLE, 60) == TABLE


def test_a_wide_table_is_told_row_by_row_and_empty_cells_are_left_out() -> None:
    assert fitted(TABLE, 40).splitlines() == [
        "1  svm",
        "  F1: 98.00 [96.3, 98.9]   Notes: 1",
        "",
        "broken \\| x",
        "  F1: -",
    ]


def test_a_name_that_is_wider_than_the_terminal_is_wrapped() -> None:
    name = "densenet, from scratch, with a first stage of another dataset"
    table = f"| Method | F1 |\n|:--|--:|\n| {name} | 98.00 |\n"
    assert fitted(table, 40).splitlines() == [
        "densenet, from scratch, with a first",
        "  stage of another dataset",
        "  F1: 98.00",
    ]


def test_numbers_before_a_name_belong_to_the_name() -> None:
    table = "| | Method | 1 | 2 |\n|--:|:--|--:|--:|\n| 1 | a long name of a model | .5 | .031 |"
    assert fitted(table, 40).splitlines()[0] == "1  a long name of a model"


def test_the_lines_of_an_item_are_joined_before_they_are_wrapped() -> None:
    text = "- **Split**: official\n  of the authors; they say more than fits here\n- next\n\n# Title\ntext"
    assert fitted(text, 40).splitlines() == [
        "- **Split**: official of the authors;",
        "  they say more than fits here",
        "- next",
        "",
        "# Title",
        "text",
    ]


@pytest.mark.parametrize("width", [0, 1, 10])
def test_a_terminal_without_room_is_taken_for_forty_columns(width: int) -> None:
    assert fitted(TABLE, width) == fitted(TABLE, 40)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [80, 120])
def test_committed_boards_fit_and_lose_no_word(page: str, width: int) -> None:
    text = (STORED / page).read_text("utf-8")
    shown = fitted(text, width)
    links = re.compile(r"\]: |\]\(")
    assert [line for line in shown.splitlines() if len(line) > width and not links.search(line)] == []
    numbers = re.compile(r"\d+\.\d+")
    assert numbers.findall(shown) == numbers.findall(text)
