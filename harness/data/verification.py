"""Verification: are the files those that the card means? Each file is decoded once, then remembered.

What was seen in a file is remembered by path, size and modification time in
`CACHE/verified/NAME-DIGEST.json`, one file for a dataset in a folder. Whether that is what the card
expects is decided anew at every opening, so that no memory outlives a corrected list.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
import PIL

from harness.data.adapters import Expected
from harness.data.cards import Card
from harness.data.decoding import VERSION, decode, pixels_sha256, quiet_decoders, read
from harness.data.pixels import cache_errors, in_order
from harness.errors import BadImage
from harness.types import Progress, Sample, digest_of

__all__ = ["Memory", "Problem", "Seen", "examined", "is_recognised", "memory_path", "recalled", "verified"]

Kind = Literal["missing", "unreadable", "different"]
Keep = Callable[[np.ndarray], None]
"""Told the pixels of each image that is decoded and recognised, in the order of the samples."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in a file when it was decoded. `flat`: it has one single grey value."""

    size: int
    mtime_ns: int
    sha256: str
    pixels_sha256: str
    height: int
    width: int
    format: str
    lossless: bool
    flat: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """A sample that cannot be used, and why."""

    id: str
    kind: Kind
    reason: str


def is_recognised(seen: Seen, expected: Expected | None) -> bool:
    """Return whether a file is the one expected: by its bytes or, for lossless formats, by its grey pixels.

    Where nothing is expected, everything is recognised.
    """
    if expected is None or (expected.sha256 is None and expected.pixels_sha256 is None):
        return True
    return seen.sha256 == expected.sha256 or (seen.lossless and seen.pixels_sha256 == expected.pixels_sha256)


def memory_path(cache: Path, card: Card, root: Path) -> Path:
    """Return the file that remembers the dataset of that name in the folder `root`."""
    return cache / "verified" / f"{card.name}-{digest_of(str(root.absolute()))[:16]}.json"


class Memory:
    """What was seen in the files of a dataset, by path. A damaged memory is an empty one."""

    def __init__(self, path: Path, card: Card) -> None:
        self.path = path
        self._decoding = {
            "version": VERSION,
            "pillow": PIL.__version__,
            "window": card.window.model_dump(),
            "max_pixels": card.max_pixels,
        }
        self._seen = self._loaded()
        self._is_changed = False

    def __len__(self) -> int:
        return len(self._seen)

    def recall(self, path: Path, status: os.stat_result) -> Seen | None:
        """Return what was seen in that file, None when it was not seen or has changed since."""
        seen = self._seen.get(str(path))
        if seen is None or (seen.size, seen.mtime_ns) != (status.st_size, status.st_mtime_ns):
            return None
        return seen

    def remember(self, path: Path, seen: Seen) -> None:
        self._seen[str(path)] = seen
        self._is_changed = True

    def save(self, cache: Path) -> None:
        """Write what is new, under a temporary name first. Raises `HarnessError` when the cache is full."""
        if not self._is_changed:
            return
        table = {
            "decoding": self._decoding,
            "seen": {path: asdict(seen) for path, seen in self._seen.items()},
        }
        with cache_errors(cache):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for stale in self.path.parent.glob(f".tmp-{self.path.name}-*"):
                stale.unlink(missing_ok=True)
            temporary = self.path.parent / f".tmp-{self.path.name}-{uuid4().hex}"
            try:
                temporary.write_text(json.dumps(table), encoding="utf-8")
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)
        self._is_changed = False

    def _loaded(self) -> dict[str, Seen]:
        try:
            table = json.loads(self.path.read_text(encoding="utf-8"))
            if table["decoding"] != self._decoding:
                return {}
            return {path: _seen(entry) for path, entry in table["seen"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}  # made again by reading the images: nothing is lost but time


def recalled(samples: Sequence[Sample], memory: Memory) -> dict[str, Seen | Problem]:
    """Return by id what is known without reading a file: what was seen before, and what is missing."""
    found: dict[str, Seen | Problem] = {}
    for sample in samples:
        try:
            seen: Seen | Problem | None = memory.recall(sample.path, sample.path.stat())
        except (FileNotFoundError, NotADirectoryError):
            seen = Problem(sample.id, "missing", "is missing")
        except (OSError, ValueError):
            continue  # reading it says what is wrong
        if seen is not None:
            found[sample.id] = seen
    return found


def verified(
    samples: Sequence[Sample],
    expected: Mapping[str, Expected],
    memory: Memory,
    card: Card,
    *,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> dict[str, Seen | Problem]:
    """Return by id what was seen in each sample, or the problem with it.

    Files that the memory does not recall are read and decoded, by as many threads as there are
    cores, and remembered. No error is raised for a bad file: the caller decides.
    """
    found = recalled(samples, memory)
    unseen = [sample for sample in samples if sample.id not in found]

    def look(sample: Sample) -> tuple[Seen, np.ndarray] | Problem:
        try:
            return examined(sample, card)
        except BadImage as error:
            return Problem(sample.id, "unreadable", str(error).removeprefix(f"{sample.id!r} "))

    with quiet_decoders():
        for n_done, (sample, looked) in enumerate(zip(unseen, in_order(look, unseen), strict=True), start=1):
            if isinstance(looked, Problem):
                found[sample.id] = looked
            else:
                found[sample.id], pixels = looked
                memory.remember(sample.path, looked[0])
                if keep is not None and is_recognised(looked[0], expected.get(sample.id)):
                    keep(pixels)
            if progress is not None:
                progress(f"reading {len(unseen)} images of {card.name}", n_done / len(unseen))
    return {sample.id: _judged(sample, found[sample.id], expected) for sample in samples}


def examined(sample: Sample, card: Card) -> tuple[Seen, np.ndarray]:
    """Return what is seen in a sample's file, and its pixels: uint8 (height, width). Raises `BadImage`."""
    try:
        status = sample.path.stat()  # before reading: a change meanwhile is then noticed next time
    except (OSError, ValueError) as error:
        raise BadImage(
            f"{sample.id!r} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    data = read(sample.path, sample.id, card.max_pixels)
    decoded = decode(data, sample.id, window=card.window, max_pixels=card.max_pixels)
    pixels = decoded.pixels
    seen = Seen(
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        sha256=hashlib.sha256(data).hexdigest(),
        pixels_sha256=pixels_sha256(pixels),
        height=pixels.shape[0],
        width=pixels.shape[1],
        format=decoded.format,
        lossless=decoded.lossless,
        flat=bool(pixels.min() == pixels.max()),
    )
    return seen, pixels


def _judged(sample: Sample, found: Seen | Problem, expected: Mapping[str, Expected]) -> Seen | Problem:
    if isinstance(found, Problem) or is_recognised(found, expected.get(sample.id)):
        return found
    return Problem(sample.id, "different", "differs from the card, in its bytes and in its pixels")


def _seen(entry: Mapping[str, Any]) -> Seen:
    """Return a remembered entry. Raises `TypeError`, `KeyError` for one that is damaged."""
    values = {field.name: entry[field.name] for field in fields(Seen)}
    for field in fields(Seen):
        if type(values[field.name]).__name__ != field.type:
            raise TypeError(f"{field.name} is {values[field.name]!r}")
    return Seen(**values)
