"""The pixels of a dataset and what is derived from them, each computed once and kept on disk by content."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from harness import machine
from harness.counters import count
from harness.data.dataset import Dataset
from harness.data.pixels import DiskPixels, cache_errors, locked
from harness.errors import ModelError, WeightsUnavailable
from harness.folders import cache_folder
from harness.sources import module_digest
from harness.types import Progress, Split, digest_of
from harness.weights import SPLIT_NETWORK, find, unavailable

__all__ = ["DatasetStore"]

MAKERS = ("harness.backbones", "harness.images", "harness.split_network")
"""The modules whose code decides what a feature is."""

VERSIONS = ("torch", "torchvision", "timm", "numpy", "pillow")


class DatasetStore:
    """A `harness.images.PixelStore` over the verified images of a dataset.

    Features and products are cached below `cache`, keyed by the images' content, the backbone, the SHA-256 of
    its weights, the size, the code and versions that compute them and the kind of device; for the network trained
    on the training part (`split`), by that part and the seed. A damaged cache file is computed anew.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        cache: Path | None = None,
        device: str = "cpu",
        split: Split | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self._dataset = dataset
        self._cache = Path(cache or cache_folder())
        self._device = device
        self._split = split
        self._seed = seed
        self._progress = progress
        self._arrays: dict[str, np.ndarray] = {}

    @cached_property
    def _pixels(self) -> DiskPixels:
        return self._dataset.pixels(self._cache, self._progress)

    def __len__(self) -> int:
        return len(self._dataset)

    def image(self, row: int) -> np.ndarray:
        """Return uint8 (height, width)."""
        return self._pixels.image(row)

    def resized(self, size_px: int) -> np.ndarray:
        """Return uint8 (N, size_px, size_px), a read-only memory map."""
        return self._pixels.resized(size_px, self._progress)

    def features(self, backbone: str, size_px: int) -> np.ndarray:
        """Return float32 (N, d). Raises `WeightsUnavailable` for a pretrained backbone without weights."""
        if backbone == SPLIT_NETWORK:
            key, make = self._split_key(), self._split_features
        else:
            key = self._backbone_key(backbone, size_px)
            make = lambda: self._embedded(backbone, size_px)  # noqa: E731
        return self._once("features", key, len(self), make)

    def gram(self, backbone: str, size_px: int) -> np.ndarray:
        """Return float64 (N, N): the inner products of all pairs of features."""

        def product() -> np.ndarray:
            count("grams")
            x_ND = self.features(backbone, size_px).astype(np.float64)
            return x_ND @ x_ND.T

        split = backbone == SPLIT_NETWORK
        key = self._split_key() if split else self._backbone_key(backbone, size_px)
        return self._once("grams", key, len(self), product)

    def _backbone_key(self, backbone: str, size_px: int) -> str:
        weights = find(backbone)
        if weights.sha256 is None:
            raise WeightsUnavailable(unavailable(weights))
        return digest_of([self._circumstances(), weights.network, weights.sha256, size_px])

    def _split_key(self) -> str:
        rows = self._training_rows()
        digests = [self._dataset.pixel_digests[row] for row in rows]
        labels = self._dataset.labels[rows].tolist()
        return digest_of([self._circumstances(), SPLIT_NETWORK, digests, labels, self._seed])

    def _circumstances(self) -> list[object]:
        versions = machine.versions()
        return [
            [versions.get(name) for name in VERSIONS],
            [module_digest(name) for name in MAKERS],
            self._device.partition(":")[0],
        ]

    def _training_rows(self) -> np.ndarray:
        if self._split is None:
            raise ModelError(f"features from {SPLIT_NETWORK!r} need a split: its training part trains them")
        return self._dataset.rows(self._split.train)

    def _embedded(self, backbone: str, size_px: int) -> np.ndarray:
        from harness.backbones import embed

        return embed(backbone, self.resized(size_px), device=self._device, progress=self._progress)

    def _split_features(self) -> np.ndarray:
        from harness import split_network

        rows = self._training_rows()
        images = self.resized(split_network.SIZE_PX)
        network = split_network.fitted(
            images[rows],
            self._dataset.labels[rows],
            n_classes=len(self._dataset.card.classes),
            seed=self._seed,
            progress=self._progress,
        )
        return split_network.embedded(network, images)

    def _once(self, kind: str, key: str, n_rows: int, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array from memory, from the disk, or made now and kept; one process makes it, others wait."""
        path = self._cache / kind / self._dataset.content[:32] / f"{key[:32]}.npy"
        name = str(path)
        if name not in self._arrays:
            found = _read(path, n_rows)
            if found is None:
                with locked(path.with_suffix(".lock"), self._cache, kind, self._progress):
                    found = _read(path, n_rows)
                    if found is None:
                        _write(path, self._cache, make())
                        found = _read(path, n_rows)
            if found is None:
                raise ModelError(f"{kind}: {str(path)!r} cannot be read back after it was written")
            self._arrays[name] = found
        return self._arrays[name]


def _read(path: Path, n_rows: int) -> np.ndarray | None:
    """The array as a read-only memory map; None when the file is absent, cut or of other images."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    shape: Sequence[int] = array.shape
    return array if len(shape) == 2 and shape[0] == n_rows else None


def _write(path: Path, cache: Path, array: np.ndarray) -> None:
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    with cache_errors(cache):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                np.save(file, np.ascontiguousarray(array))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
