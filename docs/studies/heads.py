"""Where the defaults of trees and AdaBoost come from: five folds of training and validation parts, never the test part.

python docs/studies/heads.py        # needs HARNESS_DATA and TORCH_HOME; the table of docs/tuning.md is its output
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import mean
from typing import Any

import numpy as np
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

from baselines.heads import AdaBoost, DecisionTree
from harness.data.dataset import open_dataset
from harness.folds import fold_numbers
from harness.images import Images
from harness.machine import limit_threads
from harness.protocols import make_splits
from harness.runs import material_of

BACKBONE, SIZE_PX = "squeezenet1_1", 224
UNCUT = 10**4
"""More levels than there are images: a tree sorts these as it would sort the features themselves."""


class Stumps:
    """Plain AdaBoost of scikit-learn: stumps that choose from all features."""

    def __init__(self, **_: Any) -> None:
        self._boosting = AdaBoostClassifier(
            DecisionTreeClassifier(max_depth=1), n_estimators=100, learning_rate=1.0, random_state=0
        )

    def fit(self, images: Images, labels: np.ndarray) -> Stumps:
        self._boosting.fit(images.features(BACKBONE, SIZE_PX), labels)
        return self

    def predict_proba(self, images: Images) -> np.ndarray:
        return self._boosting.predict_proba(images.features(BACKBONE, SIZE_PX))


VARIANTS: dict[str, Callable[..., Any]] = {
    "decision-tree, uncut": partial(DecisionTree, bins=UNCUT),
    "decision-tree, 32 levels": partial(DecisionTree, bins=32),
    "decision-tree, 16 levels": partial(DecisionTree, bins=16),
    "stumps on all features": Stumps,
    "ada-boost, uncut": partial(AdaBoost, bins=UNCUT),
    "ada-boost, 32 levels": partial(AdaBoost, bins=32),
    "ada-boost, 16 levels": partial(AdaBoost, bins=16),
    "ada-boost, 16 levels, depth 1": partial(AdaBoost, bins=16, max_depth=1),
    "ada-boost, 16 levels, 50 rounds": partial(AdaBoost, bins=16, n_estimators=50),
}


def judged(name: str, create: Callable[..., Any]) -> tuple[float, float]:
    """Return (accuracy, seconds a fit), means over five folds in which patients stay together."""
    dataset = open_dataset(name)
    (split,) = make_splits("official", dataset.samples, seed=0)
    material = material_of(dataset, split, device="cpu", seed=0)
    images, labels, groups = material.part("train", "val")
    fold_N = fold_numbers(labels, groups)
    assert fold_N is not None
    accuracies, seconds = [], []
    for fold in range(fold_N.max() + 1):
        rest, held = np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)
        model = create(n_classes=len(material.classes), backbone=BACKBONE, size_px=SIZE_PX)
        images[rest].features(BACKBONE, SIZE_PX)  # what is kept for all models is no part of a fit
        start = time.process_time()
        model.fit(images[rest], labels[rest])
        seconds.append(time.process_time() - start)
        accuracies.append(float((model.predict_proba(images[held]).argmax(axis=1) == labels[held]).mean()))
    return mean(accuracies), mean(seconds)


if __name__ == "__main__":
    limit_threads(1)
    print("| dataset | variant | accuracy in folds | CPU seconds a fit |\n|---|---|---|---|")
    for name in ("sars-cov-2-ct", "covid-ct"):
        for variant, create in VARIANTS.items():
            accuracy, fit_seconds = judged(name, create)
            print(f"| {name} | {variant} | {100 * accuracy:.2f} | {fit_seconds:.2f} |", flush=True)
