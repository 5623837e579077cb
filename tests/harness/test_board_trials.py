from __future__ import annotations

import pytest

from harness.board_trials import tried_in
from harness.budgets import Budget
from harness.errors import RecordError


def tuned(trials: int, pruned: int = 0, failed: int = 0, **budget: float) -> dict:
    said = budget or {"trials": trials}
    return {"tuning": {"trials": trials, "pruned": pruned, "failed": failed, "budget": said}}


def said(*manifests: dict) -> str:
    return str(tried_in(manifests))


def test_a_row_without_cells_says_nothing_and_an_untuned_one_nought() -> None:
    assert tried_in([]) is None
    assert said({"tuning": None}) == "0"


@pytest.mark.parametrize("budget", [{"watts": 5}, "an hour", [3]])
def test_a_budget_of_somebody_else_is_one_line_that_names_the_record(budget: object) -> None:
    foreign = {"key": "abc", "tuning": {"trials": 5, "budget": budget}}
    with pytest.raises(
        RecordError, match="record 'abc': its tuning has the budget .*expected trials or seconds"
    ):
        tried_in([foreign])


def test_records_of_before_have_trials_alone() -> None:
    assert said({"tuning": {"trials": 5, "history": []}}) == "5"


def test_what_was_stopped_or_failed_is_in_brackets() -> None:
    assert said(tuned(20, 7)) == "20 (7 pruned)"
    assert said(tuned(20, 7, 1), tuned(20, 5)) == "20 (5-7 pruned, 0-1 failed)"


def test_a_budget_of_time_is_said_with_the_trials_of_each_cell() -> None:
    assert said(tuned(23, seconds=600.0), tuned(18, seconds=600.0)) == "18-23 in 10 min"
    tried = tried_in([tuned(23, 2, seconds=90.0)])
    assert tried is not None
    assert tried.budget == Budget(seconds=90.0)
    assert tried.as_dict() == {"trials": [23], "pruned": [2], "failed": [0], "budget": {"seconds": 90.0}}
