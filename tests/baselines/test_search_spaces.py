"""What may be chosen: the defaults lie inside, and the table in docs/tuning.md says what the code does."""

from pathlib import Path

import optuna
import pytest

from baselines import search_spaces
from baselines.heads import SVM, AdaBoost, DecisionTree
from baselines.networks import VGG16, AlexNet, DenseNet, GoogleNet, ResNet, TimmNetwork, TorchvisionNetwork
from baselines.xdnn_head import XDNNHead

NETWORKS = [DenseNet, ResNet, GoogleNet, VGG16, AlexNet, TimmNetwork, TorchvisionNetwork]
SPACES = {
    SVM: search_spaces.svm,
    DecisionTree: search_spaces.decision_tree,
    AdaBoost: search_spaces.ada_boost,
    XDNNHead: search_spaces.xdnn,
    **dict.fromkeys(NETWORKS, search_spaces.network),
}


def space_of(search_space):
    trial = optuna.create_study().ask()
    search_space(trial)
    return trial.distributions


@pytest.mark.parametrize("factory", SPACES)
def test_models_search_what_stands_in_the_one_place(factory):
    assert space_of(factory.search_space) == space_of(SPACES[factory])


@pytest.mark.parametrize("factory", [f for f in SPACES if f is not XDNNHead])
def test_defaults_lie_inside_their_ranges(factory):
    model = factory(n_classes=2)
    for name, distribution in space_of(factory.search_space).items():
        assert distribution._contains(distribution.to_internal_repr(getattr(model, name))), name


def test_xdnns_thirty_degrees_lie_inside_its_range():
    from math import cos, radians, sqrt

    assert 0.1 < sqrt(2 - 2 * cos(radians(30))) < 1.4


def test_the_table_in_the_documentation_is_what_the_code_does():
    text = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text("utf-8")
    for factory, search_space in SPACES.items():
        for name, distribution in space_of(search_space).items():
            (line,) = {
                line for line in text.splitlines() if f"`{name}`" in line and _range(distribution) in line
            }
            default = getattr(factory(n_classes=2), name)
            assert (
                default is None or f"| {default:g} |" in line
                if not isinstance(default, str)
                else default in line
            )


def _range(distribution):
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return ", ".join(distribution.choices)
    return f"{distribution.low:g} ... {distribution.high:g}" + (", log" if distribution.log else "")
