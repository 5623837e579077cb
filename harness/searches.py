"""How good a set of parameters is, by the training and validation parts alone.

Nothing here can reach a test label: a search holds views of the two parts and no dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from harness.errors import ModelError
from harness.folds import FOLDS, fold_numbers
from harness.metrics import check_probabilities, scores
from harness.types import Progress, Session

if TYPE_CHECKING:
    import optuna

    from harness.images import Images

__all__ = ["METRIC", "Judged", "Known", "Search", "SearchSpace"]

METRIC = "balanced accuracy"
"""What a trial is judged by: robust to unequal classes, defined for any number of them."""

STEPS = 100
"""A training's share that is done, in whole steps, as Optuna counts them."""

Known = tuple["Images", np.ndarray, list[str | None]]
"""Images, their labels and their groups."""

SearchSpace = Callable[["optuna.Trial"], dict[str, Any]]


class Judged(Protocol):
    """The trial that a search reports to."""

    @property
    def number(self) -> int: ...
    @property
    def reported(self) -> Mapping[int, float]:
        """Return what was reported by step, by a process that died before, too."""
        ...

    @property
    def folder(self) -> Path | None: ...

    def report(self, step: int, value: float, *, last: bool = False) -> None:
        """Keep a value of an unfinished trial. Raises `TrialPruned` when it is not worth going on."""
        ...


@dataclass(frozen=True)
class Search:
    """What one search needs: how to make a model, what it may learn from, what it may choose.

    A model with `uses_validation` is fitted on the training part and judged on the validation part; any other is
    judged on folds of both parts together. `making` returns the seconds that filling caches has taken so far.
    """

    create: Callable[..., Any]
    training: Known
    validation: Known
    both: Known
    classes: int
    search_space: SearchSpace | None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    uses_validation: bool = False
    seed: int = 0
    making: Callable[[], float] = float
    progress: Progress | None = None

    @cached_property
    def fold_of(self) -> np.ndarray | None:
        """The fold of each image of `both`; None when trials are judged on the validation part."""
        if self.uses_validation:
            return None
        _, labels, groups = self.both
        return fold_numbers(labels, groups, seed=self.seed)

    @property
    def folds(self) -> int:
        return 0 if self.fold_of is None else int(self.fold_of.max()) + 1

    @property
    def judged_on(self) -> str:
        """What the value of a trial comes from, in words; that there are fewer folds than usual is said."""
        if self.uses_validation:
            return "validation part"
        if self.folds == FOLDS:
            return f"{FOLDS} folds of training and validation parts"
        if self.folds:
            return (
                f"{self.folds} folds of training and validation parts, which are too few images for {FOLDS}"
            )
        return "validation part, because training and validation parts are too few images for two folds"

    def value(self, parameters: Mapping[str, Any], judged: Judged) -> float:
        """Return the balanced accuracy of a model with these parameters on images that it did not learn from."""
        if self.fold_of is not None:
            return self._over_folds(parameters, judged, self.fold_of)
        model = self.create(**{**self.fixed, **parameters})
        self._lend(model, judged)
        images, labels, groups = self.training
        if self.uses_validation:
            model.fit(images, labels, validation=self.validation[:2], groups=groups)
        else:
            model.fit(images, labels, groups=groups)
        return self._score(model, *self.validation[:2])

    def _over_folds(self, parameters: Mapping[str, Any], judged: Judged, fold_N: np.ndarray) -> float:
        """Return the mean over the folds, each reported as it is known; those known already are not repeated."""
        images, labels, groups = self.both
        for fold in range(self.folds):
            last = fold == self.folds - 1
            if fold in judged.reported:
                judged.report(fold, judged.reported[fold], last=last)
                continue
            rest, held = np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)
            model = self.create(**{**self.fixed, **parameters})
            model.fit(images[rest], labels[rest], groups=[groups[row] for row in rest])
            judged.report(fold, self._score(model, images[held], labels[held]), last=last)
        return float(np.mean([judged.reported[fold] for fold in range(self.folds)]))

    def _score(self, model: Any, images: Images, labels: np.ndarray) -> float:
        probabilities = check_probabilities(model.predict_proba(images), len(images), self.classes)
        result = scores(labels, probabilities, positive=None).balanced_accuracy
        if result.value is None:
            raise ModelError(f"{METRIC} is undefined on the held-out images: {result.reason}")
        return float(result.value)

    def _lend(self, model: Any, judged: Judged) -> None:
        """Let a model that can report be stopped early, and go on where a killed process left it."""
        if not hasattr(model, "session"):
            return

        def report(done: float, score: float) -> None:
            judged.report(max(1, round(STEPS * done)), score, last=done >= 1)

        def progress(what: str, fraction: float | None) -> None:
            if self.progress is not None:
                self.progress(f"trial {judged.number + 1}: {what}", fraction)

        model.session = Session(progress, report if self.uses_validation else Session().report, judged.folder)
