"""Nothing that trains or tunes can reach a test label."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from toys import make_dataset
from two_datasets import light_and_night

from harness.budgets import Budget
from harness.counters import since, snapshot
from harness.data.dataset import Dataset, open_dataset
from harness.data.joined import Joined, join
from harness.errors import SealedPart
from harness.execution import Material, run_model
from harness.journals import Shelf
from harness.protocols import make_splits, splits_of
from harness.runs import material_of
from harness.types import Sample, Split


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return open_dataset(str(make_dataset(tmp_path / "toy-ct")))


@pytest.fixture
def split(dataset: Dataset) -> Split:
    return make_splits("official", dataset.samples)[0]


@pytest.fixture
def material(dataset: Dataset, split: Split) -> Material:
    return material_of(dataset, split, device="cpu", seed=0)


def reachable(thing: Any, seen: set[int]) -> Iterator[Any]:
    """Everything that can be got at from a thing by attributes, keys, items and closures, private ones too."""
    if id(thing) in seen or isinstance(thing, str | bytes | int | float | type | ModuleType | None.__class__):
        return
    seen.add(id(thing))
    yield thing
    inside = [*vars(thing).values()] if hasattr(thing, "__dict__") else []
    inside += [getattr(thing, name) for name in getattr(type(thing), "__slots__", ()) if hasattr(thing, name)]
    inside += [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()]
    if isinstance(thing, dict):
        inside += [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset):
        inside += thing
    for value in inside:
        if not callable(value) or hasattr(value, "__dict__"):
            yield from reachable(value, seen)


def whole_numbers(thing: Any) -> list[int] | None:
    """The numbers of a sequence or an array of whole numbers, in one row; None for anything else."""
    if isinstance(thing, np.ndarray):
        return thing.ravel().tolist() if thing.dtype.kind in "iu" else None
    if isinstance(thing, dict):
        thing = list(thing.values())
    if isinstance(thing, list | tuple) and all(isinstance(v, int | np.integer) for v in thing):
        return [int(v) for v in thing]
    return None


def told(thing: Any, dataset: Dataset, split: Split) -> list[Any]:
    """What can be reached from a thing and tells labels of the test part."""
    rows, hidden = dataset.rows(split.test).tolist(), set(split.test)
    labels = dataset.labels[rows].tolist()
    found = []
    for each in reachable(thing, set()):
        numbers = whole_numbers(each) or []
        if len(numbers) == len(dataset.samples):
            numbers = [numbers[row] for row in rows]
        if numbers == labels or (isinstance(each, Sample) and each.id in hidden and each.label != -1):
            found.append(each)
    return found


def test_asking_for_the_test_part_while_tuning_raises(material: Material) -> None:
    sealed = replace(material, sealed=True)
    for parts in (("test",), ("train", "test")):
        with pytest.raises(SealedPart, match="the test part is sealed"):
            sealed.part(*parts)
    assert len(sealed.part("train", "val")[0]) == 48


def test_no_test_label_is_anywhere_in_the_material(
    material: Material, dataset: Dataset, split: Split
) -> None:
    rows = dataset.rows(split.test)
    assert set(material.labels[rows].tolist()) == {-1}
    found = [thing for thing in reachable(material, set()) if isinstance(thing, Dataset)]
    assert found  # the walk gets as far as the caches
    for thing in found:
        assert {thing.samples[row].label for row in rows} == {-1}
        assert set(thing.labels[rows].tolist()) == {-1}
    assert told(material, dataset, split) == []


@pytest.mark.parametrize(
    "leak",
    [
        lambda dataset, rows: dataset,
        lambda dataset, rows: {"of": [dataset.samples[rows[3]]]},
        lambda dataset, rows: dataset.labels.tolist(),
        lambda dataset, rows: dataset.labels.astype(np.int8)[:, None],
        lambda dataset, rows: tuple(dataset.labels[rows]),
        lambda dataset, rows: {s.id: s.label for s in dataset.samples},
        lambda dataset, rows: lambda: dataset.labels[rows],
    ],
)
def test_a_test_label_that_is_anywhere_is_found(
    material: Material, dataset: Dataset, split: Split, leak: Callable[[Dataset, np.ndarray], Any]
) -> None:
    vars(material.store)["_somewhere"] = leak(dataset, dataset.rows(split.test))
    assert told(material, dataset, split)


@pytest.fixture
def joined(dataset: Dataset, tmp_path: Path) -> Joined:
    ours = dataset.card.model_copy(update={"shared_classes": {"dark": "low", "bright": "high"}})
    return join(replace(dataset, card=ours), open_dataset(str(light_and_night(tmp_path))))


def test_no_label_of_another_dataset_that_is_tested_is_anywhere_in_the_material(joined: Joined) -> None:
    (split,) = splits_of(joined, "external:other-ct")
    material = material_of(joined, split, device="cpu", seed=0)
    learned = {*split.train, *split.val}
    found = [thing for thing in reachable(material, set()) if isinstance(thing, Dataset)]
    ids = [{sample.id for sample in thing.samples} for thing in found]
    assert {sample.id for sample in joined.away.samples} in ids  # the walk gets as far as both caches
    assert {sample.id for sample in joined.home.samples} in ids
    for sample in (sample for thing in found for sample in thing.samples):
        assert (sample.label == -1) == (sample.id not in learned)
    assert told(material, joined.away, split) == []
    assert told(material, joined, split) == []


@pytest.mark.parametrize(
    "leak",
    [
        lambda joined: joined,
        lambda joined: joined.away,
        lambda joined: joined.away.labels.tolist(),
        lambda joined: joined.labels,
    ],
)
def test_a_label_of_another_dataset_that_is_anywhere_is_found(
    joined: Joined, leak: Callable[[Joined], Any]
) -> None:
    (split,) = splits_of(joined, "external:other-ct")
    material = material_of(joined, split, device="cpu", seed=0)
    assert material.elsewhere is not None
    vars(material.elsewhere.store)["_somewhere"] = leak(joined)
    assert told(material, joined.away, split) + told(material, joined, split)


def test_hiding_labels_of_two_datasets_hides_them_in_each(joined: Joined) -> None:
    (split,) = splits_of(joined, "external:other-ct")
    blind = joined.hiding(split.test)
    assert told(blind, joined, split) == []
    assert told(blind, joined.away, split) == []
    assert blind.content == joined.content


def test_hiding_labels_keeps_the_content_and_the_dataset_itself(dataset: Dataset, split: Split) -> None:
    before = dataset.labels.tolist()
    blind = dataset.hiding(split.test)
    assert blind.content == dataset.content
    assert dataset.labels.tolist() == before
    assert (
        blind.labels[dataset.rows(split.train)].tolist() == dataset.labels[dataset.rows(split.train)].tolist()
    )


def test_features_of_the_split_network_do_not_depend_on_test_labels(
    dataset: Dataset, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = dict.fromkeys(split.test, 1)
    noisy = replace(
        dataset,
        samples=tuple(replace(s, label=1 - s.label) if s.id in turned else s for s in dataset.samples),
    )
    features = []
    for number, each in enumerate((dataset, noisy)):
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / f"cache-{number}"))
        made = material_of(each, split, device="cpu", seed=0)
        features.append(made.part("train", "val", "test")[0].features("split-network"))
    assert dataset.content != noisy.content
    assert np.array_equal(*features)


def test_whatever_the_trials_and_seeds_features_are_multiplied_once(
    dataset: Dataset, split: Split, tmp_path: Path
) -> None:
    from harness.registry import find_model

    before = snapshot()
    for trials, seed in ((4, 0), (9, 0), (4, 1)):
        material = material_of(dataset, split, device="cpu", seed=0)  # one split network for all
        run_model(
            find_model("svm").load(),
            material,
            {"backbone": "split-network"},
            trial_parameters={"calibration_folds": 0},
            budget=Budget(trials),
            seed=seed,
            device="cpu",
            progress=lambda what, fraction: None,
            shelf=Shelf(tmp_path / "studies", f"seed-{seed}"),
        )
    assert (since(before)["grams"], since(before)["decodes"]) == (1, 0)
