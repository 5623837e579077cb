"""Fine-tuning of any image classifier: one loop, on one device, with the images held there whole.

The amount of work is a number of images, not of epochs, so that a recipe costs the same on every
dataset. The validation part is looked at a few times; the weights of the best look are kept, as a copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from baselines.augmentation import augmented
from harness.backbones import normalised
from harness.counters import count
from harness.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Look", "Settings", "Tensors", "learning_rate_at", "probabilities", "seeded", "train"]

PREDICTION_BATCH = 64  # images; larger ones were not faster on the CPU


@dataclass(frozen=True)
class Tensors:
    """Images uint8 (N, S, S) and labels int64 (N,) on the device that trains."""

    images: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def on(cls, device: torch.device, images: np.ndarray, labels: np.ndarray) -> Tensors:
        import torch

        pixels = torch.from_numpy(np.array(images, dtype=np.uint8))  # a copy: caches are read-only
        return cls(pixels.to(device), torch.from_numpy(np.array(labels, dtype=np.int64)).to(device))


@dataclass(frozen=True)
class Settings:
    """How to train. Raises `ModelError` for a value that cannot work."""

    images_seen: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    augmentation: float
    warm_up: float = 0.2  # fraction of the steps
    gradient_norm: float = 1.0  # clipped there: networks without batch norm diverge otherwise
    looks: int = 6

    def __post_init__(self) -> None:
        for name in ("images_seen", "batch_size", "looks"):
            if not isinstance(getattr(self, name), int):
                raise ModelError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        if self.batch_size < 2:
            raise ModelError(f"batch_size must be 2 or more for batch norm, got {self.batch_size!r}")
        for name in ("images_seen", "looks"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} must be 1 or more, got {getattr(self, name)!r}")
        if not 0 < self.learning_rate < math.inf:
            raise ModelError(f"learning_rate must be positive, got {self.learning_rate!r}")
        for name in ("augmentation", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ModelError(f"{name} must be 0 or more, got {getattr(self, name)!r}")

    @property
    def steps(self) -> int:
        return math.ceil(self.images_seen / self.batch_size)

    @property
    def look_steps(self) -> frozenset[int]:
        """Steps after which the validation part is looked at, the last one always among them."""
        return frozenset(math.ceil(self.steps * k / self.looks) for k in range(1, self.looks + 1))


@dataclass(frozen=True, order=True)
class Look:
    """What the validation part said after a step; the larger of two looks is the better."""

    balanced_accuracy: float
    negative_loss: float
    step: int


def train(
    network: nn.Module,
    training: Tensors,
    validation: Tensors,
    settings: Settings,
    *,
    n_classes: int,
    seed: int,
) -> list[Look]:
    """Train `network` in place, leave it with the weights of its best look, return all looks.

    Every batch is full: the stream of shuffled epochs is cut where a batch is full, so no batch of
    one image ever meets a batch norm. Raises `ModelError` when the loss is no number any more.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    optimiser = _optimiser(network, settings)
    loss_of = torch.nn.CrossEntropyLoss(weight=_class_weights(training.labels, n_classes))
    looks: list[Look] = []
    kept: dict[str, torch.Tensor] = {}
    total = torch.zeros((), device=training.images.device)
    rows_of_steps = _batches(len(training.labels), settings, generator)
    for step, rows in enumerate(rows_of_steps, start=1):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate_at(step, settings)
        batch = augmented(training.images[rows], settings.augmentation, generator)
        total += _step(network, optimiser, loss_of, batch, training.labels[rows], settings.gradient_norm)
        if step in settings.look_steps:
            _check_finite(total, step, settings)
            looks.append(_look(network, validation, step, n_classes))
            if looks[-1] == max(looks):
                kept = {name: value.detach().clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)
    return looks


def learning_rate_at(step: int, settings: Settings) -> float:
    """Return the rate of step 1 ... `settings.steps`: a linear warm-up, then half a cosine down to a hundredth.

    >>> s = Settings(100, 10, learning_rate=1.0, weight_decay=0, augmentation=0)
    >>> [round(learning_rate_at(step, s), 2) for step in (1, 2, 3, 10)]
    [0.5, 1.0, 0.96, 0.01]
    """
    warm_up_steps = max(1, round(settings.warm_up * settings.steps))
    if step <= warm_up_steps:
        return settings.learning_rate * step / warm_up_steps
    done = (step - warm_up_steps) / (settings.steps - warm_up_steps)
    return settings.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def probabilities(network: nn.Module, images: torch.Tensor, absent: list[int]) -> np.ndarray:
    """Return float64 (N, C), rows summing to 1; classes in `absent`, never trained on, get exactly 0.

    In fp32 on every device: the ranking behind an AUC would tie in bf16.
    """
    import torch

    logits = _logits(network, images).double()
    logits[:, absent] = -torch.inf
    result = logits.softmax(dim=1).cpu().numpy()
    if not np.isfinite(result).all():
        row = int(np.argmin(np.isfinite(result).all(axis=1)))
        raise ModelError(f"the network's probabilities of image {row} are not finite: {result[row].tolist()}")
    return result


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Give initialisation and dropout the random state of `seed`; afterwards the old state is back."""
    import torch

    gpus = range(torch.cuda.device_count()) if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=gpus),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss_of: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    gradient_norm: float,
) -> torch.Tensor:
    import torch

    network.train()
    optimiser.zero_grad(set_to_none=True)
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=images.device.type == "cuda"):
        loss: torch.Tensor = loss_of(network(_prepared(images)), labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), gradient_norm)
    optimiser.step()
    count("steps")
    return loss.detach()


def _look(network: nn.Module, validation: Tensors, step: int, n_classes: int) -> Look:
    """Return balanced accuracy and mean loss, each class that the validation part has weighing the same."""
    import torch

    logits = _logits(network, validation.images)
    losses = torch.nn.functional.cross_entropy(logits, validation.labels, reduction="none")
    hits = (logits.argmax(dim=1) == validation.labels).float()
    there = [validation.labels == label for label in range(n_classes)]
    recalls = [float(hits[rows].mean()) for rows in there if rows.any()]
    class_losses = [float(losses[rows].mean()) for rows in there if rows.any()]
    return Look(float(np.mean(recalls)), -float(np.mean(class_losses)), step)


def _logits(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    import torch

    network.eval()
    with torch.inference_mode():
        return torch.cat([network(_prepared(batch)).float() for batch in images.split(PREDICTION_BATCH)])


def _prepared(x_BSS: torch.Tensor) -> torch.Tensor:
    import torch

    return normalised(x_BSS).contiguous(memory_format=torch.channels_last)


def _batches(n: int, settings: Settings, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield `settings.steps` full batches of row numbers: epoch after epoch, each shuffled anew."""
    import torch

    epochs = math.ceil(settings.steps * settings.batch_size / n)
    stream = torch.cat([torch.randperm(n, generator=generator) for _ in range(epochs)])
    yield from stream[: settings.steps * settings.batch_size].split(settings.batch_size)


def _optimiser(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Return AdamW, fused (otherwise its steps cost more than VGG's on a CPU), without decay of biases and norms."""
    import torch

    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _class_weights(labels: torch.Tensor, n_classes: int) -> torch.Tensor:
    """Return (C,): each class that occurs weighs the same in sum, the others nothing."""
    counts = labels.bincount(minlength=n_classes).float()
    present = counts > 0
    return (len(labels) / (present.sum() * counts.clamp(min=1))) * present


def _check_finite(total: torch.Tensor, step: int, settings: Settings) -> None:
    value = float(total)
    if not math.isfinite(value):
        raise ModelError(
            f"the training loss is {value!r} by step {step} of {settings.steps}; "
            f"lower the learning rate (now {settings.learning_rate!r})"
        )
