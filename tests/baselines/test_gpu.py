"""What only a graphics card can show: `pytest -m gpu`."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from test_synchronisation import convolutional, course_of
from test_training import bright_and_dark

import baselines.unfinished as unfinished
from baselines.arithmetic import Arithmetic, arithmetic_of
from baselines.augmentation import WINDOWED, augmented, draw_views
from baselines.networks import ResNet, TorchvisionNetwork
from baselines.training import Tensors, _loss
from harness.errors import ModelError
from harness.images import Images, MemoryStore
from harness.testing import toy_images
from harness.types import Session

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]
TINY = {
    "n_classes": 2,
    "weights": "none",
    "device": "cuda",
    "size_px": 64,
    "images_seen": 64,
    "batch_size": 8,
}


def labelled(per_class=8, seed=0):
    labels = np.tile(np.arange(2), per_class)
    return Images(MemoryStore(toy_images(labels.tolist(), seed))), labels


def test_steps_between_two_looks_never_wait_for_the_host():
    host = bright_and_dark()
    data = Tensors.on(torch.device("cuda"), host.images.numpy(), host.labels.numpy())
    course, rows, s = course_of(convolutional().to("cuda"), data, images_seen=160)
    loss_of = _loss(data.labels, 2, s)
    course.run(data, rows, 1, 4, loss_of, seed=0)  # the first steps of a process choose kernels
    view = draw_views(8, WINDOWED, 1.0, torch.Generator().manual_seed(0)).to(torch.device("cuda"))
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(5, 20):
            images = augmented(data.images[rows[:8]], view)
            course.step(images, data.labels[rows[:8]], loss_of, step)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_fresh_process_can_be_asked_for_the_memory_of_a_numbered_card():
    script = "from harness import machine; machine.reset_peak_memory('cuda:0'); machine.peak_device_memory_mb('cuda:0')"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_steps_in_half_precision_learn(name):
    host = bright_and_dark()
    data = Tensors.on(torch.device("cuda"), host.images.numpy(), host.labels.numpy())
    course, rows, s = course_of(
        convolutional().to("cuda"), data, images_seen=320, arithmetic=Arithmetic(name)
    )
    loss_of = _loss(data.labels, 2, s)
    early = float(course.run(data, rows, 1, 10, loss_of, seed=0))
    assert float(course.run(data, rows, 31, 40, loss_of, seed=0)) < early


def test_an_interrupted_training_goes_on_with_the_cards_own_random_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "KEEP_SECONDS", 0.0)
    monkeypatch.setattr(unfinished, "KEEP_SHARE", 0)
    images, labels = labelled()

    def fitted(folder, stop=None):
        def report(done, score):
            if stop is not None and done >= stop:
                raise KeyboardInterrupt

        model = TorchvisionNetwork(**TINY, looks=4)
        model.session = Session(report=report, folder=folder)
        return model.fit(images, labels, validation=labelled(2, 1))

    whole = fitted(None)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, stop=0.5)
    resumed = fitted(tmp_path)
    assert resumed.training_["resumed_from"] > 0
    np.testing.assert_allclose(resumed.predict_proba(images), whole.predict_proba(images), atol=1e-2)


def test_the_same_seed_gives_the_same_predictions_or_the_record_says_what_does_not_repeat():
    images, labels = labelled()
    models = [ResNet(variant="18", **TINY).fit(images, labels, validation=labelled(2, 1)) for _ in range(2)]
    first, second = (model.predict_proba(images) for model in models)
    assert np.array_equal(first, second) or models[0].training_["unrepeatable"]


def test_what_does_not_fit_is_one_line_with_numbers():
    images, labels = labelled()
    model = TorchvisionNetwork(**{**TINY, "size_px": 2000, "batch_size": 20_000, "images_seen": 20_000})
    with pytest.raises(
        ModelError, match=r"no memory left on cuda .* MB are free; set a smaller size_px or batch_size"
    ):
        model.fit(images, labels, validation=labelled(2, 1))


def test_products_are_in_half_precision_where_the_card_has_it():
    capability, _ = torch.cuda.get_device_capability()
    assert arithmetic_of(torch.device("cuda")).name == ("bfloat16" if capability >= 8 else "float16")
