"""Fine-tuning of any image classifier: one loop, on one device, with the images held there whole.

The amount of work is a number of images, not of epochs, so that a recipe costs the same on every
dataset. The validation part is looked at a few times; the weights of the best look are kept, as a copy.
Between two looks nothing passes between host and device: what is random is drawn and moved before, and no
number is read back (tests/baselines/test_synchronisation.py counts both).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from baselines.arithmetic import Arithmetic, arithmetic_of, repeatable
from baselines.augmentation import Views, augmented, draw_views
from baselines.methods import MODERN, Method
from baselines.unfinished import Unfinished, fingerprint
from harness.backbones import Normaliser
from harness.counters import count
from harness.errors import ModelError
from harness.types import Session

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "Look",
    "Settings",
    "Tensors",
    "Training",
    "learning_rate_at",
    "probabilities",
    "train",
]

PREDICTION_BATCH = 64  # images; larger ones were not faster on the CPU

LARGEST = 10**8
"""Images a training may see: their order lies in memory, 8 bytes each."""


@dataclass(frozen=True)
class Tensors:
    """Images uint8 (N, S, S) and labels int64 (N,) on the device that trains."""

    images: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def on(cls, device: torch.device, images: np.ndarray, labels: np.ndarray) -> Tensors:
        import torch

        pixels = torch.from_numpy(np.array(images, dtype=np.uint8))  # a copy: caches are read-only
        targets = torch.from_numpy(np.array(labels, dtype=np.int64))
        count("device_bytes", pixels.nbytes + targets.nbytes)
        return cls(pixels.to(device), targets.to(device))


@dataclass(frozen=True)
class Settings:
    """How to train. Raises `ModelError` for a value that cannot work.

    `average` is the decay of an exponential moving average of the weights, which then takes their place at
    looks and at the end; 0 takes the weights themselves.
    """

    images_seen: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    augmentation: float
    looks: int = 6
    label_smoothing: float = 0.0
    average: float = 0.0
    method: Method = MODERN

    def __post_init__(self) -> None:
        for name in ("images_seen", "batch_size", "looks"):
            if type(getattr(self, name)) is not int:
                raise ModelError(f"{name} must be a whole number, got {getattr(self, name)!r}")
            if getattr(self, name) > LARGEST:
                raise ModelError(f"{name} must be at most {LARGEST}, got {getattr(self, name)!r}")
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
        for name in ("label_smoothing", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ModelError(f"{name} must be 0 or more and below 1, got {getattr(self, name)!r}")

    @property
    def steps(self) -> int:
        return -(-self.images_seen // self.batch_size)

    @property
    def look_steps(self) -> list[int]:
        """Steps after which the validation part is looked at, in order, the last one always among them."""
        looks = min(self.looks, self.steps)
        return sorted({-(-self.steps * k // looks) for k in range(1, looks + 1)})

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "method": self.method.name}


@dataclass(frozen=True, order=True)
class Look:
    """What the validation part said after a step; the larger of two looks is the better."""

    balanced_accuracy: float
    negative_loss: float
    step: int


@dataclass
class Training:
    """How a training went.

    `settings` are those that it really had, `resumed_from` is the step that an interrupted one went on from,
    `unrepeatable` names the operations that the device does not repeat to the last digit.
    """

    looks: list[Look] = field(default_factory=list)
    steps: int = 0
    arithmetic: str = "float32"
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    images_per_second: float | None = None
    resumed_from: int = 0
    unrepeatable: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def best(self) -> Look:
        return max(self.looks)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "best_step": self.best.step}


def train(
    network: nn.Module,
    training: Tensors,
    validation: Tensors,
    settings: Settings,
    *,
    n_classes: int,
    seed: int,
    normaliser: Normaliser | None = None,
    session: Session | None = None,
) -> Training:
    """Train `network` in place, leave it with the weights of its best look, return how it went.

    Every batch is full: the stream of shuffled epochs is cut where a batch is full, so no batch of
    one image ever meets a batch norm. With a folder in `session`, an interrupted training goes on from
    its last kept look and, on a CPU, ends with the weights of one that was never interrupted. Raises
    `ModelError` when the loss is no number any more, and what `session.report` raises.
    """
    session = session or Session()
    device = training.images.device
    arithmetic = arithmetic_of(device)
    course = _Course(network, settings, normaliser or Normaliser.on(device), arithmetic)
    loss_of = _loss(training.labels, n_classes, settings)
    kept = Unfinished.in_folder(
        session.folder, lambda: _identity(network, training, validation, settings, seed)
    )
    done = course.resume(kept)
    for number in range(1, len(course.looks) + 1):  # a kill may have come between keeping and reporting
        seen = course.looks[:number]
        session.report(seen[-1].step / settings.steps, max(seen).balanced_accuracy)
    rows = _stream(len(training.labels), settings, seed).to(device)
    start, computed = time.perf_counter(), 0
    with repeatable(device) as unrepeatable:
        for first, last in _segments(settings):
            if last <= done:
                continue
            total = course.run(training, rows, first, last, loss_of, seed)
            computed += last - first + 1
            _check_finite(float(total), "training", last, settings)
            course.look(validation, last, n_classes)
            kept.keep(course.state(last))
            session.progress(f"step {last} of {settings.steps}", last / settings.steps)
            session.report(last / settings.steps, course.best.balanced_accuracy)
    course.finish()
    seconds = time.perf_counter() - start
    return Training(
        looks=course.looks,
        steps=settings.steps,
        arithmetic=arithmetic.name,
        settings=settings.as_dict(),
        seconds=round(seconds, 3),
        images_per_second=round(computed * settings.batch_size / seconds, 2) if computed else None,
        resumed_from=done,
        unrepeatable=unrepeatable,
        notes=kept.notes,
    )


def learning_rate_at(step: int, settings: Settings) -> float:
    """Return the rate of step 1 ... `settings.steps`: a linear warm-up, then half a cosine down.

    >>> s = Settings(100, 10, learning_rate=1.0, weight_decay=0, augmentation=0)
    >>> [round(learning_rate_at(step, s), 2) for step in (1, 2, 3, 10)]
    [0.5, 1.0, 0.96, 0.01]
    """
    method = settings.method
    warm_up_steps = max(1, round(method.warm_up * settings.steps))
    if step <= warm_up_steps:
        return settings.learning_rate * step / warm_up_steps
    done = (step - warm_up_steps) / (settings.steps - warm_up_steps)
    left = method.final_rate
    return settings.learning_rate * (left + (1 - left) * (1 + math.cos(math.pi * done)) / 2)


def probabilities(
    network: nn.Module, images: torch.Tensor, absent: list[int], normaliser: Normaliser | None = None
) -> np.ndarray:
    """Return float64 (N, C), rows summing to 1; classes in `absent`, never trained on, get exactly 0.

    In fp32 on every device: the ranking behind an AUC would tie in bf16.
    """
    import torch

    logits = _logits(network, images, normaliser or Normaliser.on(images.device)).double()
    logits[:, absent] = -torch.inf
    result = logits.softmax(dim=1).cpu().numpy()
    if not np.isfinite(result).all():
        row = int(np.argmin(np.isfinite(result).all(axis=1)))
        raise ModelError(f"the network's probabilities of image {row} are not finite: {result[row].tolist()}")
    return result


class _Course:
    """A training on its way: the network, what moves it, and the best that it was so far."""

    def __init__(
        self, network: nn.Module, settings: Settings, normaliser: Normaliser, arithmetic: Arithmetic
    ) -> None:
        import torch

        self.network, self.settings, self.normaliser = network, settings, normaliser
        self.looks: list[Look] = []
        self._arithmetic = arithmetic
        self._optimiser = _optimiser(network, settings)
        self._scaler = torch.amp.GradScaler(_device_of(network).type, enabled=arithmetic.scales_gradients)
        self._trained = [p for p in network.parameters() if p.requires_grad]
        self._average = [p.detach().clone() for p in self._trained] if settings.average else []
        self._kept: dict[str, torch.Tensor] = {}

    @property
    def best(self) -> Look:
        return max(self.looks)

    def run(
        self, training: Tensors, rows: torch.Tensor, first: int, last: int, loss_of: nn.Module, seed: int
    ) -> torch.Tensor:
        """Make the steps `first` to `last`; return the sum of their losses, on the device."""
        import torch

        size = self.settings.batch_size
        batches = rows[(first - 1) * size : last * size].split(size)
        views = _views(len(batches), self.settings, first, seed, rows.device)
        total = torch.zeros((), device=rows.device)
        self.network.train()
        for step, (batch, view) in enumerate(zip(batches, views, strict=True), start=first):
            x_BSS = training.images[batch]
            images = x_BSS if view is None else augmented(x_BSS, view)
            total += self.step(images, training.labels[batch], loss_of, step)
        return total

    def step(self, images: torch.Tensor, labels: torch.Tensor, loss_of: nn.Module, step: int) -> torch.Tensor:
        """Make one step; return its loss, on the device. Nothing is read from the device."""
        import torch

        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate_at(step, self.settings)
        self._optimiser.zero_grad(set_to_none=True)
        with self._arithmetic.autocast(images.device):
            loss: torch.Tensor = loss_of(self.network(self.normaliser(images)), labels)
        self._scaler.scale(loss).backward()
        if self.settings.method.gradient_norm is not None:
            self._scaler.unscale_(self._optimiser)
            torch.nn.utils.clip_grad_norm_(self._trained, self.settings.method.gradient_norm)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        if self._average:
            decay = min(self.settings.average, step / (step + 10))
            torch._foreach_lerp_(self._average, [p.detach() for p in self._trained], 1 - decay)
        count("steps")
        return loss.detach()

    def look(self, validation: Tensors, step: int, n_classes: int) -> None:
        """Judge the network by the validation part, and keep a copy of its weights where it was never better."""
        with self._averaged():
            logits = _logits(self.network, validation.images, self.normaliser)
            found = _judged(logits, validation.labels, step, n_classes)
            _check_finite(-found.negative_loss, "validation", step, self.settings)
            self.looks.append(found)
            if self.looks[-1] == self.best:
                self._kept = {name: v.detach().clone() for name, v in self.network.state_dict().items()}

    def finish(self) -> None:
        """Leave the network with its best weights."""
        self.network.load_state_dict(self._kept)

    def state(self, step: int) -> dict[str, Any]:
        """Return all that an interrupted training needs to go on after a step."""
        import torch

        device = _device_of(self.network)
        return {
            "step": step,
            "looks": [asdict(look) for look in self.looks],
            "network": self.network.state_dict(),
            "kept": self._kept,
            "average": self._average,
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
            "random": torch.get_rng_state(),
            "random_on_device": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }

    def resume(self, kept: Unfinished) -> int:
        """Go on from what was kept; return the step after which that was, 0 when nothing was."""
        import torch

        device = _device_of(self.network)
        state = kept.read(device)
        if state is None:
            return 0
        self.looks = [Look(**look) for look in state["looks"]]
        self.network.load_state_dict(state["network"])
        self._kept = state["kept"]
        self._average = list(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"].cpu())
        if state["random_on_device"] is not None:
            torch.cuda.set_rng_state(state["random_on_device"].cpu(), device)
        return int(state["step"])

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the moving average, where there is one, in the place of the weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for number, average in enumerate(self._average):
            weights = self._trained[number].data
            self._trained[number].data = average
            self._average[number] = weights


def _device_of(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _segments(settings: Settings) -> Iterator[tuple[int, int]]:
    """Yield (first step, last step) between two looks.

    >>> s = Settings(100, 10, learning_rate=1.0, weight_decay=0, augmentation=0, looks=3)
    >>> list(_segments(s))
    [(1, 4), (5, 7), (8, 10)]
    """
    before = 0
    for last in settings.look_steps:
        yield before + 1, last
        before = last


def _stream(n: int, settings: Settings, seed: int) -> torch.Tensor:
    """Return the row numbers of all batches in turn: epoch after epoch, each shuffled anew, the last one cut."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    wanted = settings.steps * settings.batch_size
    epochs = [torch.randperm(n, generator=generator) for _ in range(math.ceil(wanted / n))]
    return torch.cat(epochs)[:wanted]


def _views(
    n_batches: int, settings: Settings, first_step: int, seed: int, device: torch.device
) -> Sequence[Views | None]:
    """Return the random views of so many batches, on the device; the same for the same seed and first step."""
    import torch

    generator = torch.Generator().manual_seed(((seed + 1) * 1_000_003 + first_step) % 2**63)
    n_views = n_batches * settings.batch_size
    views = draw_views(n_views, settings.method.changes, settings.augmentation, generator)
    return [None] * n_batches if views is None else views.to(device).split(settings.batch_size)


def _loss(labels: torch.Tensor, n_classes: int, settings: Settings) -> nn.Module:
    import torch

    weights = _class_weights(labels, n_classes) if settings.method.class_weights else None
    return torch.nn.CrossEntropyLoss(weight=weights, label_smoothing=settings.label_smoothing)


def _judged(logits: torch.Tensor, labels: torch.Tensor, step: int, n_classes: int) -> Look:
    """Return balanced accuracy and mean loss, each class that the validation part has weighing the same."""
    import torch

    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    hits = (logits.argmax(dim=1) == labels).float()
    there = [labels == label for label in range(n_classes)]
    recalls = [float(hits[rows].mean()) for rows in there if rows.any()]
    class_losses = [float(losses[rows].mean()) for rows in there if rows.any()]
    return Look(float(np.mean(recalls)), -float(np.mean(class_losses)), step)


def _logits(network: nn.Module, images: torch.Tensor, normaliser: Normaliser) -> torch.Tensor:
    import torch

    network.eval()
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        return torch.cat([network(normaliser(batch)).float() for batch in images.split(PREDICTION_BATCH)])


def _optimiser(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Return Adam or AdamW, fused (otherwise its steps cost more than VGG's on a CPU), without decay of biases
    and norms."""
    import torch

    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if settings.method.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.learning_rate, fused=True)


def _class_weights(labels: torch.Tensor, n_classes: int) -> torch.Tensor:
    """Return (C,): each class that occurs weighs the same in sum, the others nothing."""
    counts = labels.bincount(minlength=n_classes).float()
    present = counts > 0
    return (len(labels) / (present.sum() * counts.clamp(min=1))) * present


def _check_finite(loss: float, which: str, step: int, settings: Settings) -> None:
    if not math.isfinite(loss):
        raise ModelError(
            f"the {which} loss is {loss!r} by step {step} of {settings.steps}; "
            f"lower the learning rate (now {settings.learning_rate!r})"
        )


def _identity(
    network: nn.Module, training: Tensors, validation: Tensors, settings: Settings, seed: int
) -> str:
    """Return the digest of all that the end depends on; sums on a CPU depend on the number of threads."""
    import torch

    device = training.images.device.type
    threads = torch.get_num_threads() if device == "cpu" else None
    state = network.state_dict()
    parts = (training.images, training.labels, validation.images, validation.labels, *state.values())
    return fingerprint([repr(settings), seed, device, threads, list(state)], parts)
