"""The images of a dataset with all that is derived from them, on disk: nothing is embedded or multiplied twice.

Features lie in `CACHE/features/CONTENT/KEY.npy`, float32 (N, d), their inner products beside them in
`KEY.gram.npy`, float64 (N, N). The key covers all that can change a number: the pixels, the network,
its weights, the size of the images, the code that computes and the versions of what it uses. Files
appear complete, in one rename; of several processes that need the same one, one computes it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from harness.backbones import canonical, embed
from harness.counters import count
from harness.data.pixels import cache_errors, locked, mapped_array
from harness.errors import HarnessError, ModelError, WeightsUnavailable
from harness.folders import cache_folder
from harness.machine import versions
from harness.sources import module_digest
from harness.types import Progress, Split, digest_of
from harness.weights import SPLIT_NETWORK, find, unavailable

if TYPE_CHECKING:
    from harness.data.dataset import Dataset
    from harness.data.pixels import NativePixels

__all__ = ["DatasetStore"]

FEATURE_VERSIONS = ("numpy", "pillow", "torch", "torchvision", "timm")
"""Distributions whose version can change a feature."""


FEATURE_CODE = ("harness.catalogue", "harness.checkpoints", "harness.images")
"""Modules that can change a feature beside the one that computes it: statistics, tensors of files, sizes."""


class DatasetStore:
    """A `harness.images.PixelStore` over a dataset's pixels on disk.

    `split` is needed for the features of 'split-network' alone, of which only the training part is
    used; `seed` seeds that network. A store `trained_with` another has the other's network, which has seen
    none of its images. `device` is where features are computed. `seconds_making` is the
    time that making, or waiting for, what is cached has taken so far.
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
        trained_with: DatasetStore | None = None,
    ) -> None:
        self._dataset = dataset
        self._teacher = trained_with or self
        self._cache = cache or cache_folder()
        self._device = device
        self._split = split
        self._seed = seed
        self._progress = progress
        self._made: dict[tuple[str, str, int], np.ndarray] = {}
        self._depth = 0
        self.seconds_making = 0.0

    def __len__(self) -> int:
        return len(self._dataset)

    def image(self, row: int) -> np.ndarray:
        """Return uint8 (height, width)."""
        return self._pixels.image(row)

    def resized(self, size_px: int) -> np.ndarray:
        """Return uint8 (N, size_px, size_px), a read-only memory map."""
        with self._timed():
            return self._pixels.resized(size_px, self._progress)

    def features(self, backbone: str, size_px: int) -> np.ndarray:
        """Return float32 (N, d), a read-only memory map.

        'split-network' sees images of its own size, whatever `size_px` says. Raises
        `WeightsUnavailable`, `UnknownName`, `ModelError` when the network cannot take such images,
        and `HarnessError` when the cache cannot be written.
        """
        return self._once("features", backbone, size_px, self._features)

    def gram(self, backbone: str, size_px: int) -> np.ndarray:
        """Return float64 (N, N), a read-only memory map: the inner products of these features.

        Raises as `features` does.
        """
        return self._once("gram", backbone, size_px, self._gram)

    @cached_property
    def _pixels(self) -> NativePixels:
        return self._dataset.pixels(self._cache, self._progress)

    def _once(
        self, kind: str, backbone: str, size_px: int, find_or_make: Callable[[str, int], np.ndarray]
    ) -> np.ndarray:
        place = (kind, backbone, size_px)
        if place not in self._made:
            with self._timed():
                self._made[place] = find_or_make(backbone, size_px)
        return self._made[place]

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Add to `seconds_making`; what is made for something else that is made counts once."""
        start = time.perf_counter()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self.seconds_making += time.perf_counter() - start

    def _features(self, backbone: str, size_px: int) -> np.ndarray:
        source = self._source(backbone, size_px)
        array = _Array(self._path(source), (len(self), None), np.float32)
        what = f"features of {self._dataset.name} by {backbone}"
        return array.kept(self._cache, source.make, what, self._progress)

    def _gram(self, backbone: str, size_px: int) -> np.ndarray:
        def product() -> np.ndarray:
            count("grams")
            x_ND = self.features(backbone, size_px).astype(np.float64)
            return x_ND @ x_ND.T

        path = self._path(self._source(backbone, size_px)).with_suffix(".gram.npy")
        array = _Array(path, (len(self), len(self)), np.float64)
        what = f"inner products of the features of {self._dataset.name} by {backbone}"
        return array.kept(self._cache, product, what, self._progress)

    def _path(self, source: _Source) -> Path:
        return self._cache / "features" / self._dataset.content / f"{digest_of(source.identity)[:32]}.npy"

    def _source(self, backbone: str, size_px: int) -> _Source:
        if backbone == SPLIT_NETWORK:
            return self._from_split_network()
        weights = find(backbone)
        if weights.file is None:
            raise WeightsUnavailable(unavailable(weights))
        identity = {
            "network": canonical(backbone),
            "weights": weights.sha256,
            "size_px": size_px,
            **self._circumstances("harness.backbones"),
        }
        return _Source(identity, lambda: self._embedded(backbone, size_px))

    def _embedded(self, backbone: str, size_px: int) -> np.ndarray:
        return embed(backbone, self.resized(size_px), device=self._device, progress=self._progress)

    def _from_split_network(self) -> _Source:
        dataset, split, seed = self._teacher._dataset, self._teacher._split, self._teacher._seed
        if split is None:
            raise ModelError(
                f"{SPLIT_NETWORK!r} is trained on the training part of a split, and none was given"
            )
        rows = dataset.rows(split.train)
        identity = {
            "network": SPLIT_NETWORK,
            "pixels": [dataset.pixel_digests[row] for row in rows],
            "labels": dataset.labels[rows].tolist(),
            "n_classes": len(dataset.card.classes),
            "seed": seed,
            **self._circumstances("harness.split_network"),
        }
        return _Source(identity, lambda: self._learned(dataset, rows, seed))

    def _learned(self, dataset: Dataset, rows: np.ndarray, seed: int) -> np.ndarray:
        from harness import split_network

        network = split_network.train(
            self._teacher.resized(split_network.SIZE_PX)[rows],
            dataset.labels[rows],
            n_classes=len(dataset.card.classes),
            seed=seed,
            device=self._device,
            progress=self._progress,
        )
        return split_network.features(network, self.resized(split_network.SIZE_PX), device=self._device)

    def _circumstances(self, module: str) -> dict[str, Any]:
        """What changes the last digits of a feature, if not more."""
        installed = versions()
        return {
            "code": [module_digest(name) for name in (module, *FEATURE_CODE)],
            "versions": {name: installed.get(name) for name in FEATURE_VERSIONS},
            "device": self._device.partition(":")[0],
        }


@dataclass(frozen=True)
class _Source:
    """How an array comes about: all that its values depend on, and the computation."""

    identity: dict[str, Any]
    make: Callable[[], np.ndarray]


@dataclass(frozen=True)
class _Array:
    """A file with one array of a known shape (None: any width) and type."""

    path: Path
    shape: tuple[int, int | None]
    dtype: type

    def kept(
        self, cache: Path, make: Callable[[], np.ndarray], what: str, progress: Progress | None
    ) -> np.ndarray:
        """Return the array in the file, made by one process when there is none or a damaged one."""
        found = self.saved()
        if found is None:
            with locked(self.path.with_suffix(".lock"), cache, what, progress):
                found = self.saved()
                if found is None:
                    self.save(cache, make())
                    found = self.saved()
        if found is None:
            raise HarnessError(f"{str(self.path)!r} is not what was written to it; is the disk sound?")
        return found

    def saved(self) -> np.ndarray | None:
        """Return the array as a read-only memory map, None when the file is not exactly such an array."""
        return mapped_array(self.path, self.shape, self.dtype)

    def save(self, cache: Path, array: np.ndarray) -> None:
        """Write the file in one rename. Whoever writes it holds its lock."""
        with cache_errors(cache):
            for stale in self.path.parent.glob(f".tmp-{self.path.name}-*"):
                stale.unlink(missing_ok=True)
            temporary = self.path.with_name(f".tmp-{self.path.name}-{uuid4().hex}")
            try:
                with temporary.open("xb") as file:
                    np.save(file, np.ascontiguousarray(array, dtype=self.dtype), allow_pickle=False)
                    file.flush()
                    os.fsync(file.fileno())  # a power cut must not leave a file of zeros under this name
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)
