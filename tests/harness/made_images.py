"""Small image files, and datasets of them described by a card."""

from __future__ import annotations

import io
import os
import struct
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

CARD = """\
schema_version = 1
name = "{name}"
title = "Squares"
description = "Noise."
adapter = "{adapter}"
classes = ["dark", "bright"]
positive = "bright"
licence = "CC0-1.0"
citation = "none"
"""


def nothing_is_forbidden() -> bool:
    """Return whether this user reads what no one may read, as root usually does."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).chmod(0)
        return os.access(file.name, os.R_OK)


def grey(seed: int, height: int = 6, width: int = 8) -> np.ndarray:
    """Return noise, uint8 (height, width)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def encoded(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return an image file's bytes."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header promises any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


def write_card(
    folder: Path,
    *,
    adapter: str = "image-folder",
    name: str | None = None,
    more: str = "",
    listed: str | None = None,
) -> Path:
    """Write a card named as its folder, and its list where there is one; return the card's path."""
    folder.mkdir(parents=True, exist_ok=True)
    if listed is not None:
        adapter, more = "image-list", 'list = "files.csv"\n' + more
        (folder / "files.csv").write_text(listed, encoding="utf-8")
    card = folder / "card.toml"
    card.write_text(CARD.format(name=name or folder.name, adapter=adapter) + more, encoding="utf-8")
    return card


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def class_folders(folder: Path, per_class: int = 3) -> Path:
    """Write a dataset with a folder a class; return its card's path."""
    write_files(
        folder,
        {
            f"{label}/{number}.png": encoded(grey(10 * number + len(label), 6 + number, 8))
            for label in ("dark", "bright")
            for number in range(per_class)
        },
    )
    return write_card(folder)
