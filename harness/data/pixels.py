"""Pixels on disk: the images of a dataset in one file, decoded once, mapped into memory.

A pack is a folder `CACHE/pixels/CONTENT`: `native.bin` holds the uint8 grey images one after the other,
`index.npy` int64 (N, 3) their offset, height and width, `resized-SIZE.pillow-VERSION.npy` uint8 (N, SIZE, SIZE).
Everything is written under a temporary name and renamed when complete.
"""

from __future__ import annotations

import errno
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar
from uuid import uuid4

import numpy as np
import PIL
from filelock import FileLock, Timeout

from harness.errors import HarnessError
from harness.images import resized_array
from harness.machine import granted_cores
from harness.types import Progress

__all__ = [
    "DiskPixels",
    "NativePixels",
    "PackWriter",
    "cache_errors",
    "in_order",
    "locked",
    "mapped_array",
    "pack_folder",
]

TEMPORARY = ".tmp-"

Item = TypeVar("Item")
Made = TypeVar("Made")


@contextmanager
def cache_errors(folder: Path) -> Iterator[None]:
    """Turn what the file system says about the cache into one line that names it. Raises `HarnessError`."""
    try:
        yield
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HarnessError(
            f"the cache folder {str(folder)!r} cannot be written: {reason}; "
            "free some room or let HARNESS_CACHE name another folder"
        ) from error


@contextmanager
def locked(path: Path, cache: Path, what: str, progress: Progress | None = None) -> Iterator[None]:
    """Hold the lock file `path` in the cache; say so when another process has it first.

    Raises `HarnessError` when the cache cannot be written.
    """
    lock = FileLock(path)
    with cache_errors(cache):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if progress is not None:
                progress(f"waiting for another process: {what}", None)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def in_order(function: Callable[[Item], Made], items: Iterable[Item]) -> Generator[Made, None, None]:
    """Yield `function` of each item, in their order, computed by as many threads as there are cores.

    Few results are ahead of the one that is yielded, so that memory stays bounded.
    """
    threads = min(granted_cores(), 16)
    ahead: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="harness-pixels")
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > 2 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def pack_folder(cache: Path, content: str) -> Path:
    """Return where the pack of a dataset's content lies, or would."""
    return cache / "pixels" / content


class PackWriter:
    """A pack in the making. Whoever makes one holds a lock that no other maker of `name` has."""

    def __init__(self, cache: Path, name: str) -> None:
        self._cache = cache
        self._index: list[tuple[int, int, int]] = []
        self._offset = 0
        parent = cache / "pixels"
        with cache_errors(cache):
            parent.mkdir(parents=True, exist_ok=True)
            for stale in parent.glob(f"{TEMPORARY}{name}-*"):
                shutil.rmtree(stale)
            self._folder = _temporary(parent, name)
            self._folder.mkdir()
            self._file: BinaryIO = (self._folder / "native.bin").open("wb")

    def append(self, pixels: np.ndarray) -> None:
        """Write one more image, uint8 (height, width). Raises `HarnessError` when the cache is full."""
        height, width = pixels.shape
        with cache_errors(self._cache):
            self._file.write(np.ascontiguousarray(pixels).data)
        self._index.append((self._offset, height, width))
        self._offset += height * width

    def publish(self, content: str) -> Path:
        """Give the finished pack its name and return it; one that is there already stays."""
        folder = pack_folder(self._cache, content)
        with cache_errors(self._cache):
            self._file.close()
            _save(self._folder / "index.npy", np.array(self._index, np.int64).reshape(-1, 3))
            try:
                self._folder.rename(folder)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
        self.discard()
        return folder

    def discard(self) -> None:
        """Remove what was written so far, if it was not published."""
        with suppress(OSError):  # a full disk: what could not be written is not wanted any more
            self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class NativePixels(Protocol):
    """The images of a dataset: each in its own size, or all in one."""

    def __len__(self) -> int: ...

    def image(self, row: int) -> np.ndarray:
        """Return uint8 (height, width)."""
        ...

    def resized(self, size_px: int, progress: Progress | None = None) -> np.ndarray:
        """Return uint8 (N, size_px, size_px)."""
        ...


class DiskPixels:
    """The images of a pack. Raises `ValueError` when `folder` holds no complete one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as cache:
    ...     writer = PackWriter(Path(cache), "doctest")
    ...     writer.append(np.full((2, 3), 7, np.uint8))
    ...     pixels = DiskPixels(writer.publish("content"))
    ...     len(pixels), pixels.image(0).tolist(), pixels.resized(4).shape
    (1, [[7, 7, 7], [7, 7, 7]], (1, 4, 4))
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._resized: dict[int, np.ndarray] = {}
        try:
            self._index = np.load(folder / "index.npy", allow_pickle=False)
            self._native = _mapped(folder / "native.bin")
        except (OSError, EOFError, ValueError) as error:
            raise ValueError(f"{str(folder)!r} holds no sound images: {error}") from error
        if not _is_consistent(self._index, len(self._native)):
            raise ValueError(f"{str(folder)!r} is damaged: its index does not fit its pixels")

    def __len__(self) -> int:
        return len(self._index)

    def image(self, row: int) -> np.ndarray:
        """Return uint8 (height, width), read-only."""
        offset, height, width = self._index[row]
        return self._native[offset : offset + height * width].reshape(height, width)

    def resized(self, size_px: int, progress: Progress | None = None) -> np.ndarray:
        """Return uint8 (N, size_px, size_px), a read-only memory map, made on first use.

        Raises `HarnessError` when it has to be made and the cache cannot be written.
        """
        if size_px not in self._resized:
            self._resized[size_px] = self._loaded(size_px, progress)
        return self._resized[size_px]

    def _loaded(self, size_px: int, progress: Progress | None) -> np.ndarray:
        path = self.folder / f"resized-{size_px}.pillow-{PIL.__version__}.npy"
        shape = (len(self), size_px, size_px)
        found = mapped_array(path, shape, np.uint8)
        if found is None:
            with locked(path.with_suffix(".lock"), self.folder, f"resizing to {size_px}", progress):
                found = mapped_array(path, shape, np.uint8)
                if found is None:
                    self._write_resized(path, size_px, progress)
                    found = mapped_array(path, shape, np.uint8)
        if found is None:
            raise HarnessError(f"{str(path)!r} is not what was written to it; is the disk sound?")
        return found

    def _write_resized(self, path: Path, size_px: int, progress: Progress | None) -> None:
        def resized(row: int) -> np.ndarray:
            return resized_array(self.image(row), size_px)

        shape = (len(self), size_px, size_px)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        with cache_errors(self.folder), _renamed_when_complete(path) as file:
            # Written, not mapped: a full disk is then an error and not a fatal signal.
            np.lib.format.write_array_header_1_0(file, header)
            for row, pixels in enumerate(in_order(resized, range(len(self)))):
                file.write(np.ascontiguousarray(pixels).data)
                if progress is not None:
                    progress(f"resizing {len(self)} images to {size_px}x{size_px}", (row + 1) / len(self))


def _is_consistent(index: np.ndarray, n_bytes: int) -> bool:
    if index.ndim != 2 or index.shape[1:] != (3,) or index.dtype != np.int64 or (index < 0).any():
        return False
    areas = index[:, 1] * index[:, 2]
    starts = np.concatenate([[0], np.cumsum(areas)])
    return bool((index[:, 0] == starts[:-1]).all() and starts[-1] == n_bytes)


def _mapped(path: Path) -> np.ndarray:
    return np.asarray(np.memmap(path, np.uint8, mode="r"))


def mapped_array(path: Path, shape: Sequence[int | None], dtype: type) -> np.ndarray | None:
    """Return the array in a .npy file as a read-only memory map; None when it isn't exactly such an array.

    None in `shape` stands for any length.
    """
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
        n_bytes = path.stat().st_size
    except Exception:  # noqa: BLE001 - numpy's parser raises nearly anything for a damaged header
        return None
    if mapped.dtype != dtype or mapped.ndim != len(shape):
        return None
    fits = all(want in (None, got) for want, got in zip(shape, mapped.shape, strict=True))
    return np.asarray(mapped) if fits and n_bytes == mapped.offset + mapped.nbytes else None


@contextmanager
def _renamed_when_complete(path: Path) -> Iterator[BinaryIO]:
    for stale in path.parent.glob(f"{TEMPORARY}{path.name}-*"):
        stale.unlink(missing_ok=True)
    temporary = _temporary(path.parent, path.name)
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _temporary(folder: Path, name: str) -> Path:
    return folder / f"{TEMPORARY}{name}-{uuid4().hex}"


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)
