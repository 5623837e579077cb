"""How difficult a phantom is: what simple classifiers make of it, judged on patients they never saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.phantom.patients import SLICES, patients
from harness.data.phantom.slices import render
from harness.images import resized_array

__all__ = ["Probe", "features", "probes"]

FOLDS = 6
CLASSIFIERS = ("svm", "linear", "forest")


@dataclass(frozen=True)
class Probe:
    """What a classifier reached on one kind of features: AUC and accuracy, out of fold, by patient."""

    features: str
    classifier: str
    auc: float
    accuracy: float


def features(images: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return float64 (N, d) by name, from statistics that know nothing of lesions to what sees their texture."""
    small = np.stack([resized_array(image, 24) for image in images])
    return {
        "global statistics": np.array([_statistics(image) for image in images]),
        "pooled pixels": small.reshape(len(images), -1) / 255.0,
        "gradient histograms": np.array([_gradients(resized_array(image, 128)) for image in images]),
    }


def _statistics(image: np.ndarray) -> list[float]:
    """Return size, mean, spread, the grey of the four borders, and the shares of black and white."""
    edges = [image[:3], image[-3:], image[:, :3], image[:, -3:]]
    grey = [image.mean(), image.std(), float(np.median(image)), (image == 0).mean(), (image == 255).mean()]
    return [*image.shape, *map(float, grey), *(float(edge.mean()) for edge in edges)]


def _gradients(image: np.ndarray, cells: int = 8, bins: int = 9) -> np.ndarray:
    """Return histograms of gradient directions (cells x cells x bins), normalised by cell (Dalal & Triggs 2005)."""
    down, across = np.gradient(image / 255.0)
    strength = np.hypot(across, down)
    direction = (np.arctan2(down, across) % np.pi / np.pi * bins).astype(int) % bins
    side = len(image) // cells
    split = (cells, side, cells, side)
    histograms = np.stack(
        [(strength * (direction == k)).reshape(split).sum(axis=(1, 3)) for k in range(bins)], axis=-1
    )
    return (histograms / (np.linalg.norm(histograms, axis=-1, keepdims=True) + 0.1)).reshape(-1)


def probes(seed: int, classifiers: Sequence[str] = CLASSIFIERS) -> list[Probe]:
    """Return what an rbf SVM, a linear model and a forest reach on the phantom of a seed (takes minutes).

    "No findings" is the same patients drawn without what ails them: what is above chance there is a shortcut.
    """
    cohort = patients(seed)
    healthy = [dataclasses.replace(patient, finding="none") for patient in cohort]
    is_covid = np.repeat([patient.label == "COVID" for patient in cohort], SLICES)
    groups = np.repeat([patient.number for patient in cohort], SLICES)
    found = []
    for suffix, people in (("", cohort), (", no findings", healthy)):
        images = [render(patient, index).image for patient in people for index in range(SLICES)]
        for name, x_ND in features(images).items():
            found += [_probe(name + suffix, c, x_ND, is_covid, groups) for c in classifiers]
    return found


def _probe(name: str, classifier: str, x_ND: np.ndarray, is_covid: np.ndarray, groups: np.ndarray) -> Probe:
    from sklearn.metrics import accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    method = "predict_proba" if classifier == "forest" else "decision_function"
    scores = cross_val_predict(_model(classifier), x_ND, is_covid, groups=groups, cv=folds, method=method)
    scores = scores[:, 1] - 0.5 if method == "predict_proba" else scores
    return Probe(
        name, classifier, float(roc_auc_score(is_covid, scores)), float(accuracy_score(is_covid, scores > 0))
    )


def _model(classifier: str) -> object:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    if classifier == "forest":
        return RandomForestClassifier(300, min_samples_leaf=2, random_state=0)
    model = SVC(C=10.0) if classifier == "svm" else LogisticRegression(C=0.01, max_iter=500)
    return make_pipeline(StandardScaler(), model)
