"""Letters joined to panels: by what is printed near them, else by their order."""

from __future__ import annotations

from harness.figures.letters import Word, headings, lettered
from harness.figures.types import Box

GRID: list[Box] = [(0, 0, 90, 90), (100, 0, 190, 90), (0, 100, 90, 190), (100, 100, 190, 190)]


def word(x: float, y: float, text: str) -> Word:
    return (x, y, x + 6.0 * len(text), y + 8.0, text)


def test_letters_in_corners_are_taken_whatever_the_order() -> None:
    words = [word(2, 2, "A"), word(102, 2, "C"), word(2, 102, "B"), word(102, 102, "D")]
    assert lettered(GRID, words, "abcd") == ("a", "c", "b", "d")


def test_letters_below_panels_are_taken() -> None:
    assert lettered(GRID[:2], [word(40, 92, "(a)"), word(140, 92, "(b)")], "ab") == ("a", "b")


def test_letters_in_running_text_are_not_taken() -> None:
    words = [
        word(0, 195, "lung"),
        word(25, 195, "(A)."),
        word(45, 195, "Two"),
        word(100, 195, "shadow"),
        word(138, 195, "(B)."),
    ]
    assert lettered(GRID[:2], words, ()) == (None, None)


def test_axis_labels_and_units_are_no_letters() -> None:
    assert lettered(GRID[:2], [word(2, 40, "x"), word(102, 40, "y")], ()) == (None, None)


def test_the_caption_decides_which_letters_there_are() -> None:
    words = [word(2, 2, "A"), word(102, 2, "B"), word(2, 102, "L"), word(102, 102, "R")]
    assert lettered(GRID, words, "ab") == ("a", "b", "a", "b")


def test_a_lettered_row_names_the_columns_and_a_lettered_column_the_rows() -> None:
    assert lettered(GRID, [word(2, 2, "A"), word(102, 2, "B")], "ab") == ("a", "b", "a", "b")
    assert lettered(GRID, [word(2, 2, "A"), word(2, 102, "B")], "ab") == ("a", "a", "b", "b")


def test_without_printed_letters_the_order_of_reading_holds() -> None:
    assert lettered(GRID, [], "abcd") == ("a", "b", "c", "d")


def test_as_many_letters_as_rows_name_rows_and_as_columns_name_columns() -> None:
    six: list[Box] = [(x, y, x + 90.0, y + 90.0) for y in (0, 100) for x in (0, 100, 200)]
    assert lettered(six, [], "ab") == ("a", "a", "a", "b", "b", "b")
    assert lettered(six, [], "abc") == ("a", "b", "c", "a", "b", "c")


def test_numbers_that_do_not_fit_give_no_letter() -> None:
    assert lettered(GRID, [], "abc") == (None,) * 4


def test_places_are_found_by_where_a_panel_lies() -> None:
    assert lettered(GRID, [], ("first row", "second row")) == (*["first row"] * 2, *["second row"] * 2)
    assert lettered(GRID, [], ("first column", "second column")) == ("first column", "second column") * 2
    assert lettered(GRID, [], ("left", "right")) == ("left", "right", "left", "right")
    assert lettered(GRID, [], ("top row", "bottom row")) == ("top row", "top row", "bottom row", "bottom row")


def test_a_single_panel_has_no_letter() -> None:
    assert lettered(GRID[:1], [word(2, 2, "A")], ()) == (None,)


def test_a_heading_above_a_column_belongs_to_all_its_panels() -> None:
    grid = [(x0, y0 + 20, x1, y1 + 20) for x0, y0, x1, y1 in GRID]
    words = [
        word(10, 5, "Patient"),
        word(60, 5, "1"),
        word(110, 5, "Patient"),
        word(160, 5, "2"),
        word(20, 60, "inside"),
    ]
    assert headings(grid, words, (0, 0, 190, 210)) == ("Patient 1", "Patient 2", "Patient 1", "Patient 2")


def test_text_outside_the_figure_is_no_heading() -> None:
    assert headings(GRID, [word(10, -20, "Running"), word(10, 200, "below")], (0, 0, 190, 190)) == ("",) * 4


def test_letters_below_each_row_of_a_grid_stay_with_their_row() -> None:
    words = [word(40, 91, "(a)"), word(140, 91, "(b)"), word(40, 191, "(c)"), word(140, 191, "(d)")]
    assert lettered(GRID, words, "abcd") == ("a", "b", "c", "d")


def test_letters_above_each_row_of_a_grid_stay_with_their_row() -> None:
    words = [word(40, -9, "A"), word(140, -9, "B"), word(40, 91, "C"), word(140, 91, "D")]
    assert lettered(GRID, words, "abcd") == ("a", "b", "c", "d")
