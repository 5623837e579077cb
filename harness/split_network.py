"""A small network trained on the training part of a split: features where no pretrained backbone can be had.

It sees the images and labels of the training part and nothing else. On ct-phantom, in four folds of
patients of the official training and validation parts, an SVM on its features was right for 0.77 and
0.79 of the slices (seeds 0 and 1), on SqueezeNet's ImageNet features for 0.63, on 16 px thumbnails
for 0.56.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from harness.counters import count
from harness.errors import ModelError
from harness.types import Progress

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["SIZE_PX", "WIDTH", "features", "images_to_see", "train"]

SIZE_PX = 96
WIDTHS = (8, 16, 32, 64)
WIDTH = WIDTHS[-1]
"""Number of features."""

# Chosen on the validation part of COVID-CT and by patient folds of the phantom's training part.
BATCH_SIZE = 32
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
LARGEST_SHIFT = 0.17  # of the image's width
LARGEST_SCALE = 0.1
LARGEST_CONTRAST = 0.15
LARGEST_BRIGHTNESS = 0.15  # in the units of `_scaled`


def images_to_see(n_images: int) -> int:
    """Return how many images the training looks at: 60 epochs of few, 5 of many, 40 000 in between.

    A slow core (AVX2) sees 600 to 800 a second.

    >>> images_to_see(230), images_to_see(1700), images_to_see(20_000)
    (13800, 40000, 100000)
    """
    return max(5 * n_images, min(60 * n_images, 40_000))


def train(
    images_NSS: np.ndarray,
    labels: np.ndarray,
    *,
    n_classes: int,
    seed: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> nn.Module:
    """Return a network that tells uint8 (N, 96, 96) images by their int64 labels (N,), in evaluation mode.

    Four blocks of convolution, batch norm and ReLU, averaged over the image, then one linear layer;
    random flips, shifts, scales and contrasts. The same seed gives the same network on the same
    machine, whatever the state of torch's global generators, which stay as they were.

    Raises `ModelError` when there is nothing to learn from or the loss is no number.
    """
    import torch
    from torch.nn import functional

    _check(images_NSS, labels, n_classes)
    network = _initialised(n_classes, seed).to(device).to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(np.array(images_NSS)).to(device)
    targets = torch.from_numpy(np.array(labels, dtype=np.int64)).to(device)
    count("device_bytes", pixels.nbytes + targets.nbytes)
    class_weights = len(targets) / (n_classes * torch.bincount(targets, minlength=n_classes).clamp_min(1))
    generator = torch.Generator().manual_seed(seed)
    batches = list(_batches(len(pixels), generator))
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=len(batches), pct_start=0.2
    )
    what = f"training a small network on {len(pixels)} images, to take features from"
    with _one_thread(), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        for step, rows in enumerate(batches, start=1):
            x_N1SS = _augmented(_scaled(pixels[rows]), generator)
            loss = functional.cross_entropy(
                network(x_N1SS.contiguous(memory_format=torch.channels_last)),
                targets[rows],
                weight=class_weights,
                label_smoothing=LABEL_SMOOTHING,
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            count("steps")
            if progress is not None:
                progress(what, step / len(batches))
    if not torch.isfinite(loss):
        raise ModelError("the small network for features did not converge: its loss is no number")
    return network.eval()


def features(network: nn.Module, images_NSS: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """Return float32 (N, 64): what reaches the linear layer of a network that `train` returned."""
    import torch

    found = [torch.empty((0, WIDTH))]
    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        for start in range(0, len(images_NSS), 64):
            batch = torch.from_numpy(np.array(images_NSS[start : start + 64])).to(device)
            x_N1SS = _scaled(batch).contiguous(memory_format=torch.channels_last)
            found.append(network.get_submodule("features")(x_N1SS).cpu())
            count("forwards", len(batch))
            count("device_bytes", batch.nbytes)
    return torch.cat(found).numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Layers this small gain nothing from a second thread, and lose much where others want the core too."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check(images_NSS: np.ndarray, labels: np.ndarray, n_classes: int) -> None:
    if images_NSS.dtype != np.uint8 or images_NSS.shape[1:] != (SIZE_PX, SIZE_PX):
        raise ValueError(
            f"expected uint8 (N, {SIZE_PX}, {SIZE_PX}), got {images_NSS.dtype} {images_NSS.shape}"
        )
    if labels.shape != (len(images_NSS),):
        raise ValueError(f"expected {len(images_NSS)} labels, got {labels.shape}")
    if not len(labels):
        raise ModelError("the small network for features has no training images")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"expected labels from 0 to {n_classes - 1}, got {labels.min()} to {labels.max()}")


def _initialised(n_classes: int, seed: int) -> nn.Module:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return _network(n_classes)


def _network(n_classes: int) -> nn.Module:
    from torch import nn

    blocks: list[nn.Module] = [*_convolution(1, WIDTHS[0], kernel=5, stride=2)]
    for before, after in pairwise(WIDTHS):
        blocks += [nn.MaxPool2d(2), *_convolution(before, after), *_convolution(after, after)]
    blocks += [nn.AvgPool2d(SIZE_PX // 2 ** len(WIDTHS)), nn.Flatten()]
    return nn.Sequential(OrderedDict(features=nn.Sequential(*blocks), classifier=nn.Linear(WIDTH, n_classes)))


def _convolution(before: int, after: int, kernel: int = 3, stride: int = 1) -> Iterator[nn.Module]:
    from torch import nn

    yield nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
    yield nn.BatchNorm2d(after)
    yield nn.ReLU(inplace=True)


def _batches(n_images: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield the rows of each batch; all are full, cut from shuffled epochs that follow each other."""
    import torch

    size = min(BATCH_SIZE, n_images)
    steps = -(-images_to_see(n_images) // size)
    waiting = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(waiting) < size:
            waiting = torch.cat([waiting, torch.randperm(n_images, generator=generator)])
        yield waiting[:size]
        waiting = waiting[size:]


def _scaled(x_NSS: torch.Tensor) -> torch.Tensor:
    """Return float32 (N, 1, S, S), grey 128 as 0 and 64 steps of it as 1."""
    return ((x_NSS.float() - 128) / 64).unsqueeze(1)


def _augmented(x_N1SS: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the images flipped left to right (half of them), shifted, scaled, brighter or darker."""
    import torch
    from torch.nn import functional

    def uniform(*shape: int) -> torch.Tensor:
        return (2 * torch.rand(shape, generator=generator) - 1).to(x_N1SS.device)

    n = len(x_N1SS)
    scale = 1 + LARGEST_SCALE * uniform(n)
    affine_N23 = torch.zeros((n, 2, 3), device=x_N1SS.device)
    affine_N23[:, 0, 0] = scale * uniform(n).sign()
    affine_N23[:, 1, 1] = scale
    affine_N23[:, :, 2] = LARGEST_SHIFT * uniform(n, 2)
    grid = functional.affine_grid(affine_N23, list(x_N1SS.shape), align_corners=False)
    moved = functional.grid_sample(x_N1SS, grid, padding_mode="border", align_corners=False)
    contrast = 1 + LARGEST_CONTRAST * uniform(n, 1, 1, 1)
    return moved * contrast + LARGEST_BRIGHTNESS * uniform(n, 1, 1, 1)
