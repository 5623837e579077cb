from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from harness import split_network
from harness.counters import since, snapshot
from harness.errors import ModelError
from harness.split_network import SIZE_PX, WIDTH, features, images_to_see, train


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for 8 batches only."""
    monkeypatch.setattr(split_network, "images_to_see", lambda n: 8 * min(32, n))


def spots(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise, in every second image with a bright spot somewhere: uint8 (N, 96, 96), labels (N,)."""
    random = np.random.default_rng(seed)
    images = random.normal(100, 25, (n, SIZE_PX, SIZE_PX))
    labels = np.arange(n, dtype=np.int64) % 2
    for row in np.flatnonzero(labels):
        y, x = random.integers(20, 66, 2)
        images[row, y : y + 10, x : x + 10] += 60
    return images.clip(0, 255).astype(np.uint8), labels


def trained(n: int = 24, seed: int = 0, n_classes: int = 2, data: int = 0) -> nn.Module:
    images, labels = spots(n, data)
    return train(images, labels, n_classes=n_classes, seed=seed)


def test_features_help_a_linear_classifier_on_images_that_it_did_not_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    monkeypatch.setattr(split_network, "images_to_see", lambda n: 960)
    images, labels = spots(64)
    others, other_labels = spots(40, seed=1)

    def accuracy(x: np.ndarray, x_others: np.ndarray) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(x, labels)
        return float(model.score(x_others, other_labels))

    pixels = accuracy(images[:, ::6, ::6].reshape(64, -1), others[:, ::6, ::6].reshape(40, -1))
    network = train(images, labels, n_classes=2, seed=0)
    learned = accuracy(features(network, images), features(network, others))
    assert learned >= 0.9 > 0.75 > pixels


@pytest.mark.usefixtures("short")
class TestTrain:
    def test_gives_the_same_features_for_the_same_seed(self) -> None:
        images, _ = spots(6, seed=9)
        first = features(trained(), images)
        np.testing.assert_array_equal(first, features(trained(), images))
        assert not np.array_equal(first, features(trained(seed=1), images))

    def test_neither_heeds_nor_changes_the_global_generator(self) -> None:
        images, _ = spots(6, seed=9)
        torch.manual_seed(1)
        first = features(trained(), images)
        drawn = torch.rand(1)
        torch.manual_seed(1)
        assert torch.equal(drawn, torch.rand(1))
        torch.manual_seed(2)
        np.testing.assert_array_equal(first, features(trained(), images))

    def test_learns_from_the_labels(self) -> None:
        images, labels = spots(24)
        changed = train(images, 1 - labels, n_classes=2, seed=0)
        assert not np.array_equal(features(trained(), images), features(changed, images))

    def test_takes_the_number_of_classes_from_the_caller_and_not_from_the_labels(self) -> None:
        assert trained(n_classes=5).get_submodule("classifier").out_features == 5

    def test_counts_its_steps_and_tells_how_far_it_is(self) -> None:
        told: list[tuple[str, float | None]] = []
        before = snapshot()
        images, labels = spots(40)
        train(
            images, labels, n_classes=2, seed=0, progress=lambda what, fraction: told.append((what, fraction))
        )
        assert since(before) == {"steps": 8, "device_bytes": images.nbytes + 40 * 8}
        assert told[-1] == ("training a small network on 40 images, to take features from", 1.0)
        assert [fraction for _, fraction in told] == [k / 8 for k in range(1, 9)]

    @pytest.mark.parametrize("n", [1, 2, 3, 31, 33])
    def test_can_do_with_any_number_of_images(self, n: int) -> None:
        images, _ = spots(4)
        assert np.isfinite(features(trained(n), images)).all()

    def test_can_do_with_a_class_that_has_no_image(self) -> None:
        images, _ = spots(8)
        network = train(images, np.zeros(8, np.int64), n_classes=3, seed=0)
        assert np.isfinite(features(network, images)).all()

    def test_refuses_to_learn_from_nothing(self) -> None:
        with pytest.raises(ModelError, match="no training images"):
            train(np.empty((0, SIZE_PX, SIZE_PX), np.uint8), np.empty(0, np.int64), n_classes=2, seed=0)

    def test_refuses_images_of_another_size_or_type(self) -> None:
        images, labels = spots(4)
        for wrong in (images[:, :50, :50], images.astype(np.float32), images[0]):
            with pytest.raises(ValueError, match=r"expected uint8 \(N, 96, 96\)"):
                train(wrong, labels, n_classes=2, seed=0)

    def test_refuses_labels_that_do_not_fit(self) -> None:
        images, labels = spots(4)
        with pytest.raises(ValueError, match="expected 4 labels"):
            train(images, labels[:3], n_classes=2, seed=0)
        for wrong in (labels + 1, labels - 1):
            with pytest.raises(ValueError, match="expected labels from 0 to 1"):
                train(images, wrong, n_classes=2, seed=0)

    def test_leaves_read_only_arrays_as_they_are(self) -> None:
        images, labels = spots(8)
        images.flags.writeable = labels.flags.writeable = False
        copy = images.copy()
        train(images, labels, n_classes=2, seed=0)
        np.testing.assert_array_equal(images, copy)


@pytest.mark.usefixtures("short")
class TestFeatures:
    def test_are_what_enters_the_classifier(self) -> None:
        images, _ = spots(5, seed=2)
        network = trained()
        found = features(network, images)
        assert (found.shape, found.dtype) == ((5, WIDTH), np.float32)
        with torch.inference_mode():
            x = ((torch.from_numpy(images).float() - 128) / 64)[:, None]
            expected = network(x)
            scores = network.get_submodule("classifier")(torch.from_numpy(found))
        torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-4)

    def test_of_an_image_do_not_depend_on_the_others(self) -> None:
        images, _ = spots(70, seed=2)
        network = trained()
        np.testing.assert_allclose(
            features(network, images)[66:68], features(network, images[66:68]), atol=1e-5
        )

    def test_are_counted(self) -> None:
        network = trained()
        before = snapshot()
        assert features(network, spots(5)[0]).shape == (5, WIDTH)
        assert features(network, spots(5)[0][:0]).shape == (0, WIDTH)
        assert since(before) == {"forwards": 5, "device_bytes": 5 * 96**2}


def test_few_images_are_seen_more_often_than_many() -> None:
    seen = [images_to_see(n) / n for n in (10, 230, 425, 1700, 8000, 20_000)]
    assert seen == sorted(seen, reverse=True)
    assert (seen[0], seen[-1]) == (60, 5)


@pytest.mark.parametrize("n", [1, 5, 32, 33, 100])
def test_every_batch_is_full_and_every_epoch_sees_each_image_once(n: int) -> None:
    batches = list(split_network._batches(n, torch.Generator().manual_seed(0)))
    assert {len(batch) for batch in batches} == {min(32, n)}
    stream = torch.cat(batches)
    assert len(stream) >= images_to_see(n)
    for epoch in range(3):
        assert sorted(stream[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))
