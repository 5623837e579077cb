"""What the gate watches: each real function, its frozen kernel, and the limit of their ratio.

A limit of this module is the ratio that was measured (docs/benchmarks.md) times `SLACK`, half way to a slowdown
of 15 %: a function that didn't change stays below, one that became that much slower
doesn't. Extraction and training have the limits that the project promises instead.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kernels
import numpy as np
from PIL import Image
from toys import CARD

from harness.bench import Comparison, compare
from harness.bench.comparing import Work

SLACK = 1.07
EXTRACTION_LIMIT, TRAINING_LIMIT = 1.3, 1.15

LONG_LOOKS = (11, 22)
"""Calls of extraction and training take so long that fewer rounds must do."""

BACKBONE = "squeezenet1_1"


@dataclass(frozen=True)
class Workload:
    """A function of ours and the kernel it is measured by; `unit` is a small piece of the same work."""

    name: str
    kernel: Work
    function: Work
    limit: float
    unit: Work
    same: Callable[[Any, Any], object] | None = None
    counts: tuple[str, ...] = ()

    def compared(self, function: Work | None = None, **options: Any) -> Comparison:
        """Return the comparison of a function, ours unless another is given, with the kernel."""
        counts = self.counts if function is None else ()  # another may do some of the work twice
        function = function or self.function
        return compare(self.kernel, function, limit=self.limit, same=self.same, counts=counts, **options)


def xdnn_fit() -> Workload:
    """xDNN learns 600 rows of 512 features."""
    from baselines.xdnn import XDNN

    generator = np.random.default_rng(20200424)
    y = generator.integers(0, 2, 600)
    X = np.maximum(generator.normal(size=(600, 512)) + 0.2 * y[:, None], 0)
    return Workload(
        name="xdnn-fit",
        kernel=lambda: kernels.xdnn_fit(X, y),
        function=lambda: XDNN().fit(X, y),
        limit=1.15 * SLACK,
        unit=lambda: XDNN().fit(X[:40], y[:40]),
        same=lambda counts, model: [len(centres) for centres in model.prototypes_] == counts,
        counts=("grams",),
    )


def scorer() -> Workload:
    """All metrics of three test parts of 160 predictions, with their intervals."""
    from frozen_scorer import intervals as frozen_intervals
    from frozen_scorer import metrics as frozen_metrics

    from harness import intervals, metrics

    generator = np.random.default_rng(20200424)
    # Three, since the draws of two are kept: where what is kept lies in memory made 8 % between equal code.
    parts = [generator.integers(0, 2, 160) for _ in range(3)]
    p = [(0.35 + 0.3 * labels + 0.2 * generator.normal(size=160)).clip(0, 1) for labels in parts]

    def scored(metrics: Any, intervals: Any) -> list[Any]:
        found = []
        for labels, p_N in zip(parts, p, strict=True):
            p_NC = np.stack([1 - p_N, p_N], axis=1)
            values = metrics.scores(labels, p_NC, positive=1)
            bounds = intervals.intervals(labels, p_NC, positive=1)
            found.append({name: (values[name].value, at.low, at.high) for name, at in bounds.items()})
        return found

    return Workload(
        name="scorer",
        kernel=lambda: scored(frozen_metrics, frozen_intervals),
        function=lambda: scored(metrics, intervals),
        limit=1.0 * SLACK,
        unit=lambda: metrics.scores(parts[0], np.stack([1 - p[0], p[0]], axis=1), positive=1),
        same=lambda before, now: before == now,
    )


def feature_cache(folder: Path, cache: Path) -> Workload:
    """A view of 1200 rows asks for 4096 features each, which lie in the cache."""
    from harness import store
    from harness.data.dataset import open_dataset
    from harness.images import Images

    publish_weights()
    dataset = open_dataset(str(made_dataset(folder, images=1600, height=8, width=8)), cache=cache)
    x_ND = np.random.default_rng(0).random((1600, 4096), dtype=np.float32)
    rows = np.sort(np.random.default_rng(1).permutation(1600)[:1200])
    embed, store.embed = store.embed, lambda *_, **__: x_ND  # type: ignore[assignment]
    try:
        store.DatasetStore(dataset, cache=cache).features(BACKBONE, 8)
    finally:
        store.embed = embed  # type: ignore[assignment]
    (path,) = (cache / "features" / dataset.content).glob("*.npy")

    mapped = np.load(path, mmap_mode="r")

    def function() -> np.ndarray:
        return Images(store.DatasetStore(dataset, cache=cache), rows).features(BACKBONE, 8)

    return Workload(
        name="feature-cache",
        kernel=lambda: kernels.rows_of_file(path, rows),
        function=function,
        limit=1.10 * SLACK,
        unit=lambda: np.array(mapped[rows[:10]]),
        same=np.array_equal,
    )


def extraction(folder: Path, cache: Path) -> Workload:
    """160 images of 160 px pass SqueezeNet: resized, embedded, written and read; the images were decoded before."""
    import torch

    from harness.backbones import build
    from harness.data.dataset import open_dataset
    from harness.store import DatasetStore

    publish_weights()
    dataset = open_dataset(str(made_dataset(folder, images=160, height=256, width=320)), cache=cache)
    network = build(BACKBONE, n_classes=1, pretrained=True).eval().requires_grad_(False)
    network.classifier = torch.nn.AdaptiveAvgPool2d(1)
    network = network.to(memory_format=torch.channels_last)
    images_NSS = np.array(DatasetStore(dataset, cache=cache).resized(160))
    pixels = dataset.pixels(cache).folder

    def function() -> np.ndarray:
        shutil.rmtree(cache / "features", ignore_errors=True)
        for path in pixels.glob("resized-*"):
            path.unlink()
        return DatasetStore(dataset, cache=cache).features(BACKBONE, 160)

    return Workload(
        name="extraction",
        kernel=lambda: kernels.extracted(network, images_NSS, 32),
        function=function,
        limit=EXTRACTION_LIMIT,
        unit=lambda: kernels.extracted(network, images_NSS[:1], 1),
        same=lambda bare, ours: np.allclose(bare, ours, atol=1e-4),
        counts=("forwards", "device_bytes", "resizes"),
    )


def training() -> Workload:
    """Four steps of a ResNet-18 on 16 images of 64 px each, with random views, clipping and a schedule.

    The kernel takes the same steps without these. Looks at the validation part are no part of a step.
    """
    import torch

    from baselines.arithmetic import arithmetic_of
    from baselines.training import Settings, Tensors, _Course, _loss, _stream
    from harness.backbones import Normaliser, build

    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    images_NSS = generator.integers(0, 256, (64, 64, 64), dtype=np.uint8)
    device = torch.device("cpu")
    data = Tensors.on(device, images_NSS, generator.integers(0, 2, 64))
    settings = Settings(
        images_seen=64, batch_size=16, learning_rate=1e-5, weight_decay=0.05, augmentation=1.0, looks=1
    )
    network = build("resnet18", n_classes=2, pretrained=False).to(memory_format=torch.channels_last)
    course = _Course(network, settings, Normaliser.on(device), arithmetic_of(device))
    rows, loss_of = _stream(64, settings, 0), _loss(data.labels, 2, settings)
    bare = build("resnet18", n_classes=2, pretrained=False).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(bare.parameters(), lr=1e-5, fused=True)
    batches = list(torch.arange(64).split(16))
    return Workload(
        name="training",
        kernel=lambda: kernels.trained(bare, optimiser, data.images, data.labels, batches),
        function=lambda: course.run(data, rows, 1, 4, loss_of, 0),
        limit=TRAINING_LIMIT,
        unit=lambda: kernels.trained(bare, optimiser, data.images, data.labels, [torch.arange(2)]),
        counts=("steps",),
    )


def publish_weights() -> None:
    """Put SqueezeNet's weights, drawn at random, where torch looks for them, unless it has them."""
    import torch
    from torchvision import models

    from harness.weights import checkpoints_folder, find

    if find(BACKBONE).file is not None:
        return
    path = checkpoints_folder() / "squeezenet1_1-b8a52dc0.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(models.squeezenet1_1(weights=None).state_dict(), path)


def made_dataset(folder: Path, *, images: int, height: int, width: int) -> Path:
    """Write images of noise with a split; return their card."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["file,label,group,split"]
    for number in range(images):
        bright, part = number % 2, "test" if number % 5 == 4 else "train"
        pixels = generator.normal(110 + 40 * bright, 25, size=(height, width)).clip(0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{'bright' if bright else 'dark'},p{number},{part}")
    (folder / "files.csv").write_text("\n".join(lines) + "\n")
    (folder / "card.toml").write_text(CARD)
    return folder / "card.toml"
