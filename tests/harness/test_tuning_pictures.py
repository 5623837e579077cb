from __future__ import annotations

import pytest

from harness.studies import Trial
from harness.tuning import Tuning
from harness.tuning_pictures import Sketch, picture


def trial(number: int, value: float | None, state: str = "complete", known: tuple[float, ...] = ()) -> Trial:
    return Trial(number, {}, state, value, 1.0, None, tuple(enumerate(known)))


TRIALS = [
    trial(0, 0.90),
    trial(1, 0.93),
    trial(2, None, "pruned", (0.80, 0.86)),
    trial(3, None, "failed"),
    trial(4, 0.91),
    trial(5, 0.2),
    trial(6, 0.92),
    trial(7, 0.925),
]


def sketch(trials: list[Trial] = TRIALS, judged_on: str = "5 folds of training parts", **changes) -> Sketch:
    best = max((t for t in trials if t.value is not None), key=lambda t: t.value or 0)
    tuning = Tuning(len(trials), 1, 1, best.number, best.value, {}, {"trials": 8}, judged_on, 8.0, trials)
    given = {
        "title": "made · svm",
        "subtitle": "official, seed 0",
        "tuning": tuning,
        "importances": {"C": 0.7, "criterion": 0.3},
        "reason": None,
        "suggested": {
            t.number: {"C": 10.0 ** (t.number - 3), "criterion": "gini" if t.number % 2 else "entropy"}
            for t in trials
        },
    }
    return Sketch(**given | changes)


def legend(figure) -> set[str]:
    return {text.get_text() for sub in figure.subfigs for key in sub.legends for text in key.get_texts()}


def test_a_stopped_trial_stands_at_the_mean_of_its_folds_or_at_its_last_look() -> None:
    assert sketch().levels[2] == pytest.approx(0.83)
    assert sketch(judged_on="validation part").levels[2] == 0.86
    assert 3 not in sketch().levels


def test_one_far_outlier_does_not_flatten_the_others() -> None:
    assert 0.2 < sketch().floor < 0.83
    assert sketch([trial(0, 0.5), trial(1, 0.5)]).floor < 0.5


def test_every_kind_of_trial_is_told_apart_in_the_legend() -> None:
    kinds = {"defaults", "complete", "stopped early (as far as known)", "failed", "chosen", "best so far"}
    assert legend(picture(sketch())) == kinds


def test_the_title_the_axis_and_a_panel_a_parameter_are_there() -> None:
    figure = picture(sketch())
    assert figure.get_suptitle() == "made · svm"
    history, importance, *panels = figure.axes
    assert (history.get_ylabel(), history.get_title(loc="left")) == ("balanced accuracy", "official, seed 0")
    assert [axes.get_xlabel() for axes in panels] == ["C", "criterion"]
    assert panels[0].get_xscale() == "log"
    assert [bar.get_width() for bar in importance.patches] == [0.3, 0.7]


def test_where_importance_cannot_be_told_the_reason_is_drawn() -> None:
    figure = picture(sketch(importances={}, reason="only 2 complete trials"))
    assert "only 2 complete trials" in figure.axes[1].texts[0].get_text()


def test_a_study_without_anything_suggested_has_a_history_alone() -> None:
    assert len(picture(sketch([trial(0, 0.5)], suggested={0: {}}, importances={}, reason="x")).axes) == 2
