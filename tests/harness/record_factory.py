"""Records as `harness run` writes them, made in memory: for tests of everything that reads records."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.records import Predictions, Record, write_record
from harness.types import digest_of


@dataclass(frozen=True)
class MadeRecord(Record):
    """A record whose predictions are in memory instead of on a disk."""

    frame: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def digested(self) -> bool:
        return True  # nobody can edit it

    def check_digest(self) -> None:
        """Nothing was read."""

    def predictions(self) -> pd.DataFrame:
        return self.frame


def manifest(**changes: Any) -> dict[str, Any]:
    """A complete manifest; `changes` name nested values with double underscores: `model__label="svm"`."""
    made: dict[str, Any] = {
        "schema_version": 1,
        "status": "complete",
        "dataset": {
            "name": "made",
            "title": "Made for a test",
            "content": "c" * 64,
            "classes": ["COVID", "non-COVID"],
            "positive": "COVID",
            "licence": "CC0",
            "known_problems": [],
            "n": {"train": 80, "val": 10, "test": 20},
            "skipped": [],
        },
        "protocol": {"name": "official", "fold": 0, "folds": 1, "split": "s" * 64},
        "model": {
            "name": "svm",
            "label": "svm",
            "distribution": "ct-harness 0.1.0",
            "code": "a" * 64,
            "parameters": {},
            "trial_parameters": {},
            "tuned": False,
            "variant": None,
        },
        "recipe": "quick",
        "seed": 0,
        "tuning": None,
        "weights": [],
        "notes": [],
        "engine": "e" * 64,
        "versions": {"numpy": "2.0.0"},
        "device": {"kind": "cpu", "name": "made", "threads": 1},
        "durations": {"tune_seconds": 0.0, "fit_seconds": 1.0, "predict_seconds": 0.1},
        "peak_memory_mb": 100.0,
        "started": "2024-01-01T00:00:00.000+00:00",
        "finished": "2024-01-01T00:01:00.000+00:00",
        "predictions": None,
        "error": None,
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = made
        for name in parents:
            place = place[name]
        place[last] = copy.deepcopy(value)
    identity = {name: made[name] for name in ("dataset", "protocol", "model", "recipe", "seed", "finished")}
    return {"key": digest_of(identity)[:32]} | made


def frame_of(
    labels: list[int], probabilities: np.ndarray, classes: list[str], groups: list[str | None] | None = None
) -> pd.DataFrame:
    """The table that `predictions.parquet` holds."""
    columns: dict[str, Any] = {
        "id": [f"{row:04d}.png" for row in range(len(labels))],
        "label": [classes[label] for label in labels],
        "group": pd.Series(groups or [None] * len(labels), dtype=object),
    }
    return pd.DataFrame(columns | {name: probabilities[:, k] for k, name in enumerate(classes)})


def deciding(confusion: list[list[int]], certainty: float = 0.9) -> tuple[list[int], np.ndarray]:
    """Labels and probabilities (N, C) whose decisions give this confusion matrix (row: class, column: decision)."""
    n_classes = len(confusion)
    labels, rows = [], []
    for true, counts in enumerate(confusion):
        for decided, count in enumerate(counts):
            row = np.full(n_classes, (1 - certainty) / (n_classes - 1))
            row[decided] = certainty
            labels += [true] * count
            rows += [row] * count
    return labels, np.array(rows).reshape(-1, n_classes)


def record_of(
    confusion: list[list[int]], groups: list[str | None] | None = None, **changes: Any
) -> MadeRecord:
    """A complete record whose predictions give this confusion matrix."""
    labels, probabilities = deciding(confusion)
    changes.setdefault("dataset__n", {"train": 80, "val": 10, "test": len(labels)})
    made = manifest(**changes)
    return MadeRecord(
        made, Path(made["key"]), frame_of(labels, probabilities, made["dataset"]["classes"], groups)
    )


def failed_record(error: tuple[str, str] = ("ValueError", "no luck"), **changes: Any) -> MadeRecord:
    """A failed cell as the harness writes it when it could not even open the dataset."""
    made = manifest(**changes) | {"status": "failed", "error": {"type": error[0], "message": error[1]}}
    made["dataset"] = {name: made["dataset"][name] for name in ("name", "content")}
    made["protocol"] = {name: made["protocol"][name] for name in ("name", "fold", "split")}
    made["durations"], made["versions"] = {}, {}
    return MadeRecord(made, Path(made["key"]))


def on_disk(record: MadeRecord, runs: Path) -> Record:
    """Write the record below `runs`, as the harness does."""
    frame, classes = record.frame, record.manifest["dataset"].get("classes", [])
    if record.manifest["status"] == "failed":
        return write_record(runs, record.key, record.manifest)
    sources = list(frame["source"]) if "source" in frame else None
    ids, labels, groups = (list(frame[name]) for name in ("id", "label", "group"))
    predictions = Predictions(ids, labels, groups, classes, frame[classes].to_numpy(), sources)
    return write_record(runs, record.key, record.manifest, predictions)
