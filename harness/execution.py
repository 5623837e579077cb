"""One cell, from images to probabilities: tune, fit, predict, time."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.budgets import Budget
from harness.errors import ModelError, SealedPart
from harness.images import Images
from harness.journals import Shelf
from harness.metrics import check_probabilities
from harness.searches import Search
from harness.tuning import Tuning, tune
from harness.types import Progress, Session, Split

if TYPE_CHECKING:
    from harness.images import PixelStore

__all__ = ["Material", "Result", "run_model", "tune_model"]


@dataclass(frozen=True)
class Material:
    """The images of a dataset, what is known of them, and one way to split them.

    `labels` (N,) are -1 in the test part: nothing that is trained or tuned needs them. `sealed`, as it is for
    tuning, gives no images of the test part either. `elsewhere` is the material of the dataset that the test part
    is from, where that is another one.
    """

    store: PixelStore
    labels: np.ndarray
    groups: tuple[str | None, ...]
    classes: tuple[str, ...]
    rows: Mapping[str, int]
    split: Split
    sealed: bool = False
    elsewhere: Material | None = None

    def part(self, *names: str) -> tuple[Images, np.ndarray, list[str | None]]:
        """Return (images, labels, groups) of these parts together. Raises `SealedPart` for a sealed test part."""
        if self.sealed and "test" in names:
            raise SealedPart("the test part is sealed while parameters are chosen")
        if self.elsewhere is not None and "test" in names:
            return self.elsewhere.part(*names)
        rows = np.array([self.rows[i] for name in names for i in getattr(self.split, name)], dtype=np.intp)
        return Images(self.store, rows), self.labels[rows], [self.groups[row] for row in rows]

    def seconds_making(self) -> float:
        """Return the time that filling caches has taken so far."""
        beside = 0.0 if self.elsewhere is None else self.elsewhere.seconds_making()
        return float(getattr(self.store, "seconds_making", 0.0)) + beside


@dataclass(frozen=True)
class Result:
    """Probabilities (N, C) of the test part, in the order of `split.test`, and how they came about."""

    probabilities: np.ndarray
    tuning: Tuning | None
    parameters: dict[str, Any]
    notes: list[str]
    durations: dict[str, float]
    training: dict[str, Any] | None = None


def run_model(
    factory: Callable[..., Any],
    material: Material,
    parameters: Mapping[str, Any],
    *,
    trial_parameters: Mapping[str, Any],
    budget: Budget,
    seed: int,
    device: str,
    progress: Progress,
    shelf: Shelf | None = None,
    folder: Path | None = None,
    checkpoint: Path | None = None,
) -> Result:
    """Tune on train + validation, fit with the choice, return the probabilities of the test part.

    `shelf` is where the study lies, `folder` where unfinished work is kept, `checkpoint` the file for what the
    final fit learned, of models that can save it. Models with `uses_validation` are fitted on the training part
    and choose their epoch on the validation part; all others are refitted on both. Raises what the model raises,
    and `PredictionError` when its probabilities are none.
    """
    clock = _Clock(material.seconds_making)
    context = {"n_classes": len(material.classes), "seed": seed, "device": device}
    tuning = None
    if budget != Budget(0):
        with clock.phase("tune_seconds"):
            tuning = tune_model(
                factory,
                material,
                {**parameters, **trial_parameters},
                budget=budget,
                seed=seed,
                device=device,
                shelf=shelf,
                progress=progress,
            )
    chosen = {**parameters, **(tuning.parameters if tuning else {})}
    model = factory(**context, **chosen)
    if hasattr(model, "session"):
        model.session = Session(progress=progress, folder=folder and folder / "fit")

    progress("fitting", None)
    with clock.phase("fit_seconds"):
        _fit(model, material, keeps_validation=bool(getattr(factory, "uses_validation", False)))

    progress("predicting", None)
    with clock.phase("predict_seconds"):
        test_images, _, _ = material.part("test")
        probabilities = check_probabilities(
            model.predict_proba(test_images), len(test_images), len(material.classes)
        )
    if checkpoint is not None and hasattr(model, "save"):
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        model.save(checkpoint)
    notes = [str(note) for note in getattr(model, "notes_", [])]
    return Result(
        probabilities,
        tuning,
        {**_defaults(factory), **chosen},
        notes,
        clock.durations(),
        _training_of(model),
    )


def _training_of(model: Any) -> dict[str, Any] | None:
    """Return what a model says of its training. Raises `ModelError` for what a record cannot hold."""
    training = getattr(model, "training_", None)
    try:
        json.dumps(training, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelError(f"its training_ is nothing that JSON can hold: {error}") from error
    return training


class _Clock:
    """Seconds of the phases of a cell, apart from those in which caches were filled for every cell to come."""

    def __init__(self, seconds_making: Callable[[], float]) -> None:
        self._making = seconds_making
        self._durations: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start, made = time.perf_counter(), self._making()
        yield
        self._durations[name] = time.perf_counter() - start - (self._making() - made)

    def durations(self) -> dict[str, float]:
        """Return seconds by phase; `cache_seconds` are those of resizing, features and their products."""
        durations = {"cache_seconds": self._making(), **self._durations}
        return {name: round(seconds, 4) for name, seconds in durations.items()}


def tune_model(
    factory: Callable[..., Any],
    material: Material,
    fixed: Mapping[str, Any],
    *,
    budget: Budget,
    seed: int,
    device: str,
    shelf: Shelf | None,
    progress: Progress,
) -> Tuning:
    """Return the choice of parameters for a model whose other ones are `fixed`, blind to the test part.

    Raises what `harness.tuning.tune` raises.
    """
    blind = replace(material, sealed=True, elsewhere=None)
    search = Search(
        create=factory,
        training=blind.part("train"),
        validation=blind.part("val"),
        both=blind.part("train", "val"),
        classes=len(material.classes),
        search_space=getattr(factory, "search_space", None),
        fixed={"n_classes": len(material.classes), "seed": seed, "device": device, **fixed},
        uses_validation=bool(getattr(factory, "uses_validation", False)),
        seed=seed,
        making=material.seconds_making,
        progress=progress,
    )
    return tune(search, budget, seed=seed, shelf=shelf, progress=progress)


def _fit(model: Any, material: Material, *, keeps_validation: bool) -> None:
    if keeps_validation:
        images, labels, groups = material.part("train")
        val_images, val_labels, _ = material.part("val")
        model.fit(images, labels, validation=(val_images, val_labels), groups=groups)
    else:
        images, labels, groups = material.part("train", "val")
        model.fit(images, labels, groups=groups)


def _defaults(factory: Callable[..., Any]) -> dict[str, Any]:
    """Defaults of the factory's own keyword parameters that JSON can hold."""
    simple = (str, int, float, bool, type(None))
    return {
        name: parameter.default
        for name, parameter in inspect.signature(factory).parameters.items()
        if name not in ("n_classes", "seed", "device") and isinstance(parameter.default, simple)
    }
