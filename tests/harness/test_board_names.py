"""Short names of methods: one for each, and the same whatever the order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from record_factory import record_of

from harness import board_markdown
from harness.board_names import LONGEST, shown_names
from harness.boards import build_boards

LONG = "net (untuned, augmentation=0.3, images_seen=30000, size_px=160)"
OTHER = "net (untuned, augmentation=0.2, images_seen=16000, size_px=224)"


def test_short_names_stay_as_they_are():
    assert shown_names([("svm", "svm"), ("svm", "svm (b)")]) == {"svm": "svm", "svm (b)": "svm (b)"}


def test_long_names_become_a_letter_by_their_order_in_the_alphabet():
    assert shown_names([("net", LONG), ("net", OTHER)]) == {LONG: "net (b)", OTHER: "net (a)"}
    assert shown_names([("net", OTHER), ("net", LONG)]) == {LONG: "net (b)", OTHER: "net (a)"}


def test_a_letter_that_another_method_bears_is_not_taken():
    assert shown_names([("net", "net (a)"), ("net", LONG)]) == {"net (a)": "net (a)", LONG: "net (b)"}


def test_a_long_name_of_a_model_is_cut():
    shown = shown_names([("x" * 200, "x" * 200), ("x" * 201, "x" * 201)])
    assert sorted(shown.values()) == ["x" * 25 + "... (a)", "x" * 25 + "... (b)"]


def test_after_z_comes_aa():
    methods = [("net", f"net ({'x' * 40}{number:03d})") for number in range(28)]
    assert list(shown_names(methods).values())[-3:] == ["net (z)", "net (aa)", "net (ab)"]


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=12))
def test_no_two_methods_share_a_name_and_none_is_long(labels):
    methods = [(label, f"{label} ({rest})") for label, rest in labels]
    shown = shown_names(methods)
    assert shown.keys() == {method for _, method in methods}
    assert len(set(shown.values())) == len(shown)
    assert all(len(name) <= LONGEST for name in shown.values())
    assert shown_names(methods[::-1]) == shown


def test_every_table_of_a_board_uses_the_short_name_and_a_note_tells_the_long_one():
    variants = [method.removeprefix("net (").removesuffix(")") for method in (LONG, OTHER)]
    records = [record_of([[18, 2], [2, 18]], model__label="net", model__variant=v) for v in variants]
    (board,) = build_boards(records, {})
    markdown = board_markdown.page(board)
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    assert not [line for line in tables if "augmentation" in line]
    assert sum("net (a)" in line for line in tables) == 7  # one line in every table
    assert f"net (b) is {LONG}" in " ".join(markdown.split())
