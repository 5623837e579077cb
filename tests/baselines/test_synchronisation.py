"""Nothing passes between host and device inside a step: counted on the CPU, through torch's dispatcher."""

from collections import Counter

import numpy as np
import pytest
import torch
from crossings import Crossings
from test_training import bright_and_dark, settings

import baselines.training as training
from baselines.arithmetic import arithmetic_of
from baselines.methods import METHODS
from baselines.training import Tensors, _Course, _loss, _stream, train
from harness.backbones import Normaliser


def convolutional():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.2),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    )


def course_of(network, data, method="modern", arithmetic=None, **changes):
    s = settings(augmentation=1.0, method=METHODS[method], **changes)
    device = data.images.device
    course = _Course(network, s, Normaliser.on(device), arithmetic or arithmetic_of(device))
    rows = _stream(len(data.labels), s, 0).to(device)
    return course, rows, s


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_step_reads_no_number_and_copies_nothing_between_devices(method, average):
    data = bright_and_dark()
    course, rows, s = course_of(convolutional(), data, method, average=average)
    loss_of = _loss(data.labels, 2, s)
    batch = data.images[rows[:8]]
    with Crossings() as crossings:
        for step in (1, 2, 3):
            course.step(batch, data.labels[rows[:8]], loss_of, step)
    assert crossings.counts == Counter()


def test_the_steps_between_two_looks_move_their_random_numbers_once_whatever_their_number(monkeypatch):
    moved = []
    original = training._views
    monkeypatch.setattr(training, "_views", lambda *a: moved.append(a[0]) or original(*a))
    train(convolutional(), bright_and_dark(), bright_and_dark(), settings(looks=2), n_classes=2, seed=0)
    assert moved == [4, 4]


def test_steps_read_no_number_between_looks():
    data = bright_and_dark()
    course, rows, s = course_of(convolutional(), data, images_seen=160)
    loss_of = _loss(data.labels, 2, s)

    def reads(last):
        with Crossings() as crossings:
            course.run(data, rows, 1, last, loss_of, seed=0)
        return crossings.counts["reads"]

    assert reads(20) == reads(2) == 0


def test_a_read_or_a_copy_would_be_counted():
    with Crossings() as crossings:
        float(torch.ones(()).sum())
        torch.tensor([1.0, 2.0])
        bool(torch.ones(2).any())
    assert crossings.counts == Counter(reads=2, copies=1)


def on_meta(last):
    """Run steps on a device whose tensors hold no numbers: reading one raises. Return what was copied there."""
    data = Tensors(
        torch.zeros(20, 8, 8, dtype=torch.uint8, device="meta"),
        torch.zeros(20, dtype=torch.int64, device="meta"),
    )
    network = convolutional().to("meta")
    s = settings(augmentation=1.0, images_seen=160)
    loss_of = torch.nn.CrossEntropyLoss(weight=torch.ones(2, device="meta"))
    course = _Course(network, s, Normaliser.on(torch.device("meta")), arithmetic_of(torch.device("cpu")))
    course._optimiser = torch.optim.AdamW(network.parameters())  # a fused one has no kernel for 'meta'
    rows = torch.arange(160, device="meta") % 20
    with Crossings() as crossings:
        assert course.run(data, rows, 1, last, loss_of, seed=0).device.type == "meta"
    return crossings.counts["copies"]


def test_on_a_device_without_numbers_more_steps_bring_no_more_copies():
    assert on_meta(20) == on_meta(2) > 0


def test_bytes_to_the_device_are_those_of_the_images_and_their_labels():
    from harness.counters import since, snapshot

    before = snapshot()
    Tensors.on(torch.device("cpu"), np.zeros((5, 8, 8), np.uint8), np.zeros(5, int))
    assert since(before)["device_bytes"] == 5 * 64 + 5 * 8
