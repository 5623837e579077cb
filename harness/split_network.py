"""Features where no pretrained network can be had: a small one, trained on the training part of the split.

It sees training images and their labels, nothing else. The features of training images have been fitted to
their labels, those of validation and test images have not; a row that uses them says where they come from.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from harness.counters import count
from harness.types import Progress

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["SIZE_PX", "embedded", "fitted"]

SIZE_PX = 96
WIDTHS = (8, 16, 32, 64)  # the last is the number of features
IMAGES_SEEN = 16_000  # about 25 s on two AVX2 cores, whatever the size of the dataset
BATCH_SIZE = 32
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1


def fitted(
    images_NSS: np.ndarray,
    labels_N: np.ndarray,
    *,
    n_classes: int,
    seed: int,
    progress: Progress | None = None,
) -> nn.Module:
    """Return the network trained on uint8 (N, S, S) and int labels (N,), on the CPU.

    The same arguments give the same weights on one machine; the global random state is left as it was.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(n_classes)
        return _trained(
            network, torch.from_numpy(np.array(images_NSS)), torch.from_numpy(labels_N), seed, progress
        )


def embedded(network: nn.Module, images_NSS: np.ndarray, *, batch_size: int = 128) -> np.ndarray:
    """Return float32 (N, d): the pooled activations before the classifier."""
    import torch

    count("forwards", len(images_NSS))
    body = network[:-2]  # type: ignore[index]
    pixels = torch.from_numpy(np.array(images_NSS))
    with torch.inference_mode():
        batches = [body(_scaled(batch)) for batch in pixels.split(batch_size)]
    return torch.cat(batches).numpy()


def _network(n_classes: int) -> nn.Sequential:
    from torch import nn

    def convolution(n_in: int, n_out: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
        conv = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, bias=False)
        return [conv, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]

    layers = [*convolution(1, WIDTHS[0], kernel=5, stride=2)]
    for n_in, n_out in pairwise(WIDTHS):
        layers += [nn.MaxPool2d(2), *convolution(n_in, n_out), *convolution(n_out, n_out)]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(WIDTHS[-1], n_classes)]
    return nn.Sequential(*layers)


def _trained(
    network: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, seed: int, progress: Progress | None
) -> nn.Module:
    import torch
    from torch.nn.functional import cross_entropy

    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = max(1, IMAGES_SEEN // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.2)
    network.train()
    for step, rows in enumerate(_batches(len(pixels), steps, generator)):
        if progress is not None and step % 25 == 0:
            progress("training a small network for features", step / steps)
        x_BCHW = _varied(_scaled(pixels[rows]), generator)
        loss = cross_entropy(network(x_BCHW), labels[rows], label_smoothing=LABEL_SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        count("steps")
    return network.eval()


def _batches(n: int, steps: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Row numbers of each step: every image once before any is seen again; small sets are drawn from anew."""
    import torch

    size = min(BATCH_SIZE, n)
    rounds = -(-steps * size // n)
    order = torch.cat([torch.randperm(n, generator=generator) for _ in range(rounds)])
    return list(order[: steps * size].split(size))


def _scaled(pixels_BHW: torch.Tensor) -> torch.Tensor:
    return ((pixels_BHW.float() - 128) / 64).unsqueeze(1)


def _varied(x_BCHW: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images mirrored, shifted by up to 8 pixels, scaled by up to a tenth, and changed a little in contrast."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    n, size = len(x_BCHW), x_BCHW.shape[-1]

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator) - 0.5

    scale = 1 + 0.2 * uniform(n)
    mirror = torch.where(uniform(n) < 0, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale * mirror, scale
    theta[:, :, 2] = uniform(n, 2) * 32 / size
    grid = affine_grid(theta, list(x_BCHW.shape), align_corners=False)
    moved = grid_sample(x_BCHW, grid, align_corners=False, padding_mode="border")
    return moved * (1 + 0.3 * uniform(n, 1, 1, 1)) + 0.3 * uniform(n, 1, 1, 1)
