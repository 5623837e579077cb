"""Runs with a planted change: a copy of a stored folder whose predictions differ where a test wants it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from harness.records import Predictions, read_record, write_record

STORED = Path(__file__).parents[2] / "leaderboards"


def copied(board: str, folder: Path, keys: list[str]) -> Path:
    """A folder as `harness run` writes it, with the board and the records of these keys."""
    (folder / board).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(STORED / board, folder / board)
    for key in keys:
        shutil.copytree(STORED / "runs" / key, folder / "runs" / key)
    return folder


def flip(folder: Path, key: str, right_to_wrong: int, wrong_to_right: int = 0, seed: int = 0) -> None:
    """Swap the two probabilities of this many images, the record rewritten as if it had been run so."""
    record = read_record(folder / "runs" / key)
    frame = record.predictions()
    classes = list(record.manifest["dataset"]["classes"])
    probabilities = frame[classes].to_numpy().copy()
    right = probabilities.argmax(axis=1) == frame["label"].map(classes.index).to_numpy()
    rng = np.random.default_rng(seed)
    for rows, count in ((np.flatnonzero(right), right_to_wrong), (np.flatnonzero(~right), wrong_to_right)):
        chosen = rng.choice(rows, count, replace=False)
        probabilities[chosen] = probabilities[chosen][:, ::-1]
    groups = [group if isinstance(group, str) else None for group in frame["group"]]
    predictions = Predictions(list(frame["id"]), list(frame["label"]), groups, classes, probabilities)
    manifest = {name: value for name, value in record.manifest.items() if name != "predictions"}
    write_record(folder / "runs", key, manifest, predictions)
