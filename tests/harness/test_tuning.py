from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.budgets import Budget
from harness.errors import ModelError
from harness.images import Images, MemoryStore
from harness.searches import Search
from harness.tuning import tune

FAR = (150, 160, 180, 200)
"""Brightnesses that the default level tells nothing of."""


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


def search(model: Any = Threshold, *, levels: tuple[int, ...] = (90, 95, 105, 110)) -> Search:
    images = Images(MemoryStore([np.full((4, 4), level, np.uint8) for level in levels]))
    labels = np.array([0, 0, 1, 1])
    known = (images, labels, [None] * len(labels))
    return Search(
        create=model,
        training=known,
        validation=known,
        both=known,
        classes=2,
        search_space=getattr(model, "search_space", None),
        fixed={"n_classes": 2, "seed": 0, "device": "cpu"},
    )


class Failing(Threshold):
    def fit(self, images: Images, labels: np.ndarray, **_: Any) -> Threshold:
        raise ValueError("no such luck")


class SometimesFailing(Threshold):
    def predict_proba(self, images: Images) -> np.ndarray:
        if self.level == 100.0:
            raise ValueError("not at the default")
        return super().predict_proba(images)


class NotAProbability(Threshold):
    def predict_proba(self, images: Images) -> np.ndarray:
        return np.full((len(images), 2), 7.0)


def test_a_search_in_which_every_trial_failed_is_an_error_with_the_first_reason() -> None:
    with pytest.raises(ModelError, match="all 3 trials failed; the first: ValueError: no such luck"):
        tune(search(Failing), Budget(3), seed=0)


def test_probabilities_that_are_none_fail_the_trial() -> None:
    with pytest.raises(ModelError, match="PredictionError"):
        tune(search(NotAProbability), Budget(2), seed=0)


def test_one_failed_trial_is_recorded_and_the_search_goes_on() -> None:
    found = tune(search(SometimesFailing), Budget(4), seed=0)
    assert found.history[0].value is None
    assert "not at the default" in str(found.history[0].failure)
    assert found.best_trial > 0


def test_ties_stay_with_the_defaults() -> None:
    found = tune(search(), Budget(6), seed=0)
    assert found.best_trial == 0
    assert found.best_value == 1.0
    assert found.parameters == {}


def test_a_better_trial_replaces_the_defaults() -> None:
    found = tune(search(levels=FAR), Budget(20), seed=0)
    assert found.best_trial > 0
    assert found.best_value is not None
    assert found.best_value > 0.5
    assert set(found.parameters) == {"level"}


def test_the_same_seed_finds_the_same_parameters() -> None:
    first, second = (tune(search(levels=FAR), Budget(8), seed=5) for _ in range(2))
    assert [t.parameters for t in first.history] == [t.parameters for t in second.history]


def test_a_single_trial_is_the_defaults_and_costs_no_fit() -> None:
    before = Threshold.fits
    found = tune(search(), Budget(1), seed=0)
    assert (found.parameters, found.best_value, found.history) == ({}, None, [])
    assert Threshold.fits == before
