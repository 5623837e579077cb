"""What tuning may choose, for every baseline: one function each, as `search_space` of the models calls it.

Ranges are wide around the defaults and in units that mean the same for every dataset and backbone. All numbers
that span a decade or more are searched by their logarithm. `docs/tuning.md` has them in one table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

__all__ = ["ada_boost", "decision_tree", "network", "svm", "xdnn"]


def svm(trial: optuna.Trial) -> dict[str, Any]:
    """`gamma` is relative to the mean squared distance of the images, `C` the price of an image on the wrong side."""
    return {
        "C": trial.suggest_float("C", 0.1, 1000, log=True),
        "gamma": trial.suggest_float("gamma", 0.2, 20, log=True),
    }


def decision_tree(trial: optuna.Trial) -> dict[str, Any]:
    """How a split is judged, and two ways to keep a tree from learning single images by heart."""
    return {
        "criterion": trial.suggest_categorical("criterion", ["gini", "entropy"]),
        "max_depth": trial.suggest_int("max_depth", 3, 32, log=True),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 64, log=True),
    }


def ada_boost(trial: optuna.Trial) -> dict[str, Any]:
    """How much a round may change, and how large its tree is; 1 is a stump. The number of rounds is fixed."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.1, 2.0, log=True),
        "max_depth": trial.suggest_int("max_depth", 1, 6),
    }


def xdnn(trial: optuna.Trial) -> dict[str, Any]:
    """The radius of a new prototype, on the unit sphere: 6 to 89 degrees. The paper's are 30."""
    return {"radius": trial.suggest_float("radius", 0.1, 1.4, log=True)}


def network(trial: optuna.Trial) -> dict[str, Any]:
    """For all networks: a factor on the network's own learning rate, AdamW's decay, the strength of augmentation."""
    return {
        "learning_rate_scale": trial.suggest_float("learning_rate_scale", 0.3, 3.0, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.005, 0.5, log=True),
        "augmentation": trial.suggest_float("augmentation", 0.0, 1.0),
    }
