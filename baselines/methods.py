"""Ways to fine-tune a network, whatever the network: as Zhao et al. (2020) print it, and the default here.

Which of the two is better, from equal initialisations over five seeds on both real datasets: docs/training.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from baselines.augmentation import WINDOWED, ZHAO_2020, Changes
from harness.errors import UnknownName

__all__ = ["METHODS", "Method", "find_method"]


@dataclass(frozen=True)
class Method:
    """What belongs to the way of training and not to the network. None: the network or the recipe decides.

    `warm_up` is the fraction of the steps in which the learning rate rises, `final_rate` the fraction of
    it that is left at the end of the cosine, `gradient_norm` where gradients are clipped,
    `class_weights` whether each class weighs the same in sum.
    """

    name: str
    optimiser: Literal["adamw", "adam"]
    warm_up: float
    final_rate: float
    gradient_norm: float | None
    class_weights: bool
    changes: Changes
    learning_rate: float | None = None
    batch_size: int | None = None
    weight_decay: float | None = None
    augmentation: float | None = None


MODERN = Method(
    name="modern",
    optimiser="adamw",
    warm_up=0.2,
    final_rate=0.01,
    gradient_norm=1.0,  # networks without batch norm diverge otherwise
    class_weights=True,
    changes=WINDOWED,
)

ZHAO = Method(
    name="zhao2020",
    optimiser="adam",
    warm_up=0.0,
    final_rate=0.0,
    gradient_norm=None,
    class_weights=False,
    changes=ZHAO_2020,
    learning_rate=1e-4,
    batch_size=4,
    weight_decay=0.0,
    augmentation=1.0,
)
"""Zhao et al. (2020), section 3: Adam at 1e-4 with cosine scheduling, batches of 4, affine maps, crops and flips,
the epoch chosen on the validation set. They print neither weight decay, class weights nor warm-up: there is none."""

METHODS = {method.name: method for method in (MODERN, ZHAO)}


def find_method(name: str) -> Method:
    """Return the method of that name; raise `UnknownName` with close names."""
    if str(name) not in METHODS:
        raise UnknownName("method", str(name), METHODS)
    return METHODS[str(name)]
