"""xDNN on deep features, in its two forms: as printed (`xdnn`) and as released (`xdnn-released`).

Reproduces the xDNN row of Soares, Angelov et al. (2020), Table 1: 97.38 % accuracy on VGG-16's features.
`baselines.xdnn` is the method itself and says where the two forms differ. Measured: see leaderboards/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from baselines import search_spaces
from baselines.heads import Head
from harness.types import ImagesView

if TYPE_CHECKING:
    import optuna

    from baselines.xdnn import Explanation, Rule

__all__ = ["ReleasedXDNNHead", "XDNNHead"]


@dataclass(kw_only=True, eq=False)
class PrototypeHead(Head):
    """What the two forms share: `baselines.xdnn.XDNN` on deep features, learning in the order of the images."""

    variant: ClassVar[str]

    radius: float | None = None

    def fit(
        self,
        images: ImagesView,
        labels: np.ndarray,
        *,
        validation: tuple[ImagesView, np.ndarray] | None = None,  # noqa: ARG002 - the contract's
        groups: Sequence[str] | None = None,  # noqa: ARG002
    ) -> PrototypeHead:
        """Learn from N images in their order; one class alone is a valid state."""
        from baselines.xdnn import XDNN

        labels = self.checked(labels, images, least_classes=1)
        estimator = XDNN(variant=self.variant, radius=self.radius, device=self.device)
        self.estimator_ = estimator.fit(self.features(images), labels, gram=self._gram(images))
        prototypes = sum(len(indices) for indices in self.estimator_.prototype_indices_)
        self.notes_ = [f"{prototypes} prototypes of {len(images)} training images"]
        return self

    def predict_proba(self, images: ImagesView) -> np.ndarray:
        """Return float64 (N, n_classes); `XDNN.predict_proba` says what they are."""
        self.check_fitted()
        return self.columns(self.estimator_.predict_proba(self.features(images)))

    def rules(self) -> list[Rule]:
        """Return the rule of each class seen, its prototypes as rows of the images that `fit` got."""
        self.check_fitted()
        return self.estimator_.rules()

    def explain(self, images: ImagesView) -> list[Explanation]:
        """Return for each image the most similar prototype of each class."""
        self.check_fitted()
        return self.estimator_.explain(self.features(images))

    def _gram(self, images: ImagesView) -> np.ndarray | None:  # noqa: ARG002 - a subclass's
        """Return the features' inner products (N, N) where they make learning quicker."""
        return None


@dataclass(kw_only=True, eq=False)
class XDNNHead(PrototypeHead):
    """xDNN as printed. `radius`, of a new prototype, is a distance on the unit sphere; None means 30 degrees.

    The paper claims that it needs no tuning; a row with the defaults therefore stays on every board.
    """

    variant = "paper"
    untuned_row: ClassVar[bool] = True
    expected_seconds: ClassVar[Mapping[str, float]] = {"smoke": 1, "quick": 15, "paper": 60}

    @staticmethod
    def search_space(trial: optuna.Trial) -> dict[str, Any]:
        return search_spaces.xdnn(trial)

    def _gram(self, images: ImagesView) -> np.ndarray:
        return images.gram(self.backbone, self.size_px)


@dataclass(kw_only=True, eq=False)
class ReleasedXDNNHead(PrototypeHead):
    """xDNN as the authors' Python code computes it. `radius` is r²/2 there; None means its 1 - cos 30 degrees.

    On features of real networks every training image becomes a prototype: it is a nearest neighbour by
    Minkowski's distance of p = 6. Their code fixes the radius, so nothing is tuned.
    """

    variant = "released"
    # The conformance suite's images lie nearer to each other than 30 degrees, where their code may stop.
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"check": {"radius": 0.0}, **Head.recipes}
    expected_seconds: ClassVar[Mapping[str, float]] = {"smoke": 1, "quick": 5, "paper": 20}
