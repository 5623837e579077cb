"""A first stage made: one network fitted on the training parts of several datasets, and kept for later runs.

The model comes in by the public contract. No test part is touched: not its images, not its labels. Training and
validation parts are those of each dataset's own protocol, the one that `harness run` would take.
"""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from harness import __version__, machine, stages, weights
from harness.counters import count
from harness.data.dataset import Dataset, open_dataset
from harness.data.pixels import locked
from harness.errors import ModelError, StageError, UsageError
from harness.folders import cache_folder
from harness.images import Images, PixelStore
from harness.metrics import check_probabilities
from harness.models import FoundModel
from harness.openings import best_protocol
from harness.planning import RECIPES
from harness.protocols import make_splits
from harness.registry import find_model
from harness.sources import engine_digest
from harness.store import DatasetStore
from harness.types import Progress, Session, Split, digest_of, unique

__all__ = ["JointStore", "Pretraining", "Report", "pretrain"]


@dataclass(frozen=True)
class Pretraining:
    """What to train on what, and the name of the result. `out` None is the folder of all stages."""

    model: str
    datasets: tuple[str, ...]
    name: str
    out: Path | None = None
    recipe: str = "auto"
    seed: int = 0
    device: str = "auto"
    start: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    data_root: Path | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if not self.datasets:
            raise UsageError("nothing to train on: name datasets with -d")
        if self.out is not None:
            object.__setattr__(self, "out", self.out.expanduser())
        if self.out is None and self.name.lower().endswith(stages.SUFFIXES):
            raise UsageError(f"--name {self.name!r}: looks like a file; leave its ending out, or use --out")
        if not stages.NAME.fullmatch(self.name):
            raise UsageError(f"--name {self.name!r}: expected letters, digits, '.', '-' and '_'")
        if self.recipe not in RECIPES:
            raise UsageError(f"unknown recipe {self.recipe!r}; known: {', '.join(RECIPES)}")
        if self.out is not None and self.out.suffix != ".safetensors":
            raise UsageError(f"--out {str(self.out)!r}: expected a file that ends in .safetensors")

    @property
    def called(self) -> str:
        """What `--start` finds it by."""
        return self.name if self.out is None else str(self.out)

    @property
    def target(self) -> Path:
        return self.out or stages.folder() / f"{self.name}.safetensors"


@dataclass(frozen=True)
class Report:
    """A finished stage. `is_new` is False when it was there already.

    `score` is the balanced accuracy on the validation parts, None for a stage that was there. `shared` says how
    images of the training parts are tested elsewhere.
    """

    stage: stages.Stage
    is_new: bool
    score: float | None
    notes: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()


class JointStore:
    """A `harness.images.PixelStore` over several, one after the other; features are theirs, laid together."""

    def __init__(self, parts: Sequence[PixelStore]) -> None:
        self._parts = list(parts)
        self._begins = np.cumsum([0, *map(len, parts)])
        self._made: dict[tuple[Any, ...], np.ndarray] = {}

    def __len__(self) -> int:
        return int(self._begins[-1])

    def image(self, row: int) -> np.ndarray:
        """Return uint8 (height, width)."""
        part = int(np.searchsorted(self._begins, row, side="right")) - 1
        return self._parts[part].image(row - int(self._begins[part]))

    def resized(self, size_px: int) -> np.ndarray:
        """Return uint8 (N, size_px, size_px)."""
        return self._joined("resized", size_px)

    def features(self, backbone: str, size_px: int) -> np.ndarray:
        """Return float32 (N, d). Raises what the parts raise: a network trained on one split has no features here."""
        return self._joined("features", backbone, size_px)

    def gram(self, backbone: str, size_px: int) -> np.ndarray:
        """Return float64 (N, N), of images of different parts as well."""
        key = ("gram", backbone, size_px)
        if key not in self._made:
            x_ND = self.features(backbone, size_px).astype(np.float64)
            count("grams")
            self._made[key] = x_ND @ x_ND.T
        return self._made[key]

    def _joined(self, what: str, *arguments: Any) -> np.ndarray:
        key = (what, *arguments)
        if key not in self._made:
            arrays = [getattr(part, what)(*arguments) for part in self._parts]
            self._made[key] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        return self._made[key]


def pretrain(request: Pretraining, progress: Progress) -> Report:
    """Return the stage of a request, trained if it isn't there yet.

    A training that was killed goes on where the model allows it; nothing half-written ever bears the stage's name.

    Raises `UsageError` for a model that cannot be a stage and for a name that another stage has, and what opening
    datasets, finding weights and the model itself raise.
    """
    machine.limit_threads(machine.granted_cores())
    work = _Work.of(request, progress)
    target = request.target
    with _alone(target, progress):
        if target.exists():
            return Report(_same_or_refused(work), False, None, shared=work.shared)
        model, score = work.fitted(progress)
        notes = tuple(str(note) for note in getattr(model, "notes_", []))
        work.keep(model, target, notes)
    shutil.rmtree(work.unfinished, ignore_errors=True)
    return Report(stages.read_stage(request.called), True, score, notes, work.shared)


@dataclass(frozen=True, eq=False)
class _Part:
    """One dataset with the split whose training and validation parts are used."""

    dataset: Dataset
    split: Split

    @property
    def ids(self) -> tuple[str, ...]:
        return (*self.split.train, *self.split.val)


@dataclass(frozen=True, eq=False)
class _Work:
    """A request whose names have been looked up."""

    request: Pretraining
    model: FoundModel
    parts: tuple[_Part, ...]
    parameters: dict[str, Any]
    recipe: str
    device: str
    weights: tuple[weights.Weights, ...]
    start: stages.Stage | None

    @classmethod
    def of(cls, request: Pretraining, progress: Progress) -> _Work:
        model = _able(request.model)
        device = machine.choose_device(request.device)
        parts = tuple(_part(request, name, progress) for name in unique(request.datasets))
        recipe = _recipe(request.recipe, device, [part.dataset for part in parts])
        parameters, _ = model.recipe(recipe)
        parameters |= model.plugin.fixed | dict(request.parameters)
        start = parameters.get("start") if request.start is None else request.start
        if start is not None:
            parameters["start"] = start = str(start)
        model.check(parameters)
        names = [
            *([] if start is None else [f"{stages.PREFIX}{stages.plain(start)}"]),
            *model.pretrained(parameters),
        ]
        found = tuple(weights.obtain(name, progress) for name in unique(names))
        below = None if start is None or weights.is_published(start) else stages.read_stage(start)
        return cls(request, model, parts, parameters, recipe, device, found, below)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """All classes; those of the same name are one."""
        return tuple(unique(name for part in self.parts for name in part.dataset.card.classes))

    @cached_property
    def identity(self) -> str:
        """SHA-256 over everything that can change the weights."""
        return digest_of(
            {
                "data": [[part.dataset.content, part.split.digest] for part in self.parts],
                "classes": [list(part.dataset.card.classes) for part in self.parts],
                "model": [self.model.plugin.label, self.model.plugin.location, self.model.code],
                "engine": engine_digest(),
                "parameters": self._shown_parameters,
                "recipe": self.recipe,
                "seed": self.request.seed,
                "weights": [[w.network, w.identity] for w in self.weights],
                "versions": machine.versions(),
                "device": self.device.partition(":")[0],
            }
        )

    @property
    def unfinished(self) -> Path:
        """Folder of what a killed process leaves for the next one to go on from."""
        return stages.folder() / ".unfinished" / self.identity[:32]

    @cached_property
    def shared(self) -> tuple[str, ...]:
        """Lines on images of one dataset's training parts that another one tests."""
        return tuple(
            line
            for part in self.parts
            for other in self.parts
            if part is not other and (line := _tested_elsewhere(part, other)) is not None
        )

    def fitted(self, progress: Progress) -> tuple[Any, float]:
        """Return the trained model, and its balanced accuracy on the validation parts."""
        model = self.model.plugin.create(
            n_classes=len(self.classes), seed=self.request.seed, device=self.device, **self.parameters
        )
        if hasattr(model, "session"):
            model.session = Session(progress=progress, folder=self.unfinished)
        images, labels, groups = self._material("train")
        held_out, held_out_labels, _ = self._material("val")
        progress("training", None)
        model.fit(images, labels, validation=(held_out, held_out_labels), groups=groups)
        progress("looking at the validation part", None)
        predicted = check_probabilities(model.predict_proba(held_out), len(held_out), len(self.classes))
        return model, _balanced_accuracy(held_out_labels, predicted.argmax(axis=1))

    def keep(self, model: Any, target: Path, notes: Sequence[str]) -> None:
        """Let `target` appear with the weights and all that is known of them. Raises `StageError`."""
        temporary = target.with_name(f".tmp-{target.name}-{uuid4().hex}.safetensors")
        from safetensors import SafetensorError

        try:
            model.save(temporary)
            training = self._training().model_dump_json()
            stages.relabel(temporary, target, {"training": training, "notes": json.dumps(list(notes))})
        except (OSError, ValueError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise StageError(f"first stage {str(target)!r} cannot be written: {reason}") from error
        finally:
            temporary.unlink(missing_ok=True)

    @cached_property
    def _store(self) -> JointStore:
        return JointStore([DatasetStore(part.dataset, device=self.device) for part in self.parts])

    def _material(self, what: str) -> tuple[Images, np.ndarray, list[str | None]]:
        """Return (images, labels, groups) of the parts of this name together."""
        rows, labels, groups, begin = [], [], [], 0
        for part in self.parts:
            own = part.dataset.rows(getattr(part.split, what))
            numbers = np.array(
                [self.classes.index(name) for name in part.dataset.card.classes], dtype=np.int64
            )
            rows.append(own + begin)
            labels.append(numbers[part.dataset.labels[own]])
            groups += [_told_apart(part.dataset, row) for row in own]
            begin += len(part.dataset)
        return Images(self._store, np.concatenate(rows)), np.concatenate(labels), groups

    def _training(self) -> stages.Training:
        seen = [d for part in self.parts for d in stages.image_digests(part.dataset, part.ids)]
        groups = [d for part in self.parts for d in stages.group_digests(part.dataset, part.ids)]
        below = self.start
        return stages.Training(
            schema_version=1,
            model=self.model.plugin.label,
            identity=self.identity,
            sources=tuple(_source(part) for part in self.parts) + _sources_of(below),
            classes=self.classes,
            recipe=self.recipe,
            seed=self.request.seed,
            parameters=self._shown_parameters,
            harness=__version__,
            start=None if self.parameters.get("start") is None else stages.shown(self.parameters["start"]),
            weights=self._published_weights(),
            unknown=_unknown(below),
            images=stages.packed([*seen, *(below.images if below is not None else ())]),
            groups=stages.packed([*groups, *(below.groups if below is not None else ())]),
        )

    def _published_weights(self) -> tuple[str, ...]:
        """Return the published networks that this stage, or one below it, began with."""
        own = [w.network for w in self.weights if w.sha256 is not None]
        below = self.start.training if self.start is not None else None
        published = [
            stages.plain(name) for name in own if not stages.is_stage(name) or weights.is_published(name)
        ]
        return tuple(unique([*published, *(below.weights if below is not None else ())]))

    @property
    def _shown_parameters(self) -> dict[str, Any]:
        start = self.parameters.get("start")
        return {**self.parameters, **({} if start is None else {"start": stages.shown(start)})}


def _able(name: str) -> FoundModel:
    """Return the model of that name if it can be a first stage. Raises `UsageError` when it cannot."""
    model = FoundModel(find_model(name))
    if model.failure is not None:
        raise ModelError(model.failure)
    lacking = [
        what
        for what, is_there in (
            ("uses_validation", bool(getattr(model.factory, "uses_validation", False))),
            ("save", callable(getattr(model.factory, "save", None))),
        )
        if not is_there
    ]
    if lacking:
        raise UsageError(
            f"model {name!r} cannot be a first stage: it has no {' and no '.join(map(repr, lacking))}; "
            "take a network such as 'resnet:18'"
        )
    return model


def _part(request: Pretraining, name: str, progress: Progress) -> _Part:
    dataset = open_dataset(name, data_root=request.data_root, skip_bad=request.skip_bad, progress=progress)
    return _Part(dataset, make_splits(best_protocol(dataset), dataset.samples, seed=request.seed)[0])


def _recipe(asked: str, device: str, datasets: Sequence[Dataset]) -> str:
    """Return the recipe; 'auto' is that of `harness run`, the most thorough of the datasets' ones."""
    if asked != "auto":
        return asked
    if device.startswith("cuda"):
        return "paper"
    recipes = {dataset.card.auto_recipe for dataset in datasets}
    return next(recipe for recipe in ("paper", "quick", "smoke") if recipe in recipes)


def _tested_elsewhere(part: _Part, other: _Part) -> str | None:
    seen = stages.image_digests(part.dataset, part.ids)
    tested = stages.image_digests(other.dataset, other.split.test)
    both = sorted(tested[digest] for digest in seen.keys() & tested.keys())
    if not both:
        return None
    return (
        f"{len(both)} training images of {part.dataset.name} are test images of {other.dataset.name} "
        f"(first: {both[0]!r}): runs on {other.dataset.name} will refuse this stage"
    )


def _same_or_refused(work: _Work) -> stages.Stage:
    """Return the stage that is there if this request made it. Raises `UsageError` when it is another."""
    stage, target_name = stages.read_stage(work.request.called), str(work.request.target)
    if stage.training is None or stage.training.identity != work.identity:
        raise UsageError(
            f"first stage {work.request.name!r} is there already and was trained otherwise (other data, parameters, "
            f"code or versions); take another --name, or delete {target_name!r}"
        )
    return stage


@contextmanager
def _alone(target: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of a stage's name, without what a killed process left: of two that make it, one does."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        is_folder = target.is_dir()
    except OSError as error:
        raise StageError(
            f"first stage {str(target)!r} cannot be written: {error.strerror or error}"
        ) from error
    if is_folder:
        raise StageError(f"first stage {str(target)!r} cannot be written: it is a folder")
    lock = stages.folder() / ".locks" / f"{digest_of(str(target.absolute()))[:32]}.lock"
    with locked(lock, cache_folder(), f"training {target.stem}", progress):
        for stale in target.parent.glob(f".tmp-{glob.escape(target.name)}-*"):
            stale.unlink(missing_ok=True)
        yield


def _balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean over the classes that are there of the share that was recognised."""
    return float(np.mean([(predicted[labels == label] == label).mean() for label in np.unique(labels)]))


def _told_apart(dataset: Dataset, row: int) -> str | None:
    """Return the group of an image so that patients of different datasets are different."""
    group = dataset.groups[row]
    return None if group is None else f"{dataset.name}/{group}"


def _source(part: _Part) -> stages.Source:
    split = part.split
    return stages.Source(
        dataset=part.dataset.name,
        content=part.dataset.content,
        protocol=split.protocol,
        split=split.digest,
        train=len(split.train),
        val=len(split.val),
    )


def _sources_of(stage: stages.Stage | None) -> tuple[stages.Source, ...]:
    return () if stage is None or stage.training is None else stage.training.sources


def _unknown(stage: stages.Stage | None) -> tuple[str, ...]:
    """Return the stages whose training data nobody knows, this one and those below it."""
    if stage is None:
        return ()
    return (stage.name,) if stage.training is None else stage.training.unknown
