"""Extremely randomised trees (Geurts et al. 2006) as plain arrays, read and applied without scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forest", "grown", "read", "write"]


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees one after another: for each node the feature and threshold it asks, where no and yes lead, its share of CT.

    A leaf leads to itself. `roots` are the first nodes of the trees, `depth` the longest way down, `about` says what
    the forest was trained on.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    low: NDArray[np.int32]
    high: NDArray[np.int32]
    share: NDArray[np.float32]
    depth: int
    about: str

    def probability(self, features: NDArray[np.float32]) -> float:
        """Mean share of CT over the leaves that one row of features reaches."""
        nodes = self.roots
        for _ in range(self.depth):
            goes_low = features[self.feature[nodes]] <= self.threshold[nodes]
            nodes = np.where(goes_low, self.low[nodes], self.high[nodes])
        return float(self.share[nodes].mean())


def grown(
    features: NDArray[np.float32], is_ct: NDArray[np.bool_], about: str, trees: int = 100, leaves: int = 200
) -> Forest:
    """A forest fitted to rows of features; the same rows in the same order give the same forest."""
    from sklearn.ensemble import ExtraTreesClassifier

    model = ExtraTreesClassifier(
        trees, max_leaf_nodes=leaves, min_samples_leaf=2, class_weight="balanced", random_state=0
    )
    model.fit(features, is_ct)
    return _flat([tree.tree_ for tree in model.estimators_], about)


def _flat(trees: list[Any], about: str) -> Forest:
    sizes = [tree.node_count for tree in trees]
    roots = np.cumsum([0, *sizes[:-1]])
    own = [np.arange(size) + root for size, root in zip(sizes, roots, strict=True)]
    leaf = [tree.children_left < 0 for tree in trees]
    low = [np.where(end, o, tree.children_left + o[0]) for tree, o, end in zip(trees, own, leaf, strict=True)]
    high = [
        np.where(end, o, tree.children_right + o[0]) for tree, o, end in zip(trees, own, leaf, strict=True)
    ]
    values = np.concatenate([tree.value[:, 0, :] for tree in trees])
    return Forest(
        roots.astype(np.int32),
        np.maximum(np.concatenate([tree.feature for tree in trees]), 0).astype(np.int16),
        np.concatenate([tree.threshold for tree in trees]).astype(np.float32),
        np.concatenate(low).astype(np.int32),
        np.concatenate(high).astype(np.int32),
        (values[:, 1] / values.sum(axis=1)).astype(np.float32),
        max(tree.max_depth for tree in trees),
        about,
    )


FIELDS = ("roots", "feature", "threshold", "low", "high", "share")


def write(forest: Forest, path: Path) -> None:
    """Write a forest whole, under another name first."""
    arrays: dict[str, Any] = {name: getattr(forest, name) for name in FIELDS}
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        np.savez_compressed(file, depth=np.int32(forest.depth), about=np.array(forest.about), **arrays)
    temporary.replace(path)


def read(path: Path) -> Forest:
    """The forest in a file that `write` wrote."""
    with np.load(path, allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in FIELDS}
        return Forest(**arrays, depth=int(kept["depth"]), about=str(kept["about"]))
