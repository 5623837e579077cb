"""Rows of one table: the test parts they fit together, or how many of them must be wrong."""

from __future__ import annotations

import itertools

import pytest

from harness.claims import Claim, ClaimTable
from harness.feasibility import Parts, fits
from harness.matrices import Figure
from harness.published import Reading
from harness.verify_findings import findings_of
from harness.verify_together import Together, together, words


def percent(text: str) -> Figure:
    """A printed percentage: its last digit is the unit."""
    whole, _, decimals = text.partition(".")
    return Figure(int(whole + decimals), 10 ** (2 + len(decimals)))


def found(sizes: tuple[int, int], rows: dict[str, dict[str, str]]) -> Together | None:
    claims = tuple(
        Claim(name, {metric: percent(text) for metric, text in printed.items()}, printed)
        for name, printed in rows.items()
    )
    table = ClaimTable("t", "s", claims, Reading(), (), sizes, "made")
    return together(findings_of(table))


def test_rows_that_no_test_part_fits_together_are_at_odds() -> None:
    # Of ten images, recall and specificity of 50 % want an even number of both; recall 33.3 % wants 3, 6 or 9 positive.
    at_odds = found((10, 10), {"a": {"recall": "50", "specificity": "50"}, "b": {"recall": "33.3"}})
    assert at_odds is not None
    parts_of_a = {(p, 10 - p) for p in range(2, 10, 2)}
    parts_of_b = {(3, 7), (6, 4), (9, 1)}
    assert {part for part, _ in at_odds.parts} == parts_of_a & parts_of_b == {(6, 4)}
    assert at_odds.at_odds == 0
    assert words(at_odds) == "Both rows that fit any test part fit one test part together: 6 positive + 4."

    never = found((10, 10), {"a": {"recall": "50"}, "b": {"recall": "14.3"}})  # 2, 4, 6, 8, 10 against 7
    assert never is not None
    assert never.at_odds == 1
    assert words(never) == (
        "No two of the 2 rows that fit any test part fit the same one: if they were tested on the same images, "
        "at least 1 of them is wrong."
    )


def test_the_rows_that_fit_most_parts_are_named_where_not_all_do() -> None:
    partly = found((10, 10), {"a": {"recall": "50"}, "b": {"recall": "33.3"}, "c": {"recall": "14.3"}})
    assert partly is not None
    assert (partly.fitting, partly.at_odds) == (2, 1)
    assert words(partly) == (
        "No test part fits all 3 rows that fit any: if they were tested on the same images, at least 1 of them is "
        "wrong. The most, 2, fit 6 positive + 4 (a, b)."
    )


def test_a_row_that_fits_nothing_is_left_out_and_one_row_has_nothing_beside_it() -> None:
    impossible = {"accuracy": "100", "recall": "50"}
    assert found((10, 10), {"a": {"recall": "50"}, "wrong": impossible}) is None
    both = found((10, 10), {"a": {"recall": "50"}, "wrong": impossible, "b": {"recall": "25"}})
    assert both is not None
    assert both.rows == ("a", "b")
    assert [part for part, _ in both.parts] == [(4, 6), (8, 2)]


def test_many_test_parts_are_counted_and_the_first_named() -> None:
    wide = found((8, 10), {"a": {"accuracy": "50"}, "b": {"accuracy": "50"}, "c": {"accuracy": "50"}})
    assert wide is not None
    assert words(wide) == (
        "All 3 rows that fit any test part fit 20 test parts together: 0 positive + 8; 0 positive + 10; "
        "1 positive + 7; and 17 more."
    )


@pytest.mark.parametrize("printed", [{"recall": "67"}, {"accuracy": "83", "precision": "75"}, {}])
def test_the_test_parts_that_fit_are_those_of_all_matrices(printed: dict[str, str]) -> None:
    figures = {name: percent(text) for name, text in printed.items()}
    by_loop = [
        (p, size - p)
        for size, p in ((size, p) for size in range(5, 13) for p in range(size + 1))
        if any(
            all(_prints(name, figure, tp, p - tp, fp, size - p - fp) for name, figure in figures.items())
            for tp, fp in itertools.product(range(p + 1), range(size - p + 1))
        )
    ]
    assert list(fits(figures, Parts.of_sizes(5, 12)).parts or ()) == by_loop


def test_test_parts_beyond_a_limit_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.feasibility.LISTED_PARTS", 10)
    assert len(fits({}, Parts.of_sizes(9, 9)).parts or ()) == 10
    assert fits({}, Parts.of_sizes(10, 10)).parts is None
    rows = {"a": {"accuracy": "50"}, "b": {"recall": "14.3"}, "c": {"recall": "28.6"}}
    some = found((14, 14), rows)  # any of 15 test parts has seven right of 14
    assert some is not None
    assert some.rows == ("b", "c")


def _prints(name: str, figure: Figure, tp: int, fn: int, fp: int, tn: int) -> bool:
    top, bottom = {
        "recall": (tp, tp + fn),
        "precision": (tp, tp + fp),
        "accuracy": (tp + tn, tp + fn + fp + tn),
    }[name]
    units, scale = figure.units, figure.scale
    return bottom > 0 and abs(2 * top * scale - 2 * units * bottom) <= bottom
