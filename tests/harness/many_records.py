"""A grid of records made of real ones: their predictions, each model and seed moved a little in its own way."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np

from harness.records import Predictions, read_records, write_record
from harness.types import digest_of

COMMITTED = Path(__file__).parents[2] / "leaderboards" / "runs"


def write_many(runs: Path, models: int = 12, seeds: int = 5) -> int:
    """Write `models` x `seeds` records of each committed dataset below `runs`; return how many."""
    by_dataset: dict[str, list] = {}
    for record in read_records(COMMITTED):
        manifest = record.manifest
        if record.complete and manifest["protocol"]["name"] == "official":
            by_dataset.setdefault(manifest["dataset"]["name"], []).append(record)
    for of_dataset in by_dataset.values():
        for number in range(models):
            for seed in range(seeds):
                _write_one(runs, of_dataset[number % len(of_dataset)], number, seed)
    return len(by_dataset) * models * seeds


def _write_one(runs: Path, record, number: int, seed: int) -> None:
    manifest, frame = copy.deepcopy(record.manifest), record.predictions()
    manifest["seed"] = seed
    manifest["model"]["variant"] = f"made {number}"
    manifest["engine"] = "e" * 64
    classes = list(manifest["dataset"]["classes"])
    rng = np.random.default_rng([number, seed, len(frame)])
    logits = np.log(np.clip(frame[classes].to_numpy(), 1e-3, 1)) + rng.normal(
        0, 0.4, (len(frame), len(classes))
    )
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    groups = [group if isinstance(group, str) else None for group in frame["group"]]
    predictions = Predictions(list(frame["id"]), list(frame["label"]), groups, classes, probabilities)
    key = digest_of([record.key, number, seed])[:32]
    write_record(runs, key, json.loads(json.dumps(manifest)), predictions)
