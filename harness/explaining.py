"""Why a finished run decided as it did: its model is fitted again, held against the record and asked.

A record keeps probabilities, not models. What is explained here is therefore a second fit, and it counts
only when it gives the recorded probabilities of the whole test part again.
"""

from __future__ import annotations

import difflib
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import machine
from harness.board_cells import Cell, Entry, chosen, entry_of, read_cells
from harness.budgets import Budget
from harness.data.dataset import Dataset
from harness.errors import DataError, HarnessError, ModelError, RecordError, UsageError
from harness.execution import Material, run_model
from harness.explanation_data import ClassRule, Decision, Explained, Prototype, Winner
from harness.protocols import splits_of
from harness.records import Record
from harness.registry import find_model, parameters_of
from harness.runs import material_of
from harness.sources import code_digest, engine_digest
from harness.types import Explanation, Likeness, Progress, Rule, Split, unique

__all__ = ["TOLERANCE", "Wanted", "can_explain", "explained", "finished_runs", "is_able", "title_of"]

TOLERANCE = 1e-9
"""How far a probability of the second fit may be from the recorded one: rounding, nothing else."""

LISTED_RUNS = 8
"""How many runs an error names."""


@dataclass(frozen=True)
class Wanted:
    """Which finished runs are meant; an empty tuple or None means all."""

    datasets: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    seed: int | None = None
    fold: int | None = None

    def holds(self, entry: Entry) -> bool:
        """True when a run is meant."""
        return all(not values or of(entry) in values for _, values, of in self.filters())

    def filters(self) -> list[tuple[str, tuple[Any, ...], Callable[[Entry], Any]]]:
        """Return (what, wanted values, that of a run) of each criterion."""
        return [
            ("dataset", self.datasets, lambda e: e.dataset),
            ("model", self.models, lambda e: e.label),
            ("protocol", self.protocols, lambda e: e.protocol),
            ("recipe", self.recipes, lambda e: e.recipe),
            ("seed", () if self.seed is None else (self.seed,), lambda e: e.seed),
            ("fold", () if self.fold is None else (self.fold,), lambda e: e.fold),
        ]


def title_of(entry: Entry) -> str:
    """Return what a reader calls a run: dataset, protocol, method, recipe, seed and, where there are several, fold."""
    fold = f" fold {entry.fold}" if entry.folds > 1 else ""
    return f"{entry.dataset} {entry.protocol} {entry.method} {entry.recipe} seed {entry.seed}{fold}"


def finished_runs(records: Iterable[Record], wanted: Wanted) -> list[Entry]:
    """Return the complete runs that are wanted, of those that boards count: the newest of each slot.

    Raises `RecordError` saying what there is instead when there is none.
    """
    boards: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for record in records:
        entry = entry_of(record)
        boards[entry.dataset, entry.protocol].append(entry)
    counting = [e for board in boards.values() for e in chosen(board)[0] if e.failure is None]
    if not counting:
        raise RecordError("there is no finished run; 'harness run' makes them")
    for what, values, of in wanted.filters():
        there = unique(of(entry) for entry in counting)
        for absent in (value for value in values if value not in there):
            raise RecordError(
                f"there is no finished run of {what} {absent!r}; there are: {', '.join(map(str, there))}"
            )
    found = [entry for entry in counting if wanted.holds(entry)]
    if not found:
        titles = [title_of(entry) for entry in counting]
        more = [f"{len(titles) - LISTED_RUNS} more"] if len(titles) > LISTED_RUNS else []
        raise RecordError(
            f"no finished run is all that was asked for; there are: {'; '.join(titles[:LISTED_RUNS] + more)}"
        )
    return found


def can_explain(entry: Entry) -> bool:
    """True when the model of a run decides by prototypes that it can name (`harness.types.Explains`).

    Raises `UnknownName` or `PluginBroken` when there is no such model here any more.
    """
    factory = find_model(entry.label).load()
    if isinstance(factory, type):
        return is_able(factory)
    n_classes = len(entry.record.manifest["dataset"]["classes"])
    with _blamed(entry.label):
        return is_able(factory(n_classes=n_classes, seed=entry.seed, device="cpu", **_parameters(entry)))


def is_able(model: Any) -> bool:
    """True when a model, or the class of one, has the two methods of `harness.types.Explains`."""
    return all(callable(getattr(model, name, None)) for name in ("rules", "explain"))


def explained(
    entry: Entry,
    dataset: Dataset,
    *,
    queries: int = 12,
    ids: Sequence[str] = (),
    progress: Progress,
) -> Explained:
    """Return the rules of a finished run's model and its decisions on some images of the test part.

    These are the images `ids`, or `queries` of them: the wrong ones first, the surest of them before
    others, then right ones drawn by the run's seed.

    Raises `DataError` when the dataset or its split is not that of the record, `RecordError` when the
    record was changed or the model, fitted again, gives other probabilities, `UsageError` for an id
    that is not in the test part, `ModelError` when the model fails.
    """
    split = _split(entry, dataset)
    recorded = _recorded(entry, dataset, split)
    positions = _positions(ids, split, dataset.tested.name)
    device = _device(entry)
    material = material_of(dataset, split, device=device, seed=entry.seed, progress=progress)
    model, probabilities = _fitted_again(entry, material, device, progress)
    _check_agreement(entry, recorded, split, probabilities, device)
    if not ids:
        labels = dataset.labels[dataset.rows(split.test)]
        positions = _drawn(labels, probabilities, split.test, queries, entry.seed)
    asked = _Asked(entry, dataset, split, _fitted_ids(entry, split), probabilities)
    with _blamed(entry.label):
        images, _, _ = material.part("test")
        progress("explaining", None)
        rules, answers = model.rules(), model.explain(images[np.array(positions, dtype=np.intp)])
        return asked.result(rules, positions, answers)


def _split(entry: Entry, dataset: Dataset) -> Split:
    if dataset.content != entry.content:
        raise DataError(
            f"dataset {dataset.name!r} is not that of the record {entry.key!r}: its content is "
            f"{dataset.content[:12]}, the record's {entry.content[:12]}; run the model again"
        )
    for split in splits_of(dataset, entry.protocol, seed=entry.seed):
        if (split.fold, split.digest) == (entry.fold, entry.split):
            return split
    raise DataError(
        f"dataset {dataset.name!r}: protocol {entry.protocol!r}, fold {entry.fold}, no longer gives the split "
        f"{entry.split[:12]} of the record {entry.key!r}; run the model again"
    )


def _recorded(entry: Entry, dataset: Dataset, split: Split) -> Cell:
    """Return the predictions of the record, of exactly these images. Raises `RecordError`."""
    (cell,) = read_cells([entry])
    if cell.failure is not None:
        raise RecordError(cell.failure.removeprefix("RecordError: "))
    if cell.classes != tuple(dataset.card.classes):
        raise RecordError(
            f"record {entry.key!r} has the classes {list(cell.classes)!r}, the card of {dataset.name!r} now "
            f"{list(dataset.card.classes)!r}; run the model again"
        )
    labels = dataset.labels[dataset.rows(sorted(split.test))]
    assert cell.labels is not None
    if list(cell.ids) != sorted(split.test) or cell.labels.tolist() != labels.tolist():
        raise RecordError(
            f"record {entry.key!r}: its predictions are for other images, or other labels, than the test part "
            f"of {dataset.name!r}; delete the folder and run again"
        )
    return cell


def _device(entry: Entry) -> str:
    """Return the kind of device that the run had where it is there, else 'cpu'."""
    kind = str(entry.record.manifest["device"]["kind"])
    try:
        return machine.choose_device(kind)
    except UsageError:
        return "cpu"


def _parameters(entry: Entry) -> dict[str, Any]:
    return dict(entry.record.manifest["model"]["parameters"])


class _Keeping:
    """A factory that keeps the model it makes; in all else the factory it stands for."""

    def __init__(self, factory: Callable[..., Any]) -> None:
        self._factory = factory
        self.made: Any = None

    def __call__(self, **parameters: Any) -> Any:
        self.made = self._factory(**parameters)
        return self.made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factory, name)


def _fitted_again(
    entry: Entry, material: Material, device: str, progress: Progress
) -> tuple[Any, np.ndarray]:
    """Return the model, fitted as the run fitted it, and its probabilities (N, C) of the test part."""
    factory = _Keeping(find_model(entry.label).load())
    _check_parameters(entry, find_model(entry.label).load())
    with _blamed(entry.label):
        result = run_model(
            factory,
            material,
            _parameters(entry),
            trial_parameters={},
            budget=Budget(0),
            seed=entry.seed,
            device=device,
            progress=progress,
        )
    return factory.made, result.probabilities


def _check_parameters(entry: Entry, factory: Callable[..., Any]) -> None:
    known = parameters_of(factory)
    for name in () if known is None else _parameters(entry).keys() - known.keys():
        raise RecordError(
            f"record {entry.key!r}: model {entry.label!r} no longer takes its parameter {name!r}; run the "
            "model again and explain that run"
        )


@contextmanager
def _blamed(label: str) -> Iterator[None]:
    """Say of whatever a model raises, in one line, that it was this model."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        message = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(f"model {label!r} failed: {message}") from error


def _fitted_ids(entry: Entry, split: Split) -> tuple[str, ...]:
    """Return the ids of the images that the fit got, as `harness.execution.run_model` says."""
    uses_validation = bool(getattr(find_model(entry.label).load(), "uses_validation", False))
    return split.train if uses_validation else split.train + split.val


def _check_agreement(
    entry: Entry, recorded: Cell, split: Split, probabilities: np.ndarray, device: str
) -> None:
    assert recorded.probabilities is not None
    place = {sample_id: k for k, sample_id in enumerate(split.test)}
    again = probabilities[[place[sample_id] for sample_id in recorded.ids]]
    largest = float(np.abs(again - recorded.probabilities).max())
    if largest > TOLERANCE:
        why = (
            "; ".join(_changes(entry, device)) or "nothing that a record notes (is the model deterministic?)"
        )
        raise RecordError(
            f"record {entry.key!r} cannot be explained: the probabilities of its model, fitted again, differ "
            f"from the recorded ones by up to {largest:.2g} (allowed: {TOLERANCE:g}); changed since: {why}; "
            "run the model again and explain that run"
        )


def _changes(entry: Entry, device: str) -> list[str]:
    """Return what is no longer as the record says, of all that can change a probability."""
    from harness.weights import find

    manifest, plugin = entry.record.manifest, find_model(entry.label)
    changes = []
    if code_digest(plugin.module, plugin.entry_point.dist) != manifest["model"]["code"]:
        changes.append(f"the code of {entry.label!r}")
    if engine_digest() != manifest["engine"]:
        changes.append("the code of the harness")
    changes += [
        f"the weights of {weight['network']!r}"
        for weight in manifest["weights"]
        if find(weight["network"]).sha256 != weight["sha256"]
    ]
    now = machine.versions()
    changes += [
        f"{name} {version}, now {now.get(name, 'none')}"
        for name, version in manifest["versions"].items()
        if now.get(name) != version
    ]
    then = manifest["device"]
    here = machine.device_name(device)
    if (then["kind"], then["name"]) != (device, here):
        changes.append(f"the device {then['name']!r}, now {here!r}")
    return changes


def _positions(ids: Sequence[str], split: Split, dataset: str) -> list[int]:
    """Return the places of these ids in the test part. Raises `UsageError` for one that is not there."""
    place = {sample_id: k for k, sample_id in enumerate(split.test)}
    for sample_id in ids:
        if sample_id not in place:
            raise UsageError(_not_in_test_part(sample_id, split, dataset))
    return [place[sample_id] for sample_id in unique(ids)]


def _not_in_test_part(sample_id: str, split: Split, dataset: str) -> str:
    part = split.part_of(sample_id)
    if part is not None:
        return f"image {sample_id!r} is in the {part} part; decisions are explained on the test part"
    close = difflib.get_close_matches(sample_id, split.test, n=3)
    if close:
        hint = f"you probably meant {' or '.join(map(repr, close))}"
    else:
        hint = f"'harness show {dataset} --ids' lists all images"
    return f"no image {sample_id!r} in the test part of {dataset!r}; {hint}"


def _drawn(
    labels: np.ndarray, probabilities: np.ndarray, ids: Sequence[str], count: int, seed: int
) -> list[int]:
    """Return `count` places of the test part (N,): wrong ones, surest first, then right ones drawn by seed."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels).tolist()
    wrong.sort(key=lambda k: (-probabilities[k, predicted[k]], ids[k]))
    right = sorted(np.flatnonzero(predicted == labels).tolist(), key=lambda k: ids[k])
    rest = min(max(count - len(wrong), 0), len(right))
    return wrong[:count] + random.Random(f"{seed}/explain").sample(right, rest)


@dataclass(frozen=True)
class _Asked:
    """What is needed to put the answers of a model, in rows and numbers, into names."""

    entry: Entry
    dataset: Dataset
    split: Split
    fitted: tuple[str, ...]
    probabilities: np.ndarray

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.dataset.card.classes)

    def result(
        self, rules: Sequence[Rule], positions: Sequence[int], answers: Sequence[Explanation]
    ) -> Explained:
        entry, card = self.entry, self.dataset.card
        labels = self.dataset.labels[self.dataset.rows(self.split.test)]
        if len(answers) != len(positions):
            raise ModelError(
                f"model {entry.label!r} explained {len(answers)} images, asked were {len(positions)}"
            )
        return Explained(
            key=entry.key,
            dataset=card.name,
            title=card.title,
            licence=card.licence,
            protocol=entry.protocol,
            fold=entry.fold,
            folds=entry.folds,
            label=entry.label,
            variant=entry.variant,
            recipe=entry.recipe,
            seed=entry.seed,
            classes=self.classes,
            fitted=len(self.fitted),
            tested=len(labels),
            wrong=int((self.probabilities.argmax(axis=1) != labels).sum()),
            rules=tuple(self._rule(rule) for rule in sorted(rules, key=lambda rule: rule.label)),
            decisions=tuple(
                self._decision(position, answer) for position, answer in zip(positions, answers, strict=True)
            ),
        )

    def _rule(self, rule: Rule) -> ClassRule:
        prototypes = [
            self._prototype(row, support) for row, support in zip(rule.prototypes, rule.supports, strict=True)
        ]
        # The sort is stable: of equal supports the one that was learned first comes first.
        prototypes.sort(key=lambda prototype: -prototype.support)
        return ClassRule(self._class(rule.label), tuple(prototypes))

    def _decision(self, position: int, answer: Explanation) -> Decision:
        sample_id = self.split.test[position]
        (row,) = self.dataset.rows([sample_id]).tolist()
        probability_C = self.probabilities[position]
        predicted = int(probability_C.argmax())
        if answer.label != predicted:
            raise ModelError(
                f"model {self.entry.label!r} explains {sample_id!r} as {self._class(answer.label)!r}, its "
                f"probabilities say {self.classes[predicted]!r}"
            )
        winners = sorted(answer.winners, key=lambda winner: winner.label)
        return Decision(
            id=sample_id,
            row=row,
            true=self.classes[self.dataset.labels[row]],
            predicted=self.classes[predicted],
            probability=float(probability_C[predicted]),
            winners=tuple(self._winner(winner) for winner in winners),
        )

    def _winner(self, winner: Likeness) -> Winner:
        similarity = float(winner.similarity)
        if not 0 < similarity <= 1:  # NaN included
            raise ModelError(
                f"model {self.entry.label!r} says a similarity of {similarity!r}, expected above 0 and up to 1"
            )
        prototype = self._prototype(winner.sample, winner.support)
        return Winner(self._class(winner.label), prototype, similarity)

    def _prototype(self, sample: int, support: int) -> Prototype:
        """Return the image in row `sample` of those that the fit got."""
        if not 0 <= sample < len(self.fitted):
            raise ModelError(
                f"model {self.entry.label!r} names row {sample} as a prototype, its fit got {len(self.fitted)} images"
            )
        sample_id = self.fitted[sample]
        (row,) = self.dataset.rows([sample_id]).tolist()
        return Prototype(sample_id, row, int(support))

    def _class(self, label: int) -> str:
        if not 0 <= label < len(self.classes):
            raise ModelError(
                f"model {self.entry.label!r} names class number {label!r}, there are {len(self.classes)}"
            )
        return self.classes[label]
