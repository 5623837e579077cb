"""The view of a set of images that models get, in memory or over the harness's caches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, overload

import numpy as np
from PIL import Image

from harness.counters import count

__all__ = ["Images", "MemoryStore", "PixelStore", "resized_array"]

Embedder = Callable[[str, np.ndarray], np.ndarray]
"""(backbone, uint8 (N, S, S)) -> float32 (N, d)."""


class PixelStore(Protocol):
    """Where the rows of a dataset lie. Everything is asked for the whole dataset once, then cached."""

    def __len__(self) -> int: ...

    def image(self, row: int) -> np.ndarray:
        """Return uint8 (height, width)."""
        ...

    def resized(self, size_px: int) -> np.ndarray:
        """Return uint8 (N, size_px, size_px) of all rows; may be a read-only memory map."""
        ...

    def features(self, backbone: str, size_px: int) -> np.ndarray:
        """Return float32 (N, d) of all rows; may be a read-only memory map."""
        ...

    def gram(self, backbone: str, size_px: int) -> np.ndarray:
        """Return float64 (N, N) of all rows; may be a read-only memory map."""
        ...


class Images(Sequence[np.ndarray]):
    """Rows of a `PixelStore`, as models see them (the contract is `harness.types.ImagesView`).

    >>> view = Images(MemoryStore([np.zeros((4, 6), np.uint8), np.full((5, 5), 9, np.uint8)]))
    >>> len(view), view[1].shape, view.resized(3).shape, len(view[:1])
    (2, (5, 5), (2, 3, 3), 1)
    """

    __slots__ = ("_rows", "_store")

    def __init__(self, store: PixelStore, rows: np.ndarray | None = None) -> None:
        self._store = store
        self._rows = np.arange(len(store)) if rows is None else np.asarray(rows, dtype=np.intp)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, item: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, item: slice | np.ndarray | list[int]) -> Images: ...
    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, int | np.integer):
            return self._store.image(int(self._rows[item]))
        return Images(self._store, self._rows[item])

    def resized(self, size_px: int) -> np.ndarray:
        """Return uint8 (N, size_px, size_px), aspect ratio not kept, as both papers resize."""
        return self._store.resized(size_px)[self._rows]

    def features(self, backbone: str, size_px: int = 224) -> np.ndarray:
        """Return float32 (N, d) of the pretrained `backbone`, computed once a dataset."""
        return self._store.features(backbone, size_px)[self._rows]

    def gram(self, backbone: str, size_px: int = 224, other: Any = None) -> np.ndarray:
        """Return float64 (N, M), the inner products of these features with those of `other`."""
        if other is None:
            other = self
        if other._store is not self._store:
            product = self.features(backbone, size_px).astype(np.float64) @ (
                other.features(backbone, size_px).astype(np.float64).T
            )
            count("grams")
            return product
        return self._store.gram(backbone, size_px)[np.ix_(self._rows, other._rows)]


def resized_array(image: np.ndarray, size_px: int) -> np.ndarray:
    """Return uint8 (size_px, size_px) by Pillow's bilinear filter, which averages when it shrinks."""
    count("resizes")
    if image.shape == (size_px, size_px):
        return image
    return np.asarray(Image.fromarray(image).resize((size_px, size_px), Image.Resampling.BILINEAR))


class MemoryStore:
    """Images in memory: for tests, plugins under development and the conformance suite."""

    def __init__(self, images: Sequence[np.ndarray], embed: Embedder | None = None) -> None:
        for row, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 2 or 0 in image.shape:
                raise ValueError(
                    f"image {row}: expected uint8 (height, width), got {image.dtype} {image.shape}"
                )
        self._images = list(images)
        self._embed = embed
        self._made: dict[tuple[Any, ...], np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._images)

    def image(self, row: int) -> np.ndarray:
        return self._images[row]

    def resized(self, size_px: int) -> np.ndarray:
        return self._once(
            ("resized", size_px),
            lambda: (
                np.stack([resized_array(image, size_px) for image in self._images])
                if self._images
                else np.empty((0, size_px, size_px), np.uint8)
            ),
        )

    def features(self, backbone: str, size_px: int) -> np.ndarray:
        if self._embed is None:
            raise ValueError("this store has no embedder: features cannot be computed")
        embed = self._embed
        return self._once(
            ("features", backbone, size_px),
            lambda: np.ascontiguousarray(embed(backbone, self.resized(size_px)), dtype=np.float32),
        )

    def gram(self, backbone: str, size_px: int) -> np.ndarray:
        def product() -> np.ndarray:
            count("grams")
            x_ND = self.features(backbone, size_px).astype(np.float64)
            return x_ND @ x_ND.T

        return self._once(("gram", backbone, size_px), product)

    def _once(self, key: tuple[Any, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]
