"""Areas under ROC curves and their covariance: DeLong et al. (1988), by midranks (Sun and Xu 2014)."""

from __future__ import annotations

import numpy as np

__all__ = ["delong"]


def delong(is_positive: np.ndarray, ranked_by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the areas (K,) of K scores of the same N images and their covariance (K, K).

    `is_positive` (N,) booleans, `ranked_by` (K, N): larger means more likely positive, ties count half.
    The images are taken for independent. Sorting makes it O(K N log N), where the definition compares
    all pairs. Raises `ValueError` with fewer than two images of a class: they have no variance.

    >>> areas, covariance = delong(np.array([False, False, True, True]), np.array([[0.1, 0.4, 0.35, 0.8]]))
    >>> areas.tolist(), covariance.tolist()
    ([0.75], [[0.125]])
    """
    is_positive = np.asarray(is_positive, dtype=bool)
    n_positive, n_negative = int(is_positive.sum()), int((~is_positive).sum())
    if min(n_positive, n_negative) < 2:
        raise ValueError(
            f"DeLong's variance needs two images of each class, got {n_positive} positive and {n_negative}"
        )
    ranked_by = np.atleast_2d(ranked_by)
    # of each image the share of the other class that it stands on the right side of
    placements = [_placements(scores[is_positive], scores[~is_positive]) for scores in ranked_by]
    of_positives = np.array([placed[0] for placed in placements])
    of_negatives = np.array([placed[1] for placed in placements])
    covariance = np.atleast_2d(np.cov(of_positives)) / n_positive
    covariance = covariance + np.atleast_2d(np.cov(of_negatives)) / n_negative
    return of_positives.mean(axis=1), covariance


def _placements(positives: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sun and Xu (2014): midranks among all images less midranks within the class."""
    among_all = _midranks(np.concatenate([positives, negatives]))
    m, n = len(positives), len(negatives)
    return (
        (among_all[:m] - _midranks(positives)) / n,
        1 - (among_all[m:] - _midranks(negatives)) / m,
    )


def _midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, the mean of them where values are equal."""
    _, place, repeats = np.unique(values, return_inverse=True, return_counts=True)
    midranks = np.cumsum(repeats) - (repeats - 1) / 2
    ranks: np.ndarray = midranks[place]
    return ranks
