"""xDNN, the prototype classifier of Soares, Angelov et al. (2020), as printed and as released.

Evidence: to be written.
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

from baselines._xdnn_clouds import Clouds, PaperClouds, ReleasedClouds
from baselines._xdnn_nearest import LARGEST_FEATURE, nearest
from baselines._xdnn_products import make_product
from harness.counters import count
from harness.errors import DataError, ModelError, UsageError

__all__ = ["XDNN", "BadFeatures", "BadParameter", "Explanation", "ReleasedCodeStops", "Rule", "Winner"]

ANGLE = math.pi / 6
"""30 degrees: vectors closer than this point in similar directions (Soares et al., 2020, below Eq. 1)."""

SHOWN_PROTOTYPES = 5
"""How many prototypes the text of a rule names."""

GRAM_DIGITS = 1e-9
"""How far, relatively, the diagonal of a given product may be from the rows' squared norms."""


class BadFeatures(DataError, ValueError):
    """Features that no distance can be computed from."""


class BadParameter(UsageError, ValueError):
    """A variant or radius that xDNN does not have."""


class ReleasedCodeStops(ModelError, ValueError):
    """Data on which the authors' code raises IndexError."""


@dataclass(frozen=True)
class Variant:
    """What the two algorithms differ in."""

    clouds: type[Clouds]
    radius: float
    power: int


VARIANTS = {
    "paper": Variant(PaperClouds, radius=math.sqrt(2 - 2 * math.cos(ANGLE)), power=2),
    "released": Variant(ReleasedClouds, radius=1 - math.cos(ANGLE), power=6),
}


@dataclass(frozen=True)
class Rule:
    """IF image ~ p1 OR image ~ p2 ... THEN class (Soares et al., 2020, Eq. 7).

    `prototypes` are rows of the training set, `supports` the numbers of samples they stand for.

    >>> print(Rule("COVID", (4, 0), (1, 3)))
    IF (image ~ sample 0, support 3) OR (image ~ sample 4, support 1) THEN class 'COVID'
    """

    label: Any
    prototypes: tuple[int, ...]
    supports: tuple[int, ...]

    def __str__(self) -> str:
        order = sorted(range(len(self.prototypes)), key=lambda k: -self.supports[k])
        terms = [
            f"(image ~ sample {self.prototypes[k]}, support {self.supports[k]})" for k in order[:SHOWN_PROTOTYPES]
        ]
        if len(order) > SHOWN_PROTOTYPES:
            terms.append(f"... {len(order) - SHOWN_PROTOTYPES} more")
        return f"IF {' OR '.join(terms) or 'nothing'} THEN class {self.label!r}"


@dataclass(frozen=True)
class Winner:
    """The prototype of one class that is most similar to a query.

    `prototype` counts within the class, `sample` is the row of the training set that founded it.
    `similarity` is 1 / (1 + distance²), in (0, 1].
    """

    label: Any
    prototype: int
    sample: int
    support: int
    distance: float
    similarity: float


@dataclass(frozen=True)
class Explanation:
    """Why a query was given its label: the winner of each class (Soares et al., 2020, Fig. 2), best first."""

    label: Any
    winners: tuple[Winner, ...]


class XDNN(ClassifierMixin, BaseEstimator):
    """Prototype classifier that learns in one pass.

    Parameters
    ----------
    variant : "paper", Eq. (1) to (6) of Soares et al. (2020) on rows normalised to length 1; or
        "released", the decisions of the authors' Python code. `docs/xdnn.md` lists the differences.
    radius : initial radius of a prototype, at least 0, in the unit of the variant: r for "paper",
        r²/2 for "released". None means 30 degrees: sqrt(2 - 2 cos 30°) or 1 - cos 30°.
    device : where matrix products are computed: "cpu" or a torch device such as "cuda". Decisions
        are the same everywhere.

    Attributes
    ----------
    classes_ : labels, sorted.
    prototypes_ : list with one float64 array (P, d) a class: the centres.
    prototype_indices_ : list of int64 (P,): rows of the training set that founded them, counted over
        all calls of `partial_fit`.
    supports_ : list of int64 (P,): how many samples each stands for.
    radii_ : list of float64 (P,), in the unit of the variant.
    means_ : list of float64 (d,): mean of the samples of each class.
    n_samples_seen_, n_features_in_ : int.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> model = XDNN().fit(X, ["a", "a", "b"])
    >>> [list(map(int, s)) for s in model.supports_]
    [[2], [1]]
    >>> model.predict([[0.2, 1.0]]).tolist()
    ['b']
    """

    def __init__(self, variant: str = "paper", radius: float | None = None, device: str = "cpu") -> None:
        self.variant = variant
        self.radius = radius
        self.device = device

    def fit(self, X: Any, y: Any, gram: np.ndarray | None = None) -> XDNN:
        """Learn from N samples in their order; the order matters.

        Parameters
        ----------
        X : float (N, d).
        y : labels (N,).
        gram : float64 (N, N), X @ X.T when it is at hand (in double precision): saves the product.

        Raises `BadFeatures`, `BadParameter`, `ReleasedCodeStops`; all are ValueErrors.
        """
        variant, radius = self._setting()
        X, y = self._samples(X, y, reset=True)
        if gram is not None:
            gram = _checked_gram(gram, X)
        classes, codes = np.unique(y, return_inverse=True)
        clouds = [variant.clouds(X.shape[1], radius) for _ in classes]
        self._learn(clouds, classes, X, codes, 0, gram)
        self.classes_, self._clouds, self._learned_with = classes, clouds, (self.variant, radius)
        self.n_samples_seen_ = len(X)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Sequence[Any] | None = None) -> XDNN:
        """Learn from more samples: any partition of the data gives what one `fit` over the same order gives.

        Keeps the prototypes and the mean of each class, no other training rows. New labels may
        appear in any call; `classes` only declares some in advance, so that they have a column.
        A call that raises changes nothing.
        """
        variant, radius = self._setting()
        is_first = not hasattr(self, "classes_")
        if not is_first and self._learned_with != (self.variant, radius):
            raise BadParameter(
                f"variant and radius were {self._learned_with!r} in earlier calls of partial_fit and are now "
                f"{(self.variant, radius)!r}; use fit to start anew"
            )
        X, y = self._samples(X, y, reset=is_first)
        known = [] if is_first else [self.classes_]
        all_classes = _merged_labels([*known, y] if classes is None else [*known, np.asarray(classes), y])
        by_label = {} if is_first else dict(zip(self.classes_.tolist(), self._clouds, strict=True))
        clouds = [
            by_label.get(label) or variant.clouds(X.shape[1], radius) for label in all_classes.tolist()
        ]
        seen = 0 if is_first else self.n_samples_seen_
        self._learn(clouds, all_classes, X, np.searchsorted(all_classes, y), seen, None)
        self.classes_, self._clouds, self._learned_with = all_classes, clouds, (self.variant, radius)
        self.n_samples_seen_ = seen + len(X)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the label of the class with the most similar prototype, (N,)."""
        check_is_fitted(self, "classes_")
        return self.classes_[self._winning(self._nearest(X)[1])]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return float64 (N, C) that ranks: TBD."""
        check_is_fitted(self, "classes_")
        return self._proba(self._nearest(X)[1])

    def _proba(self, distance_NC: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            nearest_N = distance_NC.min(axis=1, keepdims=True)
            weight_NC = np.where(distance_NC == nearest_N, 1.0, (nearest_N / distance_NC) ** 2)
        proba_NC = weight_NC / weight_NC.sum(axis=1, keepdims=True)
        winning_N = self._winning(distance_NC)
        tied = np.flatnonzero(proba_NC.argmax(axis=1) != winning_N)
        proba_NC[tied, winning_N[tied]] = np.nextafter(proba_NC[tied].max(axis=1), 2)
        return proba_NC

    def released_scores(self, X: Any) -> np.ndarray:
        """Return the scores of the authors' code, softmax(-distance²), (N, C)."""
        check_is_fitted(self, "classes_")
        return _released_scores(self._nearest(X)[1])

    def rules(self) -> list[Rule]:
        """Return one rule a class."""
        check_is_fitted(self, "classes_")
        return [
            Rule(label, tuple(clouds.indices.tolist()), tuple(clouds.supports.tolist()))
            for label, clouds in zip(self.classes_.tolist(), self._clouds, strict=True)
        ]

    def explain(self, X: Any) -> list[Explanation]:
        """Return an explanation for each of N queries."""
        check_is_fitted(self, "classes_")
        index_NC, distance_NC = self._nearest(X)
        labels = self.classes_[self._winning(distance_NC)].tolist()
        return [
            Explanation(label, self._winners(index_C, distance_C))
            for label, index_C, distance_C in zip(labels, index_NC, distance_NC, strict=True)
        ]

    def _winners(self, index_C: np.ndarray, distance_C: np.ndarray) -> tuple[Winner, ...]:
        winners = [
            Winner(
                label=self.classes_.tolist()[k],
                prototype=int(index_C[k]),
                sample=int(clouds.indices[index_C[k]]),
                support=int(clouds.supports[index_C[k]]),
                distance=float(distance_C[k]),
                similarity=float(1 / (1 + distance_C[k] ** 2)),
            )
            for k, clouds in enumerate(self._clouds)
            if clouds.count
        ]
        return tuple(sorted(winners, key=lambda winner: winner.distance))

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

    def _setting(self) -> tuple[Variant, float]:
        if self.variant not in VARIANTS:
            raise BadParameter(f"variant must be one of {sorted(VARIANTS)}, got {self.variant!r}")
        variant = VARIANTS[self.variant]
        if self.radius is None:
            return variant, variant.radius
        try:
            radius = float(self.radius)
        except (TypeError, ValueError):
            radius = math.nan
        if not (math.isfinite(radius) and radius >= 0):
            raise BadParameter(f"radius must be None or a finite number of at least 0, got {self.radius!r}")
        return variant, radius

    def _samples(self, X: Any, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        X, y = validate_data(
            self, X, y, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False
        )
        check_classification_targets(y)
        self._check_features(X)
        return X, y

    def _check_features(self, X: np.ndarray) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            squares_N = np.einsum("ij,ij->i", X, X)
        usual = np.isfinite(squares_N) & (squares_N < LARGEST_FEATURE**2)
        if self.variant == "paper":
            usual &= squares_N > 0
        for row in np.flatnonzero(~usual):
            _check_row(X[row], int(row), self.variant)

    def _learn(
        self,
        clouds: list[Clouds],
        classes: np.ndarray,
        X: np.ndarray,
        codes: np.ndarray,
        seen: int,
        gram: np.ndarray | None,
    ) -> None:
        rows_by_class = [np.flatnonzero(codes == k) for k in range(len(classes))]
        for label, cloud, rows in zip(classes.tolist(), clouds, rows_by_class, strict=True):
            stopping = cloud.stopping_row(X, rows)
            if stopping is not None:
                raise ReleasedCodeStops(
                    f"class {label!r}: sample {stopping + seen}, its second, would be merged into its first, "
                    f"where the released code stops with an IndexError; use variant='paper', a radius smaller "
                    f"than {cloud.radius!r}, or another order"
                )
        if gram is None:
            count("grams")
        for cloud, rows in zip(clouds, rows_by_class, strict=True):
            cloud.absorb(X, rows, seen, make_product(self.device), gram)

    def _nearest(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest prototype of each class (-1: none) and its distance (inf: none), (N, C)."""
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32], ensure_all_finite=False)
        self._check_features(X)
        x_ND = self._clouds[0].prepared(X)
        index_NC = np.full((len(X), len(self.classes_)), -1, dtype=np.intp)
        distance_NC = np.full(index_NC.shape, np.inf)
        power, product = VARIANTS[self.variant].power, make_product(self.device)
        for k, clouds in enumerate(self._clouds):
            if clouds.count:
                index_NC[:, k], distance_NC[:, k] = nearest(x_ND, clouds.centres, power, product)
        return index_NC, distance_NC

    def _winning(self, distance_NC: np.ndarray) -> np.ndarray:
        if self.variant == "paper":
            return distance_NC.argmin(axis=1)
        # Their argsort(scores)[::-1][0]: of classes whose scores are equal, the last.
        scores_NC = _released_scores(distance_NC)
        return scores_NC.shape[1] - 1 - scores_NC[:, ::-1].argmax(axis=1)


def _released_scores(distance_NC: np.ndarray) -> np.ndarray:
    from scipy.special import softmax

    scores_NC: np.ndarray = softmax(-(distance_NC**2), axis=1)
    return scores_NC


def _check_row(x_D: np.ndarray, row: int, variant: str) -> None:
    strange = np.flatnonzero(~np.isfinite(x_D))
    if len(strange):
        value = "NaN" if np.isnan(x_D[strange[0]]) else "inf"
        raise BadFeatures(f"sample {row}: feature {strange[0]} is {value}; xDNN needs finite features")
    largest = np.abs(x_D).max(initial=0.0)
    if largest > LARGEST_FEATURE:
        raise BadFeatures(f"sample {row}: a feature of size {largest:g} is beyond {LARGEST_FEATURE:g}; scale the features")
    if variant == "paper" and largest == 0:
        raise BadFeatures(f"sample {row}: all features are 0; the paper variant normalises rows to length 1")


def _checked_gram(gram: Any, X: np.ndarray) -> np.ndarray:
    gram = np.asarray(gram)
    if gram.shape != (len(X), len(X)):
        raise BadFeatures(f"gram must have shape {(len(X), len(X))}, that of X @ X.T; got {gram.shape}")
    squares_N = np.einsum("ij,ij->i", X, X, dtype=np.float64)
    wrong = np.flatnonzero(~(np.abs(np.diagonal(gram) - squares_N) <= GRAM_DIGITS * squares_N))
    if len(wrong):
        k = int(wrong[0])
        raise BadFeatures(
            f"gram is not X @ X.T in double precision: entry ({k}, {k}) is {gram[k, k]!r}, expected {squares_N[k]!r}"
        )
    return gram


def _merged_labels(parts: list[np.ndarray]) -> np.ndarray:
    kinds = {"number" if part.dtype.kind in "biuf" else "text" for part in parts}
    if len(kinds) > 1:
        raise BadParameter(
            f"labels are numbers in one call of partial_fit and text in another: {[part[:1].tolist() for part in parts]!r}"
        )
    return np.unique(np.concatenate(parts))
