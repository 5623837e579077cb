"""No memory left: one line with the numbers in it, from real allocations that are refused."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from baselines.memory import memory_named
from baselines.networks import TorchvisionNetwork
from harness.errors import ModelError
from harness.images import Images, MemoryStore

CPU = torch.device("cpu")


def test_what_torch_says_of_the_cpu_is_told_with_its_number():
    with pytest.raises(ModelError) as caught, memory_named("vgg16", 224, 32, CPU):
        torch.empty(10**17, dtype=torch.uint8)
    said = str(caught.value)
    assert said.startswith(
        "'vgg16': no memory left on cpu with 224 px images and batches of 32, where 1000000000"
    )
    assert "MB are free; set a smaller size_px or batch_size" in said


def test_what_numpy_says_is_told_too():
    with (
        pytest.raises(ModelError, match=r"'vgg16': no memory left on cpu .* where 88\.8 PiB were asked for"),
        memory_named("vgg16", 224, 32, CPU),
    ):
        np.empty(10**17, np.uint8)


def test_what_a_graphics_card_says_is_told_too(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (12_000_000, 16_000_000_000))
    with (
        pytest.raises(ModelError, match=r"on cuda .* where 2\.50 GiB were .*; 12 of 16000 MB are free"),
        memory_named("vgg16", 224, 32, torch.device("cuda")),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total of")


def test_memory_that_runs_out_at_the_first_images_is_not_their_size(monkeypatch):
    import baselines.networks as networks

    def refused(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 123 bytes.")

    images = Images(MemoryStore([np.zeros((64, 64), np.uint8)] * 4))
    labels = np.array([0, 1, 0, 1])
    model = TorchvisionNetwork(n_classes=2, weights="none", size_px=64, images_seen=8, batch_size=4)
    monkeypatch.setattr(networks.Normaliser, "__call__", refused)
    with pytest.raises(
        ModelError, match="no memory left on cpu with 64 px images and batches of 4, where 123 bytes"
    ):
        model.fit(images, labels, validation=(images, labels))


def test_other_errors_keep_their_own_words():
    with pytest.raises(RuntimeError, match="shapes differ"), memory_named("vgg16", 224, 32, CPU):
        raise RuntimeError("shapes differ")


def test_images_too_large_for_the_memory_are_no_smaller_batch():
    # Known before anything is allocated: Linux promises more than it has, and then ends the process.
    images = Images(MemoryStore([np.zeros((4, 4), np.uint8)] * 4))
    model = TorchvisionNetwork(n_classes=2, weights="none", size_px=20_000_000, images_seen=8, batch_size=4)
    with pytest.raises(
        ModelError,
        match="with 20000000 px images and batches of 4, where 1600000000 MB",
    ):
        model.fit(images, np.array([0, 1, 0, 1]), validation=(images, np.array([0, 1, 0, 1])))


LIMITED = """
import resource, numpy as np
resource.setrlimit(resource.RLIMIT_AS, (6_000_000_000, 6_000_000_000))
import torch
torch.set_num_threads(1)
from harness.images import Images, MemoryStore
from baselines.networks import TorchvisionNetwork
images, labels = Images(MemoryStore([np.zeros((4, 4), np.uint8)] * 512)), np.arange(512) % 2
model = TorchvisionNetwork(n_classes=2, weights="none", size_px=224, images_seen=1024, batch_size=512)
try:
    model.fit(images, labels, validation=(images, labels))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as Linux keeps them")
def test_a_step_that_needs_more_than_there_is_ends_in_one_line():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, env=environment)
    assert done.stdout.startswith("ModelError 'torchvision:squeezenet1_1': no memory left on cpu"), done
    assert len(done.stdout.strip().splitlines()) == 1
