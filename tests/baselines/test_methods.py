"""The two ways to train: what Zhao et al. (2020) print, and the default."""

import pytest
import torch
from test_training import CPU, bright_and_dark, linear, settings

from baselines import training
from baselines.arithmetic import arithmetic_of
from baselines.methods import METHODS, MODERN, ZHAO, find_method
from baselines.networks import DenseNet, DenseNetZhao2020
from baselines.training import (
    Look,
    _class_weights,
    _Course,
    _loss,
    _optimiser,
    learning_rate_at,
    train,
)
from harness.backbones import Normaliser
from harness.errors import ModelError, UnknownName


def test_an_unknown_method_is_refused_with_close_names():
    with pytest.raises(UnknownName, match="unknown method 'zhao2002'; you probably meant 'zhao2020'"):
        find_method("zhao2002")


def test_zhao_et_al_train_with_adam_at_a_ten_thousandth_in_batches_of_four():
    found = DenseNet(n_classes=2, method="zhao2020", batch_size=32, weight_decay=0.3)._settings(
        from_scratch=False
    )
    assert (found.batch_size, found.learning_rate, found.weight_decay, found.augmentation) == (4, 1e-4, 0, 1)
    assert type(_optimiser(linear(), found)) is torch.optim.Adam


def test_the_rate_of_zhao_et_al_is_a_cosine_from_the_first_step_down_to_nothing():
    s = settings(images_seen=400, batch_size=4, learning_rate=1e-4, method=ZHAO)
    rates = [learning_rate_at(step, s) for step in range(1, 101)]
    assert rates[0] == max(rates) == 1e-4
    assert rates[50] == pytest.approx(0.5e-4, rel=0.03)
    assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_zhao_et_al_weigh_images_alike_and_the_default_weighs_classes_alike():
    labels = torch.tensor([0, 0, 0, 1])
    assert _loss(labels, 2, settings(method=ZHAO)).weight is None
    torch.testing.assert_close(_loss(labels, 2, settings(method=MODERN)).weight, _class_weights(labels, 2))


@pytest.mark.parametrize(("method", "clipped"), [("modern", True), ("zhao2020", False)])
def test_gradients_are_clipped_by_the_default_alone(method, clipped, monkeypatch):
    norms = []
    original = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda p, n: norms.append(n) or original(p, n))
    s = settings(images_seen=16, looks=1, method=METHODS[method])
    train(linear(), bright_and_dark(), bright_and_dark(), s, n_classes=2, seed=0)
    assert norms == ([1.0, 1.0] if clipped else [])


def test_the_baseline_of_zhao_et_al_is_a_model_of_its_own_name():
    model = DenseNetZhao2020(n_classes=2)
    assert (model.method, model.size_px, model.variant) == ("zhao2020", 224, "121")


def test_label_smoothing_and_the_moving_average_are_what_they_say(monkeypatch):
    assert _loss(torch.tensor([0, 1]), 2, settings(label_smoothing=0.1)).label_smoothing == 0.1
    s = settings(average=0.999, images_seen=16, looks=1)
    network = linear()
    monkeypatch.setattr(training, "_judged", lambda *a: Look(1.0, 0.0, 2))
    course = _Course(network, s, Normaliser.on(CPU), arithmetic_of(CPU))
    weights = [network[2].weight.detach().clone()]
    for step in (1, 2):
        data = bright_and_dark(8)
        course.step(data.images, data.labels, _loss(data.labels, 2, s), step)
        weights.append(network[2].weight.detach().clone())
    # Decays are at most step / (step + 10): 1/11 and 2/12.
    average = weights[0] / 11 + weights[1] * 10 / 11
    average = average * 2 / 12 + weights[2] * 10 / 12
    course.look(bright_and_dark(), 2, 2)
    assert torch.equal(network[2].weight, weights[2])
    course.finish()
    torch.testing.assert_close(network[2].weight.detach(), average)


@pytest.mark.parametrize("changes", [{"label_smoothing": 1.0}, {"average": 1.0}, {"average": -0.1}])
def test_fractions_outside_their_range_are_refused(changes):
    with pytest.raises(ModelError, match="must be 0 or more and below 1"):
        settings(**changes)


def test_training_goes_on_from_the_weights_themselves_not_from_their_average():
    def last_look(looks):
        network = linear()
        s = settings(average=0.9, looks=looks)
        return train(network, bright_and_dark(), bright_and_dark(), s, n_classes=2, seed=0).looks[-1]

    assert last_look(1) == last_look(4)


def test_what_a_method_fixes_is_what_the_record_says_and_what_memory_is_asked_for():
    model = DenseNet(n_classes=2, method="zhao2020", batch_size=32)
    said = model._settings(from_scratch=False).as_dict()
    assert model._batch_size == 4
    assert {name: said[name] for name in ("method", "batch_size", "weight_decay", "augmentation")} == {
        "method": "zhao2020",
        "batch_size": 4,
        "weight_decay": 0.0,
        "augmentation": 1.0,
    }


def test_the_baseline_of_zhao_et_al_is_not_tuned():
    assert DenseNetZhao2020.search_space is None


@pytest.mark.parametrize("name", [["zhao2020"], 3, None])
def test_a_method_that_is_no_text_is_refused(name):
    with pytest.raises(UnknownName, match="unknown method"):
        find_method(name)
