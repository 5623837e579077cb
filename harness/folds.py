"""Folds of the images that a model may learn from: patients together, every class on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["FOLDS", "fold_numbers"]

FOLDS = 5


def fold_numbers(
    labels: np.ndarray, groups: Sequence[str | None], *, most: int = FOLDS, seed: int = 0
) -> np.ndarray | None:
    """Return the fold (0 ... K - 1) of each image, K as large as it can be up to `most`; None for no two folds.

    Images of a group share a fold; every class that occurs is in every fold and in what is left without it.
    """
    names = [f"image {row}" if group is None else f"group {group}" for row, group in enumerate(groups)]
    codes = np.unique(names, return_inverse=True)[1]
    for folds in range(min(most, len(set(names))), 1, -1):
        fold_N = _dealt(labels, codes, folds, seed)
        if fold_N is not None:
            return fold_N
    return None


def _dealt(labels: np.ndarray, codes: np.ndarray, folds: int, seed: int) -> np.ndarray | None:
    """Return folds of even shares of the classes, None when a class is missing on one side of one."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < folds:
        return None
    if len(np.unique(codes)) == len(codes):
        dealt = StratifiedKFold(folds, shuffle=True, random_state=seed).split(codes, labels)
    else:
        dealt = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(codes, labels, codes)
    fold_N = np.full(len(labels), -1, dtype=np.intp)
    for fold, (rest, held) in enumerate(dealt):
        if len(np.unique(labels[held])) < len(classes) or len(np.unique(labels[rest])) < len(classes):
            return None
        fold_N[held] = fold
    return fold_N
