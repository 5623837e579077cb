"""On real images: noise in place of the test labels changes neither a trial nor the choice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.budgets import Budget
from harness.data.dataset import open_dataset
from harness.execution import run_model
from harness.journals import Shelf
from harness.protocols import make_splits
from harness.registry import find_model
from harness.runs import material_of

pytestmark = pytest.mark.data

CLOCKS = ("worker_id", "datetime_start", "datetime_complete")


def steady(journal: Path) -> list[dict[str, Any]]:
    """A journal without clocks and names of processes."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    kept = [line for line in lines if "seconds" not in line.get("user_attr", {})]
    return [{name: value for name, value in line.items() if name not in CLOCKS} for line in kept]


def test_noise_in_place_of_covid_cts_test_labels_changes_nothing(tmp_path: Path) -> None:
    dataset = open_dataset("covid-ct")
    split = make_splits("official", dataset.samples)[0]
    random, tested = np.random.default_rng(0), set(split.test)
    noise = replace(
        dataset,
        samples=tuple(
            replace(s, label=int(random.integers(2))) if s.id in tested else s for s in dataset.samples
        ),
    )
    assert noise.content != dataset.content
    found = []
    for name, each in (("true", dataset), ("noise", noise)):
        shelf = Shelf(tmp_path / name, "study")
        result = run_model(
            find_model("svm").load(),
            material_of(each, split, device="cpu", seed=0),
            {"backbone": "squeezenet1_1"},
            trial_parameters={"calibration_folds": 0},
            budget=Budget(8),
            seed=0,
            device="cpu",
            progress=lambda what, fraction: None,
            shelf=shelf,
        )
        found.append((result.parameters, result.probabilities.tobytes(), steady(shelf.journal)))
    assert found[0] == found[1]
