"""Classifiers on deep features: SVM, decision tree and AdaBoost; xDNN is in `baselines.xdnn_head`.

Reproduces rows of Soares, Angelov et al. (2020), Table 1, that need no fine-tuning: decision tree
79.44 % accuracy, AdaBoost 95.16 %; the SVM is named in their text without a row. As there,
features are those of the last fully connected hidden layer of VGG-16 (4096) unless `backbone` says otherwise.
The paper gives no parameter of the tree, AdaBoost or the SVM; the defaults here are ours.
Measured: see leaderboards/.

Features and their inner products come from the harness's caches, so a fit costs seconds at most,
whatever the number of seeds and trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from baselines import search_spaces
from baselines.labels import checked_labels
from harness.errors import ModelError
from harness.types import ImagesView

if TYPE_CHECKING:
    import optuna
    from sklearn.svm import SVC

__all__ = ["SVM", "AdaBoost", "DecisionTree", "Head"]

SPLIT_NETWORK = "split-network"
"""The backbone that the harness trains itself where no pretrained one can be had."""


@dataclass(kw_only=True, eq=False)
class Head:
    """What the heads share: where features come from, and one column a class, seen or not."""

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "smoke": {"size_px": 96},
        "quick": {"size_px": 224},
        "paper": {"size_px": 224},
    }
    uses_validation: ClassVar[bool] = False

    n_classes: int
    seed: int = 0
    device: str = "cpu"
    backbone: str = "vgg16"
    size_px: int = 224

    @staticmethod
    def pretrained(backbone: str = "vgg16", **_: Any) -> tuple[str, ...]:
        """Return the network whose weights the features need."""
        return () if backbone == SPLIT_NETWORK else (backbone,)

    def features(self, images: ImagesView) -> np.ndarray:
        """Return float32 (N, d); raise `ModelError` for values that no method can use."""
        x_ND = images.features(self.backbone, self.size_px)
        finite = np.isfinite(x_ND).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise ModelError(
                f"backbone {self.backbone!r}: the features of image {row} of {len(x_ND)} are not finite"
            )
        return x_ND

    def checked(self, labels: np.ndarray, images: ImagesView, *, least_classes: int) -> np.ndarray:
        """Return the labels checked; set `classes_`, those that occur, sorted."""
        checked = checked_labels(labels, len(images), self.n_classes)
        self.classes_ = np.unique(checked)
        if len(self.classes_) < least_classes:
            raise ModelError(
                f"{type(self).__name__} needs {least_classes} classes in the training part, "
                f"got only class {int(self.classes_[0])}"
            )
        return checked

    def columns(self, probabilities: np.ndarray) -> np.ndarray:
        """Spread (N, classes seen) over (N, n_classes); a class never seen has probability 0."""
        spread = np.zeros((len(probabilities), self.n_classes))
        spread[:, self.classes_] = probabilities
        return spread

    def check_fitted(self) -> None:
        if not hasattr(self, "classes_"):
            raise ModelError(f"{type(self).__name__}: call fit before predict_proba")


@dataclass(kw_only=True, eq=False)
class SVM(Head):
    """Support vector machine with a Gaussian kernel, on the harness's cached inner products.

    K(x, y) = exp(-gamma |x - y|² / m), m the mean squared distance between training images, so `gamma`
    has no unit and means the same for every backbone. gamma = 2 is scikit-learn's 'scale' on
    standardised features. Classes are told apart one against one.

    Probabilities are softmax(slope * decision values), the slope the likeliest one for decision values
    of images held out within the training part: it cannot change the decision nor the ranking, so that tuning
    trials do without it (`calibration_folds` 0), a sixth of the work.
    """

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {**given, "trial": {"calibration_folds": 0}} for name, given in Head.recipes.items()
    }
    expected_seconds: ClassVar[Mapping[str, float]] = {"smoke": 1, "quick": 10, "paper": 30}

    C: float = 10.0
    gamma: float = 2.0
    calibration_folds: int = 5

    @staticmethod
    def search_space(trial: optuna.Trial) -> dict[str, Any]:
        return search_spaces.svm(trial)

    def fit(
        self,
        images: ImagesView,
        labels: np.ndarray,
        *,
        validation: tuple[ImagesView, np.ndarray] | None = None,  # noqa: ARG002 - the contract's
        groups: Sequence[str] | None = None,
    ) -> SVM:
        """Learn from N images; raises `ModelError` when they show one class only."""
        if not (0 < self.gamma < math.inf and 0 < self.C < math.inf):
            raise ModelError(f"SVM: C and gamma must be above 0, got {self.C!r} and {self.gamma!r}")
        labels = self.checked(labels, images, least_classes=2)
        self._images = images
        self._squares_N = _squares(self.features(images))
        distances_NN = self._distances(images)
        self.mean_distance_ = float(distances_NN.mean())
        if self.mean_distance_ == 0:
            raise ModelError(f"backbone {self.backbone!r}: all training images have the same features")
        kernel_NN = self._kernel(distances_NN)
        slope = self._calibrated_slope(kernel_NN, labels, groups)
        self.slope_ = 1.0 if slope is None else slope
        too_few = slope is None and self.calibration_folds > 0
        self.notes_ = ["too few training images to calibrate probabilities"] if too_few else []
        self.machine_ = self._machine().fit(kernel_NN, labels)
        return self

    def predict_proba(self, images: ImagesView) -> np.ndarray:
        """Return float64 (N, n_classes)."""
        self.check_fitted()
        kernel_MN = self._kernel(self._distances(images))
        return self.columns(_softmax(self.slope_ * _decision_values(self.machine_, kernel_MN)))

    def _distances(self, images: ImagesView) -> np.ndarray:
        """Return squared distances (M, N) of images to the training images, float64."""
        product_MN = images.gram(self.backbone, self.size_px, self._images)
        squares_M = _squares(self.features(images))
        return np.maximum(squares_M[:, None] + self._squares_N - 2 * product_MN, 0)

    def _kernel(self, distances_MN: np.ndarray) -> np.ndarray:
        return np.exp(-self.gamma / self.mean_distance_ * distances_MN)

    def _machine(self) -> SVC:
        from sklearn.svm import SVC

        return SVC(C=self.C, kernel="precomputed", random_state=self.seed)

    def _calibrated_slope(
        self, kernel_NN: np.ndarray, labels: np.ndarray, groups: Sequence[str] | None
    ) -> float | None:
        """Return the slope of largest likelihood on held-out decision values, None where there are too few."""
        if self.calibration_folds < 2:
            return None
        fold_N = _folds(labels, groups, self.calibration_folds)
        values, codes = [], []
        for fold in range(self.calibration_folds):
            rest, held = np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)
            if len(held) == 0 or len(np.unique(labels[rest])) < len(self.classes_):
                continue
            machine = self._machine().fit(kernel_NN[np.ix_(rest, rest)], labels[rest])
            values.append(_decision_values(machine, kernel_NN[np.ix_(held, rest)]))
            codes.append(np.searchsorted(self.classes_, labels[held]))
        return _likeliest_slope(np.concatenate(values), np.concatenate(codes)) if values else None


@dataclass(kw_only=True, eq=False)
class Cut(Head):
    """What the trees share: each feature cut at its `bins` - 1 quantiles in the training images.

    With few levels sorting costs little: in five folds of the training and validation parts of SARS-CoV-2 CT, on
    SqueezeNet's features, a tree on 16 levels is right as often as one on the features themselves, in a seventh of
    the time (`docs/studies/heads.py`, whose table docs/tuning.md has).
    """

    bins: int = 16

    def _cut(self, x_ND: np.ndarray) -> np.ndarray:
        """Return the levels of the features, float32 (N, d)."""
        levels_ND = np.empty(x_ND.shape, dtype=np.float32)
        for column, edges in enumerate(self.edges_):
            levels_ND[:, column] = np.searchsorted(edges, x_ND[:, column])
        return levels_ND

    def _fit_cuts(self, x_ND: np.ndarray) -> np.ndarray:
        """Learn where to cut from the training images; return their levels."""
        if not isinstance(self.bins, int) or self.bins < 2:
            raise ModelError(f"{type(self).__name__}: bins must be 2 or more, got {self.bins!r}")
        shares = np.arange(1, self.bins) / self.bins
        self.edges_ = np.quantile(x_ND, shares, axis=0).astype(np.float32).T
        return self._cut(x_ND)


@dataclass(kw_only=True, eq=False)
class DecisionTree(Cut):
    """One decision tree (CART, Gini), grown until its leaves are pure unless a limit is given."""

    expected_seconds: ClassVar[Mapping[str, float]] = {"smoke": 1, "quick": 20, "paper": 100}

    criterion: str = "gini"
    max_depth: int = 32
    min_samples_leaf: int = 1

    @staticmethod
    def search_space(trial: optuna.Trial) -> dict[str, Any]:
        return search_spaces.decision_tree(trial)

    def fit(
        self,
        images: ImagesView,
        labels: np.ndarray,
        *,
        validation: tuple[ImagesView, np.ndarray] | None = None,  # noqa: ARG002 - the contract's
        groups: Sequence[str] | None = None,  # noqa: ARG002
    ) -> DecisionTree:
        """Learn from N images; one class alone is a valid tree."""
        from sklearn.tree import DecisionTreeClassifier

        labels = self.checked(labels, images, least_classes=1)
        tree = DecisionTreeClassifier(
            criterion=self.criterion,
            max_depth=self.max_depth,
            min_samples_leaf=self.min_samples_leaf,
            random_state=self.seed,
        )
        self.tree_ = _fitted(tree, self._fit_cuts(self.features(images)), labels)
        return self

    def predict_proba(self, images: ImagesView) -> np.ndarray:
        """Return float64 (N, n_classes): the classes' shares in the leaf."""
        self.check_fitted()
        return self.columns(self.tree_.predict_proba(self._cut(self.features(images))))


@dataclass(kw_only=True, eq=False)
class AdaBoost(Cut):
    """AdaBoost (SAMME) of small trees, each split of which chooses from sqrt(d) features drawn at random.

    The paper doesn't say what it boosted. In five folds of the training and validation parts of SARS-CoV-2 CT, 100
    rounds: stumps on all features .891, 9.1 s a fit; these trees .928, 1.0 s (`docs/studies/heads.py`). Chosen there,
    never on the test part. Tuning trials take half the rounds.
    """

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "check": {"n_estimators": 10},
        **{name: {**given, "trial": {"n_estimators": 50}} for name, given in Head.recipes.items()},
    }
    expected_seconds: ClassVar[Mapping[str, float]] = {"smoke": 2, "quick": 40, "paper": 150}

    n_estimators: int = 100
    learning_rate: float = 0.5
    max_depth: int = 4

    @staticmethod
    def search_space(trial: optuna.Trial) -> dict[str, Any]:
        return search_spaces.ada_boost(trial)

    def fit(
        self,
        images: ImagesView,
        labels: np.ndarray,
        *,
        validation: tuple[ImagesView, np.ndarray] | None = None,  # noqa: ARG002 - the contract's
        groups: Sequence[str] | None = None,  # noqa: ARG002
    ) -> AdaBoost:
        """Learn from N images; raises `ModelError` when they show one class only.

        A tree has at least a leaf for each class: below that no round is better than chance.
        """
        from sklearn.ensemble import AdaBoostClassifier
        from sklearn.tree import DecisionTreeClassifier

        labels = self.checked(labels, images, least_classes=2)
        least_depth = math.ceil(math.log2(len(self.classes_)))
        tree = DecisionTreeClassifier(max_depth=max(self.max_depth, least_depth), max_features="sqrt")
        boosting = AdaBoostClassifier(
            tree, n_estimators=self.n_estimators, learning_rate=self.learning_rate, random_state=self.seed
        )
        self.boosting_ = _fitted(boosting, self._fit_cuts(self.features(images)), labels)
        return self

    def predict_proba(self, images: ImagesView) -> np.ndarray:
        """Return float64 (N, n_classes): the softmax of the trees' weighted votes."""
        self.check_fitted()
        return self.columns(self.boosting_.predict_proba(self._cut(self.features(images))))


def _fitted(estimator: Any, x_ND: np.ndarray, labels: np.ndarray) -> Any:
    """Fit a scikit-learn estimator; what it says of a parameter or of the data becomes one line."""
    try:
        return estimator.fit(x_ND, labels)
    except ValueError as error:
        raise ModelError(" ".join(str(error).split())) from error


def _squares(x_ND: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", x_ND, x_ND, dtype=np.float64)


def _decision_values(machine: SVC, kernel_MN: np.ndarray) -> np.ndarray:
    """Return (M, classes seen); with two classes the first is 0 throughout."""
    values: np.ndarray = machine.decision_function(kernel_MN)
    return np.stack([np.zeros_like(values), values], axis=1) if values.ndim == 1 else values


def _softmax(values_NC: np.ndarray) -> np.ndarray:
    powers = np.exp(values_NC - values_NC.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _folds(labels: np.ndarray, groups: Sequence[str | None] | None, folds: int) -> np.ndarray:
    """Return a fold number for each image: those of a group together, the classes spread evenly.

    >>> _folds(np.array([0, 1, 0, 1, 0, 0]), None, 2).tolist()
    [0, 0, 1, 1, 0, 1]
    >>> _folds(np.array([0, 0, 0, 1, 1, 1]), ["a", "a", "b", "c", None, "d"], 2).tolist()
    [0, 0, 1, 1, 0, 0]
    """
    known = groups if groups is not None else [None] * len(labels)
    names = [(1, group) if group is not None else (0, f"{row:09d}") for row, group in enumerate(known)]
    units = sorted(
        dict.fromkeys(zip(names, labels.tolist(), strict=True)), key=lambda unit: (unit[1], unit[0])
    )
    number: dict[tuple[int, str], int] = {}
    for name, _ in units:
        number.setdefault(name, len(number))
    return np.array([number[name] % folds for name in names], dtype=np.intp)


def _likeliest_slope(values_NC: np.ndarray, codes: np.ndarray) -> float:
    """Return the s in 0.01 ... 100 that makes softmax(s * values) likeliest for the classes `codes` (N,)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_slope: float) -> float:
        return -float(log_softmax(np.exp(log_slope) * values_NC, axis=1)[np.arange(len(codes)), codes].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.01), np.log(100)), method="bounded").x))
