"""The nouns that every part shares: samples, splits, and the contract of a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np

from harness.errors import SplitError

__all__ = [
    "Explains",
    "Explanation",
    "ImagesView",
    "Likeness",
    "Model",
    "Part",
    "Progress",
    "Rule",
    "Sample",
    "Session",
    "Split",
    "digest_of",
    "unique",
]

T = TypeVar("T")

Part = str
"""'train', 'val' or 'test'."""

Progress = Callable[[str, float | None], None]
"""Told what is being done and which fraction of it is done (0 to 1, None when not known)."""


def _unheard(what: str, fraction: float | None) -> None:
    """Tell nobody."""


def _unjudged(done: float, score: float) -> None:
    """Let every training go on."""


@dataclass(frozen=True)
class Session:
    """What the harness lends to a model for one `fit`, if its class has an attribute `session`.

    `progress(what, fraction)` shows people what is being done. `report(done, score)` is told after each look
    at the validation part which share of the training is done (above 0, up to 1) and how good the model is by
    then (higher is better); in a tuning trial it may raise `TrialPruned`, which the model lets pass.
    `folder` is where the state of an unfinished training is kept, None where nothing is to be kept: a `fit` of
    the same model on the same images with the same folder goes on from there, to the same end. Whoever lends
    the folder removes it.
    """

    progress: Progress = _unheard
    report: Callable[[float, float], None] = _unjudged
    folder: Path | None = None


def digest_of(value: Any) -> str:
    """Return the SHA-256 (hex) of a JSON value, independent of the order of its keys.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a dataset.

    `id` is unique in the dataset: its path below the dataset's folder, with forward slashes.
    `label` indexes the card's classes. `group` is what must not be on two sides of a split
    (the patient), `source` where the image came from, `split` the part its authors put it in.
    """

    id: str
    path: Path
    label: int
    group: str | None = None
    source: str | None = None
    split: Part | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """The sample ids of one fold's training, validation and test parts.

    Raises `SplitError` when parts overlap, repeat an id or are empty.
    """

    protocol: str
    fold: int
    folds: int
    seed: int
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for name, ids in (("train", self.train), ("val", self.val), ("test", self.test)):
            if not ids:
                raise SplitError(f"protocol {self.protocol!r}, fold {self.fold}: the {name} part is empty")
            for sample_id in ids:
                if sample_id in seen:
                    raise SplitError(
                        f"protocol {self.protocol!r}, fold {self.fold}: sample {sample_id!r} "
                        f"is in {seen[sample_id]} and in {name}"
                    )
                seen[sample_id] = name

    @property
    def digest(self) -> str:
        """SHA-256 of the ids of the three parts, in their order."""
        return digest_of([self.train, self.val, self.test])

    def part_of(self, sample_id: str) -> str | None:
        """Return 'training', 'validation' or 'test', as readers call the parts; None for an id in none of them."""
        parts = {"training": self.train, "validation": self.val, "test": self.test}
        return next((name for name, ids in parts.items() if sample_id in ids), None)


@runtime_checkable
class ImagesView(Protocol):
    """What a model gets to see of a set of images: pixels, and what the harness derives from them.

    A lazy sequence: `images[i]` is a uint8 grey array (height, width), sizes may differ;
    a slice or an integer array gives a view of these rows. Neither labels, file names nor
    groups can be reached from it.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, item: Any) -> Any: ...

    def resized(self, size_px: int) -> np.ndarray:
        """Return uint8 (N, size_px, size_px)."""
        ...

    def features(self, backbone: str, size_px: int = 224) -> np.ndarray:
        """Return float32 (N, d): what the pretrained `backbone` says of each image."""
        ...

    def gram(self, backbone: str, size_px: int = 224, other: ImagesView | None = None) -> np.ndarray:
        """Return float64 (N, M): inner products of these features with those of `other` (or themselves)."""
        ...


class Model(Protocol):
    """The contract of a model; `harness.testing.check_model` tests it.

    The factory (a class, usually) is called with `n_classes`, `seed`, `device` ("cpu" or
    "cuda") and the model's own keyword parameters, which it only stores.

    Optional class attributes:

    - `recipes`: parameters by recipe name ("smoke", "quick", "paper"); under "trial" those
      that hold in tuning trials only. "check", where it is there, is what the conformance suite uses.
    - `uses_validation`: True when `fit` needs `validation` (to choose an epoch). The final fit
      then sees the training part alone; else training and validation parts together.
    - `untuned_row`: True keeps a row with the defaults beside the tuned one.
    - `expected_seconds`: by recipe, a first guess of a cell's time on two CPU cores.
    - `search_space(trial) -> dict`: static; the parameters that Optuna chooses.
    - `pretrained(**parameters) -> tuple[str, ...]`: static; names of the pretrained networks
      the model starts from when they can be had.
    - `session`: a `Session`; the harness sets it on a new model before `fit`.
    - `save(path)`: write what `fit` learned to one safetensors file.

    After `fit`, `notes_` (a list of str) may say what a reader of the board must know, and `training_` (a
    dict that JSON can hold) how the training went: the record keeps both.
    """

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]]

    def fit(
        self,
        images: ImagesView,
        labels: np.ndarray,
        *,
        validation: tuple[ImagesView, np.ndarray] | None = None,
        groups: Sequence[str] | None = None,
    ) -> Model:
        """Learn from N images and their int64 labels (N,); return self."""
        ...

    def predict_proba(self, images: ImagesView) -> np.ndarray:
        """Return float (N, n_classes), rows summing to 1, columns in the card's class order."""
        ...


class Rule(Protocol):
    """IF image ~ p1 OR image ~ p2 ... THEN class. `prototypes` are rows of the images that `fit` got."""

    @property
    def label(self) -> int: ...
    @property
    def prototypes(self) -> Sequence[int]: ...
    @property
    def supports(self) -> Sequence[int]:
        """Return how many training images each prototype stands for."""
        ...


class Likeness(Protocol):
    """The prototype of one class that is most similar to an image; `sample` is a row of what `fit` got."""

    @property
    def label(self) -> int: ...
    @property
    def sample(self) -> int: ...
    @property
    def support(self) -> int: ...
    @property
    def similarity(self) -> float:
        """Return a number in (0, 1], the larger the more alike."""
        ...


class Explanation(Protocol):
    """Why an image got its class: the likeness to each class that has prototypes, the most similar first."""

    @property
    def label(self) -> int: ...
    @property
    def winners(self) -> Sequence[Likeness]: ...


@runtime_checkable
class Explains(Protocol):
    """The optional ability of a fitted model that decides by prototypes; `harness explain` draws it."""

    def rules(self) -> Sequence[Rule]:
        """Return one rule a class seen."""
        ...

    def explain(self, images: ImagesView) -> Sequence[Explanation]:
        """Return one explanation an image."""
        ...


def unique(values: Iterable[T]) -> list[T]:
    """Return the values without repeats, in the order of their first appearance."""
    return list(dict.fromkeys(values))
