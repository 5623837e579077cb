"""Nothing that trains or tunes can reach a test label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import make_dataset

from harness.budgets import Budget
from harness.counters import since, snapshot
from harness.data.dataset import Dataset, open_dataset
from harness.errors import SealedPart
from harness.execution import Material, run_model
from harness.protocols import make_splits
from harness.runs import material_of
from harness.studies import Shelf
from harness.types import Split


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
    """Everything that can be got at from a thing by attributes, keys and items, private ones too."""
    if id(thing) in seen or isinstance(thing, str | bytes | int | float | type | None.__class__):
        return
    seen.add(id(thing))
    yield thing
    inside = [*vars(thing).values()] if hasattr(thing, "__dict__") else []
    inside += [getattr(thing, name) for name in getattr(type(thing), "__slots__", ()) if hasattr(thing, name)]
    if isinstance(thing, dict):
        inside += [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset):
        inside += thing
    for value in inside:
        if not callable(value) or hasattr(value, "__dict__"):
            yield from reachable(value, seen)


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
    found = list(reachable(material, set()))
    assert any(isinstance(thing, Dataset) for thing in found)  # the walk gets as far as the caches
    for thing in found:
        if isinstance(thing, Dataset):
            assert {thing.samples[row].label for row in rows} == {-1}
            assert set(thing.labels[rows].tolist()) == {-1}
        elif (
            isinstance(thing, np.ndarray) and thing.shape == dataset.labels.shape and thing.dtype == np.int64
        ):
            assert set(thing[rows].tolist()) == {-1}


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
