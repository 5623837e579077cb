"""xDNN, the prototype classifier of Soares, Angelov et al. (2020), as printed and as released.

Reproduces the method of their Table 1, row xDNN: 97.38 % accuracy on SARS-CoV-2 CT, VGG-16 features, split 80/20 by
slice. Measured on their official split (496 test images) with SqueezeNet 1.1 features instead, the only pretrained
network at hand: paper variant 96.5 % (95.8 to 97.8 over 20 orders of the training images), released variant 95.0 %,
1-nearest-neighbour 97.0 % (`python docs/studies/xdnn.py orders`, CPU). docs/xdnn.md has the differences of the
variants, speed, scaling and the choice of the probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from baselines._xdnn_clouds import Clouds, squared_norms
from baselines._xdnn_nearest import LARGEST_NORM, nearest
from baselines._xdnn_paper import PaperClouds
from baselines._xdnn_products import make_product
from baselines._xdnn_released import ReleasedClouds
from baselines._xdnn_rules import Explanation, Rule, Winner
from harness.errors import DataError, ModelError, UsageError

__all__ = ["XDNN", "BadFeatures", "BadParameter", "Explanation", "ReleasedCodeStops", "Rule", "Winner"]

ANGLE = math.pi / 6
"""30 degrees: vectors at a smaller angle point in similar directions (Soares et al., 2020, below Eq. 1)."""

SHARPNESS = 12
"""Probabilities go with distance^-12: near the smallest log loss on both datasets (docs/xdnn.md, Scores)."""

SMALLEST_NORM = 1e-140
"""Squares of smaller numbers lose digits to underflow."""

GRAM_TOLERANCE = 1e-9
"""How far, relatively, the diagonal of a given product may be from the rows' squared norms."""


class BadFeatures(DataError, ValueError):
    """Features that no distance can be computed from."""


class BadParameter(UsageError, ValueError):
    """A variant, radius or label that xDNN cannot use."""


class ReleasedCodeStops(ModelError, ValueError):
    """Data on which the authors' code raises an IndexError."""


@dataclass(frozen=True)
class Variant:
    """What the two algorithms differ in."""

    clouds: type[Clouds]
    radius: float
    power: int  # of the Minkowski distance that predicts


VARIANTS = {
    "paper": Variant(PaperClouds, radius=math.sqrt(2 - 2 * math.cos(ANGLE)), power=2),
    "released": Variant(ReleasedClouds, radius=1 - math.cos(ANGLE), power=6),
}


class XDNN(ClassifierMixin, BaseEstimator):
    """Prototype classifier that learns in one pass over the data, class by class.

    Parameters
    ----------
    variant : "paper", Eq. (1) to (6) of Soares et al. (2020) on rows normalised to length 1; or
        "released", the decisions of the authors' Python code. docs/xdnn.md lists the differences.
    radius : initial radius of a prototype, at least 0, in the unit of the variant: r for "paper",
        r²/2 for "released". None means 30 degrees: sqrt(2 - 2 cos 30°) or 1 - cos 30°.
    device : where matrix products are computed: "cpu" or a torch device such as "cuda". The
        prototypes are the same everywhere.

    Attributes
    ----------
    classes_ : the labels, sorted.
    prototypes_ : list with one float64 array (P, d) a class: the centres.
    prototype_indices_ : list of int64 (P,): rows of the training set that founded them, counted over
        all calls of `partial_fit`.
    supports_ : list of int64 (P,): how many samples each stands for.
    radii_ : list of float64 (P,), in the unit of the variant.
    means_ : list of float64 (d,): the mean of each class.
    n_samples_seen_, n_features_in_ : int.

    Notes
    -----
    float32 features are taken to float64 first. Time grows with the number of pairs of samples of a
    class; memory holds the prototypes in float64 and blocks of products.

    Examples
    --------
    >>> X = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]
    >>> model = XDNN().fit(X, ["a", "a", "b"])
    >>> [supports.tolist() for supports in model.supports_]
    [[2], [1]]
    >>> model.predict([[0.2, 1.0]]).tolist()
    ['b']
    """

    def __init__(self, variant: str = "paper", radius: float | None = None, device: str = "cpu") -> None:
        self.variant = variant
        self.radius = radius
        self.device = device

    def fit(self, X: Any, y: Any, gram: np.ndarray | None = None) -> XDNN:
        """Learn from N samples in their order, which matters.

        Parameters
        ----------
        X : float (N, d).
        y : labels (N,).
        gram : float64 (N, N), X @ X.T where it is at hand: saves computing it.

        Raises `BadFeatures`, `BadParameter` or `ReleasedCodeStops`; all are ValueErrors.
        """
        variant, radius = self._setting()
        X, y, squares_N = self._samples(X, y, reset=True)
        if gram is not None:
            gram = _checked_gram(gram, squares_N)
        classes, codes = np.unique(y, return_inverse=True)
        clouds = [variant.clouds(X.shape[1], radius) for _ in classes]
        _refuse_where_released_code_stops(clouds, classes, X, codes, 0)
        for k, cloud in enumerate(clouds):
            cloud.absorb(X, squares_N, np.flatnonzero(codes == k), 0, make_product(self.device), gram)
        return self._keep(classes, clouds, len(X))

    def partial_fit(self, X: Any, y: Any, classes: Sequence[Any] | None = None) -> XDNN:
        """Learn from further samples: any cut of the data gives what one `fit` over the same order gives.

        Between calls only the prototypes and the mean of each class are kept, no other samples. New labels
        may appear in any call; `classes` declares labels in advance, so that they have a column.
        Raises what `fit` raises; a call that raises changes nothing of what was learned.
        """
        variant, radius = self._setting()
        is_first = not hasattr(self, "classes_")
        if not is_first and self._learned_with != (self.variant, radius):
            raise BadParameter(
                f"earlier calls of partial_fit had variant and radius {self._learned_with!r}, this one has "
                f"{(self.variant, radius)!r}; use fit to start anew"
            )
        X, y, squares_N = self._samples(X, y, reset=is_first)
        known = {} if is_first else dict(zip(self.classes_.tolist(), self._clouds, strict=True))
        seen = 0 if is_first else self.n_samples_seen_
        labels = [y, np.asarray(classes)] if classes is not None and len(classes) else [y]
        all_classes = _union(labels if is_first else [self.classes_, *labels])
        clouds = [known.get(label) or variant.clouds(X.shape[1], radius) for label in all_classes.tolist()]
        codes = np.searchsorted(all_classes, y)
        _refuse_where_released_code_stops(clouds, all_classes, X, codes, seen)
        for k in np.unique(codes):
            clouds[k].absorb(X, squares_N, np.flatnonzero(codes == k), seen, make_product(self.device))
        return self._keep(all_classes, clouds, seen + len(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the label of the class that has the most similar prototype (N,)."""
        _, distance_NC = self._nearest(X)
        return self.classes_[self._winning(distance_NC)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities that rank (N, C): proportional to distance^-12 to the nearest prototype of each class.

        Unlike the released code, whose softmax(-distance²) rounds to 0 and 1 and so cannot order images. The
        largest is that of `predict`: where classes tie, the winner's is one unit in the last place larger.
        """
        _, distance_NC = self._nearest(X)
        winning_N = self._winning(distance_NC)
        nearest_N = distance_NC.min(axis=1, keepdims=True)
        # A distance of 0 wins outright; where several are 0, they share.
        ratio_NC = np.divide(nearest_N, distance_NC, out=np.ones_like(distance_NC), where=distance_NC > 0)
        weight_NC = ratio_NC**SHARPNESS
        # Scores of the released code may tie, and then the last class wins, though it is farther by a hair.
        weight_NC[np.arange(len(weight_NC)), winning_N] = 1.0
        proba_NC = weight_NC / weight_NC.sum(axis=1, keepdims=True)
        tied = np.flatnonzero(proba_NC.argmax(axis=1) != winning_N)
        proba_NC[tied, winning_N[tied]] = np.nextafter(proba_NC[tied].max(axis=1), 2)
        return proba_NC

    def released_scores(self, X: Any) -> np.ndarray:
        """Return what the authors' code calls scores, softmax(-distance²), (N, C)."""
        _, distance_NC = self._nearest(X)
        return _softmax_scores(distance_NC)

    def rules(self) -> list[Rule]:
        """Return the rule of each class; `str` of it is its text."""
        all_clouds = self._fitted()
        return [
            Rule(label, tuple(clouds.indices.tolist()), tuple(clouds.supports.tolist()))
            for label, clouds in zip(self.classes_.tolist(), all_clouds, strict=True)
        ]

    def explain(self, X: Any) -> list[Explanation]:
        """Return for each of N queries its label and the winning prototype of each class."""
        index_NC, distance_NC = self._nearest(X)
        labels = self.classes_[self._winning(distance_NC)].tolist()
        return [
            Explanation(label, self._winners(label, index_C, distance_C))
            for label, index_C, distance_C in zip(labels, index_NC, distance_NC, strict=True)
        ]

    def _winners(self, first: Any, index_C: np.ndarray, distance_C: np.ndarray) -> tuple[Winner, ...]:
        winners = [
            Winner(
                label=label,
                prototype=int(index),
                sample=int(clouds.indices[index]),
                support=int(clouds.supports[index]),
                distance=float(distance),
                similarity=1 / (1 + float(distance) ** 2),
            )
            for label, clouds, index, distance in zip(
                self.classes_.tolist(), self._clouds, index_C, distance_C, strict=True
            )
            if clouds.count
        ]
        return tuple(sorted(winners, key=lambda winner: (winner.distance, winner.label != first)))

    @property
    def prototypes_(self) -> list[np.ndarray]:
        return [clouds.centres for clouds in self._fitted()]

    @property
    def prototype_indices_(self) -> list[np.ndarray]:
        return [clouds.indices for clouds in self._fitted()]

    @property
    def supports_(self) -> list[np.ndarray]:
        return [clouds.supports for clouds in self._fitted()]

    @property
    def radii_(self) -> list[np.ndarray]:
        return [clouds.radii for clouds in self._fitted()]

    @property
    def means_(self) -> list[np.ndarray]:
        return [clouds.mean for clouds in self._fitted()]

    def _fitted(self) -> list[Clouds]:
        check_is_fitted(self, "classes_")
        return self._clouds

    def _keep(self, classes: np.ndarray, clouds: list[Clouds], seen: int) -> XDNN:
        self.classes_ = classes
        self.n_samples_seen_ = seen
        self._clouds = clouds
        self._learned_with = (self.variant, clouds[0].radius)
        return self

    def _setting(self) -> tuple[Variant, float]:
        """Return the variant and the radius that the parameters ask for."""
        if self.variant not in VARIANTS:
            raise BadParameter(f"variant must be one of {sorted(VARIANTS)}, got {self.variant!r}")
        variant = VARIANTS[self.variant]
        if self.radius is None:
            return variant, variant.radius
        try:
            radius = float(self.radius)
        except (TypeError, ValueError):
            radius = math.nan
        if not 0 <= radius < math.inf:
            raise BadParameter(f"radius must be None or a finite number of at least 0, got {self.radius!r}")
        return variant, radius

    def _samples(self, X: Any, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return features, labels and squared norms of samples to learn from."""
        X, y = validate_data(
            self, X, y, reset=reset, dtype=[np.float64, np.float32], order="C", ensure_all_finite=False
        )
        check_classification_targets(y)
        return X, y, _checked_squares(X, self.variant)

    def _nearest(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest prototype of each class (-1: none) and its distance (inf: none), (N, C)."""
        all_clouds = self._fitted()
        X = validate_data(
            self, X, reset=False, dtype=[np.float64, np.float32], order="C", ensure_all_finite=False
        )
        variant, _ = self._learned_with
        x_ND = all_clouds[0].prepared(X, _checked_squares(X, variant))
        index_NC = np.full((len(X), len(all_clouds)), -1, dtype=np.intp)
        distance_NC = np.full(index_NC.shape, np.inf)
        power, product = VARIANTS[variant].power, make_product(self.device)
        for k, clouds in enumerate(all_clouds):
            if clouds.count:
                index_NC[:, k], distance_NC[:, k] = nearest(x_ND, clouds.centres, power, product)
        return index_NC, distance_NC

    def _winning(self, distance_NC: np.ndarray) -> np.ndarray:
        """Return the number of the winning class (N,)."""
        variant, _ = self._learned_with
        if variant == "paper":
            return distance_NC.argmin(axis=1)
        # The released code sorts the scores ascending and takes the last: of equal ones, the last class.
        scores_NC = _softmax_scores(distance_NC)
        return scores_NC.shape[1] - 1 - scores_NC[:, ::-1].argmax(axis=1)


def _softmax_scores(distance_NC: np.ndarray) -> np.ndarray:
    from scipy.special import softmax

    scores_NC: np.ndarray = softmax(-(distance_NC**2), axis=1)
    return scores_NC


def _refuse_where_released_code_stops(
    all_clouds: list[Clouds], classes: np.ndarray, X: np.ndarray, codes: np.ndarray, seen: int
) -> None:
    for k, (label, clouds) in enumerate(zip(classes.tolist(), all_clouds, strict=True)):
        if not isinstance(clouds, ReleasedClouds):
            continue
        row = clouds.stopping_row(X, np.flatnonzero(codes == k))
        if row is not None:
            raise ReleasedCodeStops(
                f"sample {seen + row}, the second of class {label!r}, would be merged into the first, where the "
                "released code stops with an IndexError; use variant='paper', another order, or a radius "
                f"smaller than {clouds.radius!r}"
            )


def _checked_squares(X: np.ndarray, variant: str) -> np.ndarray:
    """Return the squared norms (N,) of samples that distances can be computed from."""
    squares_N = squared_norms(X)
    usual_N = squares_N < LARGEST_NORM**2  # False for NaN
    if variant == "paper":
        usual_N &= squares_N > SMALLEST_NORM**2
    if not usual_N.all():
        row = int(np.argmin(usual_N))
        raise BadFeatures(f"sample {row}: {_complaint(X[row])}")
    return squares_N


def _complaint(x_D: np.ndarray) -> str:
    """Return what is wrong with a sample that cannot be used."""
    strange = np.flatnonzero(~np.isfinite(x_D))
    if len(strange):
        value = "NaN" if np.isnan(x_D[strange[0]]) else "inf"
        return f"feature {strange[0]} is {value}; xDNN needs finite features"
    largest = float(np.abs(x_D).max())
    if largest == 0:
        return "all features are 0, and the paper variant has to normalise it to length 1; leave it out"
    return (
        f"its largest feature is {largest:g}, and powers of it leave the range of float64; scale the features"
    )


def _checked_gram(gram: Any, squares_N: np.ndarray) -> np.ndarray:
    gram = np.asarray(gram)
    shape = (len(squares_N), len(squares_N))
    if gram.shape != shape:
        raise BadFeatures(f"gram must be X @ X.T, of shape {shape}; got shape {gram.shape}")
    if gram.dtype != np.float64:
        raise BadFeatures(f"gram must be X @ X.T in double precision (float64); got {gram.dtype}")
    wrong_N = ~(np.abs(np.diagonal(gram) - squares_N) <= GRAM_TOLERANCE * squares_N)
    if wrong_N.any():
        k = int(np.argmax(wrong_N))
        raise BadFeatures(
            f"gram is not X @ X.T: entry ({k}, {k}) is {float(gram[k, k])!r}, "
            f"expected {float(squares_N[k])!r}; leave it out"
        )
    return gram


def _union(parts: list[np.ndarray]) -> np.ndarray:
    """Return all labels, sorted, of parts that are all numbers or all text."""
    if len({part.dtype.kind in "biuf" for part in parts}) > 1:
        examples = [part[:1].tolist() for part in parts]
        raise BadParameter(
            f"labels must be all numbers or all text over the calls of partial_fit, got {examples!r}"
        )
    return np.unique(np.concatenate(parts))
