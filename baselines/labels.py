"""Checked labels: what every baseline does before it learns."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.errors import ModelError

__all__ = ["checked_labels"]


def checked_labels(labels: Any, n_images: int, n_classes: int, *, part: str = "training") -> np.ndarray:
    """Return the labels as int64 (n_images,), each in 0 ... n_classes - 1; raise `ModelError` otherwise.

    >>> checked_labels([0, 1, 1], 3, 2)
    array([0, 1, 1])
    """
    found = np.asarray(labels)
    if found.shape != (n_images,):
        raise ModelError(f"{part} part: expected labels of shape ({n_images},), got {found.shape}")
    if n_images == 0:
        raise ModelError(f"{part} part: expected at least one image, got none")
    if not np.issubdtype(found.dtype, np.integer):
        raise ModelError(f"{part} part: expected integer labels, got {found.dtype}")
    bad = found[(found < 0) | (found >= n_classes)]
    if len(bad):
        raise ModelError(f"{part} part: expected labels 0 to {n_classes - 1}, got {int(bad[0])}")
    return found.astype(np.int64)
