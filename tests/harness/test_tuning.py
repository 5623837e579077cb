from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import studies, tuning
from harness.budgets import Budget
from harness.errors import ModelError, RecordError, StudyDamaged, UsageError
from harness.images import Images, MemoryStore
from harness.journals import Shelf
from harness.searches import Search
from harness.studies import MOST_DEATHS, Study
from harness.tuning import Tuning, tune
from harness.types import Session

FAR = (150, 152, 160, 162, 180, 182, 200, 202)
"""Brightnesses that the default level tells nothing of."""


MANY = (*range(10, 60, 2), *range(110, 160, 2))
"""Brightnesses with folds that are alike enough for a worse trial to be told from a better one."""


class Threshold:
    """Predicts class 1 where the mean is above `level`; `fits` counts how often it was fitted."""

    fits = 0

    def __init__(self, *, n_classes: int, seed: int, device: str = "cpu", level: float = 100.0) -> None:
        self.n_classes, self.seed, self.device, self.level = n_classes, seed, device, level

    def fit(self, images: Images, labels: np.ndarray, **_: Any) -> Threshold:
        type(self).fits += 1
        return self

    def predict_proba(self, images: Images) -> np.ndarray:
        p = (images.resized(2).mean(axis=(1, 2)) > self.level).astype(float)
        return np.stack([1 - p, p], axis=1)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        return {"level": trial.suggest_float("level", 0.0, 255.0)}


def search(
    model: Any = Threshold,
    *,
    levels: tuple[int, ...] = (80, 85, 90, 95, 105, 110, 115, 120),
    groups: list[str | None] | None = None,
) -> Search:
    images = Images(MemoryStore([np.full((4, 4), level, np.uint8) for level in levels]))
    labels = np.repeat([0, 1], len(levels) // 2)
    known = (images, labels, groups or [None] * len(labels))
    return Search(
        create=model,
        training=known,
        validation=known,
        both=known,
        classes=2,
        search_space=getattr(model, "search_space", None),
        fixed={"n_classes": 2, "seed": 0, "device": "cpu"},
        uses_validation=getattr(model, "uses_validation", False),
    )


class Failing(Threshold):
    def fit(self, images: Images, labels: np.ndarray, **_: Any) -> Threshold:
        raise ValueError("no such luck")


class Leaving(Threshold):
    def predict_proba(self, images: Images) -> np.ndarray:
        if self.level == 100.0:
            raise SystemExit("bye")
        return super().predict_proba(images)


class SometimesFailing(Threshold):
    def predict_proba(self, images: Images) -> np.ndarray:
        if self.level == 100.0:
            raise TypeError("not at the default")
        return super().predict_proba(images)


class NotAProbability(Threshold):
    def predict_proba(self, images: Images) -> np.ndarray:
        return np.full((len(images), 2), 7.0)


class Trained(Threshold):
    """Reports four looks on its way, the better the nearer its level is to 170."""

    uses_validation = True
    session: Session | None = None

    def fit(self, images: Images, labels: np.ndarray, *, validation: Any = None, **_: Any) -> Threshold:
        assert self.session is not None
        assert validation is not None
        for look in range(1, 5):
            self.session.report(look / 4, look / 4 - abs(self.level - 170) / 255)
        return super().fit(images, labels)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "studies", "key")


def settled(found: Tuning) -> list[Any]:
    """What must be equal between two searches: all but times."""
    return [replace(t, seconds=0.0) for t in found.history] + [found.parameters, found.best_value]


def journal(shelf: Shelf) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shelf.journal.read_text().splitlines()]


# Models and search spaces that do not work


def test_a_search_in_which_every_trial_failed_is_an_error_with_the_first_reason() -> None:
    with pytest.raises(ModelError, match="all 3 trials failed; the first: ValueError: no such luck"):
        tune(search(Failing), Budget(3), seed=0)


def test_probabilities_that_are_none_fail_the_trial() -> None:
    with pytest.raises(ModelError, match="PredictionError"):
        tune(search(NotAProbability), Budget(2), seed=0)


def test_one_failed_trial_is_recorded_with_its_place_and_the_search_goes_on() -> None:
    found = tune(search(SometimesFailing), Budget(4), seed=0)
    assert found.history[0].value is None
    assert re.search(
        r"TypeError: not at the default \(test_tuning.py, line \d+\)", str(found.history[0].failure)
    )
    assert (found.trials, found.failed) == (4, 1)
    assert found.best_trial > 0


def test_a_trial_that_exits_has_failed_and_the_search_goes_on() -> None:
    found = tune(search(Leaving), Budget(4), seed=0)
    assert (found.trials, found.failed) == (4, 1)
    assert str(found.history[0].failure).startswith("SystemExit: bye (test_tuning.py")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (lambda trial: 1 / 0, "its search_space raised ZeroDivisionError"),
        (lambda trial: None, "its search_space returned None, no dict"),
        (lambda trial: {"levle": 3.0}, "unknown parameter 'levle'; you probably meant 'level'"),
        (lambda trial: {"level": float("nan")}, "parameters that JSON cannot hold"),
    ],
)
def test_a_search_space_that_is_none_is_one_line(space: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        tune(replace(search(), search_space=space), Budget(3), seed=0)


def test_a_search_space_without_choices_fits_nothing() -> None:
    before = Threshold.fits
    found = tune(replace(search(), search_space=lambda trial: {}), Budget(9), seed=0)
    assert (found.trials, found.history, found.parameters) == (1, [], {})
    assert Threshold.fits == before


@pytest.mark.parametrize("trials", [0, 1])
def test_with_one_trial_or_none_the_defaults_cost_no_fit(trials: int) -> None:
    before = Threshold.fits
    found = tune(search(), Budget(trials), seed=0)
    assert (found.trials, found.parameters, found.best_value, found.history) == (trials, {}, None, [])
    assert Threshold.fits == before


# What is chosen


def test_ties_stay_with_the_defaults() -> None:
    found = tune(search(), Budget(6), seed=0)
    assert (found.best_trial, found.best_value, found.parameters) == (0, 1.0, {})


def test_a_better_trial_replaces_the_defaults() -> None:
    found = tune(search(levels=FAR), Budget(20), seed=0)
    assert found.best_trial > 0
    assert found.best_value is not None
    assert found.best_value > 0.5
    assert set(found.parameters) == {"level"}


def test_the_same_seed_finds_the_same_parameters_and_another_one_does_not() -> None:
    first, second, other = (tune(search(levels=FAR), Budget(8), seed=seed) for seed in (5, 5, 6))
    assert settled(first) == settled(second)
    assert [t.parameters for t in first.history] != [t.parameters for t in other.history]


def test_more_trials_begin_with_the_same_ones() -> None:
    few, many = (tune(search(levels=FAR), Budget(n), seed=0) for n in (4, 9))
    assert settled(few)[:4] == settled(many)[:4]


# Folds and looks


def test_the_value_of_a_head_is_the_mean_over_five_folds_by_hand() -> None:
    levels = (
        10,
        20,
        30,
        40,
        240,
        50,
        60,
        70,
        80,
        90,
    )  # the fifth, of class 0, is above every level below 240
    found = tune(search(levels=(*range(10, 60, 10), *range(110, 160, 10))), Budget(2), seed=0)
    assert found.history[0].intermediate == tuple((fold, 1.0) for fold in range(5))
    wrong = tune(search(levels=levels), Budget(2), seed=0)
    assert sorted(v for _, v in wrong.history[0].intermediate) == [0.0, 0.5, 0.5, 0.5, 0.5]
    assert wrong.history[0].value == pytest.approx(0.4)
    assert wrong.judged_on == "5 folds of training and validation parts"


def test_too_few_patients_for_five_folds_are_said() -> None:
    found = tune(search(groups=["a", "a", "b", "b", "c", "c", "d", "d"]), Budget(2), seed=0)
    assert found.judged_on == "2 folds of training and validation parts, which are too few images for 5"
    assert len(found.history[0].intermediate) == 2


def test_one_patient_a_class_is_judged_on_the_validation_part_and_that_is_said() -> None:
    found = tune(search(groups=["a"] * 4 + ["b"] * 4), Budget(2), seed=0)
    assert (
        found.judged_on
        == "validation part, because training and validation parts are too few images for two folds"
    )
    assert found.history[0].intermediate == ()


def test_a_training_is_judged_on_the_validation_part_and_reports_its_looks() -> None:
    found = tune(search(Trained, levels=FAR), Budget(2), seed=0)
    assert found.judged_on == "validation part"
    assert [step for step, _ in found.history[0].intermediate] == [25, 50, 75, 100]


def test_a_training_that_is_worse_than_the_median_is_stopped_and_never_chosen() -> None:
    found = tune(search(Trained, levels=FAR), Budget(20), seed=0)
    pruned = [t for t in found.history if t.state == "pruned"]
    assert found.pruned == len(pruned) > 0
    assert all(t.value is None and 0 < len(t.intermediate) < 4 for t in pruned)
    assert found.history[found.best_trial].state == "complete"
    assert found.trials == 20
    assert pruned[0].number >= 4  # the first four have nothing to be compared with


def test_folds_that_are_worse_than_the_best_ones_stop_a_trial_after_three() -> None:
    found = tune(search(levels=MANY), Budget(12), seed=0)
    lengths = {t.state: len(t.intermediate) for t in found.history}
    assert lengths["complete"] == 5
    assert lengths["pruned"] in (3, 4)


# Journals


def test_a_study_goes_on_where_it_was_left_and_repeats_nothing(shelf: Shelf) -> None:
    whole = tune(search(levels=FAR), Budget(9), seed=0)
    tune(search(levels=FAR), Budget(4), seed=0, shelf=shelf)
    before = Threshold.fits
    gone_on = tune(search(levels=FAR), Budget(9), seed=0, shelf=shelf)
    assert settled(gone_on) == settled(whole)
    fitted = Threshold.fits - before
    assert fitted == sum(len(t.intermediate) for t in whole.history[4:])
    tune(search(levels=FAR), Budget(9), seed=0, shelf=shelf)
    assert Threshold.fits - before == fitted


def test_fewer_trials_than_a_study_has_choose_as_if_it_had_no_more(shelf: Shelf) -> None:
    tune(search(levels=FAR), Budget(12), seed=0, shelf=shelf)
    few = tune(search(levels=FAR), Budget(3), seed=0, shelf=shelf)
    assert settled(few) == settled(tune(search(levels=FAR), Budget(3), seed=0))


class Interrupted(Trained):
    """Stops the process at the second look of the third trial, once."""

    armed = True
    fits = 0

    def fit(self, images: Images, labels: np.ndarray, **given: Any) -> Threshold:
        assert self.session is not None
        assert self.session.folder is not None
        (self.session.folder / "x").parent.mkdir(parents=True, exist_ok=True)
        (self.session.folder / "x").touch()
        if type(self).armed and self.session.folder.name == "trial-2":
            type(self).armed = False
            raise KeyboardInterrupt
        return super().fit(images, labels, **given)


def test_an_interrupted_trial_is_run_again_with_its_parameters_and_its_folder(shelf: Shelf) -> None:
    Interrupted.armed = True
    with pytest.raises(KeyboardInterrupt):
        tune(search(Interrupted, levels=FAR), Budget(6), seed=0, shelf=shelf)
    assert [t.state for t in Study(shelf, seed=0, by_folds=False).trials()] == ["complete"] * 2 + [
        "unfinished"
    ]
    assert shelf.unfinished(2).is_dir()
    gone_on = tune(search(Interrupted, levels=FAR), Budget(6), seed=0, shelf=shelf)
    assert settled(gone_on) == settled(tune(search(Trained, levels=FAR), Budget(6), seed=0))
    assert not list(shelf.folder.glob(".unfinished/*/*"))


def test_a_line_that_a_killed_process_did_not_end_is_cut_off(shelf: Shelf) -> None:
    tune(search(levels=FAR), Budget(4), seed=0, shelf=shelf)
    whole = shelf.journal.read_bytes()
    shelf.journal.write_bytes(whole + b'{"op_code":7,"worker_id":"x","tri')
    gone_on = tune(search(levels=FAR), Budget(6), seed=0, shelf=shelf)
    assert settled(gone_on) == settled(tune(search(levels=FAR), Budget(6), seed=0))
    assert shelf.journal.read_bytes().startswith(whole)


def test_a_journal_cut_anywhere_gives_the_same_choice_in_the_end(shelf: Shelf) -> None:
    whole = tune(search(levels=FAR), Budget(5), seed=0, shelf=shelf)
    written = shelf.journal.read_bytes()
    for share in range(1, 12):
        shelf.journal.write_bytes(written[: len(written) * share // 12])
        assert settled(tune(search(levels=FAR), Budget(5), seed=0, shelf=shelf)) == settled(whole), share


@pytest.mark.parametrize("of", ["folds", "looks"])
def test_a_process_that_dies_after_any_line_changes_no_trial(shelf: Shelf, of: str) -> None:
    """Cut after each line, also between a value and the end that it means for its trial."""
    searched = search(Trained, levels=FAR) if of == "looks" else search(levels=MANY)
    whole = tune(searched, Budget(6), seed=0, shelf=shelf)
    assert whole.pruned > 0
    lines = shelf.journal.read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines)):
        shelf.journal.write_bytes(b"".join(lines[:count]))
        assert settled(tune(searched, Budget(6), seed=0, shelf=shelf)) == settled(whole), count


def test_a_trial_whose_last_value_is_known_is_not_stopped_any_more(shelf: Shelf) -> None:
    space = tuning._Space(search())
    for value, ends in ((0.9, True), (0.1, False)):
        claimed = Study(shelf, seed=0, by_folds=True).claim(Budget(2), space.defaults, space.ask, float)
        assert claimed is not None
        for fold in range(5):
            claimed.report(fold, value, last=True)
        if ends:
            claimed.end("complete", value)
        claimed.release()
    claimed = Study(shelf, seed=0, by_folds=True).claim(Budget(2), space.defaults, space.ask, float)
    assert claimed is not None
    for fold, value in dict(claimed.reported).items():
        claimed.report(fold, value, last=fold == 4)  # raises when it is judged as if more were to come
    assert list(claimed.reported.values()) == [0.1] * 5


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: ["\0\0\0\0", *lines], "line 1 is no record"),
        (lambda lines: [*lines[:3], "garbage", *lines[3:]], "line 4 is no record"),
        (lambda lines: [*lines[:3], "7", *lines[3:]], "line 4 is no record"),
        (lambda lines: lines[2:], "line 1 is no record"),
        (lambda lines: [*lines, '{"op_code":99}'], "does not make sense"),
    ],
)
def test_a_damaged_journal_is_one_line_that_names_the_file(shelf: Shelf, damage: Any, message: str) -> None:
    tune(search(levels=FAR), Budget(3), seed=0, shelf=shelf)
    shelf.journal.write_text("\n".join(damage(shelf.journal.read_text().splitlines())) + "\n")
    with pytest.raises(StudyDamaged, match=rf"key\.journal.*{message}.*delete the file"):
        tune(search(levels=FAR), Budget(4), seed=0, shelf=shelf)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("a file")
    with pytest.raises(RecordError, match="cannot write to .*--out"):
        tune(search(), Budget(3), seed=0, shelf=Shelf(tmp_path / "studies", "key"))


def test_a_disk_that_is_full_in_a_trial_stops_the_search_and_not_the_trial(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna.storages.journal import JournalFileBackend

    written = JournalFileBackend.append_logs

    def full(self: Any, logs: list[dict[str, Any]]) -> None:
        if sum(1 for _ in shelf.journal.open()) > 12:
            raise OSError(28, "No space left on device")
        written(self, logs)

    with monkeypatch.context() as patch:
        patch.setattr(JournalFileBackend, "append_logs", full)
        with pytest.raises(RecordError, match="No space left on device"):
            tune(search(levels=FAR), Budget(5), seed=0, shelf=shelf)
    assert settled(tune(search(levels=FAR), Budget(5), seed=0, shelf=shelf)) == settled(
        tune(search(levels=FAR), Budget(5), seed=0)
    )


def test_a_disk_that_is_full_for_a_moment_is_no_death(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    from optuna.storages.journal import JournalFileBackend

    written, refused = JournalFileBackend.append_logs, []

    def full(self: Any, logs: list[dict[str, Any]]) -> None:
        if not refused and "intermediate_value" in logs[0]:
            refused.append(logs)
            raise OSError(28, "No space left on device")
        written(self, logs)

    monkeypatch.setattr(JournalFileBackend, "append_logs", full)
    with pytest.raises(RecordError, match="No space left on device"):
        tune(search(levels=FAR), Budget(3), seed=0, shelf=shelf)
    assert refused
    assert journal(shelf)[-1]["user_attr"] == {"left": True}


def test_what_trials_left_is_swept_away_but_for_those_that_somebody_runs(shelf: Shelf) -> None:
    for number in (1, 2):
        shelf.unfinished(number).mkdir(parents=True)
        (shelf.unfinished(number) / "state").touch()
    with shelf.lock("trial-2"):
        shelf.sweep()
        assert [p.name for p in shelf.unfinished(2).parent.iterdir()] == ["trial-2"]
    shelf.sweep()
    assert not (shelf.folder / ".unfinished").exists()
    shelf.sweep()  # there need be nothing


def test_a_trial_that_always_takes_its_process_with_it_has_failed_in_the_end(shelf: Shelf) -> None:
    tune(search(levels=FAR), Budget(2), seed=0, shelf=shelf)
    space = tuning._Space(search(levels=FAR))
    for _ in range(MOST_DEATHS):
        claimed = Study(shelf, seed=0, by_folds=True).claim(Budget(3), space.defaults, space.ask, float)
        assert claimed is not None
        assert claimed.number == 2
        claimed.start()
        claimed.release()  # as the operating system does when the process dies
    found = tune(search(levels=FAR), Budget(3), seed=0, shelf=shelf)
    assert found.history[2].failure == "its process died 3 times at the same place (out of memory?)"
    assert found.failed == 1


def test_a_process_that_ends_before_it_begins_to_work_on_a_trial_is_no_death_of_it(shelf: Shelf) -> None:
    space = tuning._Space(search(levels=FAR))
    for _ in range(2 * MOST_DEATHS):
        claimed = Study(shelf, seed=0, by_folds=True).claim(Budget(1), space.defaults, space.ask, float)
        assert claimed is not None
        assert claimed.number == 0
        claimed.release()
    found = tune(search(levels=FAR), Budget(2), seed=0, shelf=shelf)
    assert [trial.state for trial in found.history] == ["complete", "complete"]


# Budgets of time


class Paused(Threshold):
    """Takes 20 ms of a clock of its own."""

    now = 0.0
    fits = 0

    def fit(self, images: Images, labels: np.ndarray, **_: Any) -> Threshold:
        Paused.now += 0.02
        return super().fit(images, labels)


@pytest.fixture
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "perf_counter", lambda: Paused.now)


@pytest.mark.usefixtures("_clock")
def test_a_budget_shorter_than_a_trial_tries_the_defaults_and_keeps_them(shelf: Shelf) -> None:
    found = tune(search(Paused, levels=FAR), Budget(seconds=0.01), seed=0, shelf=shelf)
    assert (found.trials, found.parameters, found.history[0].state) == (1, {}, "complete")


@pytest.mark.usefixtures("_clock")
def test_the_time_is_kept_to_a_fold_and_the_cut_trial_does_not_count(shelf: Shelf) -> None:
    found = tune(search(Paused, levels=FAR), Budget(seconds=0.5), seed=0, shelf=shelf)
    assert found.trials > 1
    assert 0.5 <= found.seconds <= 0.5 + 0.021
    assert sum(t.seconds for t in found.history[: found.trials]) <= 0.5
    assert found.best_trial < found.trials


@pytest.mark.usefixtures("_clock")
def test_more_time_goes_on_with_the_trial_that_was_cut(shelf: Shelf) -> None:
    first = tune(search(Paused, levels=FAR), Budget(seconds=0.39), seed=0, shelf=shelf)
    before = Paused.fits
    more = tune(search(Paused, levels=FAR), Budget(seconds=0.8), seed=0, shelf=shelf)
    begun = [t.parameters for t in first.history]
    assert [t.parameters for t in more.history[: len(begun)]] == begun
    assert more.trials > first.trials
    kept = sum(len(t.intermediate) for t in first.history)
    assert Paused.fits - before == sum(len(t.intermediate) for t in more.history) - kept


@pytest.mark.parametrize("text", ["", "10", "m", "-1m", "0s", "10 minutes", "1e3s", "nan s"])
def test_a_time_that_is_none_is_a_usage_error(text: str) -> None:
    from harness.budgets import seconds_of

    with pytest.raises(UsageError, match="expected a time above 0 such as 90s, 10m or 1.5h"):
        seconds_of(text)
