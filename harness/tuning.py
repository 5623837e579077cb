"""Hyper-parameters chosen with Optuna on the training and validation parts alone.

Nothing here can reach a test label: the functions get views of the two parts and no dataset.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from harness.errors import HarnessError, ModelError
from harness.metrics import check_probabilities, scores
from harness.types import Progress

if TYPE_CHECKING:
    import optuna

    from harness.images import Images

__all__ = ["METRIC", "Labelled", "Trial", "Tuning", "tune"]

METRIC = "balanced accuracy"
"""What a trial is judged by, on the validation part: robust to unequal classes, defined for any number of them."""

Labelled = tuple["Images", np.ndarray]


@dataclass(frozen=True)
class Trial:
    """One set of parameters and its balanced accuracy on the validation part; None with a reason when it failed."""

    number: int
    parameters: dict[str, Any]
    value: float | None
    seconds: float
    failure: str | None = None


@dataclass(frozen=True)
class Tuning:
    """The history of a search, its choice first of all."""

    trials: int
    best_trial: int
    best_value: float | None
    parameters: dict[str, Any]
    history: list[Trial] = field(default_factory=list)
    metric: str = METRIC

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Search:
    """What one search needs: how to make a model, what it may see, what it may choose."""

    create: Callable[..., Any]
    training: Labelled
    validation: Labelled
    groups: list[str | None] | None
    classes: int
    search_space: Callable[[optuna.Trial], dict[str, Any]] | None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def value(self, parameters: Mapping[str, Any]) -> float:
        """Fit on the training part, return balanced accuracy on the validation part."""
        model = self.create(**{**self.fixed, **parameters})
        images, labels = self.training
        model.fit(images, labels, validation=self.validation, groups=self.groups)
        val_images, val_labels = self.validation
        probabilities = check_probabilities(model.predict_proba(val_images), len(val_images), self.classes)
        result = scores(val_labels, probabilities, positive=None).balanced_accuracy
        if result.value is None:
            raise ModelError(f"{METRIC} is undefined on the validation part: {result.reason}")
        return float(result.value)


def tune(search: Search, *, trials: int, seed: int, progress: Progress | None = None) -> Tuning:
    """Return the best of `trials` sets of parameters; the first is always the defaults.

    Only a strictly better trial replaces an earlier one, so ties stay with the defaults. With one
    trial, or nothing to choose, no model is fitted: there is nothing to compare the defaults with.
    Raises `ModelError` when every trial failed.
    """
    if trials <= 1 or search.search_space is None:
        return Tuning(trials=min(trials, 1), best_trial=0, best_value=None, parameters={})
    study = _study(seed)
    history: list[Trial] = []
    for number in range(trials):
        if progress is not None:
            progress(f"trial {number + 1} of {trials}", number / trials)
        history.append(_defaults(search, study) if number == 0 else _asked(search, study, number))
    usable = [t for t in history if t.value is not None]
    if not usable:
        raise ModelError(f"all {trials} trials failed; the first: {history[0].failure}")
    best = max(usable, key=lambda t: (t.value, -t.number))
    return Tuning(trials, best.number, best.value, best.parameters, history)


def _study(seed: int) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))


def _defaults(search: Search, study: optuna.Study) -> Trial:
    """Judge the defaults, and tell the study of them where the search space can express them."""
    import optuna

    trial = _judged(search, 0, {})
    if trial.value is None or search.search_space is None:
        return trial
    defaults = _default_values(search)
    probe = optuna.trial.FixedTrial(defaults)
    try:
        search.search_space(cast("optuna.Trial", probe))
        study.add_trial(
            optuna.trial.create_trial(
                params={name: defaults[name] for name in probe.distributions},
                distributions=dict(probe.distributions),
                value=trial.value,
            )
        )
    except (ValueError, KeyError):
        return trial  # a default outside the search space: the sampler starts without it
    return trial


def _default_values(search: Search) -> dict[str, Any]:
    """Values of the model's attributes that bear the name of a constructor parameter."""
    return dict(vars(search.create(**search.fixed)))


def _asked(search: Search, study: optuna.Study, number: int) -> Trial:
    import optuna

    asked = study.ask()
    assert search.search_space is not None
    trial = _judged(search, number, search.search_space(asked))
    if trial.value is None:
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(asked, trial.value)
    return trial


def _judged(search: Search, number: int, parameters: dict[str, Any]) -> Trial:
    start = time.perf_counter()
    try:
        value: float | None = search.value(parameters)
        failure = None
    except (HarnessError, ValueError, RuntimeError, ArithmeticError) as error:
        value, failure = None, " ".join(f"{type(error).__name__}: {error}".split())
    return Trial(number, parameters, value, round(time.perf_counter() - start, 3), failure)
