"""The training loop, its schedule and its augmentation, on networks of a few weights."""

import copy

import numpy as np
import pytest
import torch

from baselines.arithmetic import seeded
from baselines.augmentation import WINDOWED, ZHAO_2020, augmented, draw_views
from baselines.labels import checked_labels
from baselines.training import (
    Look,
    Settings,
    Tensors,
    _class_weights,
    _stream,
    learning_rate_at,
    probabilities,
    train,
)
from harness.counters import since, snapshot
from harness.errors import ModelError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def settings(**changes):
    values = {
        "images_seen": 64,
        "batch_size": 8,
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "augmentation": 0.0,
        "looks": 4,
    }
    return Settings(**{**values, **changes})


def bright_and_dark(n=20, seed=0, size_px=8):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = rng.integers(0, 60, (n, size_px, size_px)) + 150 * labels[:, None, None]
    return Tensors.on(CPU, images.astype(np.uint8), labels)


def linear(n_classes=2):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, n_classes)
    )


def with_batch_norm():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.BatchNorm1d(3),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(3, 2),
    )


class Scripted(torch.nn.Module):
    """Answers class 1 with what `answers` says at each look; its weight counts the training steps."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers
        self.register_buffer("steps", torch.zeros(()))
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.looks = 0

    def forward(self, x):
        ones = torch.ones(len(x))
        if self.training:
            self.steps += 1
            return torch.stack([ones, ones * self.weight], dim=1)
        answer = self.answers[min(self.looks, len(self.answers) - 1)]
        self.looks += 1
        right = x.mean(dim=(1, 2, 3)) > 0
        return torch.stack([ones * 0, torch.where(right, answer, -answer)], dim=1)


def test_learns_to_tell_bright_from_dark():
    network = linear()
    training = train(
        network, bright_and_dark(), bright_and_dark(seed=1), settings(images_seen=400), n_classes=2, seed=0
    )
    assert training.looks[-1].balanced_accuracy == 1.0
    found = probabilities(network, bright_and_dark(seed=2).images, absent=[])
    assert (found.argmax(axis=1) == np.arange(20) % 2).all()


def test_counts_the_steps_it_makes():
    before = snapshot()
    train(linear(), bright_and_dark(), bright_and_dark(), settings(images_seen=20), n_classes=2, seed=0)
    assert since(before)["steps"] == 3


def test_work_does_not_depend_on_the_number_of_images():
    for n in (3, 7, 50):
        before = snapshot()
        train(linear(), bright_and_dark(n), bright_and_dark(), settings(), n_classes=2, seed=0)
        assert since(before)["steps"] == 8


def test_the_best_look_is_kept_as_a_copy():
    network = Scripted(answers=[-1.0, 3.0, 2.0, -1.0])
    training = train(network, bright_and_dark(), bright_and_dark(), settings(), n_classes=2, seed=0)
    assert [look.balanced_accuracy for look in training.looks] == [0.0, 1.0, 1.0, 0.0]
    assert network.steps == 4  # the second of four looks at eight steps


def test_equal_accuracy_is_decided_by_the_loss():
    assert Look(0.8, -0.3, 1) > Look(0.8, -0.4, 2) > Look(0.7, -0.1, 3)
    network = Scripted(answers=[1.0, 2.0, 3.0, 2.0])
    train(network, bright_and_dark(), bright_and_dark(), settings(), n_classes=2, seed=0)
    assert network.steps == 6


def test_validation_is_looked_at_the_asked_number_of_times_and_at_the_end():
    training = train(linear(), bright_and_dark(), bright_and_dark(), settings(looks=3), n_classes=2, seed=0)
    assert [look.step for look in training.looks] == [3, 6, 8]


def test_more_looks_than_steps_are_one_a_step():
    training = train(
        linear(), bright_and_dark(), bright_and_dark(), settings(images_seen=16, looks=9), n_classes=2, seed=0
    )
    assert [look.step for look in training.looks] == [1, 2]


def test_validation_part_that_lacks_a_class_is_judged_by_the_others():
    training = bright_and_dark()
    held_out = bright_and_dark(seed=1)
    only_dark = Tensors(held_out.images[held_out.labels == 0], held_out.labels[held_out.labels == 0])
    training = train(linear(3), training, only_dark, settings(images_seen=400), n_classes=3, seed=0)
    assert training.looks[-1].balanced_accuracy == 1.0


def test_same_seed_gives_the_same_probabilities_and_another_seed_others():
    def result(seed, disturbance):
        torch.manual_seed(disturbance)
        with seeded(seed, CPU):
            network = with_batch_norm()
            train(
                network,
                bright_and_dark(),
                bright_and_dark(),
                settings(augmentation=1.0),
                n_classes=2,
                seed=seed,
            )
        return probabilities(network, bright_and_dark().images, [])

    assert np.array_equal(result(3, disturbance=1), result(3, disturbance=2))
    assert not np.array_equal(result(3, disturbance=1), result(4, disturbance=1))


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    with seeded(5, CPU):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_global_random_state_is_back_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(5, CPU):
        1 / torch.randint(0, 1, ()).item()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("n", [2, 9, 17])
def test_no_number_of_images_leaves_a_batch_of_one_for_batch_norm(n):
    # 8 a batch: 9 and 17 images end an epoch with one image left over.
    network = with_batch_norm()
    train(network, bright_and_dark(n), bright_and_dark(), settings(), n_classes=2, seed=0)
    assert np.isfinite(probabilities(network, bright_and_dark().images, [])).all()


def test_one_training_image_is_enough_to_run():
    one = bright_and_dark(1)
    train(with_batch_norm(), one, bright_and_dark(), settings(), n_classes=2, seed=0)


def test_every_epoch_shows_each_image_once_in_an_order_of_its_own():
    rows = _stream(10, settings(images_seen=40), seed=0)
    epochs = [rows[start : start + 10].tolist() for start in (0, 10, 20, 30)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_loss_that_is_no_number_is_one_line_that_says_what_to_do():
    class Exploding(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, x):
            return self.weight * torch.full((len(x), 2), torch.nan)

    with pytest.raises(ModelError) as caught:
        train(Exploding(), bright_and_dark(), bright_and_dark(), settings(), n_classes=2, seed=0)
    assert str(caught.value) == "the training loss is nan by step 2 of 8; lower the learning rate (now 0.01)"


def test_a_validation_loss_that_is_no_number_is_one_line_and_never_the_best():
    network = Scripted(answers=[float("nan"), 3.0, 2.0, 1.0])
    with pytest.raises(
        ModelError, match="the validation loss is nan by step 2 of 8; lower the learning rate"
    ):
        train(network, bright_and_dark(), bright_and_dark(), settings(), n_classes=2, seed=0)


@pytest.mark.parametrize("changes", [{"looks": 10**12}, {"images_seen": 64, "looks": 10**30}])
def test_any_number_of_looks_is_at_most_one_a_step(changes):
    if changes["looks"] > 10**8:
        with pytest.raises(ModelError, match="looks must be at most 100000000"):
            settings(**changes)
    assert settings(looks=10**8).look_steps == list(range(1, 9))


@pytest.mark.parametrize("name", ["images_seen", "batch_size"])
@pytest.mark.parametrize("value", [True, 10**400, 10**10])
def test_numbers_beyond_reason_are_refused_before_anything_is_allocated(name, value):
    with pytest.raises(ModelError, match=f"{name} must be"):
        settings(**{name: value})


def test_weights_that_overflow_are_no_probabilities():
    network = linear()
    with torch.no_grad():
        network[2].weight.fill_(torch.inf)
    with pytest.raises(ModelError, match="probabilities of image 0 are not finite"):
        probabilities(network, bright_and_dark().images, [])


def test_a_class_never_trained_on_has_probability_zero_and_rows_sum_to_one():
    found = probabilities(linear(3), bright_and_dark().images, absent=[1])
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    assert found.dtype == np.float64


def test_the_learning_rate_warms_up_and_falls():
    s = settings(images_seen=800, learning_rate=1.0)
    rates = [learning_rate_at(step, s) for step in range(1, 101)]
    assert rates[0] == pytest.approx(1 / 20)
    assert rates[19] == max(rates) == 1.0
    assert rates[-1] == pytest.approx(0.01)
    assert (np.diff(rates[19:]) < 0).all()


def test_one_step_alone_has_the_full_learning_rate():
    assert learning_rate_at(1, settings(images_seen=1, learning_rate=0.5)) == 0.5


def test_classes_weigh_the_same_in_sum_and_absent_ones_nothing():
    weights = _class_weights(torch.tensor([0, 0, 0, 2]), 3)
    torch.testing.assert_close(weights, torch.tensor([4 / 6, 0.0, 2.0]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1}, "batch_size must be 2 or more"),
        ({"batch_size": 8.0}, "batch_size must be a whole number, got 8.0"),
        ({"images_seen": 16.5}, "images_seen must be a whole number"),
        ({"images_seen": 0}, "images_seen must be 1 or more"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"learning_rate": float("inf")}, "learning_rate must be positive"),
        ({"augmentation": -0.1}, "must be 0 or more"),
        ({"weight_decay": float("nan")}, "must be 0 or more"),
        ({"looks": 0}, "looks must be 1 or more"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ModelError, match=message):
        settings(**changes)


def test_decay_is_for_matrices_and_not_for_biases_and_norms():
    network = with_batch_norm()
    before = copy.deepcopy(network.state_dict())
    black = Tensors(torch.zeros(20, 8, 8, dtype=torch.uint8), torch.arange(20) % 2)
    train(network, black, black, settings(weight_decay=10.0, learning_rate=1e-3), n_classes=2, seed=0)
    assert network[4].weight.abs().sum() < 0.97 * before["4.weight"].abs().sum()
    assert network[2].weight.abs().sum() > 0.98 * before["2.weight"].abs().sum()


# Augmentation.


def spot(size_px=32):
    image = torch.zeros(1, size_px, size_px, dtype=torch.uint8)
    image[:, 4:8, 20:28] = 200
    return image


def views(images, strength, seed=0, changes=WINDOWED):
    drawn = draw_views(len(images), changes, strength, torch.Generator().manual_seed(seed))
    return augmented(images, drawn)


def test_strength_zero_draws_nothing():
    assert draw_views(4, WINDOWED, 0.0, torch.Generator()) is None


def test_views_have_the_shape_of_the_images_and_leave_them_alone():
    images = spot().repeat(6, 1, 1)
    kept = images.clone()
    found = views(images, 1.0)
    assert found.shape == images.shape
    assert 0 <= found.min() < found.max() <= 255
    assert torch.equal(images, kept)
    assert len({view.numpy().tobytes() for view in found}) == 6


@pytest.mark.parametrize("changes", [WINDOWED, ZHAO_2020])
def test_a_vanishing_strength_only_flips(changes):
    images = spot().repeat(40, 1, 1)
    found = views(images, 1e-9, changes=changes).round()
    flipped = [torch.equal(view, images[0].flip(1).float()) for view in found]
    same = [torch.equal(view, images[0].float()) for view in found]
    assert all(a != b for a, b in zip(flipped, same, strict=True))
    assert 5 < sum(flipped) < 35


def test_views_are_drawn_from_the_generator_alone():
    first = views(spot(), 1.0, seed=3)
    torch.manual_seed(99)
    assert torch.equal(first, views(spot(), 1.0, seed=3))


def test_no_view_moves_the_spot_out_of_the_image_and_a_circle_stays_round():
    size_px = 64
    rows, columns = torch.meshgrid(torch.arange(size_px), torch.arange(size_px), indexing="ij")
    disc = (((rows - 31.5) ** 2 + (columns - 31.5) ** 2) < 14**2).to(torch.uint8) * 250
    for view in views(disc.repeat(50, 1, 1), 1.0):
        inside = view > (view.max() + view.min()) / 2
        height, width = int(inside.any(dim=1).sum()), int(inside.any(dim=0).sum())
        assert 0.8 * 28 < height < 1.25 * 28
        assert abs(height - width) <= 2


def test_crops_of_zhao_et_al_keep_at_least_half_of_the_area_and_never_shrink_the_image():
    drawn = draw_views(2000, ZHAO_2020, 1.0, torch.Generator().manual_seed(0))
    areas = torch.linalg.det(drawn.maps[:, :, :2]).abs()
    assert 0.5 <= areas.min() < 0.52
    assert 0.98 < areas.max() <= 1.0 + 1e-6


def test_zhao_et_al_turn_by_at_most_25_degrees_and_mostly_by_less():
    drawn = draw_views(4000, ZHAO_2020, 1.0, torch.Generator().manual_seed(0))
    angles = torch.rad2deg(torch.atan2(drawn.maps[:, 1, 0], drawn.maps[:, 1, 1])).abs()
    assert 24 < angles.max() <= 25.001
    # A third each of at most 5, 15 and 25 degrees: (1 + 1/3 + 1/5) / 3 of all turn by less than 5.
    assert (angles < 5).float().mean() == pytest.approx(0.511, abs=0.03)


def test_zhao_et_al_leave_the_window_alone():
    drawn = draw_views(50, ZHAO_2020, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(drawn.window, torch.tensor([1.0, 0.0]).repeat(50, 1))


# Labels.


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], "training part: expected labels of shape (3,), got (2,)"),
        ([[0], [1], [1]], "expected labels of shape (3,), got (3, 1)"),
        ([0.0, 1.0, 1.0], "expected integer labels, got float64"),
        ([0, 1, 2], "expected labels 0 to 1, got 2"),
        ([0, -1, 1], "expected labels 0 to 1, got -1"),
        ([True, False, True], "expected integer labels, got bool"),
    ],
)
def test_wrong_labels_are_one_line(labels, message):
    with pytest.raises(ModelError) as caught:
        checked_labels(np.array(labels), 3, 2)
    assert message in str(caught.value)


def test_no_images_at_all_are_refused():
    with pytest.raises(ModelError, match="at least one image"):
        checked_labels(np.array([], dtype=int), 0, 2)


def test_labels_are_copied():
    labels = np.array([0, 1])
    assert checked_labels(labels, 2, 2) is not labels
